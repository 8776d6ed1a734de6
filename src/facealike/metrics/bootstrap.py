"""Confidence intervals of pair statistics by resampling people.

Pairs are not independent: one person with forty photos is in hundreds of them, and one face that many
resemble raises the score of many impostor pairs at once.  The people of a test are its random sample, so
people are resampled (Bolle, Ratha and Pankanti, "Error analysis of pattern recognition systems: the subsets
bootstrap", CVIU 93, 2004).  A resample draws as many people as there are, with replacement.  If person p was
drawn m_p times, a genuine pair of p weighs m_p and an impostor pair of p and q weighs m_p * m_q (the
pigeonhole bootstrap: Owen, Annals of Applied Statistics 1(2), 2007; for pairs of one population Davezies,
D'Haultfoeuille and Guyonvarch, Annals of Statistics 49(2), 2021).

The share of genuine pairs is a property of the list of pairs and no finding, so in each resample the two
kinds keep their share: every statistic here follows from the weighted FMR and FNMR and that share.
``facealike.metrics.intervals`` turns the resamples into intervals.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import UsageError
from ..utils.result import Result
from .intervals import (
    BootstrapKeywords,
    BootstrapOptions,
    StatisticSpec,
    bounds,
    drawn,
    drawn_dyads,
    left_out,
)
from .verification import checked_rate
from .weighted_pairs import Block, Pairs

if TYPE_CHECKING:
    from typing_extensions import Unpack

Floats = NDArray[np.float64]
Statistic = Callable[[Block], Floats]
Values = dict[str, Floats]
Weigh = Callable[[Pairs], Block]
Evaluate = Callable[[Weigh], Values]

THRESHOLD = "threshold"
BLOCK = 1 << 19  # weights held at a time; fits the cache of a core


@dataclass(frozen=True, repr=False)
class Interval(Result):
    """An estimate with its confidence interval; ``low <= estimate <= high`` always.

    ``docs/results/interval-coverage.md`` reports the measured coverage.

    Examples:
        >>> interval = evaluate_split(model, "people", "test").intervals()["f1"]
        >>> print(interval.low, interval.high)

    Args:
        estimate: The statistic of the sample.
        low: The lower bound; NaN where fewer than half of the resamples define the statistic.
        high: The upper bound; NaN likewise.
        level: The coverage.
        method: How the bounds were computed: ``percentile``, ``bca`` or ``wilson``.
        resamples: How many resamples define the statistic.
    """

    ASK: ClassVar[str] = "compare .low and .high with the value that you ask about"

    estimate: float
    low: float
    high: float
    level: float = 0.95
    method: str = "percentile"
    resamples: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for JSON: None in place of NaN, six significant digits."""
        numbers = {"estimate": self.estimate, "low": self.low, "high": self.high}
        return {
            **{name: float(f"{v:.6g}") if math.isfinite(v) else None for name, v in numbers.items()},
            "level": self.level,
            "method": self.method,
            "resamples": self.resamples,
        }

    def __str__(self) -> str:
        if not math.isfinite(self.low + self.high):
            return f"{self.estimate:.3f} [not measured]"
        return f"{self.estimate:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True, eq=False, repr=False)
