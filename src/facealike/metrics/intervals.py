"""From bootstrap resamples of people to confidence intervals with the stated coverage.

The plain percentile interval fails on pairs of faces in two ways, both measured in
``benchmarks.accuracy.interval_coverage``.  Both are corrected by scaling the resamples about the estimate
before their percentiles are read.

*Pair-level variance counts three times.*  Multiplicities have variance 1, the weight m_p * m_q has variance
3: the variance of a single pair of people enters three times, that of the people once, as it should (Owen,
Annals of Applied Statistics 1(2), 2007).  Where each person meets few others, as in a balanced list of pairs,
an interval of the FMR is then up to 1.7 times too wide.  Resamples that weight each pair of people by itself
estimate the pair-level variance.  Without its excess the variance is that of dyadic data (Fafchamps and
Gubert, Journal of Development Economics 83(2), 2007; for face verification Fogliato, Patil and Perona,
International Journal of Computer Vision, 2024).

*Few people give most genuine pairs.*  Forty photos of one person are 780 pairs, and the rates of a thousand
people may depend on fifteen.  The variance is therefore that of the jackknife over people, which is the more
reliable for few and unequal clusters (MacKinnon, Nielsen and Webb, Journal of Applied Econometrics 38(5),
2023), and the interval uses Student's t distribution with the degrees of freedom of the jackknife influences
(Satterthwaite's approximation; Lipsitz, Ibrahim and Parzen, The Statistician 48(4), 1999), much as
Hesterberg's expanded percentile interval (The American Statistician 69(4), 2015).

A statistic that chooses its own threshold in each resample is a quantile.  There the jackknife is
inconsistent (Shao and Wu, Annals of Statistics 17(3), 1989), so the variance is that of the resamples, and
plain percentiles are read also where BCa was asked for.

Resamples are not informative about errors that hardly occur, and not at all where none did.  No interval of
FMR or FNMR is therefore wider than Wilson's score interval (Journal of the American Statistical Association
22(158), 1927) at the lower bound of the effective sample size, where all pairs of a person are in error
together; and where no resample differs from the estimate, that interval is the answer with as many trials as
there are people, which with no error is about the rule of 3 of ISO/IEC 19795-1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Literal, TypedDict, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError

Method = Literal["percentile", "bca"]
METHODS: tuple[str, ...] = get_args(Method)

Floats = NDArray[np.float64]

JACKKNIFE_GROUPS = 1000  # more people than this are left out in groups (Kott, J. Official Statistics, 2001)
DYAD_RESAMPLES = 400  # estimate a variance within a tenth
MIN_DEGREES = 2.0  # a t distribution with fewer has no variance


class BootstrapKeywords(TypedDict, total=False):
    """The fields of ``BootstrapOptions`` as keyword arguments of ``pair_intervals`` and others."""

    level: float
    resamples: int
    method: Method
    seed: int


@dataclass(frozen=True)
class BootstrapOptions:
    """What spec of interval is computed.

    Args:
        level: The coverage, between 0 and 1.
        resamples: Number of bootstrap resamples.
        method: ``percentile`` or ``bca`` (Efron, 1987).
        seed: Of the resamples.

    Raises:
        UsageError: A value makes no sense.
    """

    level: float = 0.95
    resamples: int = 1000
    method: Method = "percentile"
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise UsageError(f"the level of an interval lies between 0 and 1, like 0.95, not at {self.level}")
        if self.resamples < 1:
            raise UsageError(f"an interval needs at least one resample, better 1000, not {self.resamples}")
        if self.method not in METHODS:
            raise UsageError(f"an interval is percentile or bca, not {self.method!r}")


def drawn(people: int, options: BootstrapOptions) -> Iterator[Floats]:
    """Yield how often each person is drawn, (people,), for one resample after the other."""
    rng = np.random.default_rng(options.seed)
    for _ in range(options.resamples):
        yield np.bincount(rng.integers(0, people, people), minlength=people).astype(np.float64)


def drawn_dyads(dyads: int, options: BootstrapOptions) -> Iterator[Floats]:
    """Yield the weight of each pair of people, (dyads,), for one resample after the other."""
    rng = np.random.default_rng([options.seed, 1])
    for _ in range(min(DYAD_RESAMPLES, options.resamples)):
        yield rng.poisson(1.0, dyads).astype(np.float64)


def left_out(sizes: NDArray[np.int64]) -> Iterator[Floats]:
    """Yield the weights of the delete-one-person jackknife, (people,).

    With many people, those with few pairs are left out in groups; those with the most pairs are always left
    out alone, as they may decide a rate by themselves.

    Args:
        sizes: The number of pairs of each person, (people,).
    """
    people = len(sizes)
    group = np.empty(people, dtype=np.int64)
    alone = people if people <= JACKKNIFE_GROUPS else JACKKNIFE_GROUPS // 2
    order = np.argsort(-sizes, kind="stable")
    group[order[:alone]] = np.arange(alone)
    group[order[alone:]] = alone + np.arange(people - alone) % (JACKKNIFE_GROUPS - JACKKNIFE_GROUPS // 2)
    for number in range(int(group.max()) + 1):
        yield (group != number).astype(np.float64)


@dataclass(frozen=True)
class StatisticSpec:
    """How the interval of a statistic is computed.

    Args:
        smallest: The least by which a share can differ from 0 or 1; bounds are then computed in log-odds and
            stay in [0, 1].  None: the statistic is no share.
        smooth: False for a statistic that chooses its own threshold.
        people: How many people it depends on.
        effective_size: Lower bound of the effective sample size, for a plain share of errors; else None.
    """

    smallest: float | None = None
    smooth: bool = True
    people: int | None = None
    effective_size: float | None = None


def bounds(
    estimate: float,
    draws: Floats,
    without: Floats,
    dyads: Floats,
    options: BootstrapOptions,
    spec: StatisticSpec,
) -> tuple[float, float]:
    """Return (low, high) around a statistic, NaN where fewer than half of the resamples define it.

    Args:
        estimate: The statistic of the sample.
        draws: Its values in resamples of people, NaN where not defined.
        without: Its values in the jackknife.
        dyads: Its values in resamples of pairs of people; empty where the pair-level variance is negligible.
        options: The coverage, method and number of resamples.
        spec: What kind of statistic it is.
    """
    valid = draws[np.isfinite(draws)]
    if not math.isfinite(estimate) or 2 * len(valid) < options.resamples:
        return math.nan, math.nan
    smallest = spec.smallest
    if spec.people is not None and np.all(valid == estimate):
        return wilson(estimate, spec.people, options.level)
    center = float(_scale(np.array(estimate), smallest))
    values = np.sort(_scale(valid, smallest))
    influences = _influences(_scale(without[np.isfinite(without)], smallest))
    by_dyad = _scale(dyads[np.isfinite(dyads)], smallest)
    pair_variance = float(np.var(by_dyad)) if len(by_dyad) else 0.0
    stretch = _stretch(values, influences, pair_variance, spec.smooth, options.level)
    tails = (1 - options.level) / 2, (1 + options.level) / 2
    if options.method == "bca" and spec.smooth:
        tails = _bca_tails(center, values, influences, tails)
    ends = center + stretch * (np.quantile(values, tails) - center)
    low, high = (_unscale(float(end), smallest) for end in ends)
    if spec.effective_size is not None:
        widest = wilson(estimate, spec.effective_size, options.level)
        low, high = max(low, widest[0]), min(high, widest[1])
    # All resamples may lie on one side of the estimate, and bias-corrected tails on the other.
    return min(low, estimate), max(high, estimate)


def wilson(share: float, trials: float, level: float) -> tuple[float, float]:
    """Return Wilson's score interval of a share among so many independent trials, not always an integer."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    middle, variance = share + z * z / (2 * trials), share * (1 - share) / trials + (z / (2 * trials)) ** 2
    scale, reach = 1 + z * z / trials, z * math.sqrt(variance)
    # Exact where the bound is known.
    low = 0.0 if share <= 0 else max((middle - reach) / scale, 0.0)
    return low, 1.0 if share >= 1 else min((middle + reach) / scale, 1.0)


