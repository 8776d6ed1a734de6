"""The training loop of the detector: its recipe, its state on disk and its log."""

from __future__ import annotations

import io
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ...errors import TrainingError
from ...utils.atomic_write import write_bytes
from ..command import append_row
from ..networks.ema import Average
from ..optim.mixed_precision import autocast
from ..optim.muon import Muon
from ..optim.optimizer import parameter_groups, with_matrices
from .export_onnx import export
from .loss import Targets, detector_loss
from .network import SCALE, DetectorNet, Prediction, cells
from .scenes import SIDE

STATE_KEYS = {"network": "network", "average": "average", "optimizer": "optimiser"}
"""Attributes of a run and their keys in state.pt."""


@dataclass(frozen=True)
class DetectorRecipe:
    """The length of a run and its rates.

    Args:
        steps: Steps of the whole run.
        batch: Images per step.
        rate: The largest learning rate of AdamW.
        muon: The largest learning rate of Muon for convolutions; 0 is AdamW for all.
        decay: Weight decay.
        climb: Steps of the warm-up.
        fall: Share of the steps, at the end, in which the rate falls.
        average: Decay of the exponential moving average (EMA) of the weights.
        seed: Random seed.
    """

    steps: int = 12_000
    batch: int = 32
    rate: float = 2e-3
    muon: float = 0.0
    decay: float = 0.02
    climb: int = 300
    fall: float = 0.5
    average: float = 0.998
    seed: int = 0

    def factor_at(self, step: int) -> float:
        """Return the factor of the rates in a step, counted from 0."""
        falling = max(1.0, self.steps * self.fall)
        left = min(1.0, (self.steps - step) / falling)
        return min(1.0, (step + 1) / self.climb) * (0.01 + 0.99 * left)


@dataclass(frozen=True)
class LoopOptions:
    """How the loop is carried out.

    Args:
        workers: Processes that compose pictures; 0 composes them in this one.
        every: Steps between two saved states.
        stop_after: End after so many steps, as an interruption would; None runs to the end.
    """

    workers: int = 1
    every: int = 100
    stop_after: int | None = None


DEFAULT_LOOP = LoopOptions()


class DetectorRun:
    """The network, its moving average and the optimizer, with their state on disk.

    Raises:
        TrainingError: ``state`` exists and cannot be resumed.
    """

    columns: tuple[str, ...] = ("cls", "obj", "box", "points", "cells")
    """Names of what ``loss`` returns for the log."""

    def __init__(self, recipe: DetectorRecipe, state: Path, side: int = SIDE) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.state, self.step = recipe, state, 0
        self.network = DetectorNet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._average = Average(self.network, recipe.average)
        self.average: Any = self._average.network
        groups = parameter_groups(self.network, recipe.decay)
        if recipe.muon:
            groups = with_matrices(groups, recipe.muon)
        self.optimizer = Muon(groups, lr=recipe.rate)
        self._rates = [float(group["lr"]) for group in self.optimizer.param_groups]
        self.corners, self.strides = cells(side, side)
        if state.is_file():
            self._load()

    def _load(self) -> None:
        try:
            saved: dict[str, Any] = torch.load(self.state, weights_only=True)
            for name, key in STATE_KEYS.items():
                getattr(self, name).load_state_dict(saved[key])
            self.step = int(saved["step"])
        except Exception as error:  # torch has no error class of its own for a damaged file
            raise TrainingError(
                f"{self.state}: no state to resume ({type(error).__name__}); delete it and start again"
            ) from error

    def save(self) -> None:
        """Write the state, completely or not at all."""
        parts = {key: getattr(self, name).state_dict() for name, key in STATE_KEYS.items()}
        whole = io.BytesIO()
        torch.save({**parts, "step": self.step, "recipe": asdict(self.recipe)}, whole)
        write_bytes(self.state, whole.getvalue())

    def loss(self, prediction: Prediction, targets: Any) -> tuple[Tensor, list[float]]:
        """Return the loss and the parts of it that the log shows, one for each of ``columns``."""
        losses, count = detector_loss(prediction, self.corners, self.strides, Targets(*targets))
        return losses.total, [*(float(part.detach()) for part in losses), count]

    def predict(self, pixels: Tensor) -> Prediction:
        """Return the network's output for BGR pixels, uint8 (n, 3, H, W)."""
        x = (pixels.float() * SCALE).contiguous(memory_format=torch.channels_last)
        with autocast("auto", "cpu"):
            prediction: Prediction = self.network(x)
        return prediction

    def batch_loss(self, pixels: Tensor, targets: Any) -> tuple[Tensor, list[float]]:
        """Return the loss of a batch and its parts, as ``loss`` does."""
        return self.loss(self.predict(pixels), targets)

    def train_step(self, pixels: Tensor, targets: Any) -> list[float]:
        """Take one step and return the parts of its loss.

        Args:
            pixels: BGR uint8 (batch, 3, side, side).
            targets: What ``batch_loss`` takes.

        Raises:
            TrainingError: The loss is NaN or infinite.
        """
        for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * self.recipe.factor_at(self.step)
        self.network.train()
        total, parts = self.batch_loss(pixels, targets)
        if not torch.isfinite(total):
            raise TrainingError(
                f"step {self.step}: the loss is NaN or infinite; lower --rate and start again"
            )
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 10.0)
        self.optimizer.step()
        self._average.update(self.network, self.step)
        self.step += 1
        return parts


def fit(run: DetectorRun, batches: Dataset[Any], out: Path, loop: LoopOptions) -> bytes:
    """Train from the run's next step to its last; return the ONNX file, also written to ``out``.

    Args:
        run: The run.  ``log.csv`` beside its state gets a row with each saved state.
        batches: Item i is the pixels and the targets of step i.
        out: The ONNX file to write.
        loop: See ``LoopOptions``.
    """
    recipe, order = run.recipe, range(run.step, run.recipe.steps)
    loader = DataLoader(
        batches, batch_size=None, sampler=order, num_workers=loop.workers,
        prefetch_factor=4 if loop.workers else None, worker_init_fn=_one_thread if loop.workers else None,
    )  # fmt: skip
    names = ("step", "factor", *run.columns, "seconds", "images_per_second")
    begun, sums, first = time.perf_counter(), np.zeros(len(run.columns)), run.step
    for pixels, targets in loader:
        sums += run.train_step(pixels, targets)
        if run.step % loop.every == 0 or run.step == recipe.steps:
            since = time.perf_counter() - begun
            steps = run.step - first
            row = [
                run.step,
                recipe.factor_at(run.step - 1),
                *(sums / steps),
                since,
                steps * recipe.batch / since,
            ]
            append_row(run.state.with_name("log.csv"), names, row)
            run.save()
            begun, sums, first = time.perf_counter(), np.zeros(len(run.columns)), run.step
        if loop.stop_after is not None and run.step >= order.start + loop.stop_after:
            break
    content = export(run.average)
    write_bytes(out, content)
    return content


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)
