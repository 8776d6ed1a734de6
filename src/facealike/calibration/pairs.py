"""The pairs that a calibration is fitted to: all of them, or a sample of each kind."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError, UsageError
from ..types import PairIndices


def calibration_pairs(labels: ArrayLike, seed: int, limit: int = 2_000_000) -> PairIndices:
    """Return all genuine and all impostor pairs of photos, a < b, in order of a.

    Args:
        labels: The person of each photo, (n,).
        seed: Of the random draw.
        limit: Above so many pairs, a kind that has more than half of it is drawn without replacement, to fill
            what the other kind leaves.

    Raises:
        DataError: A kind is missing.
    """
    kinds = np.asarray(labels)
    if kinds.ndim != 1 or limit < 2:
        raise UsageError(f"pairs need labels of one dimension and a limit of 2 or more, not {limit}")
    photos = len(kinds)
    _, sizes = np.unique(kinds, return_counts=True)
    genuine = int(np.sum(sizes * (sizes - 1) // 2))
    impostor = photos * (photos - 1) // 2 - genuine
    if not genuine or not impostor:
        missing = "of one person" if not genuine else "of different people"
        raise DataError(f"there are no pairs {missing} to calibrate on; add photos of more people")
    keep_genuine = min(genuine, max(limit // 2, limit - impostor))
    keep_impostor = min(impostor, limit - keep_genuine)
    rng = np.random.default_rng(seed)
    # Enumerated photo by photo, so that not all pairs are in memory at once.
    chosen = {
        True: _chosen(rng, genuine, keep_genuine),
        False: _chosen(rng, impostor, keep_impostor),
    }
    seen = {True: 0, False: 0}
    parts: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]] = []
    for a in range(photos - 1):
        alike = kinds[a + 1 :] == kinds[a]
        for kind in (True, False):
            later = np.flatnonzero(alike == kind) + a + 1
            numbers = chosen[kind]
            if numbers is not None:
                low, high = np.searchsorted(numbers, (seen[kind], seen[kind] + len(later)))
                seen[kind] += len(later)
                later = later[numbers[low:high] - (seen[kind] - len(later))]
            parts.append((np.full(len(later), a), later.astype(np.int64), np.full(len(later), kind)))
    a_side, b_side, same = (np.concatenate(column) for column in zip(*parts, strict=True))
    return PairIndices(a_side, b_side, same)


def _chosen(rng: np.random.Generator, available: int, wanted: int) -> NDArray[np.int64] | None:
    """Which of the pairs of a kind are drawn, by number and ascending; None for all."""
    return None if wanted == available else np.sort(rng.choice(available, wanted, replace=False))


def checked_pairs(
    scores: ArrayLike, same: ArrayLike, first: ArrayLike, second: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
    """Return scores, truth and people of pairs as arrays (n,).

    Raises:
        UsageError: They do not fit.
    """
    values, truth = np.asarray(scores, dtype=np.float64), np.asarray(same)
    left, right = np.asarray(first, dtype=np.int64), np.asarray(second, dtype=np.int64)
    shapes = {array.shape for array in (values, truth, left, right)}
    if values.ndim != 1 or len(shapes) != 1 or not np.isfinite(values).all():
        raise UsageError("scores, truth and the two people of each pair must be finite lists of one length")
    if not np.array_equal(truth.astype(bool), left == right):
        raise UsageError("a pair is genuine where its two sides show one person, and only there")
    return values, truth.astype(np.bool_), left, right
