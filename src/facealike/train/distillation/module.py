"""The student's loop: a small network that learns to say of a face what its teacher says."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from ...model_file.locate import read_model_file
from ...model_file.preprocessing import Preprocessing
from ..lightning.base_module import Learner
from ..model_card import weights_of
from ..networks.build import first_network
from ..networks.init_from_model import start_from
from ..recipe.schema import Recipe
from .teacher_batches import Lesson


def distances(vectors: Tensor) -> Tensor:
    """Euclidean distances (n, n) between the rows of ``vectors`` (n, d), with a gradient at zero too."""
    lengths = vectors.square().sum(dim=1)
    squared = lengths[:, None] + lengths[None, :] - 2 * vectors @ vectors.T
    return squared.clamp(min=1e-6).sqrt()


def distil_loss(student: Tensor, teacher: Tensor, descriptor_weight: float, distance_weight: float) -> Tensor:
    """How far the student (n, d) is from the teacher (n, d), descriptor by descriptor and pair by pair.

    The mean over faces of the squared distance from what the teacher says, and the mean over pairs of
    the squared difference between both distances: comparisons are by distance, so the second is what
    counts, and the first shows where to go (Park et al., "Relational knowledge distillation", CVPR 2019,
    equation 5, without its scaling).
    """
    student, teacher = student.float(), teacher.float()
    n = len(student)
    point = (student - teacher).square().sum(dim=1).mean()
    apart = (distances(student) - distances(teacher)).square().sum() / max(1, n * (n - 1))
    return descriptor_weight * point + distance_weight * apart


class StudentModule(Learner):
    """``plain``: faces as they are, whose descriptors say where the student's begin.

    ``initialisation`` is what the model's card says of the weights that it began with.
    """

    def __init__(self, recipe: Recipe, preprocessing: Preprocessing, total_steps: int, plain: Lesson) -> None:
        network = first_network(recipe)
        if recipe.network.start:
            model = read_model_file(recipe.network.start)
            initialisation = weights_of(model)
            faces = torch.from_numpy(preprocessing.normalise(plain.crops.numpy()))
            start_from(network, model.embedder, faces, recipe.network.start)
        else:
            initialisation = "random"
            begin_at(network, plain.descriptors)
        super().__init__(recipe, preprocessing, total_steps, network, recipe.student)
        self.initialisation = initialisation
        self._said: list[tuple[Tensor, Tensor]] = []

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        images, _ = self.changed(batch["images"])
        said = self(images)
        spec = self.recipe.teacher
        # Distances between near neighbours need more digits than bfloat16 has.
        with torch.autocast(self.device.type, enabled=False):
            loss = distil_loss(said, batch["descriptors"], spec.descriptor_weight, spec.distance_weight)
        return self.checked(loss, len(images))

    def describe(self, crops: Tensor) -> Tensor:
        """What the model will say of crops, uint8 (n, S, S, 3): descriptors (n, d), mirrored if asked."""
        said: Tensor = self(crops.permute(0, 3, 1, 2).float()).float()
        if self.recipe.network.mirror:
            said = (said + self(crops.flip(2).permute(0, 3, 1, 2).float()).float()) / 2
        return said

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        self._said.append((self.describe(batch["images"]).cpu(), batch["descriptors"].cpu()))

    def on_validation_epoch_end(self) -> None:
        student, teacher = (torch.cat(parts) for parts in zip(*self._said, strict=True))
        self._said.clear()
        for name, value in agreement(student, teacher).items():
            self.log(f"val_{name}", value, prog_bar=name == "correlation")


def agreement(student: Tensor, teacher: Tensor) -> dict[str, float]:
    """How well two networks agree on faces that the student never learnt from, both (n, d).

    Or on some that it did, to see how far it only knows those.

    ``error``: mean squared distance between their descriptors, as a part of the teacher's own variance.
    ``correlation``: of their distances between each face and another; 1 is perfect agreement.
    """
    student, teacher = student.double(), teacher.double()
    variance = (teacher - teacher.mean(dim=0)).square().sum(dim=1).mean()
    error = (student - teacher).square().sum(dim=1).mean() / variance
    both = torch.stack([(v - v.roll(1, dims=0)).norm(dim=1) for v in (student, teacher)])
    correlation = float(torch.corrcoef(both)[0, 1])
    return {"error": float(error), "correlation": 0.0 if math.isnan(correlation) else correlation}


@torch.no_grad()
def begin_at(network: nn.Module, descriptors: Tensor) -> None:
    """Let the last normalisation give the teacher's mean and spread from the start, so that no step
    is spent on finding them: descriptors of all faces share a large mean."""
    last: Any = network.normalise
    last.bias.copy_(descriptors.mean(dim=0))
    last.weight.copy_(descriptors.std(dim=0))
