"""The student of a joint run: dlib's network and a branch beside its deep blocks, and the loss."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from ...model_zoo.dlib_weights import MEAN, STD
from ..data.augment import Augmentation
from ..data.occlusion import compressed, masked, noisy, with_glasses
from ..networks.dlib_resnet import DlibTeacher, lift
from ..recipe.schema import StudentSpec
from .branch import TRUNK, Branch

SIZE = 150  # pixels; the crop size of dlib's network
DLIB_LIFT = 0.8  # the e of dlib's lifted descriptors, see ``LiftedDlib``
BRANCH_LIFT = 0.6
"""The e of the branch's lifted embeddings, whose mean norm is 1.

Their norms say how typical a face is, so cosines of lifted embeddings are better scores than those of the
embeddings: with dlib's, FNMR on LFW's calibration people is 0.0444 instead of 0.0475 at an FMR of 0.001.
"""
DLIB_SHARE = 0.88
"""Share of dlib's lifted descriptors in the squared norm of an embedding.

Cosines of lifted descriptors vary little: on FairFace their variance is 0.146 in all, that of the branch's
lifted embeddings 0.735.  At this share the part of dlib varies 1.5 times as much as that of the branch.
Shares of 0.85 to 0.9 are best for people of LFW other than its test people; the branch alone agrees better
with its teachers on FairFace, and worse on LFW.
"""


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
    """RGB crops in 0..255, (n, 3, SIZE, SIZE), to unit vectors (n, d + 130): dlib's network and a branch.

    dlib's network is frozen: a student that retrains it loses what dlib knew.  The first blocks are those of
    the branch too.

    Args:
        dlib: dlib's network, frozen.
        branch: The trained part; its embeddings are (n, d).
        norm: Their mean norm.
        share: See ``DLIB_SHARE``.
    """

    mean: Tensor

    def __init__(
        self, dlib: DlibTeacher, branch: Branch, norm: float = 1.0, share: float = DLIB_SHARE
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.dlib, self.branch, self.norm, self.share = dlib, branch, norm, share

    @classmethod
    def start(cls, dimensions: int) -> JointStudent:
        """Return dlib's network (CC0) with a branch that begins with its blocks; its last layer is random."""
        return cls(DlibTeacher.load(), Branch(DlibTeacher.load(frozen=False), dimensions))

    def forward(self, images: Tensor) -> Tensor:
        """Return embeddings (n, d + 130) of crops in 0..255."""
        return self.embed((images - self.mean) / STD)

    def embed(self, crops: Tensor) -> Tensor:
        """Return embeddings (n, d + 130), float32 unit vectors, of crops that are normalized already."""
        maps = self.dlib.maps(crops, TRUNK)
        own = lift(self.branch(maps).float(), BRANCH_LIFT / self.norm)
        lifted = lift(self.dlib.describe_maps(maps, TRUNK), DLIB_LIFT)
        return torch.cat([math.sqrt(1 - self.share) * own, math.sqrt(self.share) * lifted], dim=1)

    @torch.no_grad()
    def trunk(self, images: Tensor) -> Tensor:
        """Return the branch's input, (n, 64, 17, 17), for crops in 0..255."""
        return self.dlib.maps((images - self.mean) / STD, TRUNK)


def joint_loss(
    student: Tensor, target: Tensor, weights: tuple[float, float], group: int
) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
    """Return the loss and its three parts.

    The first part is 1 - cosine to the target.  The second is the mean over pairs of the squared difference
    of both cosines, the third that over pairs within a group.

    Args:
        student: Embeddings (n, d) of any norm.
        target: Unit vectors (n, d).
        weights: Weights of the second and the third part.
        group: Faces in a group; groups follow each other.

    Source:
        Tung and Mori, "Similarity-preserving knowledge distillation", ICCV 2019, without the scaling of rows.
    """
    own = F.normalize(student.float(), dim=1)
    point = 1 - (own * target).sum(dim=1).mean()
    apart = _difference(own, target)
    near = _difference(own.view(-1, group, own.shape[1]), target.view(-1, group, target.shape[1]))
    loss = point + weights[0] * apart + weights[1] * near
    return loss, (point.detach(), apart.detach(), near.detach())


def _difference(own: Tensor, target: Tensor) -> Tensor:
    """Return the mean squared difference of the cosines of pairs of unit vectors (..., n, d)."""
    n = own.shape[-2]
    squares = (own @ own.mT - target @ target.mT).square().sum(dim=(-2, -1))
    return squares.mean() / max(1, n * (n - 1))
