"""Numbers and comparisons in plain words, for messages to end users."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .types import Comparison

COMMON, RARE = 0.05, 0.01
"""FMRs from which on a score counts as common among different people, and below which as rare."""

_NUMBER = r"(0?\.[0-9]{1,20}|[1-9](?:\.[0-9]{1,20})?e-[0-9]{1,2})"
"""A share between 0 and 1 as ``f"{share:g}"`` writes it."""

_WORST_GROUP = re.compile(rf"FMR {_NUMBER} in the worst group of .*: (.+)")
"""How a calibration names the rule of a threshold that was chosen for the worst of several groups."""

_FMR = re.compile(rf"FMR {_NUMBER}(?![0-9.e-])")
"""How it names a target FMR."""

THE_CALLER = "the caller"
"""Where a threshold comes from that was given with the comparison."""


def in_a_row(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def in_digits(probability: float) -> str:
    """A probability as far as a calibration can tell it: two digits, three near 0 and 1, no certainty."""
    if probability > 0.999:
        return "above 0.999"
    if probability < 0.001:
        return "below 0.001"
    return f"{probability:.2f}" if 0.01 <= probability <= 0.99 else f"{probability:.3f}"


def in_percent(rate: float) -> str:
    """A rate with two significant digits: ``2.5``, ``0.1``, ``100``; without the sign."""
    rounded = float(f"{100 * rate:.2g}")
    return f"{rounded:.0f}" if rounded >= 10 else f"{rounded:.9f}".rstrip("0").rstrip(".")


def rate_text(rate: float) -> str:
    """An error rate as every command and table writes it: in percent, with two significant digits.

    From 10 % on there is one decimal.  Above 99 % what is missing to 100 % has two digits, below a millionth
    of a percent there is an exponent: no rate is told as 0 or 100 % that is not.
    """
    if not math.isfinite(rate):
        return "not measured"
    if 0.99 < rate < 1:
        digits = 1 - math.floor(math.log10(100 - 100 * rate))
        return f"{100 * rate:.{digits}f} %" if digits < 15 else "100 %"
    if 0.1 <= rate <= 0.99:
        return f"{100 * rate:.1f}".removesuffix(".0") + " %"
    return f"{100 * rate:.1e} %" if 0 < rate < 1e-8 else f"{in_percent(rate)} %"


def rate_with_interval(rate: float, low: float, high: float) -> str:
    """A rate and its interval in one unit: ``1.6 % [1.1 %, 2.1 %]``."""
    if not math.isfinite(low + high):
        return f"{rate_text(rate)} [not measured]"
    return f"{rate_text(rate)} [{rate_text(low)}, {rate_text(high)}]"


def percent_range(low: float, high: float) -> str:
    """``about 15 %`` where both say the same, else ``0.5-4.2 %``."""
    first, last = in_percent(low), in_percent(high)
    return f"about {first} %" if first == last else f"{first}-{last} %"


def copies_told(copies: int, pairs: int = 0, shared: int = 0) -> str:
    """What a reader must be told of copies of photos, to follow on a result; empty where there are none.

    ``copies`` were left out, ``pairs`` are of a photo with itself or its copy, and ``shared`` photos stay
    under several names.
    """
    told = [
        f"; {copies:,} more photos were left out as copies of others" if copies else "",
        f"; {pairs:,} of the pairs are of one photo with itself or its copy" if pairs else "",
        f"; {shared:,} photos are there under two names" if shared else "",
    ]
    return "".join(told)


def comparison_lines(result: Comparison, photos: tuple[str, str]) -> tuple[str, ...]:
    """What a comparison found: the verdict and its probability, the operating point, the score, its rarity.

    A line of its own tells of an uncertain verdict, and one which faces are the best of several pairs.
    """
    return tuple(_lines(result, photos))


def _lines(result: Comparison, photos: tuple[str, str]) -> Iterator[str]:
    verdict = ("same person" if result.same else "different people") + ", uncertain" * result.uncertain
    score = f"score {result.score:.3f}, threshold {result.threshold:.3f}"
    if result.probability is None:
        yield f"{verdict} (no probability; facealike calibrate learns it)"
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
    if rates is None or not _FMR.fullmatch(result.threshold_from):
        score += f" ({rule})"
    if result.probability is not None and (result.probability >= 0.5) != result.same:
        score += ": the threshold decides"
    yield score
    if result.best_of > 1 and result.face_numbers is not None:
        faces = in_a_row([f"face {k} of {name}" for k, name in zip(result.face_numbers, photos, strict=True)])
        yield f"best of {result.best_of:,} pairs of faces: {faces}"
    if result.uncertain and result.band is not None:
        other = "other people to calibrate on" + ", or better photos," * any(result.widening)
        yield f"{other} could move the threshold to {result.band[0]:.3f}-{result.band[1]:.3f}"
    if result.fmr is not None:
        yield how_rare(result.fmr, result.fmr_is_bound, result.best_of)


def prior_in_words(prior: float, best_of: int = 1) -> str:
    """``if half of all pairs match`` and the like; of photos where several pairs of faces were compared."""
    photo = "photo " if best_of > 1 else ""
    if prior == 0.5:
        return f"if half of all {photo}pairs match"
    if prior < 0.01:
        return f"if 1 {photo}pair in {round(1 / prior):,} matches"
    return f"if {100 * prior:.6g} % of all {photo}pairs match"


def how_rare(fmr: float, is_bound: bool = False, best_of: int = 1) -> str:
    """How often two different people score at least this high; ``is_bound`` says that it is less often.

    With ``best_of`` it is how often the best of so many pairs does.  The sentence begins with its
    conclusion, so that a high rate cannot be read as support for a match.
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
    """What happens at a threshold: its FMR, and the share of genuine pairs that it misses.

    ``fnmr`` holds the lowest and the highest value that the calibration allows, and ``best_of`` says that the
    FMR is that of the best of several pairs.  What is not known is left out; None where nothing is.
    ``people`` names those on whom the rates were measured.
    """
    best = f" for the best of {best_of:,} pairs" if best_of > 1 else ""
    parts = [] if fmr is None else [f"threshold at FMR {'below ' * fmr_is_bound}{rate_text(fmr)}{best}"]
    if fnmr is not None:
        misses = f"misses {percent_range(*fnmr)} of genuine pairs"
        parts.append(misses if parts else f"threshold {misses}")
    return f"{', '.join(parts)} ({people or 'calibration people'})" if parts else None


def target_fmr(rule: str) -> float | None:
    """The FMR that the rule of a threshold states; None for any other text."""
    target = _FMR.match(rule)
    return float(target[1]) if target else None


def short_rule(rule: str) -> str:
    """The rule of a threshold without the list that a worst group is of; other rules stay as they are."""
    worst = _WORST_GROUP.fullmatch(rule)
    return rule if worst is None else f"FMR {in_percent(float(worst[1]))} % in the worst group: {worst[2]}"


def rule_in_words(rule: str) -> str:
    """The rule of a threshold, readable: ``FMR 0.1 %``, ``FMR 10 % in the worst group: 0-2``."""
    target = _FMR.fullmatch(rule)
    if target:
        return f"FMR {in_percent(float(target[1]))} %"
    return "given by you" if rule == THE_CALLER else short_rule(rule)


def _one_in(rate: float) -> str:
    number = 1 / max(rate, 1e-12)
    digits = max(0, math.floor(math.log10(number)) - 1)
    return f"{round(number / 10**digits) * 10**digits:,}"
