"""From a face in a photo to the canonical crop that an embedder expects.

With five landmarks: the least-squares similarity transform onto a fixed template (Umeyama,
"Least-squares estimation of transformation parameters between two point patterns", IEEE TPAMI
13(4), 1991).  With only a box: the box and a margin on each side.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..types import Box, Face, Image, Point
from .geometry import expand, similarity_transform, warp

# Where the five landmarks of a frontal face lie in a 112 x 112 crop: the template of the ArcFace
# family (Deng et al., CVPR 2019), so that crops fit embedders trained elsewhere too.
TEMPLATE_112: NDArray[np.float64] = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
TEMPLATE_112.setflags(write=False)

# Where the same points lie in a face chip of dlib, 150 px with a padding of 0.25: their mean over faces
# of FairFace, whose photos are such chips (scripts/measure_dlib_template.py measures it again).
DLIB_CHIP_TEMPLATE: NDArray[np.float64] = np.array(
    [[48.742, 46.333], [103.033, 46.784], [75.026, 79.342], [52.696, 105.802], [98.812, 106.14]]
)
DLIB_CHIP_TEMPLATE.setflags(write=False)
DLIB_CHIP_SIZE = 150

Method = Literal["landmarks", "chip", "box"]
Edge = Literal["pad", "clip"]


def landmark_matrix(face: Face, size: int, context: float = 0.0) -> NDArray[np.float64]:
    """The (2, 3) transform from the photo to a crop of ``size`` pixels, by the five landmarks.

    ``context`` shows that part of the usual crop's side more on each of its sides; the whole is then
    made smaller to fit.
    """
    target = TEMPLATE_112 * (size / 112.0)
    if context:  # else untouched to the last bit: crops in caches depend on it
        centre = (size - 1) / 2
        target = centre + (target - centre) / (1 + 2 * context)
    return similarity_transform(_landmarks_of(face), target)


def chip_matrix(face: Face, size: int) -> NDArray[np.float64]:
    """The (2, 3) transform that takes ``face`` to a (size, size) crop as dlib's networks expect it.

    Raises UsageError if the face has no landmarks.
    """
    # Both are counted from pixel centres; a chip of another size shares its edges with this one.
    target = (DLIB_CHIP_TEMPLATE + 0.5) * (size / DLIB_CHIP_SIZE) - 0.5
    return similarity_transform(_landmarks_of(face), target)


def _landmarks_of(face: Face) -> tuple[Point, ...]:
    if face.landmarks is None:
        raise UsageError("this face has no landmarks; align it by its box, or use a detector that finds them")
    return face.landmarks


def box_crop(image: Image, box: Box, size: int, margin: float = 0.2, edge: Edge = "pad") -> Image:
    """The box and a margin on each side, resized to (size, size, 3).

    Where it reaches beyond the photo, ``edge="pad"`` fills with black and keeps the face's
    proportions; ``edge="clip"`` cuts at the border, as the seed repository did.
    """
    wide = expand(box, margin)
    if edge == "clip":
        height, width = image.shape[:2]
        wide = Box(max(wide.left, 0), max(wide.top, 0), min(wide.right, width), min(wide.bottom, height))
        if wide.width < 1 or wide.height < 1:
            raise UsageError("the face lies outside the photo")
    else:
        side = max(wide.width, wide.height)
        x, y = wide.center
        wide = Box(x - side / 2, y - side / 2, x + side / 2, y + side / 2)
    sx, sy = size / wide.width, size / wide.height
    # A box is given by pixel edges; hence the half pixel on both sides of the map.
    matrix = np.array([[sx, 0, -sx * wide.left + 0.5 * sx - 0.5], [0, sy, -sy * wide.top + 0.5 * sy - 0.5]])
    return warp(image, matrix, size)


def align(
    image: Image, face: Face, size: int, method: Method = "landmarks",
    margin: float = 0.2, edge: Edge = "pad", context: float = 0.0,
) -> Image:  # fmt: skip
    """The canonical crop of ``face``, RGB uint8 of shape (size, size, 3).

    ``method="landmarks"`` maps the five landmarks onto the usual template, ``"chip"`` onto their
    places in dlib's face chips, which are somewhat tighter; ``"box"`` takes the box and ``margin``
    times its size on each side.  ``context`` belongs to landmarks, ``margin`` and
    ``edge`` to the box.  A model knows its method: mixing the two
    would feed an embedder crops it has never seen, so there is no silent fallback.
    """
    if method == "landmarks":
        return warp(image, landmark_matrix(face, size, context), size)
    if method == "chip":
        return warp(image, chip_matrix(face, size), size)
    return box_crop(image, face.box, size, margin, edge)
