"""Exponential moving average (EMA) of a network's weights, which generalizes better than the last weights.

Source: Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", SIAM J. Control 30(4),
1992; exponential form: Tarvainen and Valpola, "Mean teachers are better role models", NeurIPS 2017.
"""

from __future__ import annotations

import copy

import torch
from torch import nn


class Average(nn.Module):
    """The averaged network, ``network``.

    After step n the average moves by 1 - min(decay, (1 + n) / (10 + n)) towards the weights, so that the
    random initialization decays quickly.  Statistics of batch normalization are averaged too; counters are
    copied.

    Args:
        network: The network whose copy the average begins with.
        decay: Decay per step, in [0, 1).
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.network = copy.deepcopy(network).requires_grad_(False)

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Move the average towards ``network`` after ``step`` steps of training, counted from 1."""
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        now = network.state_dict()
        for name, mean in self.network.state_dict().items():
            if mean.is_floating_point():
                mean.lerp_(now[name], weight)
            else:
                mean.copy_(now[name])
