"""One template for the faces of a track: their mean, weighted by quality."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..metrics.similarity import unit_rows
from .tracker import FaceInFrame


def mean_embedding(
    embeddings: Sequence[NDArray[np.float32]], weights: Sequence[float]
) -> NDArray[np.float32]:
    """Return the weighted mean of unit vectors, float32 (d,), at most 1 long.

    Its product with a vector is the weighted mean of their scores, and its length says how alike they are.

    Args:
        embeddings: One or more unit vectors (d,).
        weights: One for each, 0 or more; where all are 0 they count alike.
    """
    given = np.asarray(weights, np.float64)
    if not given.any():
        given = np.ones(len(given))
    vectors = np.asarray(embeddings, np.float64)
    mean: NDArray[np.float32] = (given @ vectors / given.sum()).astype(np.float32)
    if not mean.any():  # opposite vectors have no mean
        return np.asarray(embeddings[int(np.argmax(given))], np.float32)
    return mean


def mean_of(faces: Sequence[FaceInFrame]) -> NDArray[np.float32]:
    """Return the mean embedding of the faces of a track, weighted by quality."""
    return mean_embedding([face.embedding for face in faces], [face.quality for face in faces])


def template_of(faces: Sequence[FaceInFrame]) -> NDArray[np.float32]:
    """Return the mean of the faces of a track as a unit vector, float32 (d,)."""
    template: NDArray[np.float32] = unit_rows(mean_of(faces)[None])[0].astype(np.float32)
    return template
