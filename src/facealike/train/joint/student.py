"""The student of a joint target: dlib's network with a new last layer, fitted by least squares."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from ...model_zoo.dlib_weights import MEAN, STD
from ..data.augment import Augmentation
from ..data.occlusion import compressed, masked, noisy, with_glasses
from ..networks.dlib_resnet import DlibTeacher
from ..recipe.schema import StudentSpec

SIZE = 150  # what dlib's network was trained at
RIDGE = 0.1  # of a feature's variance


@dataclass(frozen=True)
class StudentChanges:
    """What is changed on the student's crop only."""

    augment: StudentSpec = field(
        default_factory=lambda: StudentSpec(
            brightness=0.15, contrast=0.15, blur=0.12, low_resolution=0.15, cutout=0.12
        )
    )
    mask: float = 0.06
    glasses: float = 0.06
    jpeg: float = 0.15
    noise: float = 0.3
    deviation: float = 10.0

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """Crops (n, 3, S, S) in 0..255, changed anew."""
        changed = Augmentation(self.augment)(images, generator)
        masked(changed, self.mask, generator)
        with_glasses(changed, self.glasses, generator)
        noisy(changed, self.noise, self.deviation, generator)
        compressed(changed, self.jpeg, generator)
        return changed


class JointStudent(nn.Module):
    """RGB crops in 0..255, (n, 3, SIZE, SIZE), to embeddings (n, d), not of unit length."""

    mean: Tensor

    def __init__(self, body: DlibTeacher, dimensions: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.stem, self.blocks = body.stem, body.blocks
        self.matrix = nn.Linear(body.matrix.in_features, dimensions)

    @classmethod
    def start(cls, dimensions: int) -> JointStudent:
        """dlib's network (CC0) with a last layer that is not fitted yet."""
        return cls(DlibTeacher.load(frozen=False), dimensions)

    def forward(self, images: Tensor) -> Tensor:
        return self.embed((images - self.mean) / STD)

    def embed(self, crops: Tensor) -> Tensor:
        """Embeddings (n, d), float32, of crops that are normalized already."""
        features = self._described(crops)
        with torch.autocast(crops.device.type, enabled=False):  # its rounding would be the largest
            embedded: Tensor = self.matrix(features.float())
        return embedded

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """What the last layer is given."""
        return self._described((images - self.mean) / STD).float()

    @torch.no_grad()
    def fit(self, features: Tensor, targets: Tensor) -> float:
        """Set the last layer by ridge regression; returns the mean cosine to ``targets`` (n, d)."""
        mean, spread = features.mean(dim=0).double(), features.std(dim=0).double() + 1e-4
        x = (features.double() - mean) / spread
        center = targets.double().mean(dim=0)
        square = x.T @ x
        square.diagonal().add_(RIDGE * len(x))
        solved = torch.linalg.solve(square, x.T @ (targets.double() - center)) / spread[:, None]
        self.matrix.weight.copy_(solved.T)
        self.matrix.bias.copy_(center - mean @ solved)
        return float(F.cosine_similarity(self.matrix(features), targets).mean())

    def _described(self, crops: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.stem(crops)), 3, 2)
        described: Tensor = self.blocks(x).mean(dim=(2, 3))
        return described


def joint_loss(student: Tensor, target: Tensor, similarity_weight: float) -> tuple[Tensor, Tensor, Tensor]:
    """The loss, and its two parts: 1 - cosine to the target, and the squared error of similarities.

    ``student`` (n, d) is of any length, ``target`` (n, d) of unit length.  The second part is the mean
    over pairs of the squared difference of their cosines (Tung and Mori, "Similarity-preserving
    knowledge distillation", ICCV 2019, without the scaling of rows).
    """
    own = F.normalize(student.float(), dim=1)
    point = 1 - (own * target).sum(dim=1).mean()
    n = len(own)
    apart = (own @ own.T - target @ target.T).square().sum() / max(1, n * (n - 1))
    return point + similarity_weight * apart, point.detach(), apart.detach()
