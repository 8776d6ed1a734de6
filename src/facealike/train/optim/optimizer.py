"""The optimizer of a recipe: AdamW, with or without Muon, and its schedule."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from ..losses.class_sampling import sampled_classes
from ..recipe.schema import TrainingSpec
from .muon import Muon
from .row_adamw import RowAdamW

PIXELS = 3  # input channels of a network's first convolution


def parameter_groups(module: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Return the parameter groups of AdamW: weights with decay, norms and biases without."""
    trained = [p for p in module.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]


def with_matrices(groups: list[dict[str, Any]], rate: float) -> list[dict[str, Any]]:
    """Return ``groups`` with a first one for the weights of convolutions, which Muon trains at ``rate``.

    The convolution on pixels stays with AdamW: its input directions are colors, which differ in
    importance.  The new group has no weight decay: steps have one size, so weights grow slowly.
    """
    matrices = [
        weight for group in groups for weight in group["params"]
        if weight.ndim == 4 and weight.shape[1] > PIXELS
    ]  # fmt: skip
    first = {"params": matrices, "lr": rate, "weight_decay": 0.0, "matrices": True}
    return [first, *without(groups, matrices)]


def with_rows(groups: list[dict[str, Any]], tables: list[nn.Parameter], decay: float) -> list[dict[str, Any]]:
    """Return ``groups`` with a last one for tables of which each step changes a few rows."""
    return [*without(groups, tables), {"params": tables, "weight_decay": decay, "rows": True}]


def without(groups: list[dict[str, Any]], parameters: Iterable[nn.Parameter]) -> list[dict[str, Any]]:
    """Return ``groups`` without some of their parameters."""
    taken = {id(parameter) for parameter in parameters}
    return [{**group, "params": [p for p in group["params"] if id(p) not in taken]} for group in groups]


def make_optimizer(module: nn.Module, run: TrainingSpec, total_steps: int) -> Any:
    """Return what a Lightning module returns from ``configure_optimizers``.

    Source:
        Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019; the one-cycle schedule
        of Smith and Topin, "Super-convergence", 2018.
    """
    groups = parameter_groups(module, run.weight_decay)
    tables = [loss.vectors for loss in sampled_classes(module).values()]
    if run.muon:
        groups = with_matrices(groups, run.muon)
    if tables:
        groups = with_rows(groups, tables, run.weight_decay)
    kind = Muon if run.muon else RowAdamW if tables else torch.optim.AdamW
    optimizer = kind(groups, lr=run.learning_rate)
    if run.schedule == "constant":
        return optimizer
    # A warm-up of one step or less is left out: OneCycleLR divides by zero at exactly one.
    warm_up = run.warm_up if run.warm_up * total_steps > 1 else 0.0
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        [group["lr"] for group in optimizer.param_groups],
        total_steps=total_steps,
        pct_start=warm_up,
    )
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
