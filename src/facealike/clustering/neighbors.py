"""Find the nearest neighbors of each embedding, exactly, in blocks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BLOCK = 1 << 24
"""Entries of the similarity matrix that are in memory at a time."""


def block_rows(count: int) -> int:
    """Return how many rows of a matrix with ``count`` columns are computed at a time."""
    return max(1, BLOCK // max(count, 1))


def neighbors_above(
    vectors: NDArray[np.float32], threshold: float, most: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pairs (a, b), a < b, whose cosine is at least ``threshold``, each (m,).

    Of a vector with more than ``most`` such neighbors only the ``most`` nearest are kept, and those of which
    it is one of the nearest itself.

    Args:
        vectors: Unit vectors, float32 (n, d).
        threshold: A cosine.
        most: Neighbors of a vector.
    """
    count = len(vectors)
    firsts, seconds = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    rows_at_once = block_rows(count)
    for start in range(0, count, rows_at_once):
        scores = vectors[start : start + rows_at_once] @ vectors.T
        scores[np.arange(len(scores)), np.arange(start, start + len(scores))] = -np.inf
        if most < count - 1:
            limits = np.partition(scores, count - most, axis=1)[:, count - most, None]
            scores[scores < limits] = -np.inf
        rows, columns = np.nonzero(scores >= threshold)
        firsts.append(rows + start)
        seconds.append(columns)
    a, b = np.concatenate(firsts), np.concatenate(seconds)
    codes = np.unique(np.minimum(a, b) * count + np.maximum(a, b))
    return codes // max(count, 1), codes % max(count, 1)
