"""FMR and its intervals from the histogram of all impostor scores of a set.

This half of ``facealike.metrics.all_pairs`` needs no genuine pairs: one photo of each person is enough.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..utils.result import Result
from .bootstrap import Interval
from .intervals import BootstrapOptions, StatisticSpec, bounds, drawn
from .score_histogram import COARSE_EDGES, FINE_BINS, FINE_EDGES
from .verification import check_fmr, checked_rate

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class ImpostorScores(Result):
    """The histogram of all impostor scores of a set.

    A threshold between two edges of the bins is taken as the lower one, so that no FMR is underestimated; a
    threshold that is chosen by a rule lies at an edge and its FMR is exact.

    Args:
        counts: The number of pairs in each fine bin, int64 (FINE_BINS + 1,), as ``PairScores.impostor``.
    """

    counts: NDArray[np.int64]

    @cached_property
    def pairs(self) -> int:
        """The number of impostor pairs."""
        return int(self.counts.sum())

    @cached_property
    def accepted(self) -> NDArray[np.int64]:
        """How many pairs score at or above each edge of the fine bins, and above 1; (FINE_BINS + 2,)."""
        return np.append(np.cumsum(self.counts[::-1])[::-1], 0)

    def fmr_at(self, threshold: float) -> float:
        """Return the share of impostor pairs that a threshold accepts; NaN where there are none."""
        accepted = self.accepted[_edge(threshold)]
        return float(accepted / self.pairs) if self.pairs else math.nan

    def threshold_at_fmr(self, fmr: float, supported: bool = True) -> float:
        """Return the lowest edge of a bin whose FMR is at most ``fmr``; above 1 where that at 1 is too high.

        Raises:
            UsageError: The impostor pairs are too few for that FMR (``check_fmr``).
        """
        if supported:
            check_fmr(fmr, self.pairs)
        edge = int(np.argmax(self.accepted / self.pairs <= checked_rate(fmr)))
        return float(FINE_EDGES[edge]) if edge <= FINE_BINS else math.nextafter(1.0, 2.0)

    def intervals(
        self, of_person: NDArray[np.int32], thresholds: list[float], options: BootstrapOptions
    ) -> list[Interval]:
        """Return the FMR at each threshold with its interval, by resampling people.

        With all pairs a person is in thousands of them, and what matters is the influence of each person: the
        weight m_p * m_q of ``facealike.metrics.bootstrap`` is taken to first order in m_p - 1 and m_q - 1
        (Hajek's projection).  That leaves out the pair-level variance, of the order of one over the number of
        people.

        Args:
            of_person: Histograms of the impostor scores of each person, (P, COARSE_BINS + 1), as
                ``PairScores.impostor_of``.
            thresholds: Scores.
            options: See ``BootstrapOptions``.
        """
        own = np.stack([_at_least(of_person, threshold) for threshold in thresholds], axis=1)
        every = of_person.sum(axis=1, dtype=np.float64)[:, np.newaxis]
        plain = own.sum(axis=0) / every.sum()
        draws = np.array([_share(times, own, every) for times in drawn(len(own), options)])
        # A pair is in the counts of both its people, and to first order its weight changes with each.
        draws = plain + 2 * (draws - plain)
        with np.errstate(invalid="ignore", divide="ignore"):
            without = (own.sum(axis=0) / 2 - own) / (every.sum() / 2 - every)
        # Lower bound, where all pairs of a person are in error together; as in ``weighted_pairs``.
        effective_size = float(self.pairs**2 / np.sum(every**2))
        return [
            self._interval(threshold, float(plain[i]), draws[:, i], without[:, i], options, effective_size)
            for i, threshold in enumerate(thresholds)
        ]

    def threshold_interval(
        self, of_person: NDArray[np.int32], fmr: float, options: BootstrapOptions
    ) -> Interval:
        """Return ``threshold_at_fmr`` with the interval that another sample of people would give.

        Raises:
            UsageError: As ``threshold_at_fmr``.
        """
        cut = self.threshold_at_fmr(fmr)
        own = np.cumsum(of_person[:, ::-1], axis=1, dtype=np.float64)[:, ::-1]
        every = own[:, :1]
        plain = own.sum(axis=0) / every.sum()
        draws = [plain + 2 * (_share(times, own, every) - plain) for times in drawn(len(own), options)]
        with np.errstate(invalid="ignore", divide="ignore"):
            without = (own.sum(axis=0) / 2 - own) / (every.sum() / 2 - every)
        # Crossings of coarse curves have a small error, which all resamples share.
        shift = cut - float(_crossing(plain[np.newaxis], fmr)[0])
        drawn_cuts, left_out = (_crossing(curves, fmr) + shift for curves in (np.array(draws), without))
        low, high = bounds(cut, drawn_cuts, left_out, np.zeros(0), options, StatisticSpec(smooth=False))
        low, high = max(-1.0, min(low, cut)), max(cut, min(high, 1.0))
        return Interval(cut, low, high, options.level, "percentile", options.resamples)

    def _interval(
        self,
        threshold: float,
        plain: float,
        draws: Floats,
        without: Floats,
        options: BootstrapOptions,
        effective_size: float,
    ) -> Interval:
        rate = self.fmr_at(threshold)
        # Counts in coarse bins have a small error, which all resamples share.
        correction = rate / plain if plain > 0 else 1.0
        draws, without = (np.clip(each * correction, 0.0, 1.0) for each in (draws, without))
        deviation = math.sqrt(rate / self.pairs)
        spec = StatisticSpec(0.5 / self.pairs, people=len(without), effective_size=effective_size)
        low, high = bounds(
            rate, draws, without, np.array([rate - deviation, rate + deviation]), options, spec
        )
        return Interval(rate, low, high, options.level, options.method, int(np.isfinite(draws).sum()))


def _share(times: Floats, own: Floats, every: Floats) -> Floats:
    """The share of pairs accepted at each threshold if each person was drawn so many ``times``."""
    with np.errstate(invalid="ignore", divide="ignore"):
        share: Floats = (times @ own) / (times @ every)
    return share


def _crossing(curves: Floats, fmr: float) -> Floats:
    """Where each FMR curve (b, k) over the coarse edges first falls to ``fmr``, interpolated."""
    after = np.argmax(curves <= fmr, axis=1)
    after[curves.min(axis=1) > fmr] = curves.shape[1] - 1
    before, row = np.maximum(after - 1, 0), np.arange(len(curves))
    high, low = curves[row, before], curves[row, after]
    step = np.clip((high - fmr) / np.maximum(high - low, 1e-300), 0.0, 1.0)
    crossing: Floats = COARSE_EDGES[before] + step * (COARSE_EDGES[after] - COARSE_EDGES[before])
    return crossing


def _at_least(of_person: NDArray[np.int32], threshold: float) -> Floats:
    """How many pairs of each person score at least that, (P,), interpolated between two coarse edges."""
    place = (min(max(threshold, -1.0), 1.0) + 1) * (len(COARSE_EDGES) - 1) / 2
    before = min(int(place), len(COARSE_EDGES) - 2)
    low, high = (of_person[:, edge:].sum(axis=1, dtype=np.float64) for edge in (before, before + 1))
    between: Floats = low + (place - before) * (high - low)
    return between


def _edge(threshold: float) -> int:
    """The number of the highest fine edge at or below the threshold; one more than all above 1."""
    if math.isnan(threshold):
        raise UsageError("the threshold is NaN; give a number")
    if threshold > 1:
        return FINE_BINS + 1
    return math.floor((max(threshold, -1.0) + 1) * (FINE_BINS // 2))
