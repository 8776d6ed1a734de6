"""From resamples of people to an interval that holds what it promises.

The plain percentile interval fails on pairs of faces in two ways, both measured in
``benchmarks.accuracy.interval_coverage``.  Both are mended by stretching or shrinking the resamples about
the estimate before their percentiles are read.

*The luck of single impostor pairs counts three times.*  Multiplicities have variance 1, the weight
m_p * m_q has variance 3: the luck of a single pair of people enters three times, the people's own
effects once, as they should (Owen, Annals of Applied Statistics 1(2), 2007).  Where each person meets
few others, as in a balanced list of pairs, an interval of the FMR is then up to 1.7 times too wide.
How much that luck is, resamples tell that weigh each pair of people by itself.  With what is too much
of it taken off, the variance is that of dyadic data (Fafchamps and Gubert, Journal of Development
Economics 83(2), 2007; for face verification Fogliato, Patil and Perona, International Journal of
Computer Vision, 2024).

*Few people give most genuine pairs.*  Forty photos of one person are 780 pairs, and the figures of a
thousand people may hang on fifteen.  The spread is therefore that of the jackknife over people, which
is the more reliable for few and unequal clusters (MacKinnon, Nielsen and Webb, Journal of Applied
Econometrics 38(5), 2023), and it is widened from the normal distribution to Student's t with as many
degrees of freedom as the people's pulls tell (Satterthwaite's approximation; Lipsitz, Ibrahim and
Parzen, The Statistician 48(4), 1999), much as Hesterberg's expanded percentile interval is (The
American Statistician 69(4), 2015).

A statistic that chooses its own threshold in each resample is a quantile at heart.  There the
jackknife is inconsistent (Shao and Wu, Annals of Statistics 17(3), 1989), so the spread is that of the
resamples, and plain percentiles are read also where BCa was asked for.

Resamples say little of errors that hardly occur, and nothing where none did.  No interval of FMR or
FNMR is therefore wider than Wilson's score interval (Journal of the American Statistical Association
22(158), 1927) for so many independent trials as remain if all pairs of a person stand or fall
together; and where no resample differs from the estimate, that interval is the answer with as many
trials as there are people, which with no error is about the rule of 3 of ISO/IEC 19795-1.
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
DYAD_RESAMPLES = 400  # enough to know a variance within a tenth
FEWEST_DEGREES = 2.0  # below, a t distribution has no variance and the jackknife nothing to say


class BootstrapKeywords(TypedDict, total=False):
    """The fields of ``BootstrapOptions`` as keyword arguments of ``pair_intervals`` and others."""

    level: float
    resamples: int
    method: Method
    seed: int


@dataclass(frozen=True)
class BootstrapOptions:
    """What kind of interval is computed.

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
    """How often each person is drawn, (people,), in one resample after the other."""
    rng = np.random.default_rng(options.seed)
    for _ in range(options.resamples):
        yield np.bincount(rng.integers(0, people, people), minlength=people).astype(np.float64)


def drawn_dyads(dyads: int, options: BootstrapOptions) -> Iterator[Floats]:
    """How much each pair of people weighs by itself, (dyads,), in one resample after the other."""
    rng = np.random.default_rng([options.seed, 1])
    for _ in range(min(DYAD_RESAMPLES, options.resamples)):
        yield rng.poisson(1.0, dyads).astype(np.float64)


