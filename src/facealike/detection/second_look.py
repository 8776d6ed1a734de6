"""Join what a detector finds in a photo at two sizes: small faces in the large one, large faces in the small.

A network trained on pictures of a few hundred pixels sees of a face that fills a large photo only parts: it
misses the face, and an eye or a collar may look like one.  In the same photo reduced, the face has a size
that the network knows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..imaging.boxes import iou
from ..types import Face

LARGE = 0.3
"""A face is large from this share of the photo's longer side on (the square root of the box's area)."""
LEEWAY = 1.25
"""Faces whose share is within this factor of ``LARGE`` are taken from both looks."""
SAME = 0.3
"""IoU above which two boxes are one face."""
WITHIN = 0.8
"""A small box is part of a large face if this share of its area is in it."""


def joined(far: Sequence[Face], close: Sequence[Face], side: int) -> list[Face]:
    """Return the faces of a photo, most confident first.

    Args:
        far: The faces found in the photo as it is; the small ones are taken.
        close: The faces found in the reduced photo; the large ones are taken.
        side: The photo's longer side in pixels; all faces are in these pixels.
    """
    large = [face for face in close if _share(face, side) >= LARGE / LEEWAY]
    kept: list[Face] = []
    # A face of middle size may be in both lists; the reduced photo shows more of it.
    for face in [*large, *(face for face in far if _share(face, side) < LARGE * LEEWAY)]:
        if not kept or not _taken(face, kept, side):
            kept.append(face)
    return sorted(kept, key=lambda face: -face.confidence)


def _share(face: Face, side: int) -> float:
    return math.sqrt(face.box.area) / side


def _taken(face: Face, kept: Sequence[Face], side: int) -> bool:
    """Return whether ``face`` is one of ``kept``, or a part of a large one."""
    box = np.array([face.box], dtype=np.float64)
    others = np.array([other.box for other in kept], dtype=np.float64)
    large = np.array([_share(other, side) >= LARGE for other in kept])
    inside = _shared(box[0], others) / max(face.box.area, 1e-9)
    return bool((iou(box, others)[0] > SAME).any() or (large & (inside > WITHIN)).any())


def _shared(box: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the area that ``box`` (4,) shares with each of ``others`` (n, 4)."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    area: NDArray[np.float64] = (high - low).clip(min=0).prod(axis=1)
    return area
