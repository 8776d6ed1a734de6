"""A whole run: plan, fit, export, judge, and leave everything in one folder.

run.json          recipe, data fingerprint, device and folders; what ``--resume`` is checked against
log.csv           one row an epoch; TensorBoard's files lie beside it
checkpoints/      last.ckpt (all state, whole after any kill) and best.ckpt
model.facealike   the finished model, only ever written whole
results.md/json   the table: train, validation, test; warnings, and the comparison with the shipped model
scores.npz        the scores of all these pairs
*.png             loss curves, sample pairs, right and wrong predictions of each split
"""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from ...detection.base import Detector
from ...evaluation.verification_result import Evaluation
from ...imaging.photo_warning import UnusedPhoto, left_out_told, told_before, unused_counts, unused_rows
from ...model_zoo.quantization import SHOWN
from ...types import Progress
from ...utils.result import Result
from ..data.batches import ChunkDataset, StepDataset, chunk_loader, make_sampler, step_loader
from ..export_onnx import Faces, export_embedder
from ..lightning.callbacks import EpochLog, PatientStopping
from ..lightning.trainer import (
    begin,
    checkpoint_of,
    choose_device,
    keep_last,
    make_trainer,
    own_run,
    run_loop,
    write_model,
)
from ..model_card import Begun
from ..recipe.schema import Recipe
from .baseline_comparison import Comparison
from .dataset import Plan, make_plan
from .finalize import finish
from .fine_tuning import Start, better_epoch, export_tuned, kept_start, read_start
from .module import SiameseModule, measured
from .sanity_checks import Guards


@dataclass(frozen=True, repr=False)
class TrainResult(Result):
    """What a run left behind; ``evaluations`` are those of its table, in order.

    ``comparison`` is with the frozen shipped model on the test pairs; ``warnings`` are those of the
    guard rails.  ``no_face`` counts the photos of the folder without a face; ``unused`` are those that could
    not be read or show several faces, each with its reason.
    """

    model_path: Path
    run: Path
    model_id: str
    epochs: int
    seconds: float
    device: str
    evaluations: tuple[Evaluation, ...]
    comparison: Comparison | None = None
    warnings: tuple[str, ...] = ()
    no_face: int = 0
    unused: tuple[UnusedPhoto, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "model": str(self.model_path),
            "run": str(self.run),
            "model_id": self.model_id,
            "epochs": self.epochs,
            "seconds": round(self.seconds, 1),
            "device": self.device,
            "evaluations": [evaluation.to_dict() for evaluation in self.evaluations],
            "comparison": self.comparison.to_dict() if self.comparison is not None else None,
            "warnings": list(self.warnings),
            "no_face": self.no_face,
            **unused_rows(self.unused),
        }

    def left_out(self) -> tuple[str, ...]:
        """One line that tells how many photos were left out and why; none where all were used."""
        told = left_out_told({"no_face": self.no_face, **unused_counts(self.unused)})
        return (told.removeprefix("; "),) if told else ()

    def _brief(self) -> str:
        return f"model {self.model_id}, {self.epochs} epochs, in {self.model_path.name}"

    def __str__(self) -> str:
        lines = [str(evaluation) for evaluation in self.evaluations]
        if self.comparison is not None:
            lines.append(f"compared with the shipped model: {self.comparison}")
        lines += self.left_out()
        return "\n".join([*lines, f"model {self.model_id} in {self.model_path}, report in {self.run}"])


@dataclass(frozen=True, eq=False)
class Fitted:
    """What the loop left, before anything is judged: ``onnx`` is the exported network, ``rows`` the log.

    ``begun`` says what training began with, None for random weights.
    """

    plan: Plan
    onnx: bytes
    run: Path
    cache: Path
    device: str
    rows: list[dict[str, float]]
    warnings: tuple[str, ...] = ()
    begun: Begun | None = None

    @property
    def seconds(self) -> float:
        return sum(row["seconds"] for row in self.rows)


def train(
    people_dir: str | Path,
    recipe: Recipe,
    out: str | Path,
    run: str | Path | None = None,
    detector: Detector | None = None,
    device: str = "auto",
    resume: bool = False,
    cache: str | Path | None = None,
    progress: Progress | None = None,
    strict: bool = False,
) -> TrainResult:
    """Train ``recipe`` on a folder of people and write the model to ``out``.

    ``run`` is the folder of logs, checkpoints and pictures (default: ``out`` without its ending,
    plus "-run").  ``cache`` keeps the face crops (default: "crops" beside the run folder).
    ``resume`` goes on after a kill from the last whole epoch, with the draws it would have made.
    ``progress(done, total)`` counts photos while faces are being cropped.  Photos that cannot be read are
    left out and told; with ``strict`` the first of them is an ImageError.

    Raises the errors of ``errors.py``: DataError, TrainingError, DeviceError; with ``strict`` ImageError.
    """
    started = time.perf_counter()
    out = Path(out)
    run = Path(run) if run is not None else out.with_name(out.stem + "-run")
    with own_run(run):
        fitted = fit(people_dir, recipe, out, run, detector, device, resume, cache, progress, strict=strict)
        plan, rows = fitted.plan, fitted.rows
        with told_before():
            outcome = finish(
                plan, recipe, fitted.onnx, run, fitted.cache, fitted.device, fitted.seconds, rows,
                fitted.warnings, fitted.begun,
            )  # fmt: skip
        file = outcome.file
        write_model(file, run, out)
    return TrainResult(
        out, run, file.id, len(rows), time.perf_counter() - started, fitted.device,
        outcome.evaluations, outcome.comparison, outcome.warnings, plan.crops.no_face, plan.crops.unused,
    )  # fmt: skip


