"""A comparison in plain words, for messages to end users."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..utils.wording import FMR_RULE, join_words, percent_range, rate_text, rule_in_words

if TYPE_CHECKING:
    from .result import Comparison

COMMON, RARE = 0.05, 0.01
"""FMRs from which on a score counts as common among different people, and below which as rare."""


def in_digits(probability: float) -> str:
    """Return a probability with two digits, three near 0 and 1, and never 0 or 1."""
    if probability > 0.999:
        return "above 0.999"
    if probability < 0.001:
        return "below 0.001"
    return f"{probability:.2f}" if 0.01 <= probability <= 0.99 else f"{probability:.3f}"


def comparison_lines(result: Comparison, photos: tuple[str, str]) -> tuple[str, ...]:
    """Return one line each on the verdict, the operating point, the score and how rare it is.

    An uncertain verdict and the best of several pairs add a line.
    """
    return tuple(_lines(result, photos))


def _lines(result: Comparison, photos: tuple[str, str]) -> Iterator[str]:
    verdict = ("same person" if result.same else "different people") + ", uncertain" * result.uncertain
    score = f"score {result.score:.3f}, threshold {result.threshold:.3f}"
    if result.probability is None:
        yield f"{verdict} (no probability; facealike calibrate fits it)"
    else:
        yield (
            f"{verdict} (match probability {in_digits(result.probability)}, "
            f"{prior_in_words(result.prior, result.best_of)})"
        )
    rates = operating_point(
        result.threshold_fmr,
        result.threshold_fmr_is_bound,
        result.threshold_fnmr,
        result.best_of,
        result.threshold_rates_of,
    )
    rule = rule_in_words(result.threshold_from)
    yield rates or "the error rates at this threshold are not known; facealike calibrate measures them"
    if rates is None or not FMR_RULE.fullmatch(result.threshold_from):
        score += f" ({rule})"
    if result.probability is not None and (result.probability >= 0.5) != result.same:
        score += ": the threshold decides"
    yield score
    if result.best_of > 1 and result.face_numbers is not None:
        faces = join_words(
            [f"face {k} of {name}" for k, name in zip(result.face_numbers, photos, strict=True)]
        )
        yield f"best of {result.best_of:,} pairs of faces: {faces}"
    if result.uncertain and result.band is not None:
        other = "other people to calibrate on" + ", or better photos," * any(result.widening)
        yield f"{other} could move the threshold to {result.band[0]:.3f}-{result.band[1]:.3f}"
    if result.fmr is not None:
        yield how_rare(result.fmr, result.fmr_is_bound, result.best_of)


def prior_in_words(prior: float, best_of: int = 1) -> str:
    """Return the prior in words: ``if half of all pairs match``."""
    photo = "photo " if best_of > 1 else ""
    if prior == 0.5:
        return f"if half of all {photo}pairs match"
    if prior < 0.01:
        return f"if 1 {photo}pair in {round(1 / prior):,} matches"
    return f"if {100 * prior:.6g} % of all {photo}pairs match"


def how_rare(fmr: float, is_bound: bool = False, best_of: int = 1) -> str:
    """Return in words how often impostors score at least this high.

    The sentence begins with its conclusion, so that a high rate is not read as support for a match.

    Args:
        fmr: The FMR at the score.
        is_bound: The true FMR is smaller.
        best_of: Number of pairs of which this is the best; ``fmr`` is that of the best.
    """
    if best_of > 1:
        often = (
            f"fewer than 1 time in {_one_in(fmr)}" if is_bound
            else "almost always" if fmr > 0.95
            else f"about {round(10 * fmr)} times in 10" if fmr >= 0.15
            else f"about 1 time in {_one_in(fmr)}"
        )  # fmt: skip
        best = f"the best of {best_of:,} pairs scores this high"
        return f"{_how_common(fmr)} among different people: {best} {often}"
    if is_bound:
        return (
            f"{_how_common(fmr)} among different people: fewer than 1 pair in {_one_in(fmr)} scores this high"
        )
    if fmr > 0.95:
        return "common among different people: almost every pair scores this high or higher"
    if fmr >= 0.15:
        return f"common among different people: about {round(10 * fmr)} pairs in 10 score this high or higher"
    return f"{_how_common(fmr)} among different people: about 1 pair in {_one_in(fmr)} scores this high"


def _how_common(fmr: float) -> str:
    return "common" if fmr >= COMMON else "uncommon" if fmr >= RARE else "rare"


def operating_point(
    fmr: float | None, fmr_is_bound: bool, fnmr: tuple[float, float] | None, best_of: int = 1,
    people: str | None = None,
) -> str | None:  # fmt: skip
    """Return in words the FMR at a threshold, and the share of genuine pairs that it misses.

    Args:
        fmr: The FMR; None where it is unknown.
        fmr_is_bound: The true FMR is smaller.
        fnmr: The lowest and the highest FNMR that the calibration allows; None where it is unknown.
        best_of: Number of pairs of which the best is taken; ``fmr`` is that of the best.
        people: On whom the rates were measured.

    Returns:
        The sentence; None where neither rate is known.
    """
    best = f" for the best of {best_of:,} pairs" if best_of > 1 else ""
    parts = [] if fmr is None else [f"threshold at FMR {'below ' * fmr_is_bound}{rate_text(fmr)}{best}"]
    if fnmr is not None:
        misses = f"misses {percent_range(*fnmr)} of genuine pairs"
        parts.append(misses if parts else f"threshold {misses}")
    return f"{', '.join(parts)} ({people or 'calibration people'})" if parts else None


def _one_in(rate: float) -> str:
    number = 1 / max(rate, 1e-12)
    digits = max(0, math.floor(math.log10(number)) - 1)
    return f"{round(number / 10**digits) * 10**digits:,}"
