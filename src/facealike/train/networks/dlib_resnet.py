"""dlib's face network in torch: a teacher that runs inside a training step, or a network to start from."""

from __future__ import annotations

from pathlib import Path

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
    """RGB crops in 0..255, (n, 3, 150, 150), to dlib's descriptors (n, 128), to be compared by distance.

    The crops are dlib's chips: 150 px, padding 0.25.  Runs under autocast; with ``channels_last`` and
    bfloat16 a CPU is fastest, and descriptors differ by some 4e-3.  ``frozen`` stops all gradients.
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
        """The network in the file at ``path``; without one, in the installed package.

        Raises MissingExtra where the package is not installed, ModelError for a file of another kind.
        """
        return cls(read_dlib_resnet((path or find_dlib_weights()).read_bytes()), frozen)

    def forward(self, images: Tensor) -> Tensor:
        return self.describe((images - self.mean) / STD)

    def describe(self, crops: Tensor) -> Tensor:
        """Descriptors (n, 128), float32, of crops that are normalised already."""
        x = F.max_pool2d(F.relu(self.stem(crops)), 3, 2)
        x = self.blocks(x).mean(dim=(2, 3))
        # In float32 also under autocast: the matrix is small, and its rounding would be the largest.
        with torch.autocast(x.device.type, enabled=False):
            described: Tensor = self.matrix(x.float())
        return described


class LiftedDlib(nn.Module):
    """Crops as the ``dlib`` model normalises them, (n, 3, 150, 150), to its unit vectors, (n, 129).

    Where training that starts from dlib's network begins: untrained, it scores every pair as that
    model does.  The lift is that of ``facealike.model_zoo.dlib_onnx.to_onnx``.
    """

    def __init__(self, net: DlibResNet, e: float) -> None:
        super().__init__()
        self.network, self.e = DlibTeacher(net, frozen=False), e

    def forward(self, crops: Tensor) -> Tensor:
        x = self.e * self.network.describe(crops)
        square = x.square().sum(dim=1, keepdim=True)
        return torch.cat([2 * x, 1 - square], dim=1) / (1 + square)


class DlibBlock(nn.Module):
    """Two convolutions beside a shortcut; see ``facealike.model_zoo.dlib_weights.Block``."""

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
    """The same layer in torch."""
    outputs, inputs, side, _ = layer.weight.shape
    made = nn.Conv2d(inputs, outputs, side, layer.stride, layer.padding)
    made.weight.data.copy_(torch.from_numpy(layer.weight))
    made.bias.data.copy_(torch.from_numpy(layer.bias))  # type: ignore[union-attr]
    return made
