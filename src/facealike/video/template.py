"""One template for the faces of a track."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..metrics.similarity import unit_rows


def weighted_template(
    embeddings: Sequence[NDArray[np.float32]], weights: Sequence[float]
) -> NDArray[np.float32]:
    """Return the mean of unit vectors, weighted and normalized again: a unit vector, float32 (d,).

    Args:
        embeddings: One or more unit vectors (d,).
        weights: One for each, 0 or more; where all are 0 they count alike.
    """
    given = np.asarray(weights, np.float64)
    if not given.any():
        given = np.ones(len(given))
    total = given @ np.asarray(embeddings, np.float64)
    if not total.any():  # opposite vectors have no mean
        total = np.asarray(embeddings[int(np.argmax(given))], np.float64)
    template: NDArray[np.float32] = unit_rows(total[None])[0].astype(np.float32)
    return template