def left_out(sizes: NDArray[np.int64]) -> Iterator[Floats]:
    """The jackknife: everybody once but one person, (people,); small people together if they are many.

    ``sizes`` (people,) is the number of pairs of each.  Those with the most pairs are always left out
    alone, for it is they who may decide a figure by themselves.
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
    """What sort of number a statistic is.

    ``smallest`` is the least by which a share can differ from 0 or 1; bounds are then sought in its
    log-odds and never leave [0, 1].  None: the statistic is no share.  ``smooth`` is false for one that
    chooses its own threshold.  ``people`` is how many it rests on.  ``fewest``, for a plain share of errors,
    is how many independent trials its pairs are worth at worst, else None.
    """

    smallest: float | None = None
    smooth: bool = True
    people: int | None = None
    fewest: float | None = None


def bounds(
    estimate: float,
    draws: Floats,
    without: Floats,
    dyads: Floats,
    options: BootstrapOptions,
    kind: StatisticSpec,
) -> tuple[float, float]:
    """(low, high) of a statistic and around it, NaN where fewer than half of the resamples allowed it.

    ``draws`` are its values in resamples of people, ``without`` in the jackknife, ``dyads`` in resamples
    of single pairs of people (empty: their luck is too small to matter); NaN where not defined.
    """
    valid = draws[np.isfinite(draws)]
    if not math.isfinite(estimate) or 2 * len(valid) < options.resamples:
        return math.nan, math.nan
    smallest = kind.smallest
    if kind.people is not None and np.all(valid == estimate):
        return wilson(estimate, kind.people, options.level)
    centre = float(_scale(np.array(estimate), smallest))
    values = np.sort(_scale(valid, smallest))
    pulls = _pulls(_scale(without[np.isfinite(without)], smallest))
    lucky = _scale(dyads[np.isfinite(dyads)], smallest)
    luck = float(np.var(lucky)) if len(lucky) else 0.0
    stretch = _stretch(values, pulls, luck, kind.smooth, options.level)
    tails = (1 - options.level) / 2, (1 + options.level) / 2
    if options.method == "bca" and kind.smooth:
        tails = _bca_tails(centre, values, pulls, tails)
    ends = centre + stretch * (np.quantile(values, tails) - centre)
    low, high = (_unscale(float(end), smallest) for end in ends)
    if kind.fewest is not None:
        widest = wilson(estimate, kind.fewest, options.level)
        low, high = max(low, widest[0]), min(high, widest[1])
    # All resamples may lie on one side of the estimate, and bias-corrected tails on the other.
    return min(low, estimate), max(high, estimate)


def wilson(share: float, trials: float, level: float) -> tuple[float, float]:
    """Wilson's score interval of a share among so many independent trials, not necessarily a whole number."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    middle, spread = share + z * z / (2 * trials), share * (1 - share) / trials + (z / (2 * trials)) ** 2
    scale, reach = 1 + z * z / trials, z * math.sqrt(spread)
    # Without rounding where the bound is known.
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
    # What lies nearer to 0 or 1 than the data can tell is as near as can be.
    return 0.0 if share <= smallest else 1.0 if share >= 1 - smallest else share


def _pulls(without: Floats) -> Floats:
    """How far each person pulls the statistic: what it falls by when that person is left out."""
    pulls: Floats = without.mean() - without if len(without) else np.zeros(0)
    return pulls


def _stretch(values: Floats, pulls: Floats, luck: float, smooth: bool, level: float) -> float:
    """What the distances of the resamples from the estimate are multiplied with."""
    variance, second, fourth = float(np.var(values)), float(np.sum(pulls**2)), float(np.sum(pulls**4))
    if variance <= 0:
        return 1.0
    # Single pairs of people are in the jackknife twice, once for either, and in the resamples thrice.
    right = second * (1 - 1 / max(len(pulls), 1)) - luck if smooth and fourth > 0 else variance - 2 * luck
    # Twice the squared mean of a variance over its own variance, of which sum T^4 is an upper bound
    # that presumes no normal distribution.
    degrees = 2 * second**2 / fourth if fourth > 0 else math.inf
    tail = (1 + level) / 2
    widening = student_quantile(tail, max(degrees, FEWEST_DEGREES)) / NormalDist().inv_cdf(tail)
    return math.sqrt(max(right, luck) / variance) * widening


def _bca_tails(
    estimate: float, values: Floats, pulls: Floats, tails: tuple[float, float]
) -> tuple[float, float]:
    """The tails to read off the sorted ``values`` instead: bias-corrected and accelerated.

    Efron, Journal of the American Statistical Association 82(397), 1987.
    """
    below = (np.searchsorted(values, estimate, "left") + np.searchsorted(values, estimate, "right")) / 2
    normal = NormalDist()
    # Half a resample from either end: the estimate may lie beyond all of them.
    bias = normal.inv_cdf(min(max(below, 0.5), len(values) - 0.5) / len(values))
    spread = float(np.sum(pulls**2))
    acceleration = float(np.sum(pulls**3)) / (6 * spread**1.5) if spread > 0 else 0.0

    def corrected(tail: float) -> float:
        moved = bias + normal.inv_cdf(tail)
        return normal.cdf(bias + moved / max(1 - acceleration * moved, 1e-12))

    return corrected(tails[0]), corrected(tails[1])


@lru_cache(maxsize=256)
def student_quantile(tail: float, degrees: float) -> float:
    """The quantile of Student's t distribution, exact to about five digits; ``tail`` above one half.

    With t = sqrt(v) tan(u) the density becomes cos(u)^(v - 1), which has no long tail to integrate.
    """
    if degrees > 1000:
        return NormalDist().inv_cdf(tail)
    angle = np.linspace(0, math.pi / 2, 20_001)
    density = np.cos(angle) ** (degrees - 1)
    area = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
    return math.sqrt(degrees) * math.tan(float(np.interp(2 * tail - 1, area / area[-1], angle)))
