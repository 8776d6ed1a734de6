"""The trained part of the joint student: a branch beside the deep blocks of dlib's network.

dlib's last layer sees the mean of its last map (256 numbers).  The branch ends one stage earlier, and its
last layer sees the places of its two maps, 256 x 4 x 4 and 128 x 4 x 4.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..networks.dlib_resnet import DlibTeacher
from ..networks.product_gradient import with_product_gradients

TRUNK = 7  # blocks of dlib's network with 32 and 64 channels; the branch begins behind them
MIDDLE = 10  # the end of the blocks with 128 channels
DEEP = 12  # two of the three blocks with 256 channels; the third would make the model file 1.2 MB larger
PLACES = 4  # side of the described maps
RIDGE = 1.0  # ridge parameter, relative to the variance of a feature


class Branch(nn.Module):
    """Maps of the trunk, (n, 64, 17, 17), to raw embeddings (n, d).

    Args:
        body: dlib's network, whose blocks the branch begins with; it takes them, and does not copy them.
        dimensions: d.
    """

    def __init__(self, body: DlibTeacher, dimensions: int) -> None:
        super().__init__()
        blocks: Any = body.blocks
        self.middle, self.deep = blocks[TRUNK:MIDDLE], blocks[MIDDLE:DEEP]
        with_product_gradients(self)
        middle, deep = (stage[-1].second.out_channels for stage in (self.middle, self.deep))
        self.matrix = nn.Linear((deep + middle) * PLACES**2, dimensions)

    def forward(self, maps: Tensor) -> Tensor:
        """Return raw embeddings (n, d), float32, of maps of the trunk."""
        features = self._described(maps)
        with torch.autocast(maps.device.type, enabled=False):  # rounding here would be the largest error
            embedded: Tensor = self.matrix(features.float())
        return embedded

    @torch.no_grad()
    def features(self, maps: Tensor) -> Tensor:
        """Return the input of the last layer, float32 (n, width)."""
        return self._described(maps).float()

    @torch.no_grad()
    def fit(self, features: Tensor, targets: Tensor) -> float:
        """Fit the last layer to ``targets`` (n, d) by ridge regression; return the mean cosine to them."""
        mean, spread = features.mean(dim=0).double(), features.std(dim=0).double() + 1e-4
        x = (features.double() - mean) / spread
        center = targets.double().mean(dim=0)
        wide = x.shape[1] > len(x)  # then the dual is the smaller system
        square = x @ x.T if wide else x.T @ x
        square.diagonal().add_(RIDGE * len(x))
        y = targets.double() - center
        solved = x.T @ torch.linalg.solve(square, y) if wide else torch.linalg.solve(square, x.T @ y)
        solved /= spread[:, None]
        self.matrix.weight.copy_(solved.T)
        self.matrix.bias.copy_(center - mean @ solved)
        return float(F.cosine_similarity(self.matrix(features), targets).mean())

    def _described(self, maps: Tensor) -> Tensor:
        middle = self.middle(maps)
        deep = self.deep(middle)
        pooled = F.avg_pool2d(middle, middle.shape[2] // PLACES)
        return torch.cat([deep.flatten(1), pooled.flatten(1)], dim=1)
