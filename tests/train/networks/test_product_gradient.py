"""Convolutions whose weight gradient is a matrix product: outputs and gradients equal those of torch."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from facealike.train.networks.product_gradient import CHANNELS, ProductConv2d, with_product_gradients

CONVOLUTIONS = [(3, 1, 1), (3, 2, 0), (3, 2, 1), (1, 1, 0), (5, 2, 2)]
"""Kernel, stride and padding."""


@pytest.mark.parametrize(
    ("side", "kernel", "stride", "padding"),
    [
        (side, *convolution)
        for convolution in CONVOLUTIONS
        for side in (1, 2, 3, 4, 8)
        if side + 2 * convolution[2] >= convolution[0]  # else there is no output
    ],
)
def test_gradients_equal_those_of_torch(side: int, kernel: int, stride: int, padding: int) -> None:
    rng = torch.Generator().manual_seed(side)
    ours = ProductConv2d(6, 5, kernel, stride, padding).double()
    theirs = nn.Conv2d(6, 5, kernel, stride, padding).double()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(3, 6, side, side, generator=rng, dtype=torch.double, requires_grad=True)
    found = []
    for layer in (ours, theirs):
        made = layer(x)
        given = torch.randn(made.shape, generator=torch.Generator().manual_seed(9), dtype=torch.double)
        found.append([made, *torch.autograd.grad((made * given).sum(), [x, layer.weight, layer.bias])])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_autocast_reaches_it() -> None:
    layer = ProductConv2d(4, 4, 3, 1, 1)
    with torch.autocast("cpu", torch.bfloat16):
        made = layer(torch.randn(2, 4, 5, 5))
    made.float().sum().backward()
    assert made.dtype == torch.bfloat16 and layer.weight.grad.dtype == torch.float32


def test_wide_convolutions_are_replaced_and_keep_their_weights() -> None:
    network = nn.Sequential(nn.Conv2d(3, CHANNELS, 3), nn.Sequential(nn.Conv2d(CHANNELS, 8, 3, 2, 1)))
    before, x = network.state_dict(), torch.randn(2, 3, 9, 9)
    wanted = network(x)
    with_product_gradients(network)
    assert type(network[0]) is nn.Conv2d and type(network[1][0]) is ProductConv2d
    assert all(
        value is before[name] or torch.equal(value, before[name])
        for name, value in network.state_dict().items()
    )
    torch.testing.assert_close(network(x), wanted)
    with torch.no_grad():
        torch.testing.assert_close(network(x), wanted)
