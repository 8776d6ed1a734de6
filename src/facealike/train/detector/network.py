"""The network of facealike's face detector: small, with YuNet's outputs.

The output format is YuNet's, so that one decoder reads both.  YuNet uses depthwise convolutions, which
train slowly on a CPU.  This network has plain 3 x 3 convolutions with few channels, a stem that reaches
stride 4 in two steps, and a top-down path into a small head for each of the strides 8, 16 and 32.

Source: Wu, Peng and Yu, "YuNet: a tiny millisecond-level face detector", Machine Intelligence Research 2023
(format); Lin et al., "Feature pyramid networks for object detection", CVPR 2017 (top-down path).
"""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ...detection.yunet import STRIDES

SCALE = 1 / 255
"""Factor of pixels in 0..255; the ONNX file has it in its first weights.

No mean is subtracted, so that zero padding is black.
"""

WIDTHS = (16, 32, 32, 48, 48)
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


def _conv(wide: int, out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(wide, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out))


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
        self.stages = nn.ModuleList([Stage(wide, out) for wide, out in itertools.pairwise(widths[1:])])
        self.lateral = nn.ModuleList([nn.Conv2d(out, neck, 1) for out in widths[2:]])
        self.tower = nn.ModuleList([_conv(neck, neck) for _ in STRIDES])
        self.head = nn.ModuleList([nn.Conv2d(neck, sum(OUTPUTS.values()), 1) for _ in STRIDES])
        for head in self.head:
            assert isinstance(head, nn.Conv2d) and head.bias is not None
            nn.init.normal_(head.weight, std=0.01)
            nn.init.zeros_(head.bias)
            # The first confidence is 1 %: otherwise the many empty cells dominate the loss.
            nn.init.constant_(head.bias[1:2], -math.log(99))

    def maps(self, x: Tensor) -> list[Tensor]:
        """Return the output of each head, (n, 16, H / stride, W / stride), finest stride first."""
        for layer in self.stem:
            x = functional.relu(layer(x))
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


Folded = tuple[NDArray[np.float32], NDArray[np.float32]]


def folded_convolution(layer: nn.Module) -> Folded:
    """Return weight and bias of a convolution equal to ``layer`` and its batch normalization."""
    if isinstance(layer, nn.Conv2d):
        assert layer.bias is not None
        return layer.weight.detach().float().numpy(), layer.bias.detach().float().numpy()
    conv, norm = layer[0], layer[1]  # type: ignore[index]
    factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    weight = conv.weight * factor[:, None, None, None]
    bias = norm.bias - norm.running_mean * factor
    return weight.detach().float().numpy(), bias.detach().float().numpy()


def load_folded(network: DetectorNet, content: bytes, pixels: Tensor) -> None:
    """Initialize ``network`` with the weights of an ONNX file that ``export`` wrote.

    Batch normalizations are folded in the file.  Here each becomes the identity on a batch of pictures,
    with the statistics of that batch.

    Args:
        network: The network to change.
        content: The ONNX file.
        pixels: The batch, BGR times ``SCALE``, float (n, 3, H, W).
    """
    import onnx

    stored = {
        tensor.name.removesuffix("_half"): torch.from_numpy(
            onnx.numpy_helper.to_array(tensor).astype(np.float32)
        )
        for tensor in onnx.load_from_string(content).graph.initializer
    }

    def fill(name: str, layer: nn.Module, factor: float = 1.0) -> None:
        conv = layer if isinstance(layer, nn.Conv2d) else layer[0]  # type: ignore[index]
        conv.weight.copy_(stored[f"{name}.weight"] * factor)
        if isinstance(layer, nn.Conv2d):
            layer.bias.copy_(stored[f"{name}.bias"])  # type: ignore[union-attr]
            return
        norm = layer[1]  # type: ignore[index]

        def match(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            variance, mean = torch.var_mean(inputs[0].float(), dim=(0, 2, 3), unbiased=False)
            norm.weight.copy_(torch.sqrt(variance + norm.eps))
            norm.bias.copy_(stored[f"{name}.bias"] + mean)
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(variance)

        hooks.append(norm.register_forward_pre_hook(match))

    hooks: list[Any] = []
    with torch.no_grad():
        fill("stem0", network.stem[0], 1 / SCALE)
        fill("stem1", network.stem[1])
        for i, stage in enumerate(network.stages):
            for part in ("down", "first", "second"):
                fill(f"stage{i}.{part}", getattr(stage, part))
            fill(f"lateral{i}", network.lateral[i])
        for stride, tower, head in zip(STRIDES, network.tower, network.head, strict=True):
            fill(f"tower{stride}", tower)
            parts = [f"head_{kind}_{stride}" for kind in OUTPUTS]
            head.weight.copy_(torch.cat([stored[f"{part}.weight"] for part in parts]))  # type: ignore[operator]
            head.bias.copy_(torch.cat([stored[f"{part}.bias"] for part in parts]))  # type: ignore[operator]
        network.train()(pixels)
    for hook in hooks:
        hook.remove()
