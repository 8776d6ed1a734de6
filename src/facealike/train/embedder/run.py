"""Train an embedder on a folder of people: data, training, export, evaluation, all in one run folder.

run.json          recipe, data fingerprint, device and folders; ``--resume`` is checked against it
log.csv           one row per epoch; TensorBoard's files lie beside it
checkpoints/      last.ckpt (all state) and best.ckpt, written atomically
model.facealike   the finished model, written atomically
results.md/json   train, validation and test results, warnings, and the baseline comparison
scores.npz        the scores of all these pairs
*.png             loss curves, sample pairs, right and wrong predictions of each split
"""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Collection
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from ...evaluation.verification_result import Evaluation
from ...imaging.photo_warning import (
    UnusedPhoto,
    left_out_counts,
    left_out_rows,
    left_out_summary,
    without_repeated_warnings,
)
from ...model_zoo.quantization import CALIBRATION_CROPS
from ...types import Progress
from ...utils.result import Result
from ..data.batches import ChunkDataset, StepDataset, chunk_loader, make_sampler, step_loader
from ..distributed.collectives import check_portions, is_main
from ..distributed.group import from_main, joined, main_first
from ..distributed.launch import free_port, launch
from ..distributed.world import World, own_world, several, started_world
from ..export_onnx import export_embedder
from ..lightning.callbacks import EpochLog, PatientStopping
from ..lightning.trainer import (
    begin,
    checkpoint_of,
    choose_device,
    keep_last,
    make_trainer,
    own_run,
    run_loop,
    steps_done,
    write_model,
)
from ..model_card import InitialWeights
from ..options import TrainingKeywords, TrainingOptions, run_folder, with_keywords
from ..recipe.schema import Recipe
from .baseline_comparison import BaselineComparison
from .dataset import Plan, make_plan
from .finalize import finalize_run
from .fine_tuning import Start, better_epoch, kept_start, read_start
from .fitted import Fitted
from .module import SiameseModule, measured
from .sanity_checks import SanityChecks

if TYPE_CHECKING:
    from typing_extensions import Unpack


@dataclass(frozen=True, repr=False)
class TrainResult(Result):
    """The result of ``train``.

    Args:
        model_path: The model file.
        run: The run folder.
        model_id: Id of the model.
        epochs: Epochs that were trained.
        seconds: Time of this call.
        device: The device.
        evaluations: Results on train, validation and test.
        comparison: BaselineComparison with the default model on the test pairs; None without test pairs.
        warnings: Messages of the sanity checks.
        unused: The photos that were left out, with the reasons.
    """

    model_path: Path
    run: Path
    model_id: str
    epochs: int
    seconds: float
    device: str
    evaluations: tuple[Evaluation, ...]
    comparison: BaselineComparison | None = None
    warnings: tuple[str, ...] = ()
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
            **left_out_rows(self.unused),
        }

    @property
    def left_out(self) -> dict[str, int]:
        """How many photos show no face, could not be read or show several faces."""
        return left_out_counts(self.unused)

    def _brief(self) -> str:
        return f"model {self.model_id}, {self.epochs} epochs, in {self.model_path.name}"

    def __str__(self) -> str:
        lines = [str(evaluation) for evaluation in self.evaluations]
        if self.comparison is not None:
            lines.append(f"compared with the default model: {self.comparison}")
        lines.append(f"model {self.model_id} in {self.model_path}, report in {self.run}")
        return "\n".join(lines) + left_out_summary(self.left_out)


