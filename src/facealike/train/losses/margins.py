"""What the margin losses do to the cosine between an embedding and the vector of its own class."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class CosineMargin(nn.Module):
    """CosFace: the cosine less the margin.

    Source: Wang et al., "CosFace: Large margin cosine loss for deep face recognition", CVPR 2018.
    """

    def __init__(self, margin: float) -> None:
        super().__init__()
        self.margin = margin

    def quality(self, norms: Tensor) -> Tensor:
        """Return nothing of use: each image has the same margin."""
        return norms

    def with_margin(self, own: Tensor, _: Tensor) -> Tensor:
        """Return the cosines ``own`` (n,) with their margin."""
        return own - self.margin


class AngularMargin(CosineMargin):
    """ArcFace: the cosine of the angle plus the margin; beyond pi it goes on falling.

    Source: Deng et al., "ArcFace: Additive angular margin loss for deep face recognition", CVPR 2019.
    """

    def with_margin(self, own: Tensor, _: Tensor) -> Tensor:
        """Return the cosines ``own`` (n,) with their margin."""
        angles = torch.acos(own.clamp(-1 + 1e-6, 1 - 1e-6))  # the slope at 1 is infinite
        beyond = own - self.margin * math.sin(self.margin)
        return torch.where(angles <= math.pi - self.margin, torch.cos(angles + self.margin), beyond)
