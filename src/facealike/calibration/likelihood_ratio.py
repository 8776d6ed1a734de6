"""How much more often a score occurs in genuine pairs than in impostor pairs, from what a calibration holds.

The probability curve of a calibration is fitted where genuine and impostor pairs overlap.  A search among
many people needs the ratio far above, where impostor pairs are one in ten thousand, and there the straight
curve falls behind the scores: on people of LFW it is a tenth of the observed ratio.  So the ratio is taken
from two densities of Fisher's z of the score, artanh(score):

    impostor   f0 = -dS/dz, from the impostor survival function S; beyond its last entry the slope of
               log S over its last decade is continued
    genuine    f1 is normal, with the mean and the deviation that fit the FNMRs at the operating points
               best: a line through their probits, FNMR(z) = Phi((z - mean) / deviation)

The ratio is made to rise with the score, and is constant below the score that one of five impostor pairs
reaches, where it is far below 1.  Where a calibration has too few entries for this, its probability curve at
even odds is the ratio.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .probability import MAX_COSINE

if TYPE_CHECKING:
    from .calibration import Calibration

GRID = 1024
"""Places at which the ratio is tabulated."""

HIGHEST_FMR = 0.2
"""Below the score that so many impostor pairs reach, the ratio is constant."""

WINDOW = 2
"""The slope of the survival function at an entry is that between the entries so far before and after it."""

FEWEST_ENTRIES = 8
"""Entries of the survival function that its slope needs."""


@dataclass(frozen=True)
class LikelihoodRatio:
    """The ratio of the densities of genuine and impostor scores, as a table over Fisher's z.

    Attributes:
        z: Fisher's z, rising, (n,).
        log_ratio: The logarithm of the ratio, not falling, (n,).
        survival: The share of impostor pairs that score at least as high, falling, (n,).
    """

    z: NDArray[np.float64]
    log_ratio: NDArray[np.float64]
    survival: NDArray[np.float64]

    def log_at(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Return the logarithm of the ratio at cosines, of their shape."""
        return np.interp(_fisher(scores), self.z, self.log_ratio)

    def fmr_at(self, score: float) -> float:
        """Return the share of impostor pairs that score at least a cosine, also beyond the counted ones."""
        return float(np.exp(np.interp(_fisher(score), self.z, np.log(self.survival))))

    def mean_below(self, score: float) -> float:
        """Return the mean ratio of the impostor pairs that score below a cosine."""
        middle = np.exp((self.log_ratio[1:] + self.log_ratio[:-1]) / 2)
        summed = np.concatenate([[0.0], np.cumsum(middle * -np.diff(self.survival))])
        z = float(_fisher(score))
        below = 1 - float(np.interp(z, self.z, self.survival))
        return float(np.interp(z, self.z, summed)) / below if below > 0 else float(np.exp(self.log_ratio[0]))


def likelihood_ratio(calibration: Calibration) -> LikelihoodRatio | None:
    """Return the likelihood ratio of a calibration; None where it has no survival function or no curve."""
    if len(calibration.tail) < 2 or calibration.calibrator is None:
        return None
    scores, shares = np.array(sorted(calibration.tail), dtype=np.float64).T
    z, log_survival = _fisher(scores), np.log(shares)
    grid = np.linspace(z[0], float(_fisher(1.0)), GRID)
    last = log_survival <= max(log_survival[-1] + np.log(10), float(log_survival[-2]))
    slope, _ = np.polyfit(z[last], log_survival[last], 1)
    beyond = grid > z[-1]
    survival = np.where(beyond, slope * (grid - z[-1]) + log_survival[-1], np.interp(grid, z, log_survival))
    genuine = _genuine(calibration)
    if genuine is None or len(z) < FEWEST_ENTRIES:
        even = np.clip(calibration.calibrator.probability(np.tanh(grid)), 1e-15, 1 - 1e-15)
        return LikelihoodRatio(grid, np.log(even) - np.log1p(-even), np.exp(survival))
    ahead, behind = slice(2 * WINDOW, None), slice(None, -2 * WINDOW)
    steep = (log_survival[behind] - log_survival[ahead]) / (z[ahead] - z[behind])
    steep_at = np.where(beyond, -slope, np.interp(grid, z[WINDOW:-WINDOW], steep))
    log_impostor = survival + np.log(steep_at)
    log_genuine = -0.5 * ((grid - genuine.mean) / genuine.stdev) ** 2 - np.log(
        genuine.stdev * np.sqrt(2 * np.pi)
    )
    start = int(np.argmax(survival <= np.log(HIGHEST_FMR)))
    log_ratio = log_genuine - log_impostor
    log_ratio[:start] = log_ratio[start]
    return LikelihoodRatio(grid, np.maximum.accumulate(log_ratio), np.exp(survival))


def _genuine(calibration: Calibration) -> NormalDist | None:
    """Return the distribution of Fisher's z of genuine pairs; None where the FNMRs do not determine it."""
    known = [(point.threshold, point.fnmr) for point in calibration.operating_points if 0 < point.fnmr < 1]
    if len({fnmr for _, fnmr in known}) < 2:
        return None
    at = _fisher([threshold for threshold, _ in known])
    slope, offset = np.polyfit(at, [NormalDist().inv_cdf(fnmr) for _, fnmr in known], 1)
    return NormalDist(-offset / slope, 1 / slope) if slope > 0 else None


def _fisher(scores: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(np.arctanh(np.clip(scores, -MAX_COSINE, MAX_COSINE)), dtype=np.float64)
