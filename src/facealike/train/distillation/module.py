"""The Lightning module of distillation: the student reproduces the teacher's embeddings."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from ...model_file.locate import read_model_file
from ...model_file.preprocessing import Preprocessing
from ..lightning.base_module import BaseModule
from ..model_card import weights_of
from ..networks.build import first_network
from ..networks.init_from_model import start_from
from ..recipe.schema import Recipe
from .teacher_batches import TeacherData


def distances(vectors: Tensor) -> Tensor:
    """Return Euclidean distances (n, n) between the rows of ``vectors`` (n, d), with a gradient at zero."""
    lengths = vectors.square().sum(dim=1)
    squared = lengths[:, None] + lengths[None, :] - 2 * vectors @ vectors.T
    return squared.clamp(min=1e-6).sqrt()


def distil_loss(student: Tensor, teacher: Tensor, descriptor_weight: float, distance_weight: float) -> Tensor:
    """Return the distillation loss of embeddings (n, d).

    It is the weighted sum of the mean squared distance between both embeddings of a face and the mean squared
    difference between both distances of a pair.  Faces are compared by distance, so the second term is the
    goal; the first one guides the optimization.

    Source:
        Park et al., "Relational knowledge distillation", CVPR 2019, equation 5, without its scaling.
    """
    student, teacher = student.float(), teacher.float()
    n = len(student)
    point = (student - teacher).square().sum(dim=1).mean()
    apart = (distances(student) - distances(teacher)).square().sum() / max(1, n * (n - 1))
    return descriptor_weight * point + distance_weight * apart


class StudentModule(BaseModule):
    """The student in training.

    ``initialization`` is the card's text about its first weights.

    Args:
        recipe: The recipe.
        preprocessing: The face crop.
        total_steps: Steps of the whole run.
        plain: Faces without augmentation, which set the mean and the variance of the first outputs.
    """

    def __init__(
        self, recipe: Recipe, preprocessing: Preprocessing, total_steps: int, plain: TeacherData
    ) -> None:
        network = first_network(recipe)
        if recipe.network.start:
            model = read_model_file(recipe.network.start)
            initialization = weights_of(model)
            faces = torch.from_numpy(preprocessing.normalize(plain.crops.numpy()))
            start_from(network, model.embedder, faces, recipe.network.start)
        else:
            initialization = "random"
            begin_at(network, plain.descriptors)
        super().__init__(recipe, preprocessing, total_steps, network, recipe.student)
        self.initialization = initialization
        self._validated: list[tuple[Tensor, Tensor]] = []

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        images, _ = self.augmented(batch["images"])
        embedded = self(images)
        spec = self.recipe.teacher
        # Distances between near neighbors need more digits than bfloat16 has.
        with torch.autocast(self.device.type, enabled=False):
            loss = distil_loss(embedded, batch["descriptors"], spec.descriptor_weight, spec.distance_weight)
        return self.logged(loss, len(images))

    def describe(self, crops: Tensor) -> Tensor:
        """Return the embeddings (n, d) of the model, before the lift, for crops, uint8 (n, S, S, 3)."""
        embedded: Tensor = self(crops.permute(0, 3, 1, 2).float()).float()
        if self.recipe.network.mirror:
            embedded = (embedded + self(crops.flip(2).permute(0, 3, 1, 2).float()).float()) / 2
        return embedded

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        self._validated.append((self.describe(batch["images"]).cpu(), batch["descriptors"].cpu()))

    def on_validation_epoch_end(self) -> None:
        student, teacher = (torch.cat(parts) for parts in zip(*self._validated, strict=True))
        self._validated.clear()
        for name, value in agreement(student, teacher).items():
            self.log(f"val_{name}", value, prog_bar=name == "correlation")


def agreement(student: Tensor, teacher: Tensor) -> dict[str, float]:
    """Return how well the embeddings of two networks (n, d) agree.

    Returns:
        ``error``: mean squared distance, relative to the teacher's variance.  ``correlation``: of both
        distances between each face and another one; 1 is perfect agreement, and 0 is also given where it is
        undefined.
    """
    student, teacher = student.double(), teacher.double()
    variance = (teacher - teacher.mean(dim=0)).square().sum(dim=1).mean()
    error = (student - teacher).square().sum(dim=1).mean() / variance
    both = torch.stack([(v - v.roll(1, dims=0)).norm(dim=1) for v in (student, teacher)])
    correlation = float(torch.corrcoef(both)[0, 1])
    return {"error": float(error), "correlation": 0.0 if math.isnan(correlation) else correlation}


@torch.no_grad()
def begin_at(network: nn.Module, descriptors: Tensor) -> None:
    """Initialize the last normalization with the teacher's mean and standard deviation, (n, d) -> (d,).

    Descriptors have a large common mean, which the student would have to learn otherwise.
    """
    last: Any = network.normalise
    last.bias.copy_(descriptors.mean(dim=0))
    last.weight.copy_(descriptors.std(dim=0))
