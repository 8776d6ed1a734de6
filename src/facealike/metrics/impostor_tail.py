"""A model of the highest impostor scores, for FMRs that are too low to be counted.

The excess of a score over a high threshold u follows a generalized Pareto distribution, whatever the
distribution of the scores (Balkema and de Haan, Annals of Probability 2(5), 1974; Pickands, Annals of
Statistics 3(1), 1975).  With the share p of the impostor pairs at or above u, a shape k and a scale s

    FMR(t) = p (1 + k (t - u) / s)^(-1/k),  t >= u.

ISO/IEC 5152:2024 estimates FMRs from small sets by such models.  Shape and scale are those of maximum
likelihood, the shape at least -1/2, below which that estimate is not regular (Smith, Biometrika 72(1), 1985).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import UsageError
from ..utils.result import Shown
from .all_pairs import Exhaustive
from .similarity import labeled_unit_rows

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

TAIL_SHARE = 1e-3
"""The share of the impostor pairs that the model is fitted on, within the bounds that follow."""

LEAST_SCORES, MOST_SCORES = 500, 5000

LEAST_PAIRS = 20 * LEAST_SCORES
"""Of fewer impostor pairs more than one in twenty would be in the tail."""

LOWEST_SHAPE = -0.5

GRID = 240  # values of the one parameter that the likelihood is searched over
TILE = 256  # photos whose scores with all others are in memory at a time


class HighScores(NamedTuple):
    """The impostor pairs that score at least ``start``.

    Args:
        scores: Their scores, (k,).
        first: The person of one side of each, numbered from 0, (k,).
        second: The person of the other side, (k,).
        start: The lowest score of the tail.
        photos: The number of photos of each person, (people,).
    """

    scores: Floats
    first: Ints
    second: Ints
    start: float
    photos: Ints

    def pairs(self, multiplicity: Floats) -> Floats:
        """Return the weight (b,) of all impostor pairs, people drawn ``multiplicity`` (b, people) times."""
        photos = multiplicity * self.photos
        weight: Floats = (photos.sum(axis=1) ** 2 - np.sum(photos**2, axis=1)) / 2
        return weight


@dataclass(frozen=True, repr=False)
class TailModel(Shown):
    """A generalized Pareto distribution of the impostor scores from ``start`` on.

    Examples:
        >>> TailModel(start=0.5, share=1e-3, shape=-0.1, scale=0.05).fmr_at(0.5)
        0.001

    Args:
        start: The lowest score of the tail.
        share: The FMR there.
        shape: Below 0 the scores end at ``start - scale / shape``.
        scale: Of the excess over ``start``.
    """

    start: float
    share: float
    shape: float
    scale: float

    def fmr_at(self, threshold: float) -> float:
        """Return the FMR at a threshold from ``start`` on."""
        excess = (threshold - self.start) / self.scale
        if self.shape == 0:
            return self.share * math.exp(-excess)
        left = 1 + self.shape * excess
        return self.share * left ** (-1 / self.shape) if left > 0 else 0.0

    def threshold_at_fmr(self, fmr: float) -> float:
        """Return the threshold of an FMR of at most ``share``, at most 1."""
        share, shape, scale = (np.array([value]) for value in (self.share, self.shape, self.scale))
        return float(tail_thresholds(self.start, share, shape, scale, fmr)[0])

    def to_dict(self) -> dict[str, float]:
        return {"start": self.start, "share": self.share, "shape": self.shape, "scale": self.scale}


def high_scores(embeddings: ArrayLike, labels: ArrayLike, counted: Exhaustive) -> HighScores:
    """Return the impostor pairs of the tail.

    Args:
        embeddings: One row a photo, (n, d), of any length but zero.
        labels: The person of each photo, (n,).
        counted: The scores of all pairs of these photos.

    Raises:
        UsageError: There are fewer than ``LEAST_PAIRS`` impostor pairs, or the arrays do not fit.
    """
    if counted.impostor < LEAST_PAIRS:
        raise UsageError(
            f"a model of the highest impostor scores needs {LEAST_PAIRS:,} impostor pairs, not "
            f"{counted.impostor:,}; give more people"
        )
    size = min(max(TAIL_SHARE * counted.impostor, LEAST_SCORES), MOST_SCORES)
    start = counted.threshold_at_fmr(size / counted.impostor)
    rows, person = labeled_unit_rows(embeddings, labels)
    found: list[tuple[Floats, Ints, Ints]] = []
    for top in range(0, len(rows), TILE):
        scores = rows[top : top + TILE] @ rows[top:].T
        down, across = np.nonzero(scores >= np.float32(start))
        impostor = (across > down) & (person[top + down] != person[top + across])
        down, across = down[impostor], across[impostor]
        found.append((scores[down, across].astype(np.float64), person[top + down], person[top + across]))
    scores, first, second = (np.concatenate(part) for part in zip(*found, strict=True))
    return HighScores(np.minimum(scores, 1.0), first, second, start, np.bincount(person).astype(np.int64))


def fit_tail(high: HighScores) -> TailModel:
    """Return the model of maximum likelihood.

    Raises:
        UsageError: The scores do not differ.
    """
    share = len(high.scores) / high.pairs(np.ones((1, len(high.photos))))
    shape, scale = TailFit(high).at(np.ones((1, len(high.scores))))
    return TailModel(high.start, float(share[0]), float(shape[0]), float(scale[0]))


class TailFit:
    """Fit the model to the scores with many sets of weights at once.

    With a = shape / scale the likelihood is highest where the shape is the mean of log(1 + a x) over the
    excesses x, so that one parameter remains (Grimshaw, Technometrics 35(2), 1993).  It is searched on a grid
    and refined by a parabola.

    Raises:
        UsageError: The scores do not differ.
    """

    def __init__(self, high: HighScores) -> None:
        excess = np.maximum(high.scores - high.start, 0.0)
        self._mean = float(excess.mean()) if len(excess) else 0.0
        if not self._mean > 0:
            raise UsageError("the highest impostor scores are all equal; their tail has no model")
        relative = excess / self._mean
        # Denser at its lower end, where the likelihood bends most.
        below = -(1 - np.linspace(0, 1, GRID // 2 + 1)[1:-1] ** 2) / float(relative.max())
        self._grid = np.concatenate([below, np.geomspace(1e-3, 10, GRID // 2)])
        self._logs = np.log1p(relative[:, np.newaxis] * self._grid)

    def at(self, weights: Floats) -> tuple[Floats, Floats]:
        """Return shape and scale (b,) for each row of weights (b, k); NaN where all of a row are zero."""
        total = weights.sum(axis=1, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            shapes = weights @ self._logs / total
            scales = shapes / self._grid
            likelihood = np.where(shapes >= LOWEST_SHAPE, -np.log(scales) - shapes, -np.inf)
        best = np.clip(np.argmax(likelihood, axis=1), 1, len(self._grid) - 2)
        rows = np.arange(len(best))
        summit = _summit(
            [self._grid[best + step] for step in (-1, 0, 1)],
            [likelihood[rows, best + step] for step in (-1, 0, 1)],
        )
        # The scale changes slowly with the parameter, also where that passes through 0.
        scale = np.array([np.interp(x, self._grid, each) for x, each in zip(summit, scales, strict=True)])
        known = total[:, 0] > 0
        return np.where(known, summit * scale, np.nan), np.where(known, scale * self._mean, np.nan)


def tail_thresholds(start: float, share: Floats, shape: Floats, scale: Floats, fmr: float) -> Floats:
    """Return the threshold of an FMR by each of several models (b,), at most 1."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        logs = np.log(share / fmr)
        flat = np.abs(shape) < 1e-9
        excess = np.where(flat, logs, np.expm1(shape * logs) / np.where(flat, 1.0, shape))
        thresholds: Floats = np.minimum(start + scale * excess, 1.0)
    return thresholds


def _summit(place: Sequence[Floats], height: Sequence[Floats]) -> Floats:
    """Return where the parabola through three points is highest; the middle point where it has no summit."""
    left, right = place[1] - place[0], place[2] - place[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        rise, fall = (height[1] - height[0]) / left, (height[2] - height[1]) / right
        bend = (fall - rise) / (left + right)
        top = place[1] - (rise * right + fall * left) / (left + right) / (2 * bend)
    return np.where(np.isfinite(top) & (bend < 0), np.clip(top, place[0], place[2]), place[1])
