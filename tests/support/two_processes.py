"""What the two processes of the distributed tests do: spawned processes import it by name."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from facealike.train.distributed.batch_norm import SynchronizedBatchNorm, synchronized
from facealike.train.distributed.collectives import gather, portion, rank, whole_on_main
from facealike.train.distributed.group import from_main, joined, main_first
from facealike.train.distributed.world import World
from facealike.train.embedder.module import SiameseModule
from facealike.train.embedder.run import fit
from facealike.train.losses.class_sampling import sampled_classes
from facealike.train.losses.criterion import Criterion
from facealike.train.options import TrainingOptions
from facealike.train.recipe.schema import LossSpec
from support.drawn_people import CentralBox, tiny_recipe

TOTAL = 9  # images of the batch below: the two processes have four and five
LABELS = torch.tensor([0, 0, 1, 1, 2, 2, 0, 8, 8])
PEOPLE = 9
LOSSES = {
    "contrastive": LossSpec("contrastive", miner="hard"),
    "triplet": LossSpec("triplet", 0.3, miner="hard"),
    "multi-similarity": LossSpec("multi-similarity", 0.5, 30.0, miner="hard"),
    "cosface": LossSpec("cosface", 0.2, 16.0, pair_weight=2.0),
    "arcface": LossSpec("arcface", 0.3, 16.0),
    "adaface": LossSpec("adaface", 0.4, 16.0),
    "subcenter-arcface": LossSpec("subcenter-arcface", 0.3, 16.0),
    "cosface of a sample": LossSpec("cosface", 0.2, 16.0, class_share=0.5, pair_weight=2.0),
    "arcface of a sample": LossSpec("arcface", 0.3, 16.0, class_share=0.5),
    "adaface of a sample": LossSpec("adaface", 0.4, 16.0, class_share=0.5),
}
RUNS: dict[str, dict[str, Any]] = {
    "pairs": {"network": {"dropout": 0.0}},
    "classes": {
        "network": {"dropout": 0.0}, "loss": {"name": "adaface", "margin": 0.4},
        "sampler": {"name": "images"}, "training": {"ema": 0.9, "batch_size": 37},
        "augment": {"mixup": 0.5, "noise": 3.0, "blur": 0.1, "low_resolution": 0.1, "cutout": 0.1,
                    "scale": 0.1, "bend": 0.03, "brightness": 0.1},
    },
    "sample": {
        "network": {"dropout": 0.0}, "loss": {"name": "cosface", "margin": 0.2, "class_share": 0.6},
        "sampler": {"name": "images"}, "training": {"batch_size": 10, "muon": 0.02},
    },
}  # fmt: skip
"""Recipes of whole runs, as changes of ``tiny_recipe``.  Dropout draws other masks in each process."""


class Network(nn.Module):
    """A tiny network with batch normalization of both kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.embedding = nn.Linear(4 * 36, 6)
        self.last = nn.BatchNorm1d(6)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.last(self.embedding(self.norm(self.convolution(x)).relu().flatten(1)))
        return found


@dataclass(frozen=True)
class Step:
    """One step of a loss: its value, the gradient of each parameter, and the statistics after it."""

    loss: float
    gradients: dict[str, Tensor]
    statistics: dict[str, Tensor]


class Trained(nn.Module):
    """Network and loss together, as the module that is trained."""

    def __init__(self, spec: LossSpec) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.network: nn.Module = Network()
        self.criterion = Criterion(spec, PEOPLE, 6)
        self._ddp_params_and_buffers_to_ignore = list(sampled_classes(self))
        self.network = synchronized(self.network)

    def forward(self, images: Tensor) -> Tensor:
        loss: Tensor = self.criterion(gather(self.network(images), TOTAL), LABELS)
        return loss


def step(spec: LossSpec) -> Step:
    """Return the step of this process on its portion of one batch."""
    module: nn.Module = Trained(spec)
    images = torch.randn(TOTAL, 3, 8, 8, generator=torch.Generator().manual_seed(5))
    wrapped = nn.parallel.DistributedDataParallel(module) if torch.distributed.is_initialized() else module
    loss = wrapped(images[portion(TOTAL)])
    loss.backward()
    gradients = {n: p.grad.to_dense().clone() for n, p in module.named_parameters() if p.grad is not None}
    for name, sample in sampled_classes(module).items():
        gradients[name] = whole_on_main(gradients[name], sample.people)  # type: ignore[assignment]
    return Step(float(loss.detach()), gradients, {n: b.clone() for n, b in module.named_buffers()})


def weights(
    root: Path, folder: Path, changes: dict[str, Any], world: World | None = None, resume: bool = False
) -> dict[str, Tensor]:
    """Train a tiny recipe and return the weights of its last checkpoint."""
    options = TrainingOptions(CentralBox(), "cpu", resume, folder / "crops")
    run = folder / "run"
    fit(root, tiny_recipe(**changes), run / "m.facealike", run, options, world=world)
    loaded = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    state: dict[str, Tensor] = loaded["state_dict"]
    return state


class Stop(Exception):
    """Ends a run within an epoch."""


real_step = SiameseModule.training_step


def stopping(self: SiameseModule, batch: Any, batch_idx: int) -> Tensor:
    """A training step that ends the run in its third epoch."""
    if self.global_step == 14:
        raise Stop
    return real_step(self, batch, batch_idx)


def together(root: Path, folder: Path, world: World, progress: Any) -> dict[str, Any]:
    """Return what the first of two processes finds: steps, weights of runs, and what they exchanged."""
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    with joined(world, cuda=False):
        found["steps"] = {name: step(spec) for name, spec in LOSSES.items()}
        found["names"] = list(synchronized(Network()).state_dict())
        found["kind"] = type(synchronized(nn.BatchNorm1d(2))) is SynchronizedBatchNorm
        found["shared"] = from_main(rank() + 7)
        with main_first():
            if rank():
                found["written first"] = (folder / "by main").exists()
            else:
                time.sleep(0.5)
                (folder / "by main").touch()
        found["late"] = from_main(None)
        for name, changes in RUNS.items():
            found[name] = weights(root, folder / name, changes, world)
        with contextlib.suppress(Stop):
            SiameseModule.training_step = stopping  # type: ignore[method-assign]
            weights(root, folder / "begun", RUNS["sample"], world)
    if rank() and not (found["shared"] == 7 and found["written first"]):
        raise AssertionError(found)
    return found
