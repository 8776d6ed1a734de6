"""The network of facealike's face detector: small, with YuNet's outputs.

The output format is YuNet's, so that one decoder reads both.  YuNet uses depthwise convolutions, which
train slowly on a CPU.  This network has plain 3 x 3 convolutions with few channels, a stem that reaches
stride 4 in two steps and refines that map for the smallest faces, and a top-down path into a small head for
each of the strides 8, 16 and 32.  It has no normalization layers: on a CPU they take a quarter of a training
step.

Source: Wu, Peng and Yu, "YuNet: a tiny millisecond-level face detector", Machine Intelligence Research 2023
(format); Lin et al., "Feature pyramid networks for object detection", CVPR 2017 (top-down path).
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ...detection.yunet import STRIDES
from ...errors import TrainingError

SCALE = 1 / 255
"""Factor of pixels in 0..255; the ONNX file has it in its first weights.

No mean is subtracted, so that zero padding is black.
"""

WIDTHS = (16, 32, 48, 48, 32)
"""Channels at strides 2, 4, 8, 16 and 32; multiples of 16, the vector width of CPUs."""
NECK = 32
OUTPUTS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}


class Prediction(NamedTuple):
    """The raw output for all cells of all strides, finest stride first, row by row.

    ``cls`` and ``obj`` are logits (n, cells); ``bbox`` (n, cells, 4) and ``kps`` (n, cells, 10) are in
    units of the stride, as in YuNet.
    """

    cls: Tensor
    obj: Tensor
    bbox: Tensor
    kps: Tensor


def _conv(wide: int, out: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(wide, out, 3, stride, 1)


class Stage(nn.Module):
    """Halve the side, then one residual block (He et al., CVPR 2016) of two 3 x 3 convolutions."""

    def __init__(self, wide: int, out: int) -> None:
        super().__init__()
        self.down, self.first, self.second = _conv(wide, out, 2), _conv(out, out), _conv(out, out)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.down(x))
        return functional.relu(x + self.second(functional.relu(self.first(x))))


class DetectorNet(nn.Module):
    """BGR pixels times ``SCALE``, float (n, 3, H, W), to ``Prediction``; sides are multiples of 32."""

    def __init__(self, widths: tuple[int, ...] = WIDTHS, neck: int = NECK) -> None:
        super().__init__()
        self.stem = nn.ModuleList([_conv(3, widths[0], 2), _conv(widths[0], widths[1], 2)])
        self.fine = _conv(widths[1], widths[1])
        self.stages = nn.ModuleList([Stage(wide, out) for wide, out in itertools.pairwise(widths[1:])])
        self.lateral = nn.ModuleList([nn.Conv2d(out, neck, 1) for out in widths[2:]])
        self.tower = nn.ModuleList([_conv(neck, neck) for _ in STRIDES])
        self.head = nn.ModuleList([nn.Conv2d(neck, sum(OUTPUTS.values()), 1) for _ in STRIDES])
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        for head in self.head:
            assert isinstance(head, nn.Conv2d) and head.bias is not None
            nn.init.normal_(head.weight, std=0.01)
            # The first confidence is 1 %: otherwise the many empty cells dominate the loss.
            nn.init.constant_(head.bias[1:2], -math.log(99))

    def maps(self, x: Tensor) -> list[Tensor]:
        """Return the output of each head, (n, 16, H / stride, W / stride), finest stride first."""
        for layer in self.stem:
            x = functional.relu(layer(x))
        x = functional.relu(x + self.fine(x))
        levels = []
        for stage, lateral in zip(self.stages, self.lateral, strict=True):
            x = stage(x)
            levels.append(lateral(x))
        for i in range(len(levels) - 1, 0, -1):
            up = functional.interpolate(levels[i], scale_factor=2.0, mode="nearest")
            levels[i - 1] = levels[i - 1] + up
        return [
            head(functional.relu(tower(functional.relu(level))))
            for level, tower, head in zip(levels, self.tower, self.head, strict=True)
        ]

    def forward(self, x: Tensor) -> Prediction:
        """Return the output for all cells."""
        flat = torch.cat([m.permute(0, 2, 3, 1).flatten(1, 2) for m in self.maps(x)], dim=1).float()
        cls, obj, bbox, kps = torch.split(flat, list(OUTPUTS.values()), dim=2)
        return Prediction(cls[..., 0], obj[..., 0], bbox, kps)


def cells(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return top left corners (cells, 2), in pixels, and strides (cells,), in the order of ``Prediction``."""
    corners, strides = [], []
    for stride in STRIDES:
        rows, columns = torch.meshgrid(
            torch.arange(height // stride), torch.arange(width // stride), indexing="ij"
        )
        corners.append(torch.stack([columns, rows], dim=2).reshape(-1, 2).float() * stride)
        strides.append(torch.full((rows.numel(),), float(stride)))
    return torch.cat(corners), torch.cat(strides)


def to_pixels(prediction: Prediction, corners: Tensor, strides: Tensor) -> tuple[Tensor, Tensor]:
    """Return boxes (n, cells, 4) as left, top, right, bottom, and points (n, cells, 5, 2), in pixels."""
    step = strides[:, None]
    center = prediction.bbox[..., :2] * step + corners
    half = prediction.bbox[..., 2:].clamp(-8, 8).exp() * step / 2
    points = prediction.kps.reshape(*prediction.kps.shape[:2], 5, 2) * step[:, None] + corners[:, None]
    return torch.cat([center - half, center + half], dim=2), points


def parameters(network: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(weight.numel() for weight in network.parameters())


def load_exported(network: DetectorNet, content: bytes) -> None:
    """Initialize ``network`` with the weights of an ONNX file that ``export`` wrote.

    The file's network may be narrower, or lack ``fine``.  Then the new channels have no effect at first, and
    so the output is the same (Chen, Goodfellow and Shlens, "Net2Net", ICLR 2016).

    Raises:
        TrainingError: The file's network is wider.
    """
    import onnx

    stored = {
        tensor.name.removesuffix("_half"): torch.from_numpy(
            onnx.numpy_helper.to_array(tensor).astype(np.float32)
        )
        for tensor in onnx.load_from_string(content).graph.initializer
    }

    def fill(name: str, layer: nn.Module, rows: slice = slice(None), factor: float = 1.0) -> None:
        assert isinstance(layer, nn.Conv2d) and layer.bias is not None
        weight, bias = layer.weight[rows], layer.bias[rows]
        if f"{name}.weight" not in stored:
            weight.zero_()
            bias.zero_()
            return
        known = stored[f"{name}.weight"]
        out, wide = known.shape[:2]
        if out > len(weight) or wide > weight.shape[1]:
            raise TrainingError(
                f"{name} of the detector to start from is wider than the network; start without it"
            )
        weight[:out].zero_()
        weight[:out, :wide] = known * factor
        bias[:out] = stored[f"{name}.bias"]

    with torch.no_grad():
        fill("stem0", network.stem[0], factor=1 / SCALE)
        fill("stem1", network.stem[1])
        fill("fine", network.fine)
        for i, stage in enumerate(network.stages):
            for part in ("down", "first", "second"):
                fill(f"stage{i}.{part}", getattr(stage, part))
            fill(f"lateral{i}", network.lateral[i])
        for stride, tower, head in zip(STRIDES, network.tower, network.head, strict=True):
            fill(f"tower{stride}", tower)
            first = 0
            for kind, wide in OUTPUTS.items():
                fill(f"head_{kind}_{stride}", head, slice(first, first + wide))
                first += wide
