"""Muon for the weight matrices of a network and AdamW for the rest, as one optimizer with one state.

``torch.optim.Muon`` scales its steps alike, but refuses parameters with more than two dimensions; the weights
of a convolution are a matrix with one row per output channel.  It also iterates in bfloat16, which most
processors emulate.

Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from .row_adamw import RowAdamW

MOMENTUM = 0.95
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of Jordan et al.: steep at zero, so that few steps suffice
STEPS = 5


def orthogonal(matrix: Tensor) -> Tensor:
    """Return nearly the closest orthogonal matrix (m, n): singular values become 0.7 to 1.2.

    This is a Newton-Schulz iteration, which needs matrix products only.  A step maps x to
    (a + b G + c G^2) x with G = x x^T.  The steps are accumulated on Gram matrices of the shorter side,
    which commute, and x is multiplied once; for a convolution, whose longer side is nine times as long,
    this costs a third.  It runs in float32: the fourth powers leave bfloat16 no digits for the small
    singular values.
    """
    a, b, c = COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix).float()
    x = x / (x.norm() + 1e-7)
    square, turn = x @ x.T, torch.eye(len(x), device=x.device)
    for step in range(STEPS):
        factor = torch.addmm(square, square, square, beta=b, alpha=c)
        factor.diagonal().add_(a)
        turn = factor @ turn
        if step < STEPS - 1:
            square = factor @ square @ factor
    made: Tensor = turn @ x
    return (made.T if tall else made).to(matrix.dtype)


class Muon(RowAdamW):
    """AdamW, with Muon for parameter groups that have ``matrices = True``.

    Each parameter of such a group, with two dimensions or more, moves by its learning rate times the
    orthogonal matrix nearest to the running mean of its gradients.
    """

    own_steps: ClassVar[dict[str, str]] = {**RowAdamW.own_steps, "matrices": "_step_matrices"}

    @torch.no_grad()
    def _step_matrices(self, group: dict[str, Any]) -> None:
        for weight in group["params"]:
            if weight.grad is None:
                continue
            state = self.state[weight]
            if not state:  # AdamW expects a step count when its state is restored
                state.update(step=torch.tensor(0.0), mean=torch.zeros_like(weight))
            state["step"] += 1
            state["mean"].lerp_(weight.grad, 1 - MOMENTUM)
            ahead = weight.grad.lerp(state["mean"], MOMENTUM)  # Nesterov momentum
            matrix = ahead.reshape(len(ahead), -1)
            scale = max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
            weight.mul_(1 - group["lr"] * group["weight_decay"])
            weight.add_(orthogonal(matrix).reshape(ahead.shape), alpha=-group["lr"] * scale)
