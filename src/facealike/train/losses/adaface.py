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


class AdaFace(nn.Module):
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

    mean: Tensor
    deviation: Tensor
    seen: Tensor

    def __init__(self, people: int, dimensions: int, margin: float, scale: float) -> None:
        super().__init__()
        self.margin, self.scale = margin, scale
        self.W = nn.Parameter(torch.empty(dimensions, people))
        nn.init.normal_(self.W, std=0.01)  # short; see classifier in criterion.py
        for name in ("mean", "deviation", "seen"):  # the checkpoint keeps them
            self.register_buffer(name, torch.tensor(0.0))

    def forward(self, embeddings: Tensor, labels: Tensor, _: Any = None) -> Tensor:
        cosines = F.normalize(embeddings) @ F.normalize(self.W, dim=0)
        z = self.quality(embeddings.detach().norm(dim=1))
        own = cosines.gather(1, labels[:, None])[:, 0]
        angles = torch.acos(own.clamp(-1 + 1e-6, 1 - 1e-6)) - self.margin * z
        target = torch.cos(angles.clamp(CLOSE, math.pi - CLOSE)) - self.margin * (1 + z)
        logits = self.scale * cosines.scatter(1, labels[:, None], target[:, None])
        return F.cross_entropy(logits, labels)

    @torch.no_grad()
    def quality(self, lengths: Tensor) -> Tensor:
        """Return z of each norm (n,); in training the running statistics are updated."""
        lengths = lengths.clamp(1e-3, 100)
        if self.training:
            # The first batch sets them: the authors' initial values fit their own network.
            weight = 1 - MEMORY if self.seen else 1.0
            self.mean.lerp_(lengths.mean(), weight)
            self.deviation.lerp_(lengths.std(correction=0), weight)
            self.seen.fill_(1.0)
        deviations = (lengths - self.mean) / (self.deviation + 1e-3)
        return (CONCENTRATION * deviations).clamp(-1, 1)
