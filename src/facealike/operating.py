"""Where to put the threshold, how sure that place is, and how rarely strangers score higher still.

Terms as in ISO/IEC 19795-1:2021.  Intervals come from resampling people (``facealike.bootstrap``).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .errors import ModelError
from .fields import checked_pair, in_words, is_number
from .metrics import check_fmr, confusion, supported_fmrs, threshold_at_fmr
from .probability import balanced_weights

if TYPE_CHECKING:
    from .bootstrap import Interval, Statistic

Rule: TypeAlias = "Literal['f1'] | float"
"""How a threshold is chosen: the best F1 on pairs of both kinds in equal number, or a named FMR."""

RULE_OF_30 = 30
"""Errors to be seen for a rate that is told without its interval: with 30 the true rate lies within
about 30 % of it, with 90 % confidence (Doddington et al., Speech Communication 31, 2000)."""

POINTS_PER_DECADE = 10  # of the tail

PAIRS_A_DECADE = 10_000
"""Impostor pairs resampled for each power of ten of their rank; more would not move an interval that
a few hundred people give, and a million pairs would take minutes."""


@dataclass(frozen=True)
class OperatingPoint:
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
        if type(self.impostor) is not int or self.impostor < 1:
            raise ModelError(f"operating point: the number of pairs must not be {in_words(self.impostor)}")
        if self.band is not None:
            object.__setattr__(self, "band", checked_pair(self.band, "operating point: the band"))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"FMR {self.fmr:g} [{self.fmr_low:.2g}, {self.fmr_high:.2g}] at threshold {self.threshold:.3f}, "
            f"FNMR {self.fnmr:.3f}"
        )


def choose_thresholds(
    scores: NDArray[np.float64], same: NDArray[np.bool_], first: NDArray[np.int64],
    second: NDArray[np.int64], rule: Rule, resamples: int, seed: int,
) -> tuple[float, tuple[float, float] | None, tuple[OperatingPoint, ...]]:  # fmt: skip
    """The threshold of the rule, its band, and the points of all FMRs that the pairs support.

    Scores, truth and people of each pair, all (n,).  Thresholds come from all pairs, intervals from
    ``thinned`` ones.  Raises UsageError for an FMR that the impostor pairs do not support.
    """
    # Imported here, for a comparison reads calibrations and makes none.
    from .bootstrap import intervals
    from .weighted import Block, Pairs

    impostor = int(np.sum(~same))
    fmrs = set(supported_fmrs(impostor))
    if rule != "f1":
        check_fmr(float(rule), impostor)
        fmrs.add(float(rule))
    cuts = {fmr: _cosine(threshold_at_fmr(scores, same, fmr)) for fmr in fmrs}
    statistics: dict[str, Statistic] = {"threshold f1": Block.best_f1_threshold}
    for fmr, cut in cuts.items():
        statistics[f"threshold {fmr}"] = partial(Block.threshold_at_fmr, limit=fmr)
        statistics[f"fmr {fmr}"] = partial(Block.fmr, threshold=cut)
    kept, weights = thinned(scores, same)
    pairs = Pairs(scores[kept], same[kept], first[kept], second[kept], weights)
    found = intervals(pairs, statistics, resamples=resamples, seed=seed)
    points = []
    for fmr, cut in cuts.items():
        had = found[f"fmr {fmr}"]
        told = math.isfinite(had.low + had.high)  # too few people tell nothing
        low, high = (max(had.low, 0.0), min(had.high, 1.0)) if told else (0.0, 1.0)
        fnmr = confusion(scores, same, cut).fnmr
        points.append(
            OperatingPoint(fmr, cut, low, high, fnmr, impostor, _band(found[f"threshold {fmr}"], cut))
        )
    if rule != "f1":
        chosen = next(point for point in points if point.fmr == float(rule))
        return chosen.threshold, chosen.band, tuple(points)
    whole = Pairs(scores, same, first, second, balanced_weights(same))
    best = _cosine(float(whole.block(np.ones((1, whole.people))).best_f1_threshold()[0]))
    return best, _band(found["threshold f1"], best), tuple(points)


def thinned(
    scores: NDArray[np.float64], same: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(kept, weights): fewer pairs that stand for all, the kinds counting one half each.

    Of the impostor pairs the highest 10,000 are kept, every ninth or so of those that follow up to
    rank 100,000, and so on, so that every FMR rests on about as many; of the genuine pairs as many
    in all, evenly by rank.  Each weighs as many as it stands for.
    """
    kept, weights = [], []
    for kind in (True, False):
        index = np.flatnonzero(same == kind)
        falling = index[np.argsort(-scores[index], kind="stable")]
        edges = [0, len(falling)]
        if not kind:
            powers = range(math.ceil(math.log10(max(len(falling) / PAIRS_A_DECADE, 1))))
            edges[1:1] = [PAIRS_A_DECADE * 10**power for power in powers]
        mine = []
        for start, end in pairwise(edges):
            wanted = min(end - start, PAIRS_A_DECADE)
            places = start + (np.arange(wanted) + 0.5) * (end - start) / wanted
            kept.append(falling[places.astype(np.int64)])
            mine.append(np.full(wanted, (end - start) / wanted))
        weights.append(np.concatenate(mine) / len(falling) / 2)
    return np.concatenate(kept), np.concatenate(weights)


def _cosine(threshold: float) -> float:
    return min(max(threshold, -1.0), 1.0)


def _band(found: Interval, threshold: float) -> tuple[float, float] | None:
    """The interval of a threshold, within [-1, 1] and around it; None where there are too few people."""
    if not math.isfinite(found.low + found.high):
        return None
    return max(-1.0, min(found.low, threshold)), min(1.0, max(found.high, threshold))


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
