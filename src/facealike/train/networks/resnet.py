"""The two networks a recipe can name: a plain small ResNet and the seed repository's kind of CNN.

Both map normalised crops (n, 3, S, S) to embeddings (n, d) that are *not* yet of unit length; the
losses and the exporter normalise.  Plain 3x3 convolutions and ReLU on purpose: on a CPU depthwise
convolutions train about ten times slower, and the gradient of PReLU alone costs a quarter of a step.
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
GRID = 3  # cells a side, of pool = "grid": as many as the smallest crops, of 48 px, have places


def convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(outputs)
    )


class Standardise(nn.Module):
    """Each crop to mean 0 and variance 1 over all its pixels and channels: lighting and contrast go."""

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(dim=(1, 2, 3), keepdim=True)
        variance = centred.square().mean(dim=(1, 2, 3), keepdim=True)
        return centred * torch.rsqrt(variance + 1e-3)  # a plain grey crop stays one


class DropPath(nn.Module):
    """In training, zero for a part ``rate`` of the images, and the others scaled up to keep the mean.

    Beside a shortcut that skips the block (Huang et al., "Deep networks with stochastic depth",
    ECCV 2016).
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
    """Two 3x3 convolutions beside a shortcut (He et al., CVPR 2016); average pooling where it shrinks."""

    def __init__(self, inputs: int, outputs: int, stride: int, drop_path: float = 0.0) -> None:
        super().__init__()
        self.body = nn.Sequential(
            convolution(inputs, outputs, stride), nn.ReLU(), convolution(outputs, outputs)
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            # Averaging before the 1x1 convolution keeps the pixels a strided one would throw away.
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
    """A strided stem, then one stage a width, each halving the resolution; then the embedding.

    ``pool="average"`` averages each channel over space; ``"flatten"`` keeps where on the face a
    feature was seen, as networks for aligned faces do (Deng et al., CVPR 2019), for more weights;
    ``"grid"`` averages over each of three by three parts of the crop, whatever its size.
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
        standardise: bool = False,
    ) -> None:
        super().__init__()
        self.entry: nn.Module = Standardise() if standardise else nn.Identity()
        layers: list[nn.Module] = [convolution(3, widths[0], 2), nn.ReLU()]
        previous, side = widths[0], -(-size // 2)
        done, depth = 0, sum(blocks)
        for width, count in zip(widths[1:], blocks, strict=True):
            side = -(-side // 2)
            for index in range(count):
                done += 1
                skipped = drop_path * done / depth  # early features serve all that follow
                layers.append(ResidualBlock(previous, width, 2 if index == 0 else 1, skipped))
                previous = width
        self.features = nn.Sequential(*layers)
        cells = {"average": 1, "grid": GRID, "flatten": side}[pool]
        self.pool: nn.Module = nn.BatchNorm2d(previous) if pool == "flatten" else nn.AdaptiveAvgPool2d(cells)
        self.dropout = nn.Dropout(dropout)
        self.embedding = nn.Linear(previous * cells * cells, dimensions, bias=False)
        self.normalise = nn.BatchNorm1d(dimensions)

    def forward(self, x: Tensor) -> Tensor:
        flat = self.pool(self.features(self.entry(x))).flatten(1)
        embedded: Tensor = self.normalise(self.embedding(self.dropout(flat)))
        return embedded


class Branches(nn.Module):
    """Networks side by side, each making its part of the embedding: an ensemble in one file.

    With ``loss.halves`` the first learns to classify people and the second to compare images; what
    they get wrong differs more than with one body for both (figures in docs/results/ablations.md).
    """

    def __init__(self, branches: Sequence[nn.Module]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], dim=1)


class SeedCNN(nn.Module):
    """Convolution, ReLU and pooling a few times, then a hidden layer: what overfitted in the seed.

    The first convolution is strided, which the pictures of 160 px can bear and a CPU needs.
    """

    def __init__(self, size: int, widths: Sequence[int], dimensions: int, standardise: bool = False) -> None:
        super().__init__()
        self.entry: nn.Module = Standardise() if standardise else nn.Identity()
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
    """Embeddings (n, d) -> unit vectors (n, d) in which each of ``parts`` equal parts weighs the same.

    Parts that were trained for different ends have lengths of their own, which vary from face to
    face; the cosine of what comes out is the mean of the parts' cosines.
    """
    each = [F.normalize(part) for part in embedded.float().chunk(parts, dim=1)]
    return each[0] if parts == 1 else torch.cat(each, dim=1) / math.sqrt(parts)


def initialise(network: nn.Module) -> None:
    """He initialisation for convolutions (He et al., ICCV 2015)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def make_network(spec: NetworkSpec, size: int) -> nn.Module:
    """Return the network of a recipe for crops of ``size`` pixels, initialized from torch's random state."""
    if spec.kind == "seed":
        return SeedCNN(size, spec.widths, spec.dimensions, spec.standardise)
    parts = [
        ResNet(
            size, spec.widths, spec.blocks, spec.dimensions // spec.branches, spec.dropout, spec.pool,
            spec.drop_path, spec.standardise,
        )
        for _ in range(spec.branches)
    ]  # fmt: skip
    network = parts[0] if spec.branches == 1 else Branches(parts)
    initialise(network)
    return network
