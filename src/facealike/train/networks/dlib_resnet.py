"""dlib's face network in torch, as a teacher or as a network to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...model_zoo.dlib_weights import (
    MEAN,
    STD,
    Block,
    Convolution,
    DlibResNet,
    find_dlib_weights,
    read_dlib_resnet,
)

__all__ = ["DlibTeacher", "LiftedDlib", "find_dlib_weights"]


class DlibTeacher(nn.Module):
    """dlib's network: RGB chips in 0..255, (n, 3, 150, 150), to descriptors (n, 128), compared by distance.

    Chips are 150 px with padding 0.25.  The network runs under autocast; in bfloat16 descriptors differ by
    about 4e-3.

    Args:
        net: The weights.
        frozen: Evaluation mode and no gradients.
    """

    mean: Tensor

    def __init__(self, net: DlibResNet, frozen: bool = True) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.stem = convolution(net.stem)
        self.blocks = nn.Sequential(*(DlibBlock(block) for block in net.blocks))
        inputs, outputs = net.matrix.shape
        self.matrix = nn.Linear(inputs, outputs, bias=False)
        self.matrix.weight.data.copy_(torch.from_numpy(net.matrix.T.copy()))
        if frozen:
            self.eval().requires_grad_(False)

    @classmethod
    def load(cls, path: Path | None = None, frozen: bool = True) -> DlibTeacher:
        """Return the network in a file.

        Args:
            path: A .dat file; None for the one in the installed package.
            frozen: As in the constructor.

        Raises:
            MissingExtra: The package is not installed.
            ModelError: The file is not dlib's network.
        """
        return cls(read_dlib_resnet((path or find_dlib_weights()).read_bytes()), frozen)

    def forward(self, images: Tensor) -> Tensor:
        """Return descriptors (n, 128) of chips (n, 3, 150, 150) in 0..255."""
        return self.describe((images - self.mean) / STD)

    def describe(self, crops: Tensor) -> Tensor:
        """Return descriptors (n, 128), float32, of chips that are normalized already."""
        return self.describe_maps(self.maps(crops, 0), 0)

    def maps(self, crops: Tensor, blocks: int) -> Tensor:
        """Return the output of the first ``blocks`` blocks, (n, c, H, W), for normalized chips."""
        x = F.max_pool2d(F.relu(self.stem(crops)), 3, 2)
        maps: Tensor = self._some(0, blocks)(x)
        return maps

    def describe_maps(self, maps: Tensor, blocks: int) -> Tensor:
        """Return descriptors (n, 128), float32, of what ``maps`` returned."""
        x = self._some(blocks, len(self.blocks))(maps).mean(dim=(2, 3))
        # float32 under autocast too: rounding in this small matrix would be the largest error.
        with torch.autocast(x.device.type, enabled=False):
            described: Tensor = self.matrix(x.float())
        return described

    def _some(self, first: int, end: int) -> nn.Module:
        """Return the blocks from ``first`` to before ``end``."""
        blocks: Any = self.blocks
        some: nn.Module = blocks[first:end]
        return some


class LiftedDlib(nn.Module):
    """The ``dlib`` model as a network to train: normalized chips (n, 3, 150, 150) to unit vectors (n, 129).

    Before training it scores every pair as that model does.  The lift onto the sphere is that of
    ``facealike.model_zoo.dlib_onnx.to_onnx``.

    Args:
        net: The weights.
        e: Scale of the descriptors on the sphere.
    """

    def __init__(self, net: DlibResNet, e: float) -> None:
        super().__init__()
        self.network, self.e = DlibTeacher(net, frozen=False), e

    def forward(self, crops: Tensor) -> Tensor:
        """Return unit vectors (n, 129) of normalized chips."""
        return lift(self.network.describe(crops), self.e)


def lift(descriptors: Tensor, e: float) -> Tensor:
    """Return unit vectors (n, d + 1) of descriptors (n, d), lifted onto the sphere with scale ``e``."""
    x = e * descriptors
    square = x.square().sum(dim=1, keepdim=True)
    return torch.cat([2 * x, 1 - square], dim=1) / (1 + square)


class DlibBlock(nn.Module):
    """A residual block of two convolutions; see ``facealike.model_zoo.dlib_weights.Block``."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.first, self.second, self.down = convolution(block.first), convolution(block.second), block.down

    def forward(self, x: Tensor) -> Tensor:
        body = self.second(F.relu(self.first(x)))
        if self.down:
            x = F.avg_pool2d(x, 2)
            rows = x.shape[2] - body.shape[2]
            body = F.pad(body, (0, rows, 0, rows))
            x = F.pad(x, (0, 0, 0, 0, 0, body.shape[1] - x.shape[1]))
        return F.relu(body + x)


def convolution(layer: Convolution) -> nn.Conv2d:
    """Return the layer in torch."""
    outputs, inputs, side, _ = layer.weight.shape
    made = nn.Conv2d(inputs, outputs, side, layer.stride, layer.padding)
    made.weight.data.copy_(torch.from_numpy(layer.weight))
    made.bias.data.copy_(torch.from_numpy(layer.bias))  # type: ignore[union-attr]
    return made
