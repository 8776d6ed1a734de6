"""A running average of a network's weights, which generalises better than the last step's.

Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", SIAM J. Control 30(4),
1992; in the exponential form of Tarvainen and Valpola, "Mean teachers are better role models", NeurIPS
2017.
"""

from __future__ import annotations

import copy

import torch
from torch import nn


class Average(nn.Module):
    """``network`` holds the averaged weights and buffers; it is part of the module's state.

    After step n the average moves by 1 - min(decay, (1 + n) / (10 + n)) towards the weights, so that
    it soon forgets the random ones it began with.  Running means and variances of batch
    normalisation are averaged alike; counters are copied.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.network = copy.deepcopy(network).requires_grad_(False)

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Move towards ``network`` after ``step`` steps (from 1) of training."""
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        now = network.state_dict()
        for name, mean in self.network.state_dict().items():
            if mean.is_floating_point():
                mean.lerp_(now[name], weight)
            else:
                mean.copy_(now[name])