def _scale(values: Floats, smallest: float | None) -> Floats:
    if smallest is None:
        return values
    share = np.clip(values, smallest, 1 - smallest)
    odds: Floats = np.log(share / (1 - share))
    return odds


def _unscale(value: float, smallest: float | None) -> float:
    if smallest is None:
        return value
    share = 1 / (1 + math.exp(-min(max(value, -700.0), 700.0)))
    # Snap to 0 or 1 below the resolution of the data.
    return 0.0 if share <= smallest else 1.0 if share >= 1 - smallest else share


def _influences(without: Floats) -> Floats:
    """Return the jackknife influence of each person: by how much the statistic falls without that person."""
    influences: Floats = without.mean() - without if len(without) else np.zeros(0)
    return influences


def _stretch(values: Floats, influences: Floats, pair_variance: float, smooth: bool, level: float) -> float:
    """Return the factor for the distances of the resamples from the estimate."""
    variance = float(np.var(values))
    second, fourth = float(np.sum(influences**2)), float(np.sum(influences**4))
    if variance <= 0:
        return 1.0
    # The variance of a pair of people is in the jackknife twice, once for each, and in the resamples thrice.
    corrected = (
        second * (1 - 1 / max(len(influences), 1)) - pair_variance
        if smooth and fourth > 0
        else variance - 2 * pair_variance
    )
    # Twice the squared mean of a variance over its own variance, of which sum T^4 is an upper bound
    # that presumes no normal distribution.
    degrees = 2 * second**2 / fourth if fourth > 0 else math.inf
    tail = (1 + level) / 2
    t_ratio = student_quantile(tail, max(degrees, MIN_DEGREES)) / NormalDist().inv_cdf(tail)
    return math.sqrt(max(corrected, pair_variance) / variance) * t_ratio


