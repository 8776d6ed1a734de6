"""What a student learns from: faces changed as nobody saw them before, and what the teacher says of them.

A few ten thousand faces are few, so no face is shown twice alike: each is turned, bent, blended with
another one and lit anew, and the teacher describes what came out, not the photo it came from (Beyer et
al., "Knowledge distillation: a good teacher is patient and consistent", CVPR 2022).  Teacher and student
see the same changed face, the student fewer pixels of it.

The teacher costs more than the student, so the student may see each face it described several times
before new ones are made (Choi et al., "Faster neural network training with data echoing", 2019).  All
draws follow from the recipe's seed and the epoch: a resumed run makes the lessons it would have made.
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

CHUNK = 32  # faces that are changed and described at a time; of more, each pass leaves the cache


def blend(faces: Tensor, part: float, generator: Generator) -> Tensor:
    """A ``part`` of the faces (n, 3, S, S) laid over another one, each by a share of its own in [0, 1/2]."""
    partner = torch.randperm(len(faces), generator=generator)
    share = 0.5 * torch.rand(len(faces), 1, 1, 1, generator=generator)
    share = torch.where(torch.rand(share.shape, generator=generator) < part, share, 0.0)
    return faces.lerp(faces[partner.to(faces.device)], share.to(faces.device))


@dataclass(frozen=True, eq=False)
class Lesson:
    """The student's crops, uint8 (n, S, S, 3), and the teacher's descriptors of them, float32 (n, d)."""

    crops: Tensor
    descriptors: Tensor


class Lessons:
    """Makes the lesson of each epoch from ``rows`` of ``chips``, 150 pixel crops of faces.

    ``teacher`` takes chips (n, 3, 150, 150) in 0..255 and returns descriptors (n, d).
    """

    def __init__(
        self, chips: Crops, rows: Indices, teacher: nn.Module, recipe: Recipe, device: torch.device
    ) -> None:
        self._chips, self._rows, self._recipe, self._device = chips, rows, recipe, device
        self._teacher = teacher.to(device).eval()
        self._change = Augmentation(recipe.augment)
        self.count = recipe.teacher.faces or len(rows)

    def make(self, epoch: int) -> Lesson:
        """The lesson of ``epoch``, from 0; the same whenever it is asked for."""
        spec = self._recipe.teacher
        rng = np.random.default_rng([self._recipe.seed, 3, epoch])
        rounds = -(-self.count // len(self._rows))
        order = np.concatenate([rng.permutation(len(self._rows)) for _ in range(rounds)])[: self.count]
        crops, descriptors = [], []
        for number, start in enumerate(range(0, self.count, CHUNK)):
            draw = torch.Generator().manual_seed(step_seed(self._recipe.seed, 4 + epoch, number))
            chips = self.read(self._rows[order[start : start + CHUNK]])
            views, said = self.describe(self._change(blend(chips, spec.blend, draw), draw))
            crops.append(views)
            descriptors.append(said)
        return Lesson(torch.cat(crops), torch.cat(descriptors))

    def plain(self, rows: Indices) -> Lesson:
        """Faces as they are, to begin from and to validate on."""
        parts = [self.describe(self.read(rows[i : i + CHUNK])) for i in range(0, len(rows), CHUNK)]
        return Lesson(torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts]))

    def read(self, rows: Indices) -> Tensor:
        chips = torch.from_numpy(self._chips.take(rows)).to(self._device)
        return chips.permute(0, 3, 1, 2).float()

    @torch.no_grad()
    def describe(self, chips: Tensor) -> tuple[Tensor, Tensor]:
        views = shrink(chips, self._recipe.crop.size).round().clamp(0, 255).to(torch.uint8)
        layout = chips.contiguous(memory_format=torch.channels_last)
        with autocast(self._recipe.training.precision, self._device):
            said = self._teacher(layout)
        return views.permute(0, 2, 3, 1).contiguous().cpu(), said.float().cpu()


class LessonSteps(Dataset[dict[str, Tensor]]):
    """``dataset[step]`` is the batch of that step, from 0: images uint8 (n, S, S, 3), descriptors (n, d).

    An epoch is ``passes`` passes over its lesson, each in an order of its own.  The lesson is made when
    its first step is asked for, and kept until a step of another one is.
    """

    def __init__(self, lessons: Lessons, recipe: Recipe) -> None:
        self._lessons, self._recipe = lessons, recipe
        self._size = min(recipe.training.batch_size, lessons.count)
        self._each = lessons.count // self._size  # steps of a pass; what is left over waits for another
        self.steps = self._each * recipe.teacher.passes  # of an epoch
        self._made: tuple[int, Lesson] | None = None

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        epoch, within = divmod(step, self.steps)
        if self._made is None or self._made[0] != epoch:
            self._made = None  # the old one's memory goes first
            self._made = epoch, self._lessons.make(epoch)
        lesson = self._made[1]
        number, place = divmod(within, self._each)
        draw = torch.Generator().manual_seed(step_seed(self._recipe.seed, 1_000_003 + epoch, number))
        order = torch.randperm(len(lesson.crops), generator=draw)
        chosen = order[place * self._size : (place + 1) * self._size]
        return {"images": lesson.crops[chosen], "descriptors": lesson.descriptors[chosen]}
