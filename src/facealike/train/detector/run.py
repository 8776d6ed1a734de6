"""Train our detector: one command, from the unpacked data to the ONNX file.

    python -m facealike.train.detector.run --photos LFW --chips FAIRFACE/train --teacher yunet.onnx \\
        --work FOLDER --out detector.onnx

It marks the photos (once; ``detector_sources``), composes scenes (``detector_scenes``), learns from them
and writes the network.  Every so many steps it saves its state in the work folder, and the same
command goes on from there; more ``--steps`` than before prolong a run, as long as the learning rate had
not begun to fall; with no more than are done
already, it only writes the file.  Of LFW only training people are used (``data.split_of``).
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ...datasets.people import People
from ...detection.yunet import YuNetDetector
from ...errors import DataError, FacealikeError, TrainingError
from ...imaging.formats import IMAGE_EXTENSIONS
from ...utils.atomic_write import write_bytes
from ..networks.ema import Average
from ..optim.mixed_precision import autocast
from ..optim.optimizer import parameter_groups
from .export_onnx import export
from .loss import Targets, detector_loss
from .network import SCALE, DetectorNet, Prediction, cells
from .pseudo_labels import FAINT, Kind, Sources, collect
from .scenes import SIDE, compose


@dataclass(frozen=True)
class DetectorRecipe:
    """How long and how fast to learn.  The rate climbs, stays, and falls over the last part, ``fall``."""

    steps: int = 12_000
    batch: int = 32
    rate: float = 2e-3
    decay: float = 0.02
    climb: int = 300
    fall: float = 0.5
    average: float = 0.998
    seed: int = 0

    def rate_at(self, step: int) -> float:
        falling = max(1.0, self.steps * self.fall)
        left = min(1.0, (self.steps - step) / falling)
        return self.rate * min(1.0, (step + 1) / self.climb) * (0.01 + 0.99 * left)


class SceneBatches(Dataset[tuple[Tensor, Targets]]):
    """Batch number i of a run: BGR uint8 (batch, 3, SIDE, SIDE) and its targets; the same each time."""

    def __init__(self, folder: Path, recipe: DetectorRecipe) -> None:
        self.folder, self.recipe = folder, recipe
        self._sources: Sources | None = None  # opened by each worker for itself

    def __len__(self) -> int:
        return self.recipe.steps

    def __getitem__(self, number: int) -> tuple[Tensor, Targets]:
        if self._sources is None:
            self._sources = Sources(self.folder)
        rngs = [np.random.default_rng([self.recipe.seed, number, i]) for i in range(self.recipe.batch)]
        scenes = [compose(rng, self._sources) for rng in rngs]
        pixels = np.stack([scene.image[:, :, ::-1] for scene in scenes])
        return torch.from_numpy(pixels).permute(0, 3, 1, 2), Targets.of(scenes)


class Run:
    """The network, its running average and the optimiser, with their state on the disk."""

    columns: tuple[str, ...] = ("cls", "obj", "box", "points", "cells")
    """Names of what ``loss`` returns for the log."""

    def __init__(self, recipe: DetectorRecipe, state: Path, side: int = SIDE) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.state, self.step = recipe, state, 0
        self.network = DetectorNet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._average = Average(self.network, recipe.average)
        self.average: Any = self._average.network
        self.optimiser = torch.optim.AdamW(parameter_groups(self.network, recipe.decay))
        self.corners, self.strides = cells(side, side)
        if state.is_file():
            self._load()

    def _load(self) -> None:
        try:
            saved: dict[str, Any] = torch.load(self.state, weights_only=True)
            for name in ("network", "average", "optimiser"):
                getattr(self, name).load_state_dict(saved[name])
            self.step = int(saved["step"])
        except Exception as error:  # torch has no error class of its own for a damaged file
            raise TrainingError(
                f"{self.state}: no state to resume ({type(error).__name__}); delete it and start anew"
            ) from error

    def save(self) -> None:
        parts = {name: getattr(self, name).state_dict() for name in ("network", "average", "optimiser")}
        whole = io.BytesIO()
        torch.save({**parts, "step": self.step, "recipe": asdict(self.recipe)}, whole)
        write_bytes(self.state, whole.getvalue())

    def loss(self, prediction: Prediction, targets: Any) -> tuple[Tensor, list[float]]:
        """Return the loss and the parts of it that the log shows, one for each of ``columns``."""
        losses, count = detector_loss(prediction, self.corners, self.strides, Targets(*targets))
        return losses.total, [*(float(part.detach()) for part in losses), count]

    def learn(self, pixels: Tensor, targets: Any) -> list[float]:
        """Take one step; return the parts of its loss.  Raises TrainingError where it is NaN or infinite."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.rate_at(self.step)
        self.network.train()
        x = (pixels.float() * SCALE).contiguous(memory_format=torch.channels_last)
        with autocast("auto", "cpu"):
            prediction = self.network(x)
        total, parts = self.loss(prediction, targets)
        if not torch.isfinite(total):
            raise TrainingError(
                f"step {self.step}: the loss is NaN or infinite; lower --rate and start again"
            )
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 10.0)
        self.optimiser.step()
        self._average.update(self.network, self.step)
        self.step += 1
        return parts


