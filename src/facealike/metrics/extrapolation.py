"""Error rates at FMRs lower than can be counted, extrapolated by ``facealike.metrics.impostor_tail``.

The interval is from resampling people, as everywhere (``facealike.metrics.bootstrap``): each resample weighs
the pairs, fits the model anew and moves the threshold, and the genuine pairs of the FNMR have the weights of
the same people.  Far out in a tail the resamples are skewed, so the interval is one that corrects for it
(BCa).  It does not cover that the model may be wrong.  ``check_extrapolation`` measures that: the model is
fitted on few of the people, and all pairs count what it predicts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..utils.result import Result, Shown
from ..utils.wording import rate_text
from .all_pairs import Exhaustive
from .bootstrap import Interval
from .impostor_tail import LEAST_PAIRS, HighScores, TailFit, TailModel, fit_tail, high_scores, tail_thresholds
from .intervals import BootstrapOptions, StatisticSpec, bounds, drawn, drawn_dyads, left_out
from .score_histogram import count_pairs
from .verification import FMR_CANDIDATES, supported_fmrs

Floats = NDArray[np.float64]

CANDIDATES = (*FMR_CANDIDATES, 1e-7, 1e-8, 1e-9)

REACH = 10
"""Down to one part in so many of the lowest FMR that can be counted; farther down the predictions do not hold
(``docs/results/full-test.md``)."""

CHECK_SHARE = 0.01
"""The share of the impostor pairs that a check fits the model on, those of few of the people."""

CHECK_DRAWS = 20
BLOCK = 1 << 21  # weights held at a time


@dataclass(frozen=True, repr=False)
class ExtrapolatedPoint(Shown):
    """The threshold and the FNMR at an FMR that no one counted.

    Args:
        fmr: The FMR.
        threshold: Its threshold, with its interval.
        fnmr: The share of the genuine pairs below it, with its interval.
    """

    fmr: float
    threshold: Interval
    fnmr: Interval

    def to_dict(self) -> dict[str, Any]:
        return {
            "fmr": self.fmr,
            "extrapolated": True,
            "threshold": self.threshold.to_dict(),
            "fnmr": self.fnmr.to_dict(),
        }

    def __str__(self) -> str:
        return f"{rate_text(self.fnmr.estimate)} at FMR {rate_text(self.fmr)}"


@dataclass(frozen=True, repr=False)
class ExtrapolationCheck(Shown):
    """What all pairs count at the threshold that a model of few of the people gives for an FMR.

    Args:
        fmr: The FMR, which all pairs can count and those of the few people cannot.
        counted: The FMR of all pairs at the threshold of each draw of people, (draws,).
        people: How many people a model was fitted on, on average over the draws.
        pairs: The number of their impostor pairs likewise.
    """

    fmr: float
    counted: tuple[float, ...]
    people: int
    pairs: int

    @property
    def ratios(self) -> tuple[float, float, float]:
        """The counted FMR over the predicted one: the lowest, the median and the highest of the draws."""
        ratios = np.array(self.counted) / self.fmr
        return float(ratios.min()), float(np.median(ratios)), float(ratios.max())

    def to_dict(self) -> dict[str, Any]:
        low, middle, high = (float(f"{ratio:.4g}") for ratio in self.ratios)
        return {
            "fmr": self.fmr, "people": self.people, "pairs": self.pairs, "draws": len(self.counted),
            "ratio": middle, "lowest": low, "highest": high,
        }  # fmt: skip

    def __str__(self) -> str:
        low, middle, high = self.ratios
        return (
            f"FMR {rate_text(self.fmr)} predicted from {self.people:,} people: all pairs count {middle:.2g} "
            f"times that, {low:.2g} to {high:.2g} times in {len(self.counted)} draws"
        )


@dataclass(frozen=True, repr=False)
class Extrapolation(Result):
    """The model of the highest impostor scores, and what it gives where nothing can be counted.

    Args:
        model: The model.
        scores: How many impostor pairs it was fitted on.
        pairs: The number of all impostor pairs.
        points: FMRs below those that can be counted, falling.
        checks: How such predictions came true within this set, a row an FMR; empty where it is too small.
    """

    model: TailModel
    scores: int
    pairs: int
    points: tuple[ExtrapolatedPoint, ...]
    checks: tuple[ExtrapolationCheck, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "model": self.model.to_dict(),
            "scores": self.scores,
            "pairs": self.pairs,
            "points": [point.to_dict() for point in self.points],
            "checks": [check.to_dict() for check in self.checks],
        }

    def __str__(self) -> str:
        return (
            f"extrapolated: FNMR {', '.join(map(str, self.points))} (generalized Pareto distribution of the "
            f"{self.scores:,} highest of {self.pairs:,} impostor scores, shape {self.model.shape:.2f})"
        )


def extrapolate(
    embeddings: ArrayLike, labels: ArrayLike, counted: Exhaustive, options: BootstrapOptions | None = None,
    reach: float = REACH,
) -> Extrapolation:  # fmt: skip
    """Return thresholds and FNMRs at FMRs below those that all impostor pairs of a set can count.

    Examples:
        >>> extrapolate(embeddings, labels, exhaustive(embeddings, labels)).points[0].fnmr

    Args:
        embeddings: One row a photo, (n, d), of any length but zero.
        labels: The person of each photo, (n,).
        counted: ``exhaustive(embeddings, labels)``.
        options: Of the intervals; the seed is also that of the check.
        reach: The lowest FMR that can be counted, over the lowest that is extrapolated.

    Raises:
        UsageError: There are fewer than ``LEAST_PAIRS`` impostor pairs, or the arrays do not fit.
    """
    chosen = options or BootstrapOptions()
    high = high_scores(embeddings, labels, counted)
    model = fit_tail(high)
    return Extrapolation(
        model,
        len(high.scores),
        counted.impostor,
        tuple(_points(high, model, counted, chosen, reach)),
        check_extrapolation(embeddings, labels, counted, chosen.seed),
    )


def check_extrapolation(
    embeddings: ArrayLike, labels: ArrayLike, counted: Exhaustive, seed: int = 0, draws: int = CHECK_DRAWS
) -> tuple[ExtrapolationCheck, ...]:
    """Fit the model on few of the people, and count on all pairs the FMR at the threshold that it gives.

    The people are drawn until they have a hundredth of the impostor pairs, and ``LEAST_PAIRS`` at least.

    Args:
        embeddings: One row a photo, (n, d).
        labels: The person of each photo, (n,).
        counted: ``exhaustive(embeddings, labels)``.
        seed: Of the draws of people.
        draws: How often people are drawn.

    Returns:
        A check for each FMR that all pairs can count and those of the few people cannot; none where
        ``LEAST_PAIRS`` is more than a tenth of all.
    """
    goal = max(LEAST_PAIRS, CHECK_SHARE * counted.impostor)
    if goal > counted.impostor / 10:
        return ()
    vectors = np.asarray(embeddings, dtype=np.float32)
    person = np.unique(np.asarray(labels), return_inverse=True)[1].reshape(-1)
    rng = np.random.default_rng(seed)
    models: list[TailModel] = []
    sizes: list[tuple[int, int]] = []
    for _ in range(draws):
        chosen = drawn_people(person, goal, rng)
        rows = np.isin(person, chosen)
        few = Exhaustive(count_pairs(vectors[rows], person[rows], impostor_only=True))
        models.append(fit_tail(high_scores(vectors[rows], person[rows], few)))
        sizes.append((len(chosen), few.impostor))
    people, impostor = (round(float(np.mean(each))) for each in zip(*sizes, strict=True))
    most = max(pairs for _, pairs in sizes)
    return tuple(
        ExtrapolationCheck(
            fmr, tuple(counted.fmr_at(model.threshold_at_fmr(fmr)) for model in models), people, impostor
        )
        for fmr in supported_fmrs(counted.impostor)
        if not supported_fmrs(most, (fmr,))
    )


def drawn_people(labels: ArrayLike, pairs: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return random people, the fewest whose photos give so many impostor pairs.

    Args:
        labels: The person of each photo, (n,).
        pairs: The number of impostor pairs.
        rng: Draws the people.
    """
    people, photos = np.unique(np.asarray(labels), return_counts=True)
    order = rng.permutation(len(people))
    own = photos[order]
    reached = (np.cumsum(own) ** 2 - np.cumsum(own**2)) / 2
    return people[order[: int(np.searchsorted(reached, pairs)) + 1]]


