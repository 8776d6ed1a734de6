"""Detect models that must not be used, from their own figures.

A threshold that accepts nearly every pair has an F1 of 0.667 on balanced pairs, which looks like a weak model
but is no model at all.  Wherever its figures are shown, and where it is used, a warning is given.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .model_file import ModelFile

CHANCE_AUC = 0.7  # a lower AUC is hardly better than guessing, which has 0.5
MAX_FMR = 0.2  # a higher FMR at the threshold makes a model unusable
BASELINE_MARGIN = 0.005  # F1 this close to that of "always the same person" adds nothing
EVALUATION_ENTRIES = ("test", "validation")  # entries of a card's metrics, by preference


def alarms(figures: Mapping[str, Any], where: str = "") -> tuple[str, ...]:
    """Return the reasons why a model with these figures must not be used, if any.

    Args:
        figures: Those of ``Evaluation.to_dict`` or of a calibration: ``auc``, and ``f1`` and ``fmr`` at the
            threshold.  A missing value, or one that is not a number, raises no alarm.
        where: The people on whom they were measured.
    """
    on = f" on {where}" if where else ""
    auc, f1, fmr = (_number(figures.get(name)) for name in ("auc", "f1", "fmr"))
    found = []
    if auc < CHANCE_AUC:
        found.append(f"it is at chance level (AUC {auc:.3f}{on}, where guessing has 0.5)")
    if fmr > MAX_FMR:
        found.append(f"at its threshold {fmr:.0%} of different people pass for the same (FMR{on})")
    # A strict threshold may have such an F1 as well, but accepts no impostors.
    if abs(f1 - always_same(figures)) < BASELINE_MARGIN and not fmr <= MAX_FMR:
        found.append(f"its F1 of {f1:.3f}{on} is that of calling every pair the same person")
    return tuple(found)


def always_same(figures: Mapping[str, Any]) -> float:
    """Return the F1 of accepting every pair: 2 p / (1 + p), with p the share of genuine pairs.

    Without counts it is 2/3: the figures of a calibration are of balanced pairs.
    """
    genuine, pairs = _number(figures.get("genuine")), _number(figures.get("pairs"))
    share = genuine / pairs if pairs > 0 and genuine >= 0 else 0.5
    return 2 * share / (1 + share)


def model_alarms(file: ModelFile) -> tuple[str, ...]:
    """Return the reasons why a model must not be used, from its card and its calibration.

    The card's F1 and FMR count only if its threshold is still the one they were measured at.
    """
    calibration = file.calibration
    found = list(alarms(calibration.metrics, "its calibration people"))
    for name in EVALUATION_ENTRIES:
        figures = file.card.metrics.get(name)
        if isinstance(figures, Mapping) and "auc" in figures:
            if figures.get("threshold") != calibration.threshold:
                figures = {"auc": figures["auc"]}
            found = [*alarms(figures, f"{name} people"), *found]
            break
    return tuple(found)


def unfit(reasons: tuple[str, ...]) -> str:
    """Return one sentence of all reasons; empty without any."""
    if not reasons:
        return ""
    return f"this model must not be used: {'; '.join(reasons)}"


def _number(value: Any) -> float:
    """Return ``value`` as a float; NaN, which raises no alarm, if it is not a number."""
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if known else math.nan