def train_detector(
    sources: Path, recipe: DetectorRecipe, state: Path, out: Path, log: Path,
    workers: int = 1, every: int = 100, stop_after: int | None = None,
) -> bytes:  # fmt: skip
    """Learn from the shards in ``sources`` until ``recipe.steps``; returns the ONNX file written to ``out``.

    ``state`` is written every ``every`` steps, and ``log`` gets a row; where ``state`` is there, training
    goes on from it.  ``stop_after`` ends it that many steps later, as an interruption would.
    """
    Sources(sources)  # tells at once if something is missing
    return fit(Run(recipe, state), SceneBatches(sources, recipe), out, log, workers, every, stop_after)


def fit(
    run: Run, batches: Dataset[Any], out: Path, log: Path,
    workers: int = 1, every: int = 100, stop_after: int | None = None,
) -> bytes:  # fmt: skip
    """Let ``run`` learn from its next batch on until its last; return the ONNX file written to ``out``.

    Batch number i of ``batches`` is pixels and targets.  Every ``every`` steps the state is saved and ``log``
    gets a row.  ``stop_after`` ends it that many steps later, as an interruption would.
    """
    recipe, order = run.recipe, range(run.step, run.recipe.steps)
    loader = DataLoader(
        batches, batch_size=None, sampler=order, num_workers=workers,
        prefetch_factor=4 if workers else None, worker_init_fn=_one_thread if workers else None,
    )  # fmt: skip
    names = ("step", "rate", *run.columns, "seconds", "images_per_second")
    begun, sums, first = time.perf_counter(), np.zeros(len(run.columns)), run.step
    for pixels, targets in loader:
        sums += run.learn(pixels, targets)
        if run.step % every == 0 or run.step == recipe.steps:
            since = time.perf_counter() - begun
            steps = run.step - first
            speed = steps * recipe.batch / since
            _append(log, names, [run.step, recipe.rate_at(run.step - 1), *(sums / steps), since, speed])
            run.save()
            begun, sums, first = time.perf_counter(), np.zeros(len(run.columns)), run.step
        if stop_after is not None and run.step >= order.start + stop_after:
            break
    content = export(run.average)
    write_bytes(out, content)
    return content


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)


def _append(log: Path, names: tuple[str, ...], values: list[float]) -> None:
    row = [f"{value:.5g}" if isinstance(value, float) else str(value) for value in values]
    print(
        "  ".join(f"{name} {value}" for name, value in zip(names, row, strict=True)),
        file=sys.stderr,
        flush=True,
    )
    new = not log.exists()
    with log.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerows([list(names), row] if new else [row])


def _chips(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give the folder of FairFace's training faces")
    return (path for path in sorted(folder.iterdir()) if path.suffix.lower() in IMAGE_EXTENSIONS)


def prepare(photos: Path, chips: Path, teacher: Path, folder: Path, limit: int | None = None) -> None:
    """Mark LFW's training people and the chips into ``folder``, at most ``limit`` photos of each."""
    detector = YuNetDetector(teacher, min_confidence=FAINT, threads=torch.get_num_threads())

    def told(done: int, of: int) -> None:
        print(f"marked {done:,} of {of:,}", file=sys.stderr, flush=True)

    rng = np.random.default_rng(0)  # which ones a limit leaves does not depend on the run's seed
    everything: dict[Kind, list[Path]] = {
        "photos": list(People.from_folder(photos).split("train").paths),
        "chips": list(_chips(chips)),
    }
    for kind, paths in everything.items():
        chosen = [paths[i] for i in rng.permutation(len(paths))[:limit]]
        collect(chosen, kind, detector, folder, told)


def main(arguments: list[str] | None = None) -> None:
    base = DetectorRecipe()
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True, help="LFW: a folder of people")
    parser.add_argument("--chips", type=Path, required=True, help="FairFace: the folder of training faces")
    parser.add_argument("--teacher", type=Path, required=True, help="a YuNet-format ONNX")
    parser.add_argument("--work", type=Path, required=True, help="marked photos and the run's state go here")
    parser.add_argument("--out", type=Path, required=True, help="write the detector here")
    parser.add_argument("--limit", type=int, help="at most so many photos, and so many chips")
    parser.add_argument("--workers", type=int, default=1, help="processes that compose scenes (0: none)")
    parser.add_argument("--every", type=int, default=100, help="steps between two saved states")
    for name in ("steps", "batch", "seed"):
        parser.add_argument(f"--{name}", type=int, default=getattr(base, name))
    parser.add_argument("--rate", type=float, default=base.rate)
    options = parser.parse_args(arguments)
    recipe = DetectorRecipe(steps=options.steps, batch=options.batch, rate=options.rate, seed=options.seed)
    try:
        options.work.mkdir(parents=True, exist_ok=True)
        prepare(options.photos, options.chips, options.teacher, options.work / "sources", options.limit)
        content = train_detector(
            options.work / "sources", recipe, options.work / "state.pt", options.out,
            options.work / "log.csv", options.workers, options.every,
        )  # fmt: skip
    except FacealikeError as error:
        sys.exit(f"detector_run: {error}")
    print(f"{options.out}: {len(content):,} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