def _bca_tails(
    estimate: float, values: Floats, influences: Floats, tails: tuple[float, float]
) -> tuple[float, float]:
    """Return the bias-corrected and accelerated tails to read off the sorted ``values``.

    Source: Efron, Journal of the American Statistical Association 82(397), 1987.
    """
    below = (np.searchsorted(values, estimate, "left") + np.searchsorted(values, estimate, "right")) / 2
    normal = NormalDist()
    # Half a resample from either end: the estimate may lie beyond all of them.
    bias = normal.inv_cdf(min(max(below, 0.5), len(values) - 0.5) / len(values))
    variance = float(np.sum(influences**2))
    acceleration = float(np.sum(influences**3)) / (6 * variance**1.5) if variance > 0 else 0.0

    def corrected(tail: float) -> float:
        moved = bias + normal.inv_cdf(tail)
        return normal.cdf(bias + moved / max(1 - acceleration * moved, 1e-12))

    return corrected(tails[0]), corrected(tails[1])


@lru_cache(maxsize=256)
def student_quantile(tail: float, degrees: float) -> float:
    """Return a quantile of Student's t distribution, exact to about five digits; ``tail`` above one half.

    With t = sqrt(v) tan(u) the density becomes cos(u)^(v - 1), which has no long tail to integrate.
    """
    if degrees > 1000:
        return NormalDist().inv_cdf(tail)
    angle = np.linspace(0, math.pi / 2, 20_001)
    density = np.cos(angle) ** (degrees - 1)
    area = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
    return math.sqrt(degrees) * math.tan(float(np.interp(2 * tail - 1, area / area[-1], angle)))
