"""Distillation batches: freshly augmented faces and the teacher's embeddings of them.

Each face is augmented anew for each epoch and blended with another one.  The teacher embeds the augmented
face, which the student sees at a lower resolution.  The teacher costs more than the student, so the student
may see each augmented face several times.  All draws follow from the recipe's seed and the epoch, so that a
resumed run makes the same batches.

Source: Beyer et al., "Knowledge distillation: a good teacher is patient and consistent", CVPR 2022; Choi et
al., "Faster neural network training with data echoing", 2019.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.utils.data import Dataset

from ...embedding.crop_cache import Crops
from ..data.augment import Augmentation, shrink
from ..data.samplers import Indices
from ..optim.mixed_precision import autocast
from ..recipe.schema import Recipe
from ..seeds import step_seed

CHUNK = 32  # faces that are augmented and embedded at a time; more do not fit the CPU cache


def blend(faces: Tensor, part: float, generator: Generator) -> Tensor:
    """Blend a share ``part`` of faces (n, 3, S, S) with another face, by a weight in [0, 1/2]."""
    partner = torch.randperm(len(faces), generator=generator)
    share = 0.5 * torch.rand(len(faces), 1, 1, 1, generator=generator)
    share = torch.where(torch.rand(share.shape, generator=generator) < part, share, 0.0)
    return faces.lerp(faces[partner.to(faces.device)], share.to(faces.device))


@dataclass(frozen=True, eq=False)
class TeacherData:
    """The student's crops, uint8 (n, S, S, 3), and the teacher's embeddings of them, float32 (n, d)."""

    crops: Tensor
    descriptors: Tensor


class TeacherBatches:
    """Makes the data of each epoch.

    Args:
        chips: Face crops of 150 pixels.
        rows: Rows of ``chips`` to use.
        teacher: Maps chips (n, 3, 150, 150) in 0..255 to embeddings (n, d).
        recipe: The recipe.
        device: Where the teacher runs.
    """

    def __init__(
        self, chips: Crops, rows: Indices, teacher: nn.Module, recipe: Recipe, device: torch.device
    ) -> None:
        self._chips, self._rows, self._recipe, self._device = chips, rows, recipe, device
        self._teacher = teacher.to(device).eval()
        self._augment = Augmentation(recipe.augment)
        self.count = recipe.teacher.faces or len(rows)

    def make(self, epoch: int) -> TeacherData:
        """Return the data of ``epoch``, counted from 0; it is always the same."""
        spec = self._recipe.teacher
        rng = np.random.default_rng([self._recipe.seed, 3, epoch])
        rounds = -(-self.count // len(self._rows))
        order = np.concatenate([rng.permutation(len(self._rows)) for _ in range(rounds)])[: self.count]
        crops, descriptors = [], []
        for number, start in enumerate(range(0, self.count, CHUNK)):
            draw = torch.Generator().manual_seed(step_seed(self._recipe.seed, 4 + epoch, number))
            chips = self.read(self._rows[order[start : start + CHUNK]])
            views, embedded = self.describe(self._augment(blend(chips, spec.blend, draw), draw))
            crops.append(views)
            descriptors.append(embedded)
        return TeacherData(torch.cat(crops), torch.cat(descriptors))

    def plain(self, rows: Indices) -> TeacherData:
        """Return faces without augmentation, for the initialization and for validation."""
        parts = [self.describe(self.read(rows[i : i + CHUNK])) for i in range(0, len(rows), CHUNK)]
        return TeacherData(torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts]))

    def read(self, rows: Indices) -> Tensor:
        """Return chips, float (n, 3, 150, 150) in 0..255."""
        chips = torch.from_numpy(self._chips.take(rows)).to(self._device)
        return chips.permute(0, 3, 1, 2).float()

    @torch.no_grad()
    def describe(self, chips: Tensor) -> tuple[Tensor, Tensor]:
        """Return the student's crops of chips, uint8 (n, S, S, 3), and the teacher's embeddings, (n, d)."""
        views = shrink(chips, self._recipe.crop.size).round().clamp(0, 255).to(torch.uint8)
        layout = chips.contiguous(memory_format=torch.channels_last)
        with autocast(self._recipe.training.precision, self._device):
            embedded = self._teacher(layout)
        return views.permute(0, 2, 3, 1).contiguous().cpu(), embedded.float().cpu()


class DistillationSteps(Dataset[dict[str, Tensor]]):
    """Item i is the batch of step i: ``images`` uint8 (n, S, S, 3) and ``descriptors`` (n, d).

    An epoch is ``passes`` passes over its data, each in another order.  The data of one epoch is kept at a
    time.

    Args:
        batches: Makes the data.
        recipe: The recipe.
    """

    def __init__(self, batches: TeacherBatches, recipe: Recipe) -> None:
        self._batches, self._recipe = batches, recipe
        self._size = min(recipe.training.batch_size, batches.count)
        self._each = batches.count // self._size  # steps of a pass; the remainder is left out
        self.steps = self._each * recipe.teacher.passes  # of an epoch
        self._made: tuple[int, TeacherData] | None = None

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        epoch, within = divmod(step, self.steps)
        if self._made is None or self._made[0] != epoch:
            self._made = None  # free the memory of the old data first
            self._made = epoch, self._batches.make(epoch)
        data = self._made[1]
        number, place = divmod(within, self._each)
        draw = torch.Generator().manual_seed(step_seed(self._recipe.seed, 1_000_003 + epoch, number))
        order = torch.randperm(len(data.crops), generator=draw)
        chosen = order[place * self._size : (place + 1) * self._size]
        return {"images": data.crops[chosen], "descriptors": data.descriptors[chosen]}
