"""Join what a detector finds in a photo at two sizes: small faces in the large one, large faces in the small.

A network trained on pictures of a few hundred pixels sees of a face that fills a large photo only parts: it
misses the face, and an eye or a collar may look like one.  In the same photo reduced, the face has a size
that the network knows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..imaging.boxes import iou, shared_area
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
    # A face of middle size may be in both lists; the reduced photo shows more of it, so it comes first.
    faces = [face for face in close if _share(face, side) >= LARGE / LEEWAY]
    faces += [face for face in far if _share(face, side) < LARGE * LEEWAY]
    boxes = np.array([face.box for face in faces], dtype=np.float64).reshape(-1, 4)
    large = np.array([_share(face, side) >= LARGE for face in faces], dtype=bool)
    area = np.array([max(face.box.area, 1e-9) for face in faces])
    # Face i is not kept where a kept face j is the same, or a large one that i is a part of.
    taken = (iou(boxes, boxes) > SAME) | (large & (shared_area(boxes, boxes) / area[:, None] > WITHIN))
    kept: list[int] = []
    for i in range(len(faces)):
        if not taken[i, kept].any():
            kept.append(i)
    return sorted((faces[i] for i in kept), key=lambda face: -face.confidence)


def _share(face: Face, side: int) -> float:
    return math.sqrt(face.box.area) / side