def fit(
    people_dir: str | Path,
    recipe: Recipe,
    out: Path,
    run: Path,
    detector: Detector | None = None,
    device: str = "auto",
    resume: bool = False,
    cache: str | Path | None = None,
    progress: Progress | None = None,
    only: Collection[str] | None = None,
    strict: bool = False,
) -> Fitted:
    """The loop of ``train``, without judging or writing the model to ``out``.

    ``only`` names the people to train on, with nobody to validate: no epoch is then better than the
    last, and training never stops early.
    """
    cache = Path(cache) if cache is not None else run.parent / "crops"
    accelerator, devices, device_name = choose_device(device)
    last = checkpoint_of(out, run, resume)
    plan = make_plan(Path(people_dir), recipe, detector, cache, progress, only, strict)
    done = begin(run, out, recipe, plan.fingerprint, plan.root, device_name, last, cache)
    print(f"training on {device_name}: {_count(plan)}", file=sys.stderr, flush=True)
    net, learnt = recipe.network, plan.learnt.rows
    faces = None
    if net.bits == 8 or net.start:
        faces = plan.preprocessing.normalise(plan.crops.take(learnt[:: max(1, len(learnt) // SHOWN)]))
    start = read_start(recipe, plan.preprocessing) if net.start else None

    steps, trainer, module, log, guards = _prepare(recipe, plan, run, accelerator, devices, start, faces)
    sampler = make_sampler(recipe, plan.learnt.labels)
    dataset = StepDataset(plan.crops, plan.learnt.rows, plan.learnt.labels, sampler)
    loader = step_loader(dataset, steps, done // steps)
    watched = [chunk_loader(ChunkDataset(plan.crops, part.rows)) for part in plan.watched]
    first, before = copy.deepcopy(module.judged.state_dict()), {}
    if (start is not None or net.kind == "dlib") and len(plan.validation.people):
        before = measured(module, plan.watched[0], watched[0])
        told = f"F1 {before['val_f1']:.3f}, AUC {before['val_auc']:.4f}"
        print(f"before training, on the validation people: {told}", file=sys.stderr, flush=True)
    run_loop(trainer, module, loader, watched, last)
    keep = recipe.training.keep if len(plan.validation.people) else "last"
    kept = run / "checkpoints" / f"{keep}.ckpt"
    module.load_state_dict(torch.load(kept, map_location="cpu", weights_only=True)["state_dict"])
    warnings = list(guards.told.values())
    kept_first = bool(before) and not better_epoch(log.rows, before)
    if kept_first:
        module.judged.load_state_dict(first)
        warnings.append(kept_start(log.rows, before, len(plan.validation.people.names)))
        print(f"warning: {warnings[-1]}", file=sys.stderr, flush=True)
    if start is None:
        onnx = export_embedder(
            module.judged, recipe.crop.size, net.mirror, recipe.loss.parts, net.bits, faces
        )
    elif kept_first:
        onnx = start.file.embedder  # to the bit, without another rounding of its weights
    else:
        onnx = export_tuned(module.judged, start, recipe, faces)
    begun = Begun(None if start is None else start.file, before, kept_first) if before or start else None
    return Fitted(plan, onnx, run, cache, device_name, log.rows, tuple(warnings), begun)


def _count(plan: Plan) -> str:
    judges = f", validating on {plan.validation.people}" if len(plan.validation.people) else ""
    more = f" and {len(plan.unlabelled.people):,} photos of nobody named" if plan.unlabelled else ""
    parts = f"\n{plan.parts.note()}" if plan.parts is not None and plan.parts.note() else ""
    return f"{plan.train.people}{more}{judges}{parts}"


def _prepare(
    recipe: Recipe, plan: Plan, run: Path, accelerator: str, devices: Any, start: Start | None, faces: Faces
) -> tuple[int, lightning.Trainer, SiameseModule, EpochLog, Guards]:
    spec = recipe.training
    steps = spec.steps_per_epoch or make_sampler(recipe, plan.learnt.labels).steps
    people = len(plan.learnt.people.names)
    shown = None if faces is None else torch.from_numpy(faces)
    module = SiameseModule(
        recipe, plan.preprocessing, people, steps * spec.epochs, plan.watched, start, shown
    )
    log = EpochLog(run / "log.csv", steps * spec.batch_size, echo=not sys.stderr.isatty())
    folder = run / "checkpoints"
    guards = Guards(plan, recipe, log)
    callbacks: list[Any] = [log, guards]
    if len(plan.validation.people):
        best = ModelCheckpoint(
            folder, "best", monitor="val_f1", mode="max", save_weights_only=True, enable_version_counter=False
        )
        callbacks.append(best)
    callbacks.append(keep_last(run))
    if spec.patience and len(plan.validation.people):
        callbacks.append(PatientStopping("val_f1", mode="max", patience=spec.patience))
    trainer = make_trainer(run, spec, steps, accelerator, devices, callbacks)
    return steps, trainer, module, log, guards
