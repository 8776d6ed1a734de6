"""AdaFace: a classification loss whose margin follows the quality of each image.

Source: Kim, Jain and Liu, "AdaFace: Quality adaptive margin for face recognition", CVPR 2022.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CONCENTRATION = 0.333  # the authors' h: one standard deviation is a third of the range of z
MEMORY = 0.99  # decay of the running statistics of norms; the authors' alpha
CLOSE = 1e-3  # radians; least distance of angles from 0 and pi, as in the authors' code


class AdaFaceMargin(nn.Module):
    """The margin of AdaFace: the logit of the true class from its cosine and the quality of the image.

    Args:
        margin: Margin, in radians and as a cosine.
    """

    mean: Tensor
    deviation: Tensor
    seen: Tensor

    def __init__(self, margin: float) -> None:
        super().__init__()
        self.margin = margin
        for name in ("mean", "deviation", "seen"):  # the checkpoint keeps them
            self.register_buffer(name, torch.tensor(0.0))

    @torch.no_grad()
    def quality(self, norms: Tensor) -> Tensor:
        """Return z of each norm (n,); in training the running statistics are updated."""
        norms = norms.clamp(1e-3, 100)
        if self.training:
            # The first batch sets them: the authors' initial values fit their own network.
            weight = 1 - MEMORY if self.seen else 1.0
            self.mean.lerp_(norms.mean(), weight)
            self.deviation.lerp_(norms.std(correction=0), weight)
            self.seen.fill_(1.0)
        deviations = (norms - self.mean) / (self.deviation + 1e-3)
        return (CONCENTRATION * deviations).clamp(-1, 1)

    def with_margin(self, own: Tensor, z: Tensor) -> Tensor:
        """Return the cosines ``own`` (n,) of images of quality ``z`` with their margin."""
        angles = torch.acos(own.clamp(-1 + 1e-6, 1 - 1e-6)) - self.margin * z
        return torch.cos(angles.clamp(CLOSE, math.pi - CLOSE)) - self.margin * (1 + z)


class AdaFace(AdaFaceMargin):
    """The mean cross-entropy over ``people`` classes, of embeddings (n, d) of any norm and labels (n,).

    The embedding's norm measures the quality of its image.  With z the norm's deviation from the running
    mean, in running standard deviations times h and clipped to [-1, 1], the logit of the true class is
    scale * (cos(angle - margin z) - margin (1 + z)).  Hard images of good quality weigh more, images that
    cannot be recognized weigh less.

    Args:
        people: Number of classes.
        dimensions: d.
        margin: Margin, in radians and as a cosine.
        scale: Scale of the logits.
    """

    def __init__(self, people: int, dimensions: int, margin: float, scale: float) -> None:
        super().__init__(margin)
        self.scale = scale
        self.W = nn.Parameter(torch.empty(dimensions, people))
        nn.init.normal_(self.W, std=0.01)  # short; see classifier in criterion.py

    def forward(self, embeddings: Tensor, labels: Tensor, _: Any = None) -> Tensor:
        cosines = F.normalize(embeddings) @ F.normalize(self.W, dim=0)
        z = self.quality(embeddings.detach().norm(dim=1))
        own = cosines.gather(1, labels[:, None])[:, 0]
        logits = self.scale * cosines.scatter(1, labels[:, None], self.with_margin(own, z)[:, None])
        return F.cross_entropy(logits, labels)
