"""AdamW, or Muon beside it, with the recipe's schedule, for every training loop."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..recipe.schema import TrainingSpec
from .muon import Muon

PIXELS = 3  # channels of what a network's first convolution sees


def parameter_groups(module: nn.Module, decay: float) -> list[dict[str, Any]]:
    """What AdamW is to train: weights, which decay, and norms and biases, which do not."""
    trained = [p for p in module.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]


def with_matrices(groups: list[dict[str, Any]], rate: float) -> list[dict[str, Any]]:
    """``groups`` with a first one for the weights of convolutions, which Muon trains at ``rate``.

    Not those of the convolution that sees pixels: directions there are colours, and not alike in worth.
    Nothing decays there: steps are of one size, so weights grow only as fast as steps add up.
    """
    matrices = [
        weight for group in groups for weight in group["params"]
        if weight.ndim == 4 and weight.shape[1] > PIXELS
    ]  # fmt: skip
    taken = {id(weight) for weight in matrices}
    rest = [{**group, "params": [p for p in group["params"] if id(p) not in taken]} for group in groups]
    return [{"params": matrices, "lr": rate, "weight_decay": 0.0, "matrices": True}, *rest]


def make_optimiser(module: nn.Module, run: TrainingSpec, total_steps: int) -> Any:
    """What a Lightning module returns from ``configure_optimizers``.

    Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019; the one-cycle schedule
    of Smith and Topin, "Super-convergence", 2018.
    """
    groups = parameter_groups(module, run.weight_decay)
    if run.muon:
        groups = with_matrices(groups, run.muon)
        optimiser: torch.optim.AdamW = Muon(groups, lr=run.learning_rate)
    else:
        optimiser = torch.optim.AdamW(groups, lr=run.learning_rate)
    if run.schedule == "constant":
        return optimiser
    # A warm-up of one step or less is none: OneCycleLR divides by zero at exactly one.
    warm_up = run.warm_up if run.warm_up * total_steps > 1 else 0.0
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser,
        [group["lr"] for group in optimiser.param_groups],
        total_steps=total_steps,
        pct_start=warm_up,
    )
    return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
