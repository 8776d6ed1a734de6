"""Boxes: how much they overlap, and which of several stay."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def non_maximum_suppression(
    boxes: NDArray[np.floating], scores: NDArray[np.floating], overlap: float
) -> NDArray[np.intp]:
    """Indices of the boxes kept, best score first; a box that overlaps a better one is dropped.

    ``boxes`` is (n, 4) as left, top, right, bottom; overlap is intersection over union.
    """
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        order = rest[~overlapping(boxes[best], boxes[rest], overlap)]
    return np.array(kept, dtype=np.intp)


def overlapping(box: NDArray[np.floating], boxes: NDArray[np.floating], overlap: float) -> NDArray[np.bool_]:
    """Which of ``boxes`` (n, 4) have more than ``overlap``, intersection over union, with ``box`` (4,)."""
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    shared = np.clip(sides, 0, None).prod(axis=1)
    result: NDArray[np.bool_] = shared > overlap * ((box[2:] - box[:2]).prod() + area - shared)
    return result
