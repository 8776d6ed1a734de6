"""Batches made of groups of near faces, whose similarities are the hardest to learn.

At low false match rates only pairs of similar faces decide, and random batches hold few of them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GROUP = 24  # faces in a group
NEAR = 2  # a group's members are drawn from this many times as many near faces, so that groups vary


def near_groups(targets: NDArray[np.float32], size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return disjoint groups of near faces, (groups, size), in random order; a rest of fewer is left out.

    Each group is a random face that has no group yet, and random ones of the nearest such faces.

    Args:
        targets: Unit vectors (n, d).
        size: Faces in a group.
        rng: The random generator.
    """
    left = np.ones(len(targets), dtype=bool)
    remaining = len(targets)
    groups = []
    for face in rng.permutation(len(targets)):
        if remaining < size:
            break
        if not left[face]:
            continue
        cosines = targets @ targets[face]
        cosines[~left] = -np.inf
        cosines[face] = np.inf
        count = min(NEAR * size, remaining)
        near = np.argpartition(-cosines, count - 1)[:count]
        group = np.concatenate([[face], rng.permutation(near[near != face])[: size - 1]])
        left[group] = False
        remaining -= size
        groups.append(group)
    order = rng.permutation(len(groups))
    return np.array(groups, dtype=np.int64).reshape(-1, size)[order]


def batches(groups: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Return batches of whole groups (groups, g), (batches, size) faces; the rest is left out."""
    each = size // groups.shape[1]
    whole = len(groups) // each
    return groups[: whole * each].reshape(whole, size)
