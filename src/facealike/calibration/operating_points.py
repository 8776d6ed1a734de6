"""Where to put the threshold, how sure that place is, and how rarely strangers score higher still.

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
"""How a threshold is chosen: the best F1 on pairs of both kinds in equal number, or a named FMR."""

RULE_OF_30 = 30
"""Errors to be seen for a rate that is told without its interval: with 30 the true rate lies within
about 30 % of it, with 90 % confidence (Doddington et al., Speech Communication 31, 2000)."""

POINTS_PER_DECADE = 10  # of the tail

PAIRS_A_DECADE = 10_000
"""Impostor pairs resampled for each power of ten of their rank; more would not move an interval that
a few hundred people give, and a million pairs would take minutes."""

PAIRS_OF_A_FIT = 3_000  # likewise, where a curve of two numbers is fitted to each resample


@dataclass(frozen=True, repr=False)
class OperatingPoint(Result):
    """The threshold for a named FMR, and what was really had there on the calibration people.

    ``fmr_low`` to ``fmr_high`` is the 95 % interval of the FMR at this threshold, by resampling
    people; ``fnmr`` the share of genuine pairs lost there; ``impostor`` the number of impostor pairs
    it rests on; ``band`` the interval of the threshold itself, as in ``Calibration``.
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
    """The threshold of the best F1 on pairs of both kinds in equal number, read off a smooth curve.

    F1 is highest where pairs are accepted from a probability of half the highest F1 on (Lipton, Elkan
    and Naryanaswamy, ECML PKDD 2014).  The probability is that of ``fit_platt`` on Fisher's z with
    these ``weights`` (n,), and the highest F1 that of the pairs so weighed.  The very best cut of a
    sample, whose F1 is nearly level around it, jumps twice as far from one sample of people to the
    next, and loses F1 on people it was not chosen on.

    Where the curve is level, because genuine pairs do not score higher, it is the best cut itself.
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
    """The 95 % percentile interval of ``f1_threshold`` by resampling people, from ``thinned`` pairs.

    None where fewer than half of the resamples have genuine and impostor pairs.
    """
    kept, mass = thinned(scores, same, PAIRS_OF_A_FIT)
    values, genuine = scores[kept], same[kept]
    own = mass if weights is None else mass * weights[kept]
    names, sides = np.unique(np.stack([first[kept], second[kept]]), return_inverse=True)
    left, right = sides.reshape(2, -1)
    rng = np.random.default_rng(seed)
    drawn: list[float] = []
    for _ in range(resamples):
        times = np.bincount(rng.integers(0, len(names), len(names)), minlength=len(names))
        weight = own * np.where(genuine, times[left], times[left] * times[right])
        alive = weight > 0
        if genuine[alive].any() and not genuine[alive].all():
            drawn.append(f1_threshold(values[alive], genuine[alive], weight[alive]))
    if 2 * len(drawn) < resamples or len(drawn) < 2:
        return None
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(low), float(high)


def operating_points(
    scores: NDArray[np.float64], same: NDArray[np.bool_], first: NDArray[np.int64],
    second: NDArray[np.int64], fmrs: Iterable[float], resamples: int, seed: int,
) -> tuple[OperatingPoint, ...]:  # fmt: skip
    """The point of each FMR.  Thresholds come from all pairs, intervals from ``thinned`` ones.

    Raises UsageError for an FMR that the impostor pairs do not support.
    """
    # Imported here, for a comparison reads calibrations and makes none.
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
        had, own = found[f"fmr {fmr}"], found[f"threshold {fmr}"]
        told = math.isfinite(had.low + had.high)  # too few people tell nothing
        low, high = (max(had.low, 0.0), min(had.high, 1.0)) if told else (0.0, 1.0)
        fnmr = confusion(scores, same, cut).fnmr
        band = around(cut, own.low, own.high)
        points.append(OperatingPoint(fmr, cut, low, high, fnmr, impostor, band))
    return tuple(points)


def thinned(
    scores: NDArray[np.float64], same: NDArray[np.bool_], a_decade: int = PAIRS_A_DECADE
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(kept, weights): fewer pairs that stand for all, the kinds counting one half each.

    Of the impostor pairs the highest ``a_decade`` are kept, every ninth or so of those that follow up
    to ten times that rank, and so on, so that every FMR rests on about as many; of the genuine pairs
    as many in all, evenly by rank.  Each weighs as many as it stands for.
    """
    kept, weights = [], []
    for kind in (True, False):
        index = np.flatnonzero(same == kind)
        falling = index[np.argsort(-scores[index], kind="stable")]
        edges = [0, len(falling)]
        if not kind:
            powers = range(math.ceil(math.log10(max(len(falling) / a_decade, 1))))
            edges[1:1] = [a_decade * 10**power for power in powers]
        mine = []
        for start, end in pairwise(edges):
            wanted = min(end - start, a_decade)
            places = start + (np.arange(wanted) + 0.5) * (end - start) / wanted
            kept.append(falling[places.astype(np.int64)])
            mine.append(np.full(wanted, (end - start) / wanted))
        weights.append(np.concatenate(mine) / len(falling) / 2)
    return np.concatenate(kept), np.concatenate(weights)


def around(threshold: float, low: float, high: float) -> tuple[float, float] | None:
    """An interval of a threshold, within [-1, 1] and around it; None where it was not measured."""
    if not math.isfinite(low + high):
        return None
    return max(-1.0, min(low, threshold)), min(1.0, max(high, threshold))


def _cosine(threshold: float) -> float:
    return min(max(threshold, -1.0), 1.0)


def impostor_tail(impostor: NDArray[np.float64]) -> tuple[tuple[float, float], ...]:
    """(score, share of impostor pairs that score at least that), as far as 30 pairs support it."""
    falling = np.sort(impostor)[::-1]
    count = len(falling)
    if count < RULE_OF_30:
        return ()
    decades = math.log10(count / RULE_OF_30)
    shares = 10.0 ** -np.linspace(0, decades, max(2, math.ceil(decades * POINTS_PER_DECADE) + 1))
    places = np.clip(np.round(shares * count).astype(np.int64), RULE_OF_30, count)
    scores = np.unique(falling[places - 1])
    # Counted again, for equal scores stand on the same side.
    at_least = count - np.searchsorted(falling[::-1], scores, side="left")
    return tuple(zip(scores.tolist(), (at_least / count).tolist(), strict=True))
