"""Overlap of boxes, and non-maximum suppression."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def iou(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the intersection over union of each box of ``a`` (n, 4) with each of ``b`` (m, 4): (n, m).

    Boxes are left, top, right, bottom.
    """
    shared = shared_area(a, b)
    area_a, area_b = ((x[:, 2:] - x[:, :2]).prod(axis=1) for x in (a, b))
    union = area_a[:, None] + area_b[None, :] - shared
    ratio: NDArray[np.float64] = shared / np.maximum(union, 1e-9)
    return ratio


def shared_area(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the area that each box of ``a`` (n, 4) shares with each of ``b`` (m, 4): (n, m)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared: NDArray[np.float64] = np.clip(high - low, 0, None).prod(axis=2).astype(np.float64)
    return shared


def non_maximum_suppression(
    boxes: NDArray[np.floating], scores: NDArray[np.floating], overlap: float
) -> NDArray[np.intp]:
    """Return the indices of the boxes to keep, best score first.

    Args:
        boxes: (n, 4) as left, top, right, bottom.
        scores: (n,), higher is better.
        overlap: A box whose IoU with a better one is above this is dropped.
    """
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while order.size:
        best, rest = order[:1], order[1:]
        kept.append(int(best[0]))
        order = rest[~(iou(boxes[best], boxes[rest])[0] > overlap)]
    return np.array(kept, dtype=np.intp)
