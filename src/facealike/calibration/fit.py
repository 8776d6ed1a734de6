"""Fit a calibration to the scores of labeled pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import UsageError
from ..metrics.verification import auc, check_fmr, confusion, supported_fmrs
from .calibration import Calibration, Method
from .operating_points import (
    Rule,
    around,
    f1_band,
    f1_threshold,
    impostor_survival,
    operating_points,
)
from .pairs import checked_pairs
from .probability import (
    Calibrator,
    balanced_weights,
    fit_isotonic,
    fit_platt,
    person_weights,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack

MAX_FITS = 400  # resamples to which a curve is fitted: enough for the 2.5 % at either end


class FitKeywords(TypedDict, total=False):
    """The fields of ``FitOptions`` as keyword arguments of ``calibrate_scores``."""

    seed: int
    resamples: int
    per_person: bool


@dataclass(frozen=True)
class FitOptions:
    """How a calibration is fitted.

    Args:
        seed: Of the bootstrap resamples.
        resamples: Number of bootstrap resamples for the intervals.
        per_person: Weight each person's genuine pairs as one in the fits; else every pair counts alike and a
            few people with many photos decide.
    """

    seed: int = 0
    resamples: int = 1000
    per_person: bool = True


def calibrate_scores(
    scores: ArrayLike, same: ArrayLike, first: ArrayLike, second: ArrayLike, people: str,
    rule: Rule = "f1", method: Method = "platt", **options: Unpack[FitKeywords],
) -> Calibration:  # fmt: skip
    """Fit a calibration to scored pairs of held-out people.

    ``docs/concepts/probabilities.md`` has the measurements behind the defaults.

    Args:
        scores: Scores of pairs of both kinds, (n,); best of all pairs (``calibration_pairs``), for impostor
            pairs are weighted to count as much as the genuine ones.
        same: Whether each pair shows one person, (n,).
        first: The person of one side of each pair, int64 (n,).
        second: The person of the other side, (n,).
        people: Who they are, in words.
        rule: Chooses the threshold: ``f1`` or a target FMR.
        method: The curve of the probability: ``platt`` on Fisher's z of the score, or ``isotonic``.
        options: See ``FitOptions``.

    Raises:
        UsageError: The arrays do not fit, the method is unknown, or the impostor pairs do not support the
            FMR.
    """
    chosen = FitOptions(**options)
    values, genuine, left, right = checked_pairs(scores, same, first, second)
    if method not in get_args(Method):
        raise UsageError(f"the method is platt or isotonic, not {method!r}")
    own = person_weights(left, genuine) if chosen.per_person else None
    impostor = int(np.sum(~genuine))
    fmrs = set(supported_fmrs(impostor))
    if rule != "f1":
        check_fmr(float(rule), impostor)
        fmrs.add(float(rule))
    weights = balanced_weights(genuine)
    points = operating_points(values, genuine, left, right, sorted(fmrs), chosen.resamples, chosen.seed)
    if rule == "f1":
        threshold = f1_threshold(values, genuine, own)
        interval = f1_band(values, genuine, left, right, own, min(chosen.resamples, MAX_FITS), chosen.seed)
        band = None if interval is None else around(threshold, *interval)
    else:
        at_rule = next(point for point in points if point.fmr == float(rule))
        threshold, band = at_rule.threshold, at_rule.band
    calibrator: Calibrator
    if method == "platt":
        calibrator = fit_platt(values, genuine, own, "fisher")
    else:
        calibrator = fit_isotonic(values, genuine, own)
    return Calibration(
        threshold=threshold,
        rule="best F1 on balanced pairs" if rule == "f1" else f"FMR {float(rule):g}",
        people=people,
        pairs=len(values),
        metrics=_metrics(values, genuine, weights, threshold),
        band=band,
        probability=calibrator.to_dict(),
        operating_points=points,
        tail=impostor_survival(values[~genuine]),
    )


def _metrics(
    scores: NDArray[np.float64], same: NDArray[np.bool_], weights: NDArray[np.float64], threshold: float
) -> dict[str, float]:
    accepted = scores >= threshold
    tp, fp = float(weights[accepted & same].sum()), float(weights[accepted & ~same].sum())
    counts = confusion(scores, same, threshold)
    return {
        "f1": 2 * tp / (tp + fp + 0.5),
        "accuracy": tp + 0.5 - fp,
        "auc": auc(scores, same),
        "fmr": counts.fmr,
        "fnmr": counts.fnmr,
    }
