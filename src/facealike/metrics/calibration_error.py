"""Calibration error of probabilities: expected calibration error, Brier score, reliability.

Throughout, ``probability`` (n,) in [0, 1] is the predicted probability that a pair shows one person, and
``same`` (n,) whether it does.  ``weights`` (n,) count a pair more or less than once: with them, many impostor
pairs can have the total weight of the genuine ones.  Only their ratios matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import UsageError
from ..plotting.scores import draw_reliability
from ..plotting.style import new_axes
from ..utils.result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BINS = 15  # as in Guo et al., 2017


@dataclass(frozen=True, eq=False, repr=False)
class Reliability(Result):
    """Predicted probabilities and observed frequencies, in bins of equal width from 0 to 1.

    Args:
        edges: Of the bins, (k + 1,).
        probability: The mean predicted probability in each bin, NaN where it is empty, (k,).
        frequency: The share of pairs in each bin that show one person, NaN where it is empty, (k,).
        weight: The share of all pairs that lie in each bin, (k,).
        pairs: The number of pairs in each bin, (k,).
        ece: The expected calibration error.
        brier: The Brier score.
    """

    edges: NDArray[np.float64]
    probability: NDArray[np.float64]
    frequency: NDArray[np.float64]
    weight: NDArray[np.float64]
    pairs: NDArray[np.int64]
    ece: float
    brier: float

    def to_dict(self) -> dict[str, Any]:
        """Return the result for JSON: one entry a bin that is not empty."""
        return {
            "ece": self.ece,
            "brier": self.brier,
            "bins": [
                {
                    "from": float(self.edges[i]),
                    "to": float(self.edges[i + 1]),
                    "probability": float(self.probability[i]),
                    "frequency": float(self.frequency[i]),
                    "weight": float(self.weight[i]),
                    "pairs": int(self.pairs[i]),
                }
                for i in np.flatnonzero(self.pairs)
            ],
        }

    def __str__(self) -> str:
        return f"ECE {self.ece:.3f}, Brier score {self.brier:.3f} on {int(self.pairs.sum()):,} pairs"

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw observed frequency against predicted probability; a dot is as large as its share of pairs.

        Args:
            ax: The axes to draw into; None for a new figure.

        Raises:
            MissingExtra: matplotlib is not installed.
        """
        ax = new_axes(5, 5) if ax is None else ax
        draw_reliability(ax, self)
        return ax


def reliability(
    probability: ArrayLike, same: ArrayLike, weights: ArrayLike | None = None, bins: int = BINS
) -> Reliability:
    """Bin the pairs by predicted probability and compute the observed frequency of each bin.

    Raises:
        UsageError: The arrays do not fit, a probability lies outside [0, 1], or weights are negative or all
            zero.
    """
    predicted, truth, weight = _checked(probability, same, weights)
    if type(bins) is not int or not 1 <= bins <= 10_000:
        raise UsageError(f"the number of bins is an integer from 1 to 10,000, not {bins}")
    edges = np.linspace(0, 1, bins + 1)
    place = np.searchsorted(edges[1:-1], predicted, side="right")  # a bin includes its lower edge
    mass: NDArray[np.float64] = np.bincount(place, weight, bins).astype(np.float64)
    filled = np.maximum(mass, np.finfo(float).tiny)
    mean = np.bincount(place, weight * predicted, bins) / filled
    share = np.bincount(place, weight * truth, bins) / filled
    pairs = np.bincount(place, weight > 0, bins).astype(np.int64)
    empty = pairs == 0
    gap = float(np.sum(mass * np.abs(mean - share)))
    mean[empty] = share[empty] = np.nan
    return Reliability(edges, mean, share, mass, pairs, gap, float(weight @ (predicted - truth) ** 2))


def ece(probability: ArrayLike, same: ArrayLike, weights: ArrayLike | None = None, bins: int = BINS) -> float:
    """Return the expected calibration error: the mean of |predicted - observed| by bin of equal width.

    Source: Naeini, Cooper and Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian Binning",
        AAAI
    2015, for the probability of one of two classes.

    Raises:
        UsageError: As ``reliability``.
    """
    return reliability(probability, same, weights, bins).ece


def brier(probability: ArrayLike, same: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Return the mean square of predicted probability minus truth.

    Source: Brier, Monthly Weather Review 78(1), 1950.

    Raises:
        UsageError: As ``reliability``.
    """
    predicted, truth, weight = _checked(probability, same, weights)
    return float(weight @ (predicted - truth) ** 2)


def _checked(
    probability: ArrayLike, same: ArrayLike, weights: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """All three as float64 (n,), n > 0, the weights summing to 1; or UsageError."""
    predicted, truth = np.asarray(probability, dtype=np.float64), np.asarray(same)
    weight = np.ones(predicted.shape) if weights is None else np.asarray(weights, dtype=np.float64)
    if (
        predicted.ndim != 1
        or not len(predicted)
        or truth.shape != predicted.shape
        or weight.shape != predicted.shape
    ):
        raise UsageError(
            "probability, truth and weights must be lists of one length, at least 1, not of shapes "
            f"{predicted.shape}, {truth.shape} and {weight.shape}"
        )
    if not ((predicted >= 0) & (predicted <= 1)).all():
        raise UsageError("every probability must lie between 0 and 1; give those of a calibrated model")
    if not np.isin(truth, (0, 1)).all():
        raise UsageError("the truth of each pair is true (same person) or false, and nothing else")
    total = weight.sum()
    if not (weight >= 0).all() or not 0 < total < np.inf:
        raise UsageError("weights must be finite, not negative and not all zero")
    return predicted, truth.astype(np.float64), weight / total
