"""The networks that a recipe can name: a small ResNet and the legacy CNN.

Both map normalized crops (n, 3, S, S) to embeddings (n, d) that do *not* have unit length; losses and
exporter normalize them.  They use plain 3 x 3 convolutions and ReLU: on a CPU depthwise convolutions train
about ten times slower, and the gradient of PReLU costs a quarter of a step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..recipe.schema import NetworkSpec

Pool = Literal["average", "grid", "flatten"]
GRID = 3  # cells per side of pool = "grid": the size of the last feature map of 48 px crops


def convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Return a 3 x 3 convolution with batch normalization."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(outputs)
    )


class Standardize(nn.Module):
    """Bring each crop to mean 0 and variance 1, which removes lighting and contrast."""

    def forward(self, x: Tensor) -> Tensor:
        centered = x - x.mean(dim=(1, 2, 3), keepdim=True)
        variance = centered.square().mean(dim=(1, 2, 3), keepdim=True)
        return centered * torch.rsqrt(variance + 1e-3)  # a constant crop stays finite


class DropPath(nn.Module):
    """Stochastic depth: in training, set a residual branch to zero for a share ``rate`` of the images.

    The others are scaled up, so that the mean stays.

    Source:
        Huang et al., "Deep networks with stochastic depth", ECCV 2016.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        keep = 1 - self.rate
        kept = torch.rand(len(x), 1, 1, 1, device=x.device) < keep
        return x * (kept / keep).to(x.dtype)


class ResidualBlock(nn.Module):
    """A residual block (He et al., CVPR 2016) with average pooling in the shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int, drop_path: float = 0.0) -> None:
        super().__init__()
        self.body = nn.Sequential(
            convolution(inputs, outputs, stride), nn.ReLU(), convolution(outputs, outputs)
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            # Averaging first uses the pixels that a strided 1 x 1 convolution would skip.
            pool: nn.Module = nn.AvgPool2d(stride, ceil_mode=True) if stride > 1 else nn.Identity()
            self.shortcut = nn.Sequential(
                pool, nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
            )
        self.drop_path: nn.Module = DropPath(drop_path) if drop_path else nn.Identity()
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        activated: Tensor = self.activation(self.drop_path(self.body(x)) + self.shortcut(x))
        return activated


class ResNet(nn.Module):
    """A strided stem, one stage for each further width, which halves the resolution, and the embedding.

    Args:
        size: Side of the crops, in pixels.
        widths: Channels of the stem and of each stage.
        blocks: Residual blocks of each stage.
        dimensions: Dimensions of the embedding.
        dropout: Dropout before the embedding.
        pool: ``average`` over space; ``flatten``, which keeps positions at the cost of more weights (Deng et
            al., CVPR 2019); or ``grid``, averages over 3 x 3 parts of the crop, whatever its size.
        drop_path: Rate of stochastic depth in the last block; it rises linearly to there.
        standardize: Begin with ``Standardize``.
    """

    def __init__(
        self,
        size: int,
        widths: Sequence[int],
        blocks: Sequence[int],
        dimensions: int,
        dropout: float,
        pool: Pool,
        drop_path: float = 0.0,
        standardize: bool = False,
    ) -> None:
        super().__init__()
        self.entry: nn.Module = Standardize() if standardize else nn.Identity()
        layers: list[nn.Module] = [convolution(3, widths[0], 2), nn.ReLU()]
        previous, side = widths[0], -(-size // 2)
        done, depth = 0, sum(blocks)
        for width, count in zip(widths[1:], blocks, strict=True):
            side = -(-side // 2)
            for index in range(count):
                done += 1
                skipped = drop_path * done / depth  # less for early blocks, whose features all others use
                layers.append(ResidualBlock(previous, width, 2 if index == 0 else 1, skipped))
                previous = width
        self.features = nn.Sequential(*layers)
        cells = {"average": 1, "grid": GRID, "flatten": side}[pool]
        self.pool: nn.Module = nn.BatchNorm2d(previous) if pool == "flatten" else nn.AdaptiveAvgPool2d(cells)
        self.dropout = nn.Dropout(dropout)
        self.embedding = nn.Linear(previous * cells * cells, dimensions, bias=False)
        self.normalise = nn.BatchNorm1d(dimensions)  # this name is a key of checkpoints

    def forward(self, x: Tensor) -> Tensor:
        flat = self.pool(self.features(self.entry(x))).flatten(1)
        embedded: Tensor = self.normalise(self.embedding(self.dropout(flat)))
        return embedded


class Branches(nn.Module):
    """Networks side by side, each with its part of the embedding: an ensemble in one file.

    With ``loss.halves`` the first classifies people and the second compares images; their errors differ
    more than with one network for both.
    """

    def __init__(self, branches: Sequence[nn.Module]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], dim=1)


class LegacyCNN(nn.Module):
    """The plain CNN of the script that facealike replaces, for comparison: it overfits.

    Convolution, ReLU and pooling for each width, then a hidden layer.  The first convolution is strided, for
    speed on a CPU.

    Args:
        size: Side of the crops, in pixels.
        widths: Channels of each layer.
        dimensions: Dimensions of the embedding.
        standardize: Begin with ``Standardize``.
    """

    def __init__(self, size: int, widths: Sequence[int], dimensions: int, standardize: bool = False) -> None:
        super().__init__()
        self.entry: nn.Module = Standardize() if standardize else nn.Identity()
        layers: list[nn.Module] = []
        previous, side = 3, -(-size // 2)
        for width in widths:
            first = nn.Conv2d(previous, width, 5, stride=2, padding=2)
            convolution = nn.Conv2d(previous, width, 3, padding=1) if layers else first
            layers += [convolution, nn.ReLU(), nn.MaxPool2d(2)]
            previous, side = width, side // 2
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.Linear(previous * side * side, 256), nn.ReLU(), nn.Linear(256, dimensions)
        )

    def forward(self, x: Tensor) -> Tensor:
        embedded: Tensor = self.head(self.features(self.entry(x)).flatten(1))
        return embedded


def to_unit(embedded: Tensor, parts: int = 1) -> Tensor:
    """Return unit vectors (n, d) in which each of ``parts`` equal parts of the embedding has the same norm.

    Parts that were trained with different losses differ in norm.  The cosine of two such vectors is the mean
    of the cosines of their parts.
    """
    each = [F.normalize(part) for part in embedded.float().chunk(parts, dim=1)]
    return each[0] if parts == 1 else torch.cat(each, dim=1) / math.sqrt(parts)


def initialize(network: nn.Module) -> None:
    """Initialize convolutions as in He et al., ICCV 2015."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def make_network(spec: NetworkSpec, size: int) -> nn.Module:
    """Return the network of a recipe for crops of ``size`` pixels, initialized from torch's random state."""
    if spec.kind == "legacy":
        return LegacyCNN(size, spec.widths, spec.dimensions, spec.standardize)
    parts = [
        ResNet(
            size, spec.widths, spec.blocks, spec.dimensions // spec.branches, spec.dropout, spec.pool,
            spec.drop_path, spec.standardize,
        )
        for _ in range(spec.branches)
    ]  # fmt: skip
    network = parts[0] if spec.branches == 1 else Branches(parts)
    initialize(network)
    return network
