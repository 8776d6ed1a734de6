"""AdaFace: the margin of each image follows its quality, read off the length of its embedding.

Kim, Jain and Liu, "AdaFace: Quality adaptive margin for face recognition", CVPR 2022.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CONCENTRATION = 0.333  # the authors' h: one deviation of the lengths turns a third of the margin
MEMORY = 0.99  # of the running mean and deviation of the lengths; the authors' alpha
CLOSE = 1e-3  # radians from 0 and pi that angles keep, as in the authors' code


class AdaFace(nn.Module):
    """Embeddings (n, d) of any length and labels (n,) -> the mean cross-entropy over ``people`` classes.

    With z the length's deviation from the running mean, in running deviations times h and cut to
    [-1, 1], the logit of one's own class is scale * (cos(angle - margin z) - margin (1 + z)): hard
    images that are good count more, images that nobody could recognise less.
    """

    mean: Tensor
    deviation: Tensor
    seen: Tensor

    def __init__(self, people: int, dimensions: int, margin: float, scale: float) -> None:
        super().__init__()
        self.margin, self.scale = margin, scale
        self.W = nn.Parameter(torch.empty(dimensions, people))
        nn.init.normal_(self.W, std=0.01)  # see Criterion on why so short
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
        """z of each length (n,); the running statistics move on in training."""
        lengths = lengths.clamp(1e-3, 100)
        if self.training:
            # The first batch sets them: the authors' constants are those of their own network.
            weight = 1 - MEMORY if self.seen else 1.0
            self.mean.lerp_(lengths.mean(), weight)
            self.deviation.lerp_(lengths.std(correction=0), weight)
            self.seen.fill_(1.0)
        deviations = (lengths - self.mean) / (self.deviation + 1e-3)
        return (CONCENTRATION * deviations).clamp(-1, 1)
