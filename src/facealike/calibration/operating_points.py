"""Choose thresholds, estimate their confidence intervals, and tabulate the impostor survival function.

Terms as in ISO/IEC 19795-1:2021.  Intervals come from resampling people (``facealike.metrics.bootstrap``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from ..metrics.verification import confusion, threshold_at_fmr
from ..utils.json_fields import checked_number, checked_pair, in_words, is_number
from ..utils.result import Result
from ..utils.wording import rate_text, rate_with_interval
from .probability import balanced_weights, fit_platt

if TYPE_CHECKING:
    from ..metrics.bootstrap import Statistic

Rule: TypeAlias = "Literal['f1'] | float"
"""How a threshold is chosen: the best F1 on pairs of both kinds in equal number, or a target FMR."""

RULE_OF_30 = 30
"""Errors needed to report a rate without its interval: with 30 the true rate lies within about 30 % of it,
with 90 % confidence (Doddington et al., Speech Communication 31, 2000)."""

POINTS_PER_DECADE = 10  # of the impostor survival function

PAIRS_PER_DECADE = 10_000
"""Impostor pairs resampled for each power of ten of their rank; more do not change the interval of a few
hundred people, and a million pairs take minutes."""

PAIRS_PER_FIT = 3_000  # likewise, where a curve is fitted to each resample


@dataclass(frozen=True, repr=False)
class OperatingPoint(Result):
    """The threshold for a target FMR, and the rates at it on the calibration people.

    Args:
        fmr: The target FMR.
        threshold: A score.
        fmr_low: The lower bound of the 95 % interval of the FMR at this threshold, by resampling people.
        fmr_high: The upper bound.
        fnmr: The FNMR at this threshold.
        impostor: The number of impostor pairs.
        band: The 95 % interval of the threshold itself.

    Raises:
        ModelError: A value is out of range.
    """

    fmr: float
    threshold: float
    fmr_low: float
    fmr_high: float
    fnmr: float
    impostor: int
    band: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        for name, low in (("fmr", 0), ("threshold", -1), ("fmr_low", 0), ("fmr_high", 0), ("fnmr", 0)):
            value = getattr(self, name)
            if not is_number(value) or not low <= value <= 1:
                raise ModelError(
                    f"operating point: {name} must lie between {low} and 1, not {in_words(value)}"
                )
            object.__setattr__(self, name, float(value))
        checked_number(self.impostor, "operating point: the number of pairs", 1, 10**15, whole=True)
        if self.band is not None:
            object.__setattr__(self, "band", checked_pair(self.band, "operating point: the band"))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"FMR {rate_with_interval(self.fmr, self.fmr_low, self.fmr_high)} at threshold "
            f"{self.threshold:.3f}, FNMR {rate_text(self.fnmr)} (calibration people)"
        )


def f1_threshold(
    scores: NDArray[np.float64], same: NDArray[np.bool_], weights: NDArray[np.float64] | None = None
) -> float:
    """Return the threshold of the best F1 on pairs of both kinds in equal number, from a smooth curve.

    F1 is highest where pairs are accepted from a probability of half the highest F1.  The probability is that
    of ``fit_platt`` on Fisher's z with these ``weights`` (n,), and the highest F1 that of the weighted pairs.
    The best cut of a sample itself, around which F1 is nearly constant, varies twice as much from one sample
    of people to the next, and loses F1 on other people.  Where the curve is constant, because genuine pairs
    do not score higher, the best cut itself is returned.

    Source: Lipton, Elkan and Naryanaswamy, ECML PKDD 2014.
    """
    balanced = balanced_weights(same, weights)
    order = np.argsort(-scores, kind="stable")
    falling, mass = scores[order], balanced[order]
    last_of_ties = np.append(np.flatnonzero(np.diff(falling)), len(falling) - 1)
    tp = np.cumsum(mass * same[order])[last_of_ties]
    f1 = 2 * tp / (np.cumsum(mass)[last_of_ties] + 0.5)
    best = int(np.argmax(f1))
    curve = fit_platt(scores, same, weights, "fisher")
    if curve.a < 1e-6:
        return float(falling[last_of_ties[best]])
    half = float(f1[best]) / 2
    return math.tanh((math.log(half / (1 - half)) - curve.b) / curve.a)


def f1_band(
    scores: NDArray[np.float64], same: NDArray[np.bool_], first: NDArray[np.int64],
    second: NDArray[np.int64], weights: NDArray[np.float64] | None, resamples: int, seed: int,
) -> tuple[float, float] | None:  # fmt: skip
    """Return the 95 % percentile interval of ``f1_threshold`` by resampling people, from ``thinned`` pairs.

    None where fewer than half of the resamples have genuine and impostor pairs.
    """
    kept, mass = thinned(scores, same, PAIRS_PER_FIT)
    values, genuine = scores[kept], same[kept]
    own = mass if weights is None else mass * weights[kept]
    names, sides = np.unique(np.stack([first[kept], second[kept]]), return_inverse=True)
    left, right = sides.reshape(2, -1)
    rng = np.random.default_rng(seed)
    drawn: list[float] = []
    for _ in range(resamples):
        times = np.bincount(rng.integers(0, len(names), len(names)), minlength=len(names))
        weight = own * np.where(genuine, times[left], times[left] * times[right])
        positive = weight > 0
        if genuine[positive].any() and not genuine[positive].all():
            drawn.append(f1_threshold(values[positive], genuine[positive], weight[positive]))
    if 2 * len(drawn) < resamples or len(drawn) < 2:
        return None
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(low), float(high)


def operating_points(
    scores: NDArray[np.float64], same: NDArray[np.bool_], first: NDArray[np.int64],
    second: NDArray[np.int64], fmrs: Iterable[float], resamples: int, seed: int,
) -> tuple[OperatingPoint, ...]:  # fmt: skip
    """Return the operating point of each FMR; thresholds from all pairs, intervals from ``thinned`` ones.

    Raises:
        UsageError: The impostor pairs do not support an FMR.
    """
    # Imported here, since a comparison reads calibrations and fits none.
    from ..metrics.bootstrap import intervals
    from ..metrics.weighted_pairs import Block, Pairs

    cuts = {fmr: _cosine(threshold_at_fmr(scores, same, fmr)) for fmr in fmrs}
    statistics: dict[str, Statistic] = {}
    for fmr, cut in cuts.items():
        statistics[f"threshold {fmr}"] = partial(Block.threshold_at_fmr, limit=fmr)
        statistics[f"fmr {fmr}"] = partial(Block.fmr, threshold=cut)
    kept, weights = thinned(scores, same)
    pairs = Pairs(scores[kept], same[kept], first[kept], second[kept], weights)
    found = intervals(pairs, statistics, resamples=resamples, seed=seed)
    impostor = int(np.sum(~same))
    points = []
    for fmr, cut in cuts.items():
        rate, own = found[f"fmr {fmr}"], found[f"threshold {fmr}"]
        measured = math.isfinite(rate.low + rate.high)  # false with too few people
        low, high = (max(rate.low, 0.0), min(rate.high, 1.0)) if measured else (0.0, 1.0)
        fnmr = confusion(scores, same, cut).fnmr
        band = around(cut, own.low, own.high)
        points.append(OperatingPoint(fmr, cut, low, high, fnmr, impostor, band))
    return tuple(points)


def thinned(
    scores: NDArray[np.float64], same: NDArray[np.bool_], per_decade: int = PAIRS_PER_DECADE
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return (kept, weights): a sample of the pairs with weights, both kinds with total weight one half.

    Of the impostor pairs the highest ``per_decade`` are kept, of those that follow up to ten times that rank
    as many again, and so on, so that every FMR depends on about as many; of the genuine pairs as many in all,
    evenly by rank.  The weight of a pair is the number of pairs that it represents.
    """
    kept, weights = [], []
    for kind in (True, False):
        index = np.flatnonzero(same == kind)
        falling = index[np.argsort(-scores[index], kind="stable")]
        edges = [0, len(falling)]
        if not kind:
            powers = range(math.ceil(math.log10(max(len(falling) / per_decade, 1))))
            edges[1:1] = [per_decade * 10**power for power in powers]
        of_kind = []
        for start, end in pairwise(edges):
            wanted = min(end - start, per_decade)
            places = start + (np.arange(wanted) + 0.5) * (end - start) / wanted
            kept.append(falling[places.astype(np.int64)])
            of_kind.append(np.full(wanted, (end - start) / wanted))
        weights.append(np.concatenate(of_kind) / len(falling) / 2)
    return np.concatenate(kept), np.concatenate(weights)


def around(threshold: float, low: float, high: float) -> tuple[float, float] | None:
    """Return an interval of a threshold that contains it, within [-1, 1]; None where it was not measured."""
    if not math.isfinite(low + high):
        return None
    return max(-1.0, min(low, threshold)), min(1.0, max(high, threshold))


def _cosine(threshold: float) -> float:
    return min(max(threshold, -1.0), 1.0)


def impostor_survival(impostor: NDArray[np.float64]) -> tuple[tuple[float, float], ...]:
    """Return (score, share of impostor pairs that score at least that), as far as 30 pairs support it."""
    falling = np.sort(impostor)[::-1]
    count = len(falling)
    if count < RULE_OF_30:
        return ()
    decades = math.log10(count / RULE_OF_30)
    shares = 10.0 ** -np.linspace(0, decades, max(2, math.ceil(decades * POINTS_PER_DECADE) + 1))
    places = np.clip(np.round(shares * count).astype(np.int64), RULE_OF_30, count)
    scores = np.unique(falling[places - 1])
    # Counted again, since equal scores fall on the same side.
    at_least = count - np.searchsorted(falling[::-1], scores, side="left")
    return tuple(zip(scores.tolist(), (at_least / count).tolist(), strict=True))
