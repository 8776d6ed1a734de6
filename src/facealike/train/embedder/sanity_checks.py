"""Sanity checks: detect training runs that go wrong without an error.

A run whose embeddings collapsed, or whose loss is NaN or infinite (``base_module``), stops.  Anything else
is a warning, printed once on stderr and kept in the run's ``results.json``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from lightning.pytorch.callbacks import Callback

from ...errors import TrainingError
from ...utils.escape import one_line
from ..distributed.collectives import is_main
from ..lightning.callbacks import EpochLog
from ..recipe.schema import Recipe
from .dataset import Plan

FEW_PEOPLE, FEW_IMAGES = 1000, 5000  # to train from random weights; 112 people gave chance level
FEW_TUNING = 20  # people to tune a finished model on
FEW_GENUINE = 100  # validation pairs; with fewer, one pair is a hundredth of F1
FLAT = 1e-3  # variance or standard deviation below which embeddings have collapsed; at most about 1
COLLAPSE_PATIENCE = 2  # epochs; the first one may still be recovering
STILL_EPOCHS, STILL_LOSS = 3, 0.01  # a loss should fall by 1 % within three epochs
STILL_AUC = 0.05  # smaller gains come from batch statistics alone
FALLING_EPOCHS, FALLING = 3, 0.01  # of validation AUC, since its best epoch

Row = dict[str, float]


class SanityChecks(Callback):
    """Checks each epoch; the messages are part of the checkpoint, so a resumed run does not repeat them.

    Args:
        plan: The data of the run.
        recipe: The recipe.
        log: The log of epochs; it must precede this callback.
    """

    def __init__(self, plan: Plan, recipe: Recipe, log: EpochLog) -> None:
        self._recipe, self._log = recipe, log
        self._at_start = list(too_few(plan, recipe))
        self._flat = 0
        self.messages: dict[str, str] = {}

    @property
    def state_key(self) -> str:
        """The key in checkpoints; runs begun before this class was renamed are resumed."""
        return "Guards"

    def state_dict(self) -> dict[str, Any]:
        return {"told": self.messages, "flat": self._flat}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.messages, self._flat = dict(state_dict["told"]), state_dict["flat"]

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        self._warn(self._at_start)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        metrics = trainer.callback_metrics
        flat = min(float(metrics["spread"]), float(metrics["score_spread"])) < FLAT
        self._flat = self._flat + 1 if flat else 0
        if self._flat >= COLLAPSE_PATIENCE:
            raise TrainingError(
                f"the embeddings collapsed: for {self._flat} epochs all photos gave the same one, so every "
                f"pair scores alike; {self._cure()}"
            )
        rows = self._log.rows
        self._warn([*loss_stands_still(rows), *validation_falls(rows)])

    def _cure(self) -> str:
        loss, rate = self._recipe.loss.name, self._recipe.training.learning_rate
        if loss in ("contrastive", "triplet", "multi-similarity"):
            other = "; raise loss.margin, or use loss.name = cosface with sampler.name = images"
        else:
            other = "; or lower loss.scale or loss.margin"
        return f"lower training.learning_rate ({rate:g}) to a third{other}"

    def _warn(self, warnings: Sequence[tuple[str, str]]) -> None:
        for kind, text in warnings:
            if kind in self.messages:
                continue
            self.messages[kind] = text
            if is_main():
                print(f"warning: {one_line(text)}", file=sys.stderr, flush=True)


def too_few(plan: Plan, recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Yield warnings about too few training or validation people, as (kind, message)."""
    people, images = len(plan.training_data.people.names), len(plan.training_data.people)
    if recipe.network.start or recipe.network.kind == "dlib":
        if people < FEW_TUNING:
            yield (
                "few training people",
                f"only {images:,} photos of {people:,} people to train on: so few hardly change the model "
                f"that training begins with; add people (at least {FEW_TUNING} to train on, 60 in all)",
            )
    elif people < FEW_PEOPLE or images < FEW_IMAGES:
        yield (
            "few training people",
            f"only {images:,} photos of {people:,} people to train on from random weights, which takes "
            f"thousands; add people (at least {FEW_PEOPLE:,} with {FEW_IMAGES:,} photos), or "
            "leave out --recipe, which begins from the default model",
        )
    genuine = int(sum(w.pairs.same.sum() for w in plan.watched if w.name == "val"))
    if len(plan.validation.people.names) and genuine < FEW_GENUINE:
        yield (
            "few validation people",
            f"only {genuine:,} genuine pairs of {len(plan.validation.people.names):,} validation people: F1 "
            "on them changes by hundredths with a single pair, and the best epoch is chosen by it; add "
            'people with several photos, or take the last epoch with training.keep = "last"',
        )


def loss_stands_still(rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    """Yield a warning if neither the loss nor the training AUC has improved since the first epoch.

    A loss on mined pairs alone may stay constant while training succeeds.
    """
    if len(rows) < STILL_EPOCHS:
        return
    first, last = rows[0], rows[-1]
    fell = (first["train_loss"] - last["train_loss"]) / max(abs(first["train_loss"]), 1e-12)
    rose = last["train_auc"] - first["train_auc"]
    if fell < STILL_LOSS and rose < STILL_AUC and last["train_auc"] < 1 - STILL_AUC:
        yield (
            "loss stands still",
            f"the loss has not moved in {len(rows)} epochs ({first['train_loss']:.4g} to "
            f"{last['train_loss']:.4g}) and nor has AUC on training people ({last['train_auc']:.3f}): raise "
            "training.learning_rate, weaken [augment], and look at pairs.png: is each folder one person?",
        )


def validation_falls(rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    """Yield a warning if validation AUC falls while the training loss falls (overfitting)."""
    if not rows or "val_auc" not in rows[-1]:
        return
    best, last = rows[int(np.argmax([row["val_auc"] for row in rows]))], rows[-1]
    past = last["epoch"] - best["epoch"] >= FALLING_EPOCHS
    rises = last["train_loss"] < 0.95 * best["train_loss"] and last["train_auc"] >= best["train_auc"]
    if past and rises and best["val_auc"] - last["val_auc"] > FALLING:
        yield (
            "validation falls",
            f"since epoch {best['epoch']:.0f} AUC on validation people fell from {best['val_auc']:.3f} to "
            f"{last['val_auc']:.3f} while on training people it rose from {best['train_auc']:.3f} to "
            f"{last['train_auc']:.3f}: the network overfits; stop earlier (training.patience), raise "
            "network.dropout or [augment], and above all add people",
        )
