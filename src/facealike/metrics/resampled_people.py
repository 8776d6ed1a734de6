"""Intervals of a share of trials, each of which belongs to one person."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bootstrap import Interval
from .intervals import BootstrapOptions, StatisticSpec, bounds, drawn, left_out

Floats = NDArray[np.float64]


class ResampledPeople:
    """Trials, weighted by how often their person was drawn.

    Args:
        people: The person of each trial, (n,).
        options: The coverage, method, number and seed of the resamples.
    """

    def __init__(self, people: NDArray[Any], options: BootstrapOptions) -> None:
        person = np.unique(people, return_inverse=True)[1].reshape(-1)
        sizes = np.bincount(person).astype(np.int64)
        self._person, self._people, self._trials = person, len(sizes), len(person)
        self._effective_size = float(sizes.sum() ** 2 / np.sum(sizes.astype(np.float64) ** 2))
        self._draws = _stacked(drawn(self._people, options))
        self._without = _stacked(left_out(sizes))
        self._options = options

    def share(self, happened: NDArray[np.bool_]) -> Interval:
        """Return the share of trials (n,) that happened."""
        values = happened.astype(np.float64)
        return self.interval(lambda weights: _mean(weights, values))

    def interval(self, statistic: Callable[[Floats], Floats], smooth: bool = True) -> Interval:
        """Return the interval of a statistic of weights (b, trials); ``smooth`` as in ``StatisticSpec``."""
        options = self._options
        estimate = float(statistic(np.ones((1, self._trials)))[0])
        draws, without = self._each(statistic, self._draws), self._each(statistic, self._without)
        kind = StatisticSpec(
            0.5 / self._trials, smooth, self._people, self._effective_size if smooth else None
        )
        low, high = bounds(estimate, draws, without, np.zeros(0), options, kind)
        method = options.method if smooth else "percentile"
        return Interval(estimate, low, high, options.level, method, int(np.isfinite(draws).sum()))

    def _each(self, statistic: Callable[[Floats], Floats], multiplicity: Floats) -> Floats:
        rows = max(1, (1 << 21) // self._trials)
        parts = [
            statistic(multiplicity[start : start + rows][:, self._person])
            for start in range(0, len(multiplicity), rows)
        ]
        return np.concatenate(parts)


def _stacked(rows: Iterator[Floats]) -> Floats:
    return np.stack(list(rows))


def _mean(weights: Floats, values: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        means: Floats = weights @ values / weights.sum(axis=1)
    return means
