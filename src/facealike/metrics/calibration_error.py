"""How far a probability may be believed: expected calibration error, Brier score, reliability.

Throughout, ``probability`` is (n,) in [0, 1], the stated chance that a pair shows one person, and
``same`` is (n,), whether it does.  ``weights`` (n,) count a pair more or less than once: with them,
many impostor pairs can stand for as many as there are genuine ones.  Only their ratios matter.
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
    """What was stated against what came true, in bins of equal width from 0 to 1.

    ``edges`` (k + 1,); ``probability`` (k,), the mean of what was stated in each bin; ``frequency``
    (k,), the share of pairs in it that do show one person; ``weight`` (k,), the share of all pairs
    that lie in it; ``pairs`` (k,), their number.  The first two are NaN where a bin is empty.
    ``ece`` and ``brier`` are those of the functions of that name.
    """

    edges: NDArray[np.float64]
    probability: NDArray[np.float64]
    frequency: NDArray[np.float64]
    weight: NDArray[np.float64]
    pairs: NDArray[np.int64]
    ece: float
    brier: float

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON: one entry a bin that is not empty."""
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
        """Draw stated probability against observed share, each bin's dot as large as its share of pairs.

        Draws into ``ax``, else into a new figure.  Raises MissingExtra without matplotlib.
        """
        ax = new_axes(5, 5) if ax is None else ax
        draw_reliability(ax, self)
        return ax


def reliability(
    probability: ArrayLike, same: ArrayLike, weights: ArrayLike | None = None, bins: int = BINS
) -> Reliability:
    """Bin the pairs by their stated probability and count how often it came true.

    Raises UsageError for arrays that do not fit, a probability outside [0, 1], or weights that are
    negative or all zero.
    """
    stated, truth, weight = _checked(probability, same, weights)
    if type(bins) is not int or not 1 <= bins <= 10_000:
        raise UsageError(f"the number of bins is a whole number from 1 to 10,000, not {bins}")
    edges = np.linspace(0, 1, bins + 1)
    place = np.searchsorted(edges[1:-1], stated, side="right")  # a bin owns its lower edge
    mass: NDArray[np.float64] = np.bincount(place, weight, bins).astype(np.float64)
    filled = np.maximum(mass, np.finfo(float).tiny)
    mean = np.bincount(place, weight * stated, bins) / filled
    share = np.bincount(place, weight * truth, bins) / filled
    pairs = np.bincount(place, weight > 0, bins).astype(np.int64)
    empty = pairs == 0
    gap = float(np.sum(mass * np.abs(mean - share)))
    mean[empty] = share[empty] = np.nan
    return Reliability(edges, mean, share, mass, pairs, gap, float(weight @ (stated - truth) ** 2))


def ece(probability: ArrayLike, same: ArrayLike, weights: ArrayLike | None = None, bins: int = BINS) -> float:
    """Expected calibration error: |stated - observed| by bin of equal width, averaged over the pairs.

    Naeini, Cooper and Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian Binning",
    AAAI 2015, for the probability of one of two classes.  Raises UsageError as ``reliability`` does.
    """
    return reliability(probability, same, weights, bins).ece


def brier(probability: ArrayLike, same: ArrayLike, weights: ArrayLike | None = None) -> float:
    """The mean square of stated probability minus truth (Brier, Monthly Weather Review 78(1), 1950).

    Raises UsageError as ``reliability`` does.
    """
    stated, truth, weight = _checked(probability, same, weights)
    return float(weight @ (stated - truth) ** 2)


def _checked(
    probability: ArrayLike, same: ArrayLike, weights: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """All three as float64 (n,), n > 0, the weights summing to 1; or UsageError."""
    stated, truth = np.asarray(probability, dtype=np.float64), np.asarray(same)
    weight = np.ones(stated.shape) if weights is None else np.asarray(weights, dtype=np.float64)
    if stated.ndim != 1 or not len(stated) or truth.shape != stated.shape or weight.shape != stated.shape:
        raise UsageError(
            "probability, truth and weights must be lists of one length, at least 1, not of shapes "
            f"{stated.shape}, {truth.shape} and {weight.shape}"
        )
    if not ((stated >= 0) & (stated <= 1)).all():
        raise UsageError("every probability must lie between 0 and 1; give those of a calibrated model")
    if not np.isin(truth, (0, 1)).all():
        raise UsageError("the truth of each pair is true (same person) or false, and nothing else")
    total = weight.sum()
    if not (weight >= 0).all() or not 0 < total < np.inf:
        raise UsageError("weights must be finite, not negative and not all zero")
    return stated, truth.astype(np.float64), weight / total