def train(
    people_dir: str | Path,
    recipe: Recipe,
    out: str | Path,
    run: str | Path | None = None,
    options: TrainingOptions | None = None,
    **keywords: Unpack[TrainingKeywords],
) -> TrainResult:
    """Train ``recipe`` on a folder of people and write the model to ``out``.

    Examples:
        >>> result = train("people", load_recipe("fine-tuned"), "mine.facealike")
        >>> result.model_path
        PosixPath('mine.facealike')

    Args:
        people_dir: A folder with one sub-folder of photos for each person.
        recipe: What is trained and how; see ``load_recipe``.
        out: The ``.facealike`` file to write.
        run: Folder of logs, checkpoints and pictures; None for ``out`` without its ending, plus "-run".
        options: See ``TrainingOptions``.
        **keywords: Fields of ``TrainingOptions``; they replace those of ``options``.

    Raises:
        DataError: There are too few people or photos to train or evaluate.
        TrainingError: The run folder is in use, the run cannot be resumed, or the loss is not finite.
        DeviceError: The device is not there.
        ImageError: With ``strict``, a photo that cannot be read.
    """
    out = Path(out)
    run = run_folder(out, run)
    options = with_keywords(options, keywords)
    world = started_world(options) if several(options) else None
    if world is not None or not several(options):
        return _train(people_dir, recipe, out, run, options, world)
    first = own_world(options, free_port())
    work = partial(_train_in_process, people_dir, recipe, out, run, replace(options, progress=None))
    return launch(first, work, options.progress)


def _train_in_process(
    people_dir: str | Path, recipe: Recipe, out: Path, run: Path, options: TrainingOptions, world: World,
    progress: Progress | None,
) -> TrainResult:  # fmt: skip
    """Train as one of the processes that ``launch`` starts."""
    return _train(people_dir, recipe, out, run, replace(options, progress=progress), world)


def _train(
    people_dir: str | Path, recipe: Recipe, out: Path, run: Path, options: TrainingOptions,
    world: World | None,
) -> TrainResult:  # fmt: skip
    """``train``, as one process of ``world``: the first one owns the run folder and writes the model."""
    started = time.perf_counter()
    accelerator, _, _ = choose_device(options.device, world)
    with joined(world, accelerator == "gpu"), own_run(run) if is_main() else nullcontext():
        fitted = fit(people_dir, recipe, out, run, options, world=world)
        result = None
        if is_main():
            with without_repeated_warnings():
                final = finalize_run(fitted, recipe)
            write_model(final.file, run, out)
            crops = fitted.plan.crops
            result = TrainResult(
                out, run, final.file.id, len(fitted.rows), time.perf_counter() - started, fitted.device,
                final.evaluations, final.comparison, final.warnings, crops.unused,
            )  # fmt: skip
        shared = from_main(result)
    assert shared is not None  # that of the first process
    return shared


