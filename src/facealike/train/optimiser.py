"""AdamW with the recipe's schedule, for every loop of this room."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from .recipe import TrainingSpec


def parameter_groups(module: nn.Module, decay: float) -> list[dict[str, Any]]:
    """What AdamW is to train: weights, which decay, and norms and biases, which do not."""
    trained = [p for p in module.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]


def make_optimiser(module: nn.Module, run: TrainingSpec, total_steps: int) -> Any:
    """What a Lightning module returns from ``configure_optimizers``.

    Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019; the one-cycle schedule
    of Smith and Topin, "Super-convergence", 2018.
    """
    optimiser = torch.optim.AdamW(parameter_groups(module, run.weight_decay), lr=run.learning_rate)
    if run.schedule == "constant":
        return optimiser
    # A warm-up of one step or less is none: OneCycleLR divides by zero at exactly one.
    warm_up = run.warm_up if run.warm_up * total_steps > 1 else 0.0
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, run.learning_rate, total_steps=total_steps, pct_start=warm_up
    )
    return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
