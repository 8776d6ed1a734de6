"""Draw balanced pairs from people: genuine ones, and as many impostor ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError, UsageError
from ..types import Pair, PairIndices
from .people import People

MAX_PAIRS = 20_000_000
"""More pairs need a limit: they would fill memory and measure no better."""


def balanced_pairs(labels: ArrayLike, seed: int, limit: int | None = None) -> PairIndices:
    """Draw genuine pairs and as many impostor pairs.

    All unordered pairs of two photos of one person, or ``limit`` of them drawn without replacement; then as
    many distinct pairs of two different people, drawn uniformly.  Genuine pairs come first, a < b in each,
    and equal arguments give equal pairs.

    Args:
        labels: The person of each photo, (n,).
        seed: Of the random draw.
        limit: The number of genuine pairs; None for all.

    Raises:
        DataError: There is no genuine pair, or not enough impostor pairs.
        UsageError: An argument makes no sense.
    """
    kinds = np.asarray(labels)
    if kinds.ndim != 1 or (limit is not None and limit < 1):
        raise UsageError(f"pairs need labels of one dimension, and a limit of 1 or more, not {limit}")
    order = np.argsort(kinds, kind="stable")
    _, group, sizes = np.unique(kinds, return_inverse=True, return_counts=True)
    place = np.arange(len(kinds))
    # With the photos sorted by person, the genuine partners of the photo at each place that come
    # later are the rest of its group, and its impostor partners everything behind the group.
    group_end = np.cumsum(sizes)[group.reshape(-1)[order]] if len(kinds) else place
    genuine, impostor = group_end - place - 1, len(kinds) - group_end
    available = int(genuine.sum())
    if not available:
        raise DataError("no person has two photos, so there is no pair of one person; add photos")
    wanted = available if limit is None else min(limit, available)
    if wanted > MAX_PAIRS:
        raise DataError(f"{wanted:,} pairs of one person are too many; set a limit of at most {MAX_PAIRS:,}")
    if impostor.sum() < wanted:
        raise DataError(
            f"{wanted:,} pairs of one person but only {int(impostor.sum()):,} of different people; "
            "add people, or lower the number of pairs"
        )
    rng = np.random.default_rng(seed)
    if wanted < available:
        same_number = np.sort(rng.choice(available, wanted, replace=False))
    else:
        same_number = np.arange(available)
    other_number = rng.choice(int(impostor.sum()), wanted, replace=False)
    first, offset = _nth_pair(genuine, same_number)
    left, behind = _nth_pair(impostor, other_number)
    a = order[np.concatenate([first, left])]
    b = order[np.concatenate([first + 1 + offset, group_end[left] + behind])]
    same = np.repeat([True, False], wanted)
    return PairIndices(np.minimum(a, b).astype(np.int64), np.maximum(a, b).astype(np.int64), same)


def listed_pairs(people: People, index: PairIndices) -> list[Pair]:
    """Return pairs by index as pairs of paths, in their order."""
    paths, named = [str(path) for path in people.paths], people.named()
    if named is None:
        return [Pair(paths[a], paths[b], bool(same)) for a, b, same in zip(*index, strict=True)]
    return [
        Pair(paths[a], paths[b], bool(same), people=(named[paths[a]], named[paths[b]]))
        for a, b, same in zip(*index, strict=True)
    ]


def _nth_pair(
    partners: NDArray[np.int64], number: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where pairs lie when all are numbered place by place, and place i has ``partners[i]`` of them.

    Returns:
        The place of each pair ``number``, and which partner of that place it is.
    """
    ends = np.cumsum(partners)
    place = np.searchsorted(ends, number, side="right")
    return place, number - (ends[place] - partners[place])
