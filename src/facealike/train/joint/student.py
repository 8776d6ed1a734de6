"""The student of a joint run: dlib's network with a new last layer, and its loss.

dlib's last layer sees the mean of its last map (256 numbers).  The student's sees the places of the two
maps before that too, 256 x 4 x 4 and 128 x 4 x 4: fitted by least squares to 32,768 views, its mean cosine to
the target of two teachers on held-out faces is 0.705 instead of 0.632.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from ...model_zoo.dlib_weights import MEAN, STD
from ..data.augment import Augmentation
from ..data.occlusion import compressed, masked, noisy, with_glasses
from ..networks.dlib_resnet import DlibTeacher
from ..networks.product_gradient import with_product_gradients
from ..recipe.schema import StudentSpec

SIZE = 150  # pixels; the crop size of dlib's network
RIDGE = 1.0  # ridge parameter, relative to the variance of a feature
PLACES = 4  # side of the described maps


@dataclass(frozen=True)
class StudentChanges:
    """Augmentation of the student's crops only.

    Args:
        augment: Tensor augmentation.
        mask: Probability of a mask.
        glasses: Probability of glasses.
        jpeg: Probability of JPEG compression.
        noise: Probability of noise.
        deviation: Largest standard deviation of the noise, in gray levels.
    """

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
        """Return augmented crops; float (n, 3, S, S) in 0..255, as the input."""
        changed = Augmentation(self.augment)(images, generator)
        masked(changed, self.mask, generator)
        with_glasses(changed, self.glasses, generator)
        noisy(changed, self.noise, self.deviation, generator)
        compressed(changed, self.jpeg, generator)
        return changed


class JointStudent(nn.Module):
    """RGB crops in 0..255, (n, 3, SIZE, SIZE), to embeddings (n, d).

    Args:
        body: dlib's network.
        dimensions: d.
    """

    mean: Tensor

    def __init__(self, body: DlibTeacher, dimensions: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        down = [i for i, block in enumerate(body.blocks) if block.down]
        self.stem = body.stem
        blocks: Any = body.blocks
        self.middle, self.deep = blocks[: down[-2]], blocks[down[-2] : down[-1]]
        self.last = blocks[down[-1] :]
        with_product_gradients(self)
        middle, deep, last = (stage[-1].second.out_channels for stage in (self.middle, self.deep, self.last))
        self.matrix = nn.Linear((middle + deep) * PLACES**2 + last, dimensions)

    @classmethod
    def start(cls, dimensions: int) -> JointStudent:
        """Return dlib's network (CC0) with a random last layer."""
        return cls(DlibTeacher.load(frozen=False), dimensions)

    def forward(self, images: Tensor) -> Tensor:
        """Return raw embeddings (n, d) of crops in 0..255."""
        return self.embed((images - self.mean) / STD)

    def embed(self, crops: Tensor) -> Tensor:
        """Return raw embeddings (n, d), float32, of crops that are normalized already."""
        features = self._described(crops)
        with torch.autocast(crops.device.type, enabled=False):  # rounding here would be the largest error
            embedded: Tensor = self.matrix(features.float())
        return embedded

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Return the input of the last layer for crops in 0..255, float32 (n, width)."""
        return self._described((images - self.mean) / STD).float()

    @torch.no_grad()
    def fit(self, features: Tensor, targets: Tensor) -> float:
        """Fit the last layer to ``targets`` (n, d) by ridge regression; return the mean cosine to them."""
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
        middle = self.middle(F.max_pool2d(F.relu(self.stem(crops)), 3, 2))
        deep = self.deep(middle)
        maps = deep, F.avg_pool2d(middle, middle.shape[2] // PLACES), self.last(deep).mean(dim=(2, 3))
        return torch.cat([map.flatten(1) for map in maps], dim=1)


def joint_loss(student: Tensor, target: Tensor, similarity_weight: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return the loss and its two parts: 1 - cosine to the target, and the squared error of similarities.

    The second part is the mean over pairs of the squared difference of both cosines.

    Args:
        student: Embeddings (n, d) of any norm.
        target: Unit vectors (n, d).
        similarity_weight: Weight of the second part.

    Source:
        Tung and Mori, "Similarity-preserving knowledge distillation", ICCV 2019, without the scaling of rows.
    """
    own = F.normalize(student.float(), dim=1)
    point = 1 - (own * target).sum(dim=1).mean()
    n = len(own)
    apart = (own @ own.T - target @ target.T).square().sum() / max(1, n * (n - 1))
    return point + similarity_weight * apart, point.detach(), apart.detach()
