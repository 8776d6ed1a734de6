"""What makes a model unfit for use, told from its own figures.

A threshold that accepts nearly everybody has an F1 of 0.667 on balanced pairs, which looks like a bad model
and is none at all.  Such a model is named as what it is wherever its figures are shown, and where it is
used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .model_file import ModelFile

CHANCE_AUC = 0.7  # below, hardly better than guessing, which has 0.5
MOST_FMR = 0.2  # of different people who pass for the same
BASELINE_MARGIN = 0.005  # of F1 around "always the same person", within which a model adds nothing
JUDGED_ON = ("test", "validation")  # entries of a card's metrics, the most telling first


def alarms(figures: Mapping[str, Any], where: str = "") -> tuple[str, ...]:
    """Why a model with these figures must not be used; empty where nothing speaks against it.

    ``figures`` are those of ``Evaluation.to_dict`` or of a calibration: ``auc``, and ``f1`` and ``fmr`` at
    the threshold.  What is missing, or no number, raises no alarm.  ``where`` names the people they are of.
    """
    on = f" on {where}" if where else ""
    auc, f1, fmr = (_number(figures.get(name)) for name in ("auc", "f1", "fmr"))
    found = []
    if auc < CHANCE_AUC:
        found.append(f"it is at chance level (AUC {auc:.3f}{on}, where guessing has 0.5)")
    if fmr > MOST_FMR:
        found.append(f"at its threshold {fmr:.0%} of different people pass for the same (FMR{on})")
    # A strict threshold may have such an F1 as well: it misses people, and accepts nobody.
    if abs(f1 - always_same(figures)) < BASELINE_MARGIN and not fmr <= MOST_FMR:
        found.append(f"its F1 of {f1:.3f}{on} is that of calling every pair the same person")
    return tuple(found)


def always_same(figures: Mapping[str, Any]) -> float:
    """F1 of calling every pair the same person: 2 p / (1 + p), with p the share of genuine pairs.

    2/3 where the counts are not known: figures of a calibration are of balanced pairs.
    """
    genuine, pairs = _number(figures.get("genuine")), _number(figures.get("pairs"))
    share = genuine / pairs if pairs > 0 and genuine >= 0 else 0.5
    return 2 * share / (1 + share)


def model_alarms(file: ModelFile) -> tuple[str, ...]:
    """Why a model must not be used, by the figures on its card and those of its calibration.

    The card's F1 and FMR count only while the threshold is the one they were measured at.
    """
    calibration = file.calibration
    found = list(alarms(calibration.metrics, "its calibration people"))
    for name in JUDGED_ON:
        figures = file.card.metrics.get(name)
        if isinstance(figures, Mapping) and "auc" in figures:
            if figures.get("threshold") != calibration.threshold:
                figures = {"auc": figures["auc"]}
            found = [*alarms(figures, f"{name} people"), *found]
            break
    return tuple(found)


def unfit(reasons: tuple[str, ...]) -> str:
    """One sentence of all reasons; empty without any."""
    if not reasons:
        return ""
    return f"this model must not be used: {'; '.join(reasons)}"


def _number(value: Any) -> float:
    """NaN, which raises no alarm, for what is no number."""
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if known else math.nan