class RocBand(Result):
    """The ROC curve at chosen FMRs with a pointwise interval of the true match rate.

    Args:
        fmr: The FMRs, (k,).
        tmr: The true match rate at the lowest threshold that keeps each FMR, (k,).
        low: The lower bound at each FMR by itself, not of the whole curve, (k,).
        high: The upper bound, (k,).
        level: The coverage.
    """

    fmr: Floats
    tmr: Floats
    low: Floats
    high: Floats
    level: float = 0.95

    def __post_init__(self) -> None:
        for array in (self.fmr, self.tmr, self.low, self.high):
            array.setflags(write=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the arrays for JSON, with None in place of NaN."""
        columns = {"fmr": self.fmr, "tmr": self.tmr, "low": self.low, "high": self.high}
        lists = {
            name: [None if math.isnan(v) else round(v, 6) for v in array.tolist()]
            for name, array in columns.items()
        }
        return {**lists, "level": self.level}


# ---- intervals of pair statistics -------------------------------------------------------------


def pair_intervals(
    scores: ArrayLike, same: ArrayLike, first: ArrayLike, second: ArrayLike, threshold: float,
    fmrs: Sequence[float] = (), weights: ArrayLike | None = None, **options: Unpack[BootstrapKeywords],
) -> dict[str, Interval]:  # fmt: skip
    """Return intervals of ``f1 accuracy auc fmr fnmr eer``, and ``fnmr@F`` for each F of ``fmrs``.

    Examples:
        >>> pair_intervals(scores, same, first, second, 0.5, fmrs=(0.01,), resamples=200)["fnmr@0.01"]

    Args:
        scores: Scores of pairs, (n,).
        same: Whether each pair shows one person, (n,).
        first: The person of one side of each pair, integers (n,).
        second: The person of the other side, (n,).
        threshold: Held fixed; ``eer`` and ``fnmr@F`` choose their own in each resample.
        fmrs: The FMRs at which the FNMR is reported.
        weights: How much each pair counts, (n,); 1 if None.
        options: ``level``, ``resamples``, ``method`` and ``seed`` of ``BootstrapOptions``.

    Raises:
        UsageError: The arrays do not fit, a kind of pairs is missing, a genuine pair has two people or an
            impostor pair one, or an option makes no sense.
    """
    pairs = Pairs(scores, same, first, second, weights)
    names = ["f1", "accuracy", "auc", "fmr", "fnmr", "eer", *(f"fnmr@{limit:g}" for limit in fmrs)]
    return intervals(pairs, {name: _statistic(name, threshold) for name in names}, **options)


def difference_interval(
    scores_a: ArrayLike, threshold_a: float, scores_b: ArrayLike, threshold_b: float, same: ArrayLike,
    first: ArrayLike, second: ArrayLike, statistic: str = "f1", **options: Unpack[BootstrapKeywords],
) -> Interval:  # fmt: skip
    """Return the interval of a's ``statistic`` minus b's, on the same pairs and the same resamples.

    It compares two systems better than whether their intervals overlap, for what makes a resample hard is
    hard for both.

    Examples:
        >>> difference_interval(new, 0.5, old, 0.4, same, first, second, "auc")

    Args:
        scores_a: Scores of the pairs by system a, (n,).
        threshold_a: The threshold of system a.
        scores_b: Scores of the same pairs by system b, (n,).
        threshold_b: The threshold of system b.
        same: Whether each pair shows one person, (n,).
        first: The person of one side of each pair, integers (n,).
        second: The person of the other side, (n,).
        statistic: A key of ``pair_intervals``.
        options: ``level``, ``resamples``, ``method`` and ``seed`` of ``BootstrapOptions``.

    Raises:
        UsageError: As ``pair_intervals``.
    """
    a = Pairs(scores_a, same, first, second)
    b = Pairs(scores_b, same, first, second)
    of_a, of_b = _statistic(statistic, threshold_a), _statistic(statistic, threshold_b)
    spec = StatisticSpec(smallest=None, smooth=_spec(statistic, a).smooth)
    specs = {"difference": spec}
    return _resampled(_difference(a, of_a, b, of_b), a, BootstrapOptions(**options), specs)["difference"]


def _difference(a: Pairs, of_a: Statistic, b: Pairs, of_b: Statistic) -> Evaluate:
    return lambda weigh: {"difference": of_a(weigh(a)) - of_b(weigh(b))}


def threshold_interval(
    scores: ArrayLike, same: ArrayLike, first: ArrayLike, second: ArrayLike, rule: Literal["f1"] | float,
    weights: ArrayLike | None = None, **options: Unpack[BootstrapKeywords],
) -> Interval:  # fmt: skip
    """Return the interval of a threshold: where another sample of people would have put it.

    ``rule`` is ``"f1"`` for the highest F1, or an FMR for the lowest threshold that keeps it.  The other
    arguments and errors are those of ``pair_intervals``.
    """
    pairs = Pairs(scores, same, first, second, weights)
    if rule == "f1":
        chosen: Statistic = lambda block: block.best_f1_threshold()  # noqa: E731
    else:
        limit = checked_rate(rule)
        chosen = lambda block: block.threshold_at_fmr(limit)  # noqa: E731
    return intervals(pairs, {THRESHOLD: chosen}, **options)[THRESHOLD]


def roc_band(
    scores: ArrayLike, same: ArrayLike, first: ArrayLike, second: ArrayLike, fmr_grid: ArrayLike,
    **options: Unpack[BootstrapKeywords],
) -> RocBand:  # fmt: skip
    """Return the true match rate at each FMR of ``fmr_grid`` (k,) with its interval.

    The other arguments and errors are those of ``pair_intervals``.
    """
    grid = np.asarray(fmr_grid, dtype=np.float64).ravel()
    pairs = Pairs(scores, same, first, second)
    statistics = {f"tmr@{i}": _tmr_at(checked_rate(float(limit))) for i, limit in enumerate(grid)}
    found = list(intervals(pairs, statistics, **options).values())
    return RocBand(
        fmr=grid.copy(),
        tmr=np.array([interval.estimate for interval in found]),
        # Accepting every pair has no error to measure.
        low=np.where(grid < 1, [interval.low for interval in found], 1.0),
        high=np.array([interval.high for interval in found]),
        level=BootstrapOptions(**options).level,
    )


def _tmr_at(limit: float) -> Statistic:
    return lambda block: 1.0 - block.fnmr_at_fmr(limit)


def _statistic(name: str, threshold: float) -> Statistic:
    if name.startswith("fnmr@"):
        limit = checked_rate(float(name.removeprefix("fnmr@")))
        return lambda block: block.fnmr_at_fmr(limit)
    if name in ("auc", "eer"):
        return Block.auc if name == "auc" else Block.eer
    if name not in ("f1", "accuracy", "fmr", "fnmr"):
        raise UsageError(f"there is no statistic {name!r}: f1, accuracy, auc, fmr, fnmr, eer or fnmr@0.01")
    if math.isnan(threshold):
        raise UsageError("the threshold is NaN; give a number")
    at_threshold = getattr(Block, name)
    return lambda block: at_threshold(block, threshold)


# ---- resampling -------------------------------------------------------------------------------


def intervals(
    pairs: Pairs, statistics: Mapping[str, Statistic], **options: Unpack[BootstrapKeywords]
) -> dict[str, Interval]:
    """Return the interval of each statistic of a ``Block``, all from the same resamples of ``pairs``.

    The name says what sort of number a statistic is: ``threshold...`` is of any size, all others are shares;
    ``fmr...`` depends on impostor pairs alone; ``eer`` and a name with an @ choose their own threshold.

    Raises:
        UsageError: An option makes no sense.
    """

    def evaluate(weigh: Weigh) -> Values:
        block = weigh(pairs)
        return {name: statistic(block) for name, statistic in statistics.items()}

    specs = {name: _spec(name, pairs) for name in statistics}
    return _resampled(evaluate, pairs, BootstrapOptions(**options), specs)


def _spec(name: str, pairs: Pairs) -> StatisticSpec:
    if name.startswith(THRESHOLD):
        return StatisticSpec(smallest=None, smooth=False)
    # Half of the least by which a share can differ from 0 or 1: one pair of the lowest weight.
    genuine, impostor = pairs.genuine_step / 2, pairs.impostor_step / 2
    if name.startswith("fmr"):
        return StatisticSpec(impostor, people=pairs.people, effective_size=pairs.impostor_effective_size)
    if name == "fnmr":
        return StatisticSpec(
            genuine, people=pairs.genuine_people, effective_size=pairs.genuine_effective_size
        )
    if name == "auc":
        return StatisticSpec(pairs.genuine_step * impostor, people=pairs.genuine_people)
    smooth = name != "eer" and "@" not in name
    return StatisticSpec(min(genuine, impostor), smooth=smooth, people=pairs.genuine_people)


def _resampled(
    evaluate: Evaluate, pairs: Pairs, options: BootstrapOptions, specs: Mapping[str, StatisticSpec]
) -> dict[str, Interval]:
    estimates, draws, without, dyads = _samples(evaluate, pairs, options)
    found = {}
    for name, spec in specs.items():
        estimate = float(estimates[name][0])
        low, high = bounds(estimate, draws[name], without[name], dyads[name], options, spec)
        method = options.method if spec.smooth else "percentile"
        valid = int(np.isfinite(draws[name]).sum())
        found[name] = Interval(estimate, low, high, options.level, method, valid)
    return found


def _samples(
    evaluate: Evaluate, pairs: Pairs, options: BootstrapOptions
) -> tuple[Values, Values, Values, Values]:
    """Evaluate the pairs as they are, in resamples, in the jackknife, and in resamples of pairs of people."""

    def by_people(multiplicity: Floats) -> Values:
        return evaluate(lambda each: each.block(multiplicity))

    def by_dyads(weights: Floats) -> Values:
        return evaluate(lambda each: each.dyad_block(weights))

    rows = max(1, BLOCK // pairs.size)
    return (
        by_people(np.ones((1, pairs.people))),
        _collect(by_people, drawn(pairs.people, options), rows),
        _collect(by_people, left_out(pairs.pairs_of_people), rows),
        _collect(by_dyads, drawn_dyads(pairs.dyads, options), rows),
    )


def _collect(evaluate: Callable[[Floats], Values], weights: Iterator[Floats], rows: int) -> Values:
    """Evaluate all the weights, ``rows`` resamples at a time."""
    parts = []
    while block := list(islice(weights, rows)):
        parts.append(evaluate(np.stack(block)))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