def _points(
    high: HighScores, model: TailModel, counted: Exhaustive, options: BootstrapOptions, reach: float
) -> Iterator[ExtrapolatedPoint]:
    lowest = min(supported_fmrs(counted.impostor, CANDIDATES))
    fmrs = [fmr for fmr in CANDIDATES if lowest / reach * (1 - 1e-9) <= fmr < lowest]
    draws = _Draws(high, counted, fmrs)
    options = replace(options, method="bca")
    figures = (
        draws.of_people(drawn(len(high.photos), options)),
        draws.of_people(left_out(high.photos)),
        draws.of_dyads(drawn_dyads(draws.dyads, options)),
    )
    several = len(np.unique(counted.pair_scores.genuine_person))
    rejected = StatisticSpec(0.5 / counted.genuine, people=several)
    for i, fmr in enumerate(fmrs):
        threshold = model.threshold_at_fmr(fmr)
        of_threshold, of_fnmr = ([each[:, i, kind] for each in figures] for kind in (0, 1))
        at = _interval(threshold, of_threshold, options, StatisticSpec())
        fnmr = _interval(counted.fnmr_at(threshold), of_fnmr, options, rejected)
        # With few errors the resamples differ little, but the threshold may lie anywhere in its interval.
        if math.isfinite(at.low + at.high):
            ends = min(fnmr.low, counted.fnmr_at(at.low)), max(fnmr.high, counted.fnmr_at(at.high))
            fnmr = replace(fnmr, low=ends[0], high=ends[1])
        yield ExtrapolatedPoint(fmr, at, fnmr)


