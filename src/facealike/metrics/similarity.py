"""Cosine similarity of embeddings."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import UsageError

Floats = NDArray[np.float32]
Counts = NDArray[np.int64]

PAIRS_AT_ONCE = 8192


def cosine(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Return the cosine of each row of ``a`` (n, d) with the same row of ``b`` (n, d): (n,) in [-1, 1].

    Raises:
        UsageError: The shapes differ, or a row is zero or not finite and so has no direction.
    """
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if x.ndim != 2 or x.shape != y.shape:
        raise UsageError(f"two equal sets of embeddings (n, d) are needed, not {x.shape} and {y.shape}")
    product: NDArray[np.float64] = np.sum(unit_rows(x) * unit_rows(y), axis=1)
    return np.clip(product, -1.0, 1.0)


def paired_cosines(embeddings: Floats, a: Counts, b: Counts) -> NDArray[np.float64]:
    """Return the cosine of rows ``a`` (n,) and ``b`` (n,) of ``embeddings`` (m, d), in blocks: (n,)."""
    scores = np.empty(len(a))
    for start in range(0, len(a), PAIRS_AT_ONCE):
        part = slice(start, start + PAIRS_AT_ONCE)
        scores[part] = cosine(embeddings[a[part]], embeddings[b[part]])
    return scores


def unit_rows(rows: ArrayLike) -> NDArray[np.float64]:
    """Return the rows of an array (n, d) scaled to length 1, float64.

    Raises:
        UsageError: A row is zero or not finite and so has no direction.
    """
    vectors = np.asarray(rows, dtype=np.float64)
    # Divided by the largest entry first: the square of a tiny or a huge one is 0 or infinity.
    largest = np.abs(vectors).max(axis=1, initial=0.0, keepdims=True)
    usable = (largest > 0) & (largest < np.inf)  # also false for NaN
    if not usable.all():
        bad = int(np.sum(~usable))
        raise UsageError(f"{bad} of {len(vectors)} embeddings are zero or not finite; leave those photos out")
    scaled = vectors / largest
    unit: NDArray[np.float64] = scaled / np.linalg.norm(scaled, axis=1, keepdims=True)
    return unit


def labeled_unit_rows(embeddings: ArrayLike, labels: ArrayLike) -> tuple[Floats, Counts]:
    """Return rows of length 1, float32 (n, d), and the people as numbers from 0, int64 (n,).

    Raises:
        UsageError: The shapes do not fit, or a row is zero or not finite.
    """
    vectors, names = np.asarray(embeddings, dtype=np.float32), np.asarray(labels)
    if vectors.ndim != 2 or names.shape != (len(vectors),) or len(vectors) == 0:
        raise UsageError(
            f"embeddings (n, d) and as many labels (n,) are needed, not arrays of shapes {vectors.shape} and "
            f"{names.shape}"
        )
    person = np.unique(names, return_inverse=True)[1].reshape(-1).astype(np.int64)
    return unit_rows(vectors).astype(np.float32), person
