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

import glob
import json
import signal
import sys
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger

from ..detect import Detector
from ..errors import DeviceError, TrainingError
from ..evaluate import Evaluation
from ..files import write_text
from .against_shipped import Comparison
from .batches import ChunkDataset, StepDataset, chunk_loader, make_sampler, step_loader
from .callbacks import Bar, EpochLog, PatientStopping, WholeCheckpoints
from .export import export_embedder
from .guards import Guards
from .module import SiameseModule
from .outcome import finish
from .plan import Plan, Progress, make_plan
from .quiet import quiet
from .recipe import Recipe

NAMES = {"data": "the photos or the detector"}  # of entries of run.json, where they need another


@dataclass(frozen=True)
class TrainResult:
    """What a run left behind; ``evaluations`` are those of its table, in order.

    ``comparison`` is with the frozen shipped model on the test pairs; ``warnings`` are those of the
    guard rails.
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
        }

    def __str__(self) -> str:
        lines = [str(evaluation) for evaluation in self.evaluations]
        if self.comparison is not None:
            lines.append(f"compared with the shipped model: {self.comparison}")
        return "\n".join([*lines, f"model {self.model_id} in {self.model_path}, report in {self.run}"])


def choose_device(device: str) -> tuple[str, list[int] | int, str]:
    """Lightning's accelerator and devices for ``auto``, ``cpu`` or ``cuda:N``, and the name to print.

    Raises DeviceError for a GPU that is not there; nothing falls back in silence.
    """
    if device == "auto":
        device = "cuda:0" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        return "cpu", 1, f"cpu ({torch.get_num_threads()} threads)"
    kind, _, number = device.partition(":")
    if kind != "cuda" or not (number or "0").isdigit():
        raise DeviceError(f"the device is auto, cpu or cuda:N, not {device!r}")
    index = int(number or 0)
    if not torch.cuda.is_available() or index >= torch.cuda.device_count():
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        raise DeviceError(f"{device} was asked for, but torch sees {count} CUDA devices; use --device cpu")
    return "gpu", [index], f"cuda:{index} ({torch.cuda.get_device_name(index)})"


@dataclass(frozen=True, eq=False)
class Fitted:
    """What the loop left, before anything is judged: ``onnx`` is the exported network, ``rows`` the log."""

    plan: Plan
    onnx: bytes
    run: Path
    cache: Path
    device: str
    rows: list[dict[str, float]]
    warnings: tuple[str, ...] = ()

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
) -> TrainResult:
    """Train ``recipe`` on a folder of people and write the model to ``out``.

    ``run`` is the folder of logs, checkpoints and pictures (default: ``out`` without its ending,
    plus "-run").  ``cache`` keeps the face crops (default: "crops" beside the run folder).
    ``resume`` goes on after a kill from the last whole epoch, with the draws it would have made.
    ``progress(done, total)`` counts photos while faces are being cropped.

    Raises the errors of ``errors.py``: DataError, TrainingError, DeviceError, ImageError.
    """
    started = time.perf_counter()
    out = Path(out)
    run = Path(run) if run is not None else out.with_name(out.stem + "-run")
    fitted = fit(people_dir, recipe, out, run, detector, device, resume, cache, progress)
    plan, rows = fitted.plan, fitted.rows
    outcome = finish(
        plan, recipe, fitted.onnx, run, fitted.cache, fitted.device, fitted.seconds, rows, fitted.warnings
    )
    file = outcome.file
    file.write(run / "model.facealike")
    if out.resolve() != (run / "model.facealike").resolve():
        file.write(out)
    return TrainResult(
        out, run, file.id, len(rows), time.perf_counter() - started, fitted.device,
        outcome.evaluations, outcome.comparison, outcome.warnings,
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
) -> Fitted:
    """The loop of ``train``, without judging or writing the model to ``out``.

    ``only`` names the people to train on, with nobody to validate: no epoch is then better than the
    last, and training never stops early.
    """
    cache = Path(cache) if cache is not None else run.parent / "crops"
    accelerator, devices, device_name = choose_device(device)
    last = run / "checkpoints" / "last.ckpt"
    _check_folders(out, run, last, resume)
    begun = resume and last.exists()
    plan = make_plan(Path(people_dir), recipe, detector, cache, progress, only)
    _remember(run, recipe, plan, device_name, begun, cache)
    _sweep(run, out)
    done = _steps_done(last) if begun else 0
    print(f"training on {device_name}: {_count(plan)}", file=sys.stderr, flush=True)

    steps, trainer, module, log, guards = _prepare(recipe, plan, run, accelerator, devices)
    sampler = make_sampler(recipe, plan.learnt.labels)
    dataset = StepDataset(plan.crops, plan.learnt.rows, plan.learnt.labels, sampler)
    loader = step_loader(dataset, steps, done // steps)
    watched = [chunk_loader(ChunkDataset(plan.crops, part.rows)) for part in plan.watched]
    _fit(trainer, module, loader, watched, last if begun else None)
    keep = recipe.training.keep if len(plan.validation.people) else "last"
    kept = run / "checkpoints" / f"{keep}.ckpt"
    module.load_state_dict(torch.load(kept, map_location="cpu", weights_only=True)["state_dict"])
    onnx = export_embedder(module.judged, recipe.crop.size, recipe.network.mirror, recipe.loss.parts)
    return Fitted(plan, onnx, run, cache, device_name, log.rows, tuple(guards.told.values()))


def _fit(trainer: lightning.Trainer, module: SiameseModule, loader: Any, watched: Any, last: Any) -> None:
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT) if main else None
    try:
        with quiet():
            trainer.fit(module, loader, watched, ckpt_path=last)
    except SystemExit:
        # Lightning turns Ctrl-C into exit(1), and from then on ignores it.
        if not trainer.interrupted:
            raise
        raise KeyboardInterrupt from None
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)


def _check_folders(out: Path, run: Path, last: Path, resume: bool) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"{out.parent}: this folder cannot be made ({error.strerror})") from None
    if out.is_dir():
        raise TrainingError(f"{out}: this is a folder; give the name of the model file to write")
    if last.exists() and not resume:
        raise TrainingError(f"{run} already holds a run; go on with --resume, or choose another --run folder")
    if run.exists() and not run.is_dir():
        raise TrainingError(f"{run} is a file; choose a folder for the run")


def _remember(run: Path, recipe: Recipe, plan: Plan, device: str, begun: bool, cache: Path) -> None:
    """Write run.json, or compare it with what is to be resumed."""
    # Through JSON and back, so that tuples compare equal to the lists of the file.
    now = json.loads(json.dumps({"recipe": recipe.to_dict(), "data": plan.fingerprint}))
    path = run / "run.json"
    if begun:
        try:
            before = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            raise TrainingError(
                f"{path} cannot be read, so the run cannot be resumed; start a new one"
            ) from None
        if not isinstance(before, dict):
            before = {}
        # What a recipe of before did not say yet, it did as the default does.
        old = {**_flat({"recipe": Recipe("").to_dict()}), **_flat(before)}
        new = _flat(now)
        changed = [NAMES.get(key, key.removeprefix("recipe.")) for key in new if new[key] != old.get(key)]
        if changed:
            raise TrainingError(
                f"{run} cannot be resumed, because {', '.join(changed[:3])} changed since; use what it was "
                "started with, or start a new --run"
            )
    run.mkdir(parents=True, exist_ok=True)
    places = {"root": str(plan.root.resolve()), "cache": str(cache.resolve())}
    write_text(path, json.dumps({**now, "device": device, **places}, indent=2) + "\n")


def _sweep(run: Path, out: Path) -> None:
    """Remove what a process left that was killed while it wrote; see ``files.py``."""
    own = f".{glob.escape(out.name)}.*.part"  # the folder of the model may hold other people's files
    for leftover in (*run.glob(".*.part"), *run.glob("checkpoints/.*.part"), *out.parent.glob(own)):
        leftover.unlink(missing_ok=True)


def _steps_done(last: Path) -> int:
    """How many steps were taken until the checkpoint that ended an epoch."""
    try:
        return int(torch.load(last, map_location="cpu", weights_only=True)["global_step"])
    except Exception:  # torch has no error class of its own for a damaged file
        raise TrainingError(
            f"{last} is damaged, so the run cannot be resumed; start a new one in another --run folder"
        ) from None


def _flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat.update(_flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value})
    return flat


def _count(plan: Plan) -> str:
    judges = f", validating on {plan.validation.people}" if len(plan.validation.people) else ""
    more = f" and {len(plan.unlabelled.people):,} photos of nobody named" if plan.unlabelled else ""
    return f"{plan.train.people}{more}{judges}"


def _prepare(
    recipe: Recipe, plan: Plan, run: Path, accelerator: str, devices: Any
) -> tuple[int, lightning.Trainer, SiameseModule, EpochLog, Guards]:
    spec = recipe.training
    steps = spec.steps_per_epoch or make_sampler(recipe, plan.learnt.labels).steps
    people = len(plan.learnt.people.names)
    module = SiameseModule(recipe, plan.preprocessing, people, steps * spec.epochs, plan.watched)
    terminal = sys.stderr.isatty()
    log = EpochLog(run / "log.csv", steps * spec.batch_size, echo=not terminal)
    folder = run / "checkpoints"
    guards = Guards(plan, recipe, log)
    callbacks: list[Any] = [log, guards]
    if len(plan.validation.people):
        best = ModelCheckpoint(
            folder, "best", monitor="val_f1", mode="max", save_weights_only=True, enable_version_counter=False
        )
        callbacks.append(best)
    callbacks.append(
        ModelCheckpoint(folder, "last", save_on_train_epoch_end=True, enable_version_counter=False)
    )
    if spec.patience and len(plan.validation.people):
        callbacks.append(PatientStopping("val_f1", mode="max", patience=spec.patience))
    if terminal:
        callbacks.append(Bar())
    with quiet():
        trainer = lightning.Trainer(
            accelerator=accelerator, devices=devices, max_epochs=spec.epochs,
            precision="bf16-mixed" if spec.precision == "bf16" else "32-true",
            logger=TensorBoardLogger(run, name="", version="tensorboard"), callbacks=callbacks,
            plugins=[WholeCheckpoints()], num_sanity_val_steps=0, log_every_n_steps=min(20, steps),
            enable_progress_bar=terminal, enable_model_summary=False, default_root_dir=run,
            use_distributed_sampler=False,
        )  # fmt: skip
    return steps, trainer, module, log, guards
