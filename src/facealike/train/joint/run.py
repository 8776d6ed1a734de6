"""Distil several teachers into a branch beside dlib's network: from face chips to the default model.

    python -m facealike.train.joint.run --chips FAIRFACE/train.csv --held-out FAIRFACE/val.csv \\
        --teacher sface=0.6 --teacher retail-0095=0.4 --work FOLDER --out model.facealike

Teachers are stored models (``facealike models add``).  The command packs the chips, stores the teachers'
embeddings and the branch's inputs of several rounds of views (``targets``), fits the branch's last layer by
least squares, trains the branch, and writes the model, which is not calibrated.  The same command resumes
each part.  ``--only targets`` ends after storing; another process may meanwhile train on the parts that exist
(``--only training``) and uses new ones as they come.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from ...errors import DataError, UsageError
from ...model_file.locate import read_model_file
from ..command import add_recipe_options, append_row, command_parser, log_line, one_sentence_errors
from .chips import pack_chips
from .model import write_model
from .recipe import JointRecipe
from .stored_maps import HELD_OUT as HELD_OUT_MAPS
from .stored_maps import MapMaker, check_about
from .student import JointStudent
from .targets import Rounds, TargetsAbout, Teacher, embed_views, store_targets, write_array
from .teachers import named_teacher
from .training import JointRun
from .views import ViewMaker

HELD_OUT = 2048  # faces on which the agreement with the teachers is measured
HELD_OUT_SEED = 9  # seed of their views
RECIPE_OPTIONS = ("rounds", "copies", "steps", "batch", "seed", "rate", "muon", "local")
LOG = (
    "step",
    "factor",
    "point",
    "similarity",
    "local",
    "cosine",
    "correlation",
    "seconds",
    "faces_per_second",
)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    options = _parser().parse_args(arguments)
    with one_sentence_errors("joint_run"):
        run_joint(options)


def run_joint(options: argparse.Namespace) -> None:
    """Run the parts that ``options`` ask for in the folder ``options.work``."""
    recipe = JointRecipe(**{name: getattr(options, name) for name in RECIPE_OPTIONS})
    work: Path = options.work
    work.mkdir(parents=True, exist_ok=True)
    chips, weights = pack_chips(options.chips, work / "chips.npy")
    held, _ = pack_chips(options.held_out, work / "held-out.npy")
    folder = work / "targets"
    if options.only != "training":
        teachers = [named_teacher(name, weight) for name, weight in map(_weighted, options.teacher)]
        maker = ViewMaker(chips, recipe.views)
        held_maker = ViewMaker(held[:HELD_OUT], replace(recipe.views, seed=HELD_OUT_SEED, blend=0.0))
        folder.mkdir(exist_ok=True)
        _store(teachers, (maker, held_maker), Rounds(weights, recipe.seed), folder, recipe)
    if options.only == "targets":
        return
    about = TargetsAbout.read(folder)
    start = read_model_file(options.start) if options.start else None
    run = JointRun(recipe, folder, about, work / "state.pt", start)
    _train(run, folder, work, options)
    write_model(run, about, chips, options.out)


def _store(
    teachers: Sequence[Teacher], makers: tuple[ViewMaker, ViewMaker], rounds: Rounds, folder: Path,
    recipe: JointRecipe,
) -> None:  # fmt: skip
    """Store what is missing, part by part, so that a training in another process can begin.

    Args:
        teachers: The teachers.
        makers: Render the views of training faces, and of held-out faces.
        rounds: The views of each round.
        folder: Where all is stored.
        recipe: The recipe.
    """
    maker, held = makers
    if not (folder / "held-out.npy").is_file():
        faces = np.arange(len(held.chips))
        parts = list(zip(*embed_views(held, faces, np.zeros_like(faces), teachers), strict=True))
        rows = [np.concatenate(each) for each in parts]
        TargetsAbout.of(teachers, [each.shape[1] for each in rows], maker.spec).write(folder)
        write_array(folder / "held-out.npy", np.concatenate(rows, axis=1).astype(np.float16))
    about = TargetsAbout.read(folder)
    if about != TargetsAbout.of(teachers, about.widths, maker.spec):
        raise DataError(f"{folder}: targets of other teachers or views; delete it, or choose another --work")
    check_about(folder, recipe)
    student = JointStudent.start(recipe.dimensions)
    student.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if not (folder / HELD_OUT_MAPS).is_file():
        MapMaker(held, student.trunk, recipe).store_plain(folder / HELD_OUT_MAPS)
    maps = MapMaker(maker, student.trunk, recipe)

    def stored(number: int, part: int, total: int) -> None:
        maps.store(rounds, folder, (number, part))
        log_line(f"targets: round {number + 1}, part {part + 1} of {total}")

    for number in range(recipe.rounds):
        store_targets(maker, rounds, teachers, folder, number, partial(stored, number))


def _train(run: JointRun, folder: Path, work: Path, options: argparse.Namespace) -> None:
    """Train up to the recipe's steps; save the state and log a row every ``options.every`` steps."""
    held, rows = np.load(folder / HELD_OUT_MAPS, mmap_mode="r"), np.load(folder / "held-out.npy")
    begun, first, sums = time.perf_counter(), run.step, np.zeros(3)
    while run.step < run.recipe.steps:
        sums += run.train_step()
        if run.step % options.every == 0 or run.step == run.recipe.steps:
            steps, seconds = run.step - first, time.perf_counter() - begun
            factor = run.recipe.factor_at(run.step - 1)
            row = [run.step, factor, *sums / steps, *run.agreement(held, rows), seconds,
                   steps * run.recipe.batch / seconds]  # fmt: skip
            append_row(work / "log.csv", LOG, row)
            run.save()
            begun, first, sums = time.perf_counter(), run.step, np.zeros(3)


def _weighted(text: str) -> tuple[str, float]:
    """Return NAME and WEIGHT of ``NAME=WEIGHT``."""
    name, _, weight = text.rpartition("=")
    try:
        value = float(weight)
    except ValueError:
        value = 0.0
    if not name or not 0 < value < float("inf"):
        raise UsageError(f"a teacher is NAME=WEIGHT, such as sface=0.6, not {text!r}")
    return name, value


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(__doc__)
    parser.add_argument("--chips", type=Path, required=True, help="FairFace's train.csv, beside its chips")
    parser.add_argument("--held-out", type=Path, required=True, help="FairFace's val.csv")
    parser.add_argument("--teacher", action="append", required=True, metavar="NAME=WEIGHT")
    parser.add_argument("--work", type=Path, required=True, help="chips, targets and the run's state go here")
    parser.add_argument("--out", type=Path, required=True, help="write the model here")
    parser.add_argument("--only", choices=("targets", "training"), help="one of the two parts")
    parser.add_argument("--start", metavar="MODEL", help="begin with the branch of a model of an earlier run")
    parser.add_argument("--every", type=int, default=200, help="steps between two saved states")
    add_recipe_options(parser, JointRecipe(), *RECIPE_OPTIONS)
    return parser


if __name__ == "__main__":
    main()
