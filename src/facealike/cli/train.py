"""``facealike train`` and ``facealike recipes``."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from ..detection.face_policy import LFW_FACE
from ..errors import UsageError
from .console import command, print_json, progress_bar, show
from .options import (
    PEOPLE_FOLDER,
    CacheOption,
    DetectorOption,
    DeviceOption,
    JsonOption,
    StrictOption,
    check_folder,
    parse_numbers,
)

DEFAULT_RECIPE = "fine-tuned"


class TrainProtocol(str, Enum):
    """Values of ``facealike train --protocol``."""

    lfw_view2 = "lfw-view2"


@command
def train(
    people: Annotated[Path, typer.Argument(metavar="DIR", show_default=False, help=PEOPLE_FOLDER)],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            metavar="PATH",
            show_default=False,
            help="The .facealike file to write; with --protocol the folder of its folds.",
        ),
    ],
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            "-r",
            "--init",
            metavar="NAME|FILE",
            show_default=DEFAULT_RECIPE,
            help="See facealike recipes.  The default fine-tunes the default model; dlib fine-tunes dlib's "
            "network; others begin from random weights and need thousands of people.",
        ),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option("--run", metavar="DIR", help="Keep checkpoints, curves and pictures of this run here."),
    ] = None,
    detector: DetectorOption = None,
    device: DeviceOption = "auto",
    devices: Annotated[
        int,
        typer.Option(
            "--devices",
            min=1,
            metavar="N",
            help="Processes on each machine, one a GPU, that divide each batch.",
        ),
    ] = 1,
    nodes: Annotated[
        int, typer.Option("--nodes", min=1, metavar="M", help="Machines, started with torchrun or srun.")
    ] = 1,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in --run; begin it where there is none.")
    ] = False,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Replaces the recipe's seed.")] = None,
    cache: CacheOption = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Replaces one entry of the recipe; repeatable."),
    ] = None,
    protocol: Annotated[
        TrainProtocol | None,
        typer.Option("--protocol", help="One model for each fold of --pairs, scored on that fold."),
    ] = None,
    pairs: Annotated[
        Path | None, typer.Option("--pairs", metavar="FILE", help="With --protocol: LFW's pairs.txt.")
    ] = None,
    folds: Annotated[
        str | None, typer.Option("--folds", metavar="1-5", help="With --protocol: only these folds for now.")
    ] = None,
    strict: StrictOption = False,
    as_json: JsonOption = False,
) -> int:
    """Train a model on a folder of people and write one file that compare can use.

    A recipe with a teacher uses every photo in the folder, without identity labels, and leaves the threshold
    to facealike calibrate.

    With --protocol lfw-view2 it trains one model for each fold of LFW's pairs, on the people of the
    other folds only, scores each fold with its model, and writes the mean accuracy.  Then
    --recipe must be given, and data.face is central, unless --set says otherwise.

    With --devices or --nodes several processes divide each batch: they train the model that one process
    would train.

    Needs facealike[train].  Exit code: 0, or 2 on an error.
    """
    from ..detection.registry import named_detector
    from ..imaging.photo_warning import left_out_summary
    from ..train.distributed.world import is_first
    from ..train.recipe.load import load_recipe

    changes = list(settings or [])
    if seed is not None:
        changes.append(f"seed={seed}")
    if protocol is not None:
        if recipe is None:
            raise UsageError(
                "--protocol lfw-view2 needs a recipe: add --recipe lfw, which trains on LFW only; "
                f"the default, {DEFAULT_RECIPE}, begins with a model that was trained on other photos"
            )
        changes.insert(0, f"data.face={LFW_FACE}")  # a later --set wins
    plan = load_recipe(recipe or DEFAULT_RECIPE, changes)
    chosen = None
    if protocol is not None:
        if plan.teacher.name:
            raise UsageError(f"the recipe {plan.name} has a teacher, so it has no folds of people")
        if pairs is None or run is not None:
            raise UsageError("--protocol needs --pairs FILE, and keeps its runs in --out: leave out --run")
        chosen = parse_numbers(folds)
    elif pairs is not None or folds is not None:
        raise UsageError("--pairs and --folds belong to --protocol lfw-view2; add it, or leave them out")
    else:
        check_folder(out)
    from .. import train as training

    train_one = training.distil if plan.teacher.name else training.train
    finder = None if detector is None else named_detector(detector)
    # Lightning's messages go to stderr; stdout is for the result.
    with redirect_stdout(sys.stderr), progress_bar("cropping faces") as progress:
        options = training.TrainingOptions(finder, device, resume, cache, progress, strict, devices, nodes)
        result = (
            train_one(people, plan, out, run, options)
            if pairs is None
            else training.train_folds(people, plan, pairs, out, chosen, options)
        )
    if not is_first(options):
        return 0  # that process prints the result of all
    if as_json:
        print_json(result.to_dict())
    elif isinstance(result, training.TrainResult):
        for evaluation in result.evaluations:
            show(str(evaluation))
        if result.comparison is not None:
            show(f"compared with the default model: {result.comparison}")
        show(f"{result.model_path}{left_out_summary(result.left_out)}")
    else:
        show(str(result))
    return 0


@command
def recipes(as_json: JsonOption = False) -> int:
    """List the recipes that come with facealike, with what each is for."""
    from ..train.recipe.load import load_recipe, recipe_names

    found = {name: load_recipe(name).description for name in recipe_names()}
    if as_json:
        print_json(found)
    else:
        width = max(map(len, found), default=0)
        for name, description in found.items():
            show(f"{name:<{width}}  {description}".rstrip())
    return 0
