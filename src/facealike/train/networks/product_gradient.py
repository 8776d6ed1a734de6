"""Convolutions whose weight gradients are one matrix product, several times as fast on a CPU.

oneDNN's weight gradient takes ten times as long as the forward pass where maps are small and channels many
(256 channels at 4 x 4: 350 and 32 us a face on one AVX-512 core, against 180 us with a matrix product).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CHANNELS = 128  # input channels from which on the product is faster


class _Product(torch.autograd.Function):
    """``conv2d`` with a weight gradient by a product of the output's gradient and the input's patches."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.layout = stride, padding
        return F.conv2d(x, weight, bias, stride, padding)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (x, weight), (stride, padding) = ctx.saved_tensors, ctx.layout
        given = gradients[0].contiguous(memory_format=torch.channels_last)
        passed = torch.ops.aten.convolution_backward(
            given, x, weight, None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], 1,
            [True, False, False],
        )[0]  # fmt: skip
        outputs, inputs, side, _ = weight.shape
        rows, columns = given.shape[2:]
        padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, padding, padding, padding, padding))
        patches = x.new_empty(len(x), rows, columns, side, side, inputs)
        for i in range(side):
            for j in range(side):
                part = padded[:, i : i + rows * stride : stride, j : j + columns * stride : stride]
                patches[:, :, :, i, j] = part[:, :rows, :columns]
        flat = given.permute(0, 2, 3, 1).reshape(-1, outputs)
        product = flat.T @ patches.view(len(flat), -1)
        return passed, product.view(outputs, side, side, inputs).permute(0, 3, 1, 2), flat.sum(0), None, None


class ProductConv2d(nn.Conv2d):
    """A square, ungrouped convolution with bias that trains as ``_Product``."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the convolution of ``input`` (n, c, H, W)."""
        assert self.bias is not None
        if not torch.is_grad_enabled():
            return super().forward(input)
        kind = input.device.type
        whole = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else input.dtype
        # Autocast does not reach into an autograd.Function.
        x, weight, bias = (part.to(whole) for part in (input, self.weight, self.bias))
        product: Any = _Product
        made: Tensor = product.apply(x, weight, bias, self.stride[0], int(self.padding[0]))
        return made


def with_product_gradients(module: nn.Module) -> nn.Module:
    """Replace, in place, the convolutions of ``module`` with ``CHANNELS`` input channels or more."""
    for name, child in module.named_children():
        if isinstance(child, nn.Conv2d) and child.in_channels >= CHANNELS:
            sizes: Any = child.kernel_size, child.stride, child.padding
            made = ProductConv2d(child.in_channels, child.out_channels, *sizes)
            made.weight, made.bias = child.weight, child.bias
            setattr(module, name, made)
        else:
            with_product_gradients(child)
    return module