def fit(
    people_dir: str | Path, recipe: Recipe, out: Path, run: Path, options: TrainingOptions,
    only: Collection[str] | None = None, world: World | None = None,
) -> Fitted:  # fmt: skip
    """Run the training loop of ``train``, without evaluation and without writing the model to ``out``.

    Args:
        people_dir: As in ``train``.
        recipe: As in ``train``.
        out: As in ``train``; only checked here.
        run: The run folder.
        options: See ``TrainingOptions``.
        only: Names of the people to train on.  There is no validation then: the last epoch is kept and
            training never stops early.
        world: The place of this process among several.

    Returns:
        The network and its data; in processes beside the first one without the network.
    """
    cache = options.crops_folder(run.parent)
    accelerator, devices, device_name = choose_device(options.device, world)
    with main_first():  # the others find the crops in the cache
        last = checkpoint_of(out, run, options.resume)
        start = read_start(recipe.network.start) if recipe.network.start else None
        plan = make_plan(
            Path(people_dir), recipe, options.detector, cache, options.progress if is_main() else None, only,
            options.strict, None if start is None else start.file.preprocessing,
        )  # fmt: skip
        if is_main():
            done = begin(run, out, recipe, plan.fingerprint, plan.root, device_name, last, cache)
            print(f"training on {device_name}: {_count(plan)}", file=sys.stderr, flush=True)
        else:
            done = steps_done(last) if last else 0
    sampler = make_sampler(recipe, plan.training_data.labels)
    check_portions(len(sampler.batch(0).images), *(len(part.rows) for part in plan.watched))
    steps = recipe.training.steps_per_epoch or sampler.steps
    trainer, module, log, checks = _prepare(recipe, plan, run, steps, accelerator, devices, start, world)
    dataset = StepDataset(plan.crops, plan.training_data.rows, plan.training_data.labels, sampler)
    loader = step_loader(dataset, steps, done // steps)
    watched = [chunk_loader(ChunkDataset(plan.crops, part.rows)) for part in plan.watched]
    first, before = copy.deepcopy(module.evaluated.state_dict()), {}
    if (start is not None or recipe.network.kind == "dlib") and len(plan.validation.people):
        before = measured(module, plan.watched[0], watched[0])
        measures = f"F1 {before['val_f1']:.3f}, AUC {before['val_auc']:.4f}"
        if is_main():
            print(f"before training, on the validation people: {measures}", file=sys.stderr, flush=True)
    run_loop(trainer, module, loader, watched, last)
    if not is_main():
        return Fitted(plan, b"", run, cache, device_name, log.rows)
    keep = recipe.training.keep if len(plan.validation.people) else "last"
    kept = run / "checkpoints" / f"{keep}.ckpt"
    checkpoint = torch.load(kept, map_location="cpu", weights_only=True)
    module.on_load_checkpoint(checkpoint)
    module.load_state_dict(checkpoint["state_dict"])
    warnings = list(checks.messages.values())
    kept_first = bool(before) and not better_epoch(log.rows, before)
    if kept_first:
        module.evaluated.load_state_dict(first)
        warnings.append(kept_start(log.rows, before, len(plan.validation.people.names)))
        print(f"warning: {warnings[-1]}", file=sys.stderr, flush=True)
    if start is not None and kept_first:
        onnx = start.file.embedder  # unchanged: its weights are not rounded again
    else:
        onnx = _exported(module.evaluated, recipe, plan)
        onnx = onnx if start is None else start.finished(onnx)
    initial = (
        InitialWeights(None if start is None else start.file, before, kept_first) if before or start else None
    )
    return Fitted(plan, onnx, run, cache, device_name, log.rows, tuple(warnings), initial)


def _exported(network: torch.nn.Module, recipe: Recipe, plan: Plan) -> bytes:
    net, rows, faces = recipe.network, plan.training_data.rows, None
    if net.bits == 8:
        some = rows[:: max(1, len(rows) // CALIBRATION_CROPS)][:CALIBRATION_CROPS]
        faces = plan.preprocessing.normalize(plan.crops.take(some))
    return export_embedder(network, plan.preprocessing.size, net.mirror, recipe.loss.parts, net.bits, faces)


def _count(plan: Plan) -> str:
    validating = f", validating on {plan.validation.people}" if len(plan.validation.people) else ""
    more = f" and {len(plan.unlabeled.people):,} unlabeled photos" if plan.unlabeled else ""
    parts = f"\n{plan.parts.note()}" if plan.parts is not None and plan.parts.note() else ""
    return f"{plan.train.people}{more}{validating}{parts}"


def _prepare(
    recipe: Recipe, plan: Plan, run: Path, steps: int, accelerator: str, devices: Any, start: Start | None,
    world: World | None,
) -> tuple[lightning.Trainer, SiameseModule, EpochLog, SanityChecks]:  # fmt: skip
    spec = recipe.training
    people = len(plan.training_data.people.names)
    module = SiameseModule(recipe, plan.preprocessing, people, steps * spec.epochs, plan.watched, start)
    log = EpochLog(
        run / "log.csv" if is_main() else None, steps * spec.batch_size, echo=not sys.stderr.isatty()
    )
    folder = run / "checkpoints"
    checks = SanityChecks(plan, recipe, log)
    callbacks: list[Any] = [log, checks]
    if len(plan.validation.people):
        best = ModelCheckpoint(
            folder, "best", monitor="val_f1", mode="max", save_weights_only=True, enable_version_counter=False
        )
        callbacks.append(best)
    callbacks.append(keep_last(run))
    if spec.patience and len(plan.validation.people):
        callbacks.append(PatientStopping("val_f1", mode="max", patience=spec.patience))
    trainer = make_trainer(run, spec, steps, accelerator, devices, callbacks, world)
    return trainer, module, log, checks
