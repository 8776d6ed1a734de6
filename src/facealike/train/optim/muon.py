"""Muon for the matrices of a network, AdamW for the rest, as one optimiser with one state.

Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024.  ``torch.optim.Muon`` scales
its steps alike, but refuses parameters of more than two sides, and a convolution's weights are a matrix, too,
of one row an output channel.  It also iterates in bfloat16, which most processors emulate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

MOMENTUM = 0.95
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of Jordan et al.: steepest at zero, so that few steps will do
STEPS = 5


def orthogonal(matrix: Tensor) -> Tensor:
    """About the matrix (m, n) of the same directions, all of one size: singular values become 0.7 to 1.2.

    A Newton-Schulz iteration, which needs nothing but products of matrices.  Each of its steps takes x to
    (a + b G + c G^2) x, where G is x times its transpose.  So x itself is needed at both ends only: what
    happens between them is followed on squares of its shorter side, all of which commute, and costs a third
    of what the long products do for a convolution's nine times longer side.  In float32: squares of
    numbers squared leave bfloat16 no digits for the small directions, which are what this is for.
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


class Muon(torch.optim.AdamW):
    """AdamW, but a parameter group with ``matrices = True`` is trained by Muon.

    Each of its parameters, of two sides or more, is moved by its learning rate times the orthogonal
    matrix nearest to its gradients' running mean: all directions alike, however rarely they are seen.
    """

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:  # called while all groups are there: it may set their gradients to zero
            with torch.enable_grad():
                loss = closure()
        groups = self.param_groups
        self.param_groups = [group for group in groups if not group.get("matrices")]
        try:
            super().step()
        finally:
            self.param_groups = groups
        for group in groups:
            if group.get("matrices"):
                self._turn(group)
        return loss

    @torch.no_grad()
    def _turn(self, group: dict[str, Any]) -> None:
        for weight in group["params"]:
            if weight.grad is None:
                continue
            state = self.state[weight]
            if not state:  # AdamW, when it is restored, looks for a count of steps in each
                state.update(step=torch.tensor(0.0), mean=torch.zeros_like(weight))
            state["step"] += 1
            state["mean"].lerp_(weight.grad, 1 - MOMENTUM)
            ahead = weight.grad.lerp(state["mean"], MOMENTUM)  # Nesterov's
            matrix = ahead.reshape(len(ahead), -1)
            scale = max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
            weight.mul_(1 - group["lr"] * group["weight_decay"])
            weight.add_(orthogonal(matrix).reshape(ahead.shape), alpha=-group["lr"] * scale)
