"""How much better a photo fits one person than chance, from the calibration of the model.

The mean cosine of a photo with the n photos of a person has the likelihood ratio of a pair at that cosine,
raised to the effective number of pairs n / (1 + (n - 1) r): the scores of one photo are not independent, and
``CORRELATION`` r is that of their log ratios.  With r = 1 any number of photos counts as one pair.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..calibration.calibration import Calibration
from ..calibration.likelihood_ratio import likelihood_ratio
from ..errors import NotCalibrated

CORRELATION = 0.5
"""Of the log likelihood ratios of a photo with several photos of one person."""

TABLE = 8192
"""Entries of the table of log ratios over cosines from -1 to 1."""

Doubles = NDArray[np.float64]


class Evidence:
    """The log likelihood ratios of mean cosines.

    Args:
        calibration: That of the model.

    Raises:
        NotCalibrated: It has no probabilities or no table of impostor scores.
    """

    def __init__(self, calibration: Calibration) -> None:
        ratio = likelihood_ratio(calibration.check())
        if ratio is None:
            raise NotCalibrated("the model has no probabilities to audit by; calibrate it on more people")
        # A table, since a set of 13,000 photos has 76 million means.
        self._table = ratio.log_at(np.linspace(-1, 1, TABLE)).astype(np.float32)
        self.even = float(np.linspace(-1, 1, TABLE)[int(np.argmax(self._table >= 0))])

    def log_ratios(self, cosines: ArrayLike, pairs: ArrayLike) -> NDArray[np.float32]:
        """Return the log likelihood ratio of each mean cosine of so many pairs, of their common shape.

        Where there are no pairs it is 0: nothing is known.
        """
        places = ((np.asarray(cosines) + 1) * ((TABLE - 1) / 2) + 0.5).astype(np.int32)
        count = np.asarray(pairs, dtype=np.float32)
        weights = count / np.maximum(1 + (count - 1) * np.float32(CORRELATION), 1e-9)
        return np.asarray(self._table[np.clip(places, 0, TABLE - 1)] * np.where(count > 0, weights, 0))


def posterior(log_ratios: ArrayLike, priors: ArrayLike) -> Doubles:
    """Return the probabilities of hypotheses that exclude each other, (n,), of sum 1."""
    logs = np.asarray(log_ratios, dtype=np.float64) + np.log(np.asarray(priors, dtype=np.float64))
    odds = np.exp(logs - logs.max())
    return np.asarray(odds / odds.sum())
