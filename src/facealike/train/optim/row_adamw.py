"""AdamW that changes only the rows of a table that a step has used.

Each row has its own count of steps: its weights and its state are those of an AdamW that has seen the steps
of that row alone.  A row that is not used is neither decayed nor moved by its momentum.

Source: Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019; An et al. ("Partial FC",
CVPR 2022) change the rows of a sample likewise, but count steps for all rows together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch


class RowAdamW(torch.optim.AdamW):
    """AdamW, row by row for parameter groups that have ``rows = True`` and sparse gradients.

    Attributes:
        own_steps: By the name of a group's mark, the method that takes the step of groups that have it.
    """

    own_steps: ClassVar[dict[str, str]] = {"rows": "_step_rows"}

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step; return the loss of ``closure``, if it is given."""
        loss = None
        if closure is not None:  # called with all groups in place: it may set their gradients to zero
            with torch.enable_grad():
                loss = closure()
        groups = self.param_groups
        self.param_groups = [group for group in groups if not any(map(group.get, self.own_steps))]
        try:
            super().step()
        finally:
            self.param_groups = groups
        for mark, method in self.own_steps.items():
            for group in groups:
                if group.get(mark):
                    getattr(self, method)(group)
        return loss

    @torch.no_grad()
    def _step_rows(self, group: dict[str, Any]) -> None:
        first, second = group["betas"]
        for table in group["params"]:
            if table.grad is None:
                continue
            state = self.state[table]
            if not state:
                steps = torch.zeros(len(table), dtype=torch.float32, device=table.device)
                state.update(step=steps, exp_avg=torch.zeros_like(table), exp_avg_sq=torch.zeros_like(table))
            state["step"] = state["step"].to(table.device)  # torch restores it on the CPU
            gradient = table.grad.coalesce()  # a row may have been used several times
            rows, values = gradient.indices()[0], gradient.values()
            step = state["step"][rows] + 1
            mean = torch.lerp(state["exp_avg"][rows], values, 1 - first)
            square = torch.lerp(state["exp_avg_sq"][rows], values.square(), 1 - second)
            state["step"][rows], state["exp_avg"][rows], state["exp_avg_sq"][rows] = step, mean, square
            deviation = (square / (1 - second ** step[:, None])).sqrt() + group["eps"]
            moved = mean / (1 - first ** step[:, None]) / deviation
            table[rows] = table[rows] * (1 - group["lr"] * group["weight_decay"]) - group["lr"] * moved
