"""Calibrated probabilities: from a score to the probability that two photos show one person.

Both fits weight the pairs so that genuine and impostor pairs count as equally frequent.  The result does not
depend on the share of genuine pairs in the sample: at even odds the log-odds are the logarithm of the
likelihood ratio, and a prior other than one half adds its own log-odds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ModelError, UsageError
from ..utils.json_fields import checked_number, checked_table, in_words, is_number

PRIOR = 0.5
"""The default share of pairs that show one person."""

Scale: TypeAlias = Literal["cosine", "fisher"]

MAX_COSINE = 0.999  # Fisher's z of 1 is infinite

MAX_SLOPE = 1e9  # of a logistic curve; far steeper than any fit

MAX_STEPS = 100  # of Newton's method; few are usual
GRADIENT_TOLERANCE = 1e-10  # of the mean log-loss
SUFFICIENT_DECREASE = 1e-4


class Calibrator(Protocol):
    """A curve from scores to probabilities."""

    def probability(self, scores: ArrayLike, prior: float = PRIOR) -> NDArray[np.float64]: ...
    def to_dict(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Platt:
    """The logistic curve 1 / (1 + exp(-(a x + b))), for genuine and impostor pairs in equal number.

    Where ``scale`` is ``fisher``, the odds are exp(b) ((1 + score) / (1 - score)) ** (a / 2), the symmetric
    case of beta calibration (Kull, Silva Filho and Flach, AISTATS 2017).

    Args:
        a: The slope, not negative, so that the probability never falls as the score rises.
        b: The offset.
        scale: x is the score for ``cosine``, and Fisher's z of it, artanh(score), for ``fisher``.

    Raises:
        ModelError: A value is out of range.
    """

    a: float
    b: float
    scale: Scale = "cosine"

    def __post_init__(self) -> None:
        checked_number(self.a, "probability: a", 0, MAX_SLOPE)
        checked_number(self.b, "probability: b", -MAX_SLOPE, MAX_SLOPE)
        if self.scale not in get_args(Scale):
            raise ModelError(f"probability: the scale is cosine or fisher, not {in_words(self.scale)}")
        object.__setattr__(self, "a", float(self.a))
        object.__setattr__(self, "b", float(self.b))

    def probability(self, scores: ArrayLike, prior: float = PRIOR) -> NDArray[np.float64]:
        """Return the probability at each of ``scores`` if ``prior`` of all pairs show one person."""
        x = _scaled(np.asarray(scores, dtype=np.float64), self.scale)
        return _logistic(self.a * x + self.b + _log_odds(prior))

    def to_dict(self) -> dict[str, Any]:
        return {"method": "platt", "a": self.a, "b": self.b, "scale": self.scale}

    def __str__(self) -> str:
        x = "score" if self.scale == "cosine" else "artanh(score)"
        return f"1 / (1 + exp(-({self.a:.3g} {x} {'+-'[self.b < 0]} {abs(self.b):.3g})))"


@dataclass(frozen=True)
class Isotonic:
    """A piecewise linear curve, constant before the first knot and after the last.

    Args:
        knots: (score, probability) each; scores strictly ascending, probabilities not falling.

    Raises:
        ModelError: The knots are not so.
    """

    knots: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        if not isinstance(self.knots, list | tuple) or not self.knots:
            raise ModelError("probability: an isotonic curve needs at least one knot")
        knots = []
        for knot in self.knots:
            if not isinstance(knot, list | tuple) or len(knot) != 2 or not all(map(is_number, knot)):
                raise ModelError(f"probability: a knot is a score and a probability, not {in_words(knot)}")
            knots.append((float(knot[0]), float(knot[1])))
        scores, values = np.array(knots).T
        if (
            (np.diff(scores) <= 0).any()
            or (np.diff(values) < 0).any()
            or not 0 <= values[0] <= values[-1] <= 1
        ):
            raise ModelError("probability: the knots must rise, with probabilities between 0 and 1")
        object.__setattr__(self, "knots", tuple(knots))

    def probability(self, scores: ArrayLike, prior: float = PRIOR) -> NDArray[np.float64]:
        """Return the probability at each of ``scores`` if ``prior`` of all pairs show one person."""
        knots, values = np.array(self.knots).T
        even = np.interp(np.asarray(scores, dtype=np.float64), knots, values)
        odds = np.exp(_log_odds(prior))
        # p odds / (p odds + 1 - p), the shift of the log-odds without a logarithm of 0
        return np.asarray(even * odds / (even * odds + (1 - even)))

    def to_dict(self) -> dict[str, Any]:
        return {"method": "isotonic", "knots": [list(knot) for knot in self.knots]}

    def __str__(self) -> str:
        return f"a rising line through {len(self.knots)} points"


def check_prior(prior: float) -> None:
    """Check that a prior lies between 0 and 1, both excluded.

    Raises:
        UsageError: It does not.
    """
    if not is_number(prior) or not 0 < prior < 1:
        raise UsageError(
            f"the prior is the share of pairs that show one person, between 0 and 1, not {prior}"
        )


def calibrator_from_dict(values: Any) -> Calibrator:
    """Return the curve that ``to_dict`` wrote.

    Raises:
        ModelError: It is neither kind, or an entry is missing or unknown.
    """
    table = dict(checked_table(values, "probability"))
    kinds: dict[str, type[Platt] | type[Isotonic]] = {"platt": Platt, "isotonic": Isotonic}
    kind = kinds.get(str(table.pop("method", None)))
    if kind is None:
        raise ModelError("probability: the method is platt or isotonic; update facealike")
    try:
        return kind(**table)
    except TypeError:
        raise ModelError(
            f"probability: entries missing or unknown ({in_words(', '.join(map(str, table)))}); "
            "calibrate the model again"
        ) from None


def fit_platt(
    scores: ArrayLike, same: ArrayLike, weights: ArrayLike | None = None, scale: Scale = "cosine"
) -> Platt:
    """Fit the logistic curve of maximum likelihood, both kinds of pairs counting as equally frequent.

    Targets are smoothed to (n + 1) / (n + 2) and 1 / (n + 2) in place of 1 and 0.  If genuine pairs do not
    score higher than impostor pairs, the curve is constant: a = 0, and every probability equals the prior.

    Source: Platt, "Probabilistic Outputs for Support Vector Machines", 1999; solved by Newton's method with
    backtracking (Lin, Lin and Weng, Machine Learning 68, 2007).

    Args:
        scores: Scores of pairs, (n,).
        same: Whether each pair shows one person, (n,).
        weights: How much a pair counts among those of its kind, (n,); only their ratios matter.  n above is
            then the effective sample size (Kish).
        scale: See ``Platt``.

    Raises:
        UsageError: The arrays do not fit, or a kind is missing.
    """
    values, target, weight = _prepared(scores, same, weights)
    values = _scaled(values, scale)
    center = float(weight @ values)
    deviation = float(np.sqrt(weight @ (values - center) ** 2))
    constant = Platt(0.0, _logit(float(weight @ target)), scale)
    if deviation <= 1e-12 * max(1.0, abs(center)):
        return constant
    # Standardized, so that Newton's method converges at any scale of the scores.
    slope, offset = _newton((values - center) / deviation, target, weight)
    if slope <= 0:
        return constant
    return Platt(slope / deviation, offset - slope * center / deviation, scale)


def fit_isotonic(scores: ArrayLike, same: ArrayLike, weights: ArrayLike | None = None) -> Isotonic:
    """Fit the rising function of least squared error, both kinds of pairs counting as equally frequent.

    Targets are smoothed as in ``fit_platt``, so that no probability is 0 or 1.  Arguments and errors are
    those of ``fit_platt``.

    Source: pool adjacent violators, Ayer et al., Annals of Mathematical Statistics 26(4), 1955.
    """
    values, target, weight = _prepared(scores, same, weights)
    distinct, place = np.unique(values, return_inverse=True)
    mass = np.bincount(place.reshape(-1), weight)
    total = np.bincount(place.reshape(-1), weight * target)
    counted = mass > 0
    distinct, mass, total = distinct[counted], mass[counted], total[counted]
    starts, levels = _pool(mass.tolist(), total.tolist())
    knots: list[tuple[float, float]] = []
    ends = [*starts[1:], len(distinct)]
    for start, end, level in zip(starts, ends, levels, strict=True):
        knots += [(float(distinct[i]), level) for i in dict.fromkeys((start, end - 1))]
    return Isotonic(tuple(knots))


def _pool(mass: list[float], total: list[float]) -> tuple[list[int], list[float]]:
    """The start of each pooled block, and its mean; the means rise strictly."""
    starts: list[int] = []
    masses: list[float] = []
    totals: list[float] = []
    for i in range(len(mass)):
        start, m, t = i, mass[i], total[i]
        while starts and totals[-1] * m >= t * masses[-1]:
            start, m, t = starts.pop(), m + masses.pop(), t + totals.pop()
        starts.append(start)
        masses.append(m)
        totals.append(t)
    levels = np.maximum.accumulate([t / m for t, m in zip(totals, masses, strict=True)])
    return starts, np.clip(levels, 0, 1).tolist()


def _newton(
    x: NDArray[np.float64], target: NDArray[np.float64], weight: NDArray[np.float64]
) -> tuple[float, float]:
    """Slope and offset that minimize the mean cross-entropy of the logistic curve."""
    slope = offset = 0.0
    loss = _loss(np.zeros_like(x), target, weight)
    for _ in range(MAX_STEPS):
        p = _logistic(slope * x + offset)
        off = weight * (p - target)
        gradient = np.array([off @ x, off.sum()])
        if np.abs(gradient).max() < GRADIENT_TOLERANCE:
            break
        curved = weight * p * (1 - p)
        hessian = np.array([[curved @ x**2, curved @ x], [curved @ x, curved.sum()]])
        step = np.linalg.solve(hessian + 1e-12 * np.eye(2), gradient)
        length = 1.0
        while length > 1e-10:
            tried = _loss((slope - length * step[0]) * x + offset - length * step[1], target, weight)
            if tried <= loss - SUFFICIENT_DECREASE * length * float(gradient @ step):
                break
            length /= 2
        else:
            break  # no further decrease in floating point
        slope, offset, loss = slope - length * step[0], offset - length * step[1], tried
    return float(slope), float(offset)


def _loss(z: NDArray[np.float64], target: NDArray[np.float64], weight: NDArray[np.float64]) -> float:
    # log(1 + exp(z)) - target z
    return float(weight @ (np.logaddexp(0.0, z) - target * z))


def balanced_weights(same: NDArray[np.bool_], weights: ArrayLike | None = None) -> NDArray[np.float64]:
    """Return weights (n,) of sum 1 under which genuine and impostor pairs count one half each.

    Within its kind a pair counts in proportion to ``weights``.

    Raises:
        UsageError: Weights are negative or leave a kind without any.
    """
    given = np.ones(same.shape) if weights is None else np.asarray(weights, dtype=np.float64)
    if given.shape != same.shape or not ((given >= 0) & (given < np.inf)).all():
        raise UsageError("weights must be finite, not negative, and one for each pair")
    balanced = np.empty(same.shape)
    for kind in (True, False):
        total = given[same == kind].sum()
        if not 0 < total < np.inf:
            missing = "genuine" if kind else "impostor"
            raise UsageError(f"there are no {missing} pairs; both kinds are needed to calibrate")
        balanced[same == kind] = given[same == kind] / total / 2
    return balanced


def person_weights(first: ArrayLike, same: ArrayLike) -> NDArray[np.float64]:
    """Return weights (n,) under which the genuine pairs of each person sum to 1; impostor pairs weigh 1.

    Fifty photos of one person give 1,225 genuine pairs of one face; so weighted, each person counts once.

    Args:
        first: The person of one side of each pair, (n,).
        same: Whether each pair shows one person, (n,).
    """
    persons, genuine = np.asarray(first), np.asarray(same, dtype=bool)
    weights = np.ones(len(persons))
    _, place, pairs = np.unique(persons[genuine], return_inverse=True, return_counts=True)
    weights[genuine] = 1 / pairs[place.reshape(-1)]
    return weights


def _prepared(
    scores: ArrayLike, same: ArrayLike, weights: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Scores, smoothed targets and balanced weights, all float64 (n,)."""
    values, truth = np.asarray(scores, dtype=np.float64), np.asarray(same)
    if values.ndim != 1 or truth.shape != values.shape:
        raise UsageError(
            f"scores and truth must be two lists of one length, not of shapes {values.shape} and "
            f"{truth.shape}"
        )
    if not np.isfinite(values).all() or not np.isin(truth, (0, 1)).all():
        raise UsageError("every score must be finite, and the truth of each pair true or false")
    genuine = truth.astype(np.bool_)
    weight = balanced_weights(genuine, weights)
    target = np.empty(values.shape)
    for kind in (True, False):
        share = weight[genuine == kind] / 0.5
        count = 1 / float(share @ share)  # effective sample size (Kish); n for equal weights
        target[genuine == kind] = (count + 1) / (count + 2) if kind else 1 / (count + 2)
    return values, target, weight


def _scaled(scores: NDArray[np.float64], scale: Scale) -> NDArray[np.float64]:
    if scale == "cosine":
        return scores
    return np.asarray(np.arctanh(np.clip(scores, -MAX_COSINE, MAX_COSINE)))


def _logistic(z: NDArray[np.float64]) -> NDArray[np.float64]:
    small = np.exp(-np.abs(z))  # never overflows, and is precise in both tails
    return np.asarray(np.where(z >= 0, 1.0, small) / (1 + small))


def _logit(p: float) -> float:
    return float(np.log(p) - np.log1p(-p))


def _log_odds(prior: float) -> float:
    check_prior(prior)
    return _logit(prior)