def _interval(
    estimate: float, figures: Sequence[Floats], options: BootstrapOptions, spec: StatisticSpec
) -> Interval:
    draws, without, dyads = figures
    low, high = bounds(estimate, draws, without, dyads, options, spec)
    valid = int(np.isfinite(draws).sum())
    return Interval(estimate, low, min(high, 1.0), options.level, options.method, valid)


class _Draws:
    """The threshold and the FNMR at each FMR in resamples, (b, FMRs, 2)."""

    def __init__(self, high: HighScores, counted: Exhaustive, fmrs: Sequence[float]) -> None:
        self._high, self._fmrs, self._fit = high, fmrs, TailFit(high)
        self._genuine = counted.pair_scores.genuine.astype(np.float64)
        self._person = counted.pair_scores.genuine_person
        sides = np.sort(np.stack([high.first, high.second]), axis=0)
        dyads, self._dyad = np.unique(sides[0] * len(high.photos) + sides[1], return_inverse=True)
        self.dyads = len(dyads)

    def of_people(self, multiplicities: Iterable[Floats]) -> Floats:
        """Return the figures with each person drawn so many times, for rows (people,)."""
        high = self._high

        def figures(times: Floats) -> Floats:
            weights = times[:, high.first] * times[:, high.second]
            return self._figures(weights, high.pairs(times), times[:, self._person])

        return self._each(figures, multiplicities)

    def of_dyads(self, weights: Iterable[Floats]) -> Floats:
        """Return the figures with the weight of each pair of people in the tail, for rows (dyads,)."""
        pairs = self._high.pairs(np.ones((1, len(self._high.photos))))

        def figures(rows: Floats) -> Floats:
            return self._figures(rows[:, self._dyad], pairs, np.ones((len(rows), len(self._genuine))))

        return self._each(figures, weights)

    def _each(self, figures: Callable[[Floats], Floats], weights: Iterable[Floats]) -> Floats:
        rest, parts = iter(weights), []
        rows = max(1, BLOCK // max(len(self._genuine), len(self._high.scores)))
        while block := list(islice(rest, rows)):
            parts.append(figures(np.stack(block)))
        return np.concatenate(parts)

    def _figures(self, weights: Floats, pairs: Floats, genuine: Floats) -> Floats:
        shape, scale = self._fit.at(weights)
        below = np.zeros((len(genuine), genuine.shape[1] + 1))
        np.cumsum(genuine, axis=1, out=below[:, 1:])
        found = np.full((len(weights), len(self._fmrs), 2), np.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            share = weights.sum(axis=1) / pairs
            for i, fmr in enumerate(self._fmrs):
                thresholds = tail_thresholds(self._high.start, share, shape, scale, fmr)
                place = np.searchsorted(self._genuine, thresholds, side="left")
                rejected = below[np.arange(len(below)), place] / below[:, -1]
                found[:, i, 0] = thresholds
                found[:, i, 1] = np.where(np.isfinite(thresholds), rejected, np.nan)
        return found
