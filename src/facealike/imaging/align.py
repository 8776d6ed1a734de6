"""Align a face in a photo to the crop that an embedder expects.

With five landmarks: the least-squares similarity transform onto a fixed template.  With only a box: the box
and a margin on each side.

Source: Umeyama, "Least-squares estimation of transformation parameters between two point patterns",
IEEE TPAMI 13(4), 1991.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..types import Box, Face, Image, Point
from .geometry import expand, similarity_transform, transform_points, warp

# The five landmarks of a frontal face in a 112 x 112 crop: the template of the ArcFace family
# (Deng et al., CVPR 2019), so that crops also fit embedders trained elsewhere.
TEMPLATE_112: NDArray[np.float64] = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
TEMPLATE_112.setflags(write=False)

# The same points in a face chip of dlib, 150 px with a padding of 0.25: their mean over faces of
# FairFace, whose photos are such chips (scripts/measure_dlib_template.py measures it again).
DLIB_CHIP_TEMPLATE: NDArray[np.float64] = np.array(
    [[48.742, 46.333], [103.033, 46.784], [75.026, 79.342], [52.696, 105.802], [98.812, 106.14]]
)
DLIB_CHIP_TEMPLATE.setflags(write=False)
DLIB_CHIP_SIZE = 150

Method = Literal["landmarks", "chip", "box"]
Edge = Literal["pad", "clip"]


def landmark_matrix(face: Face, size: int, context: float = 0.0) -> NDArray[np.float64]:
    """Return the (2, 3) transform from the photo to a crop of ``size`` pixels, by the five landmarks.

    Args:
        face: A face with landmarks.
        size: Side of the crop in pixels.
        context: Additional border on each side, as a share of the usual crop's side.

    Raises:
        UsageError: The face has no landmarks, or they cannot be aligned.
    """
    return similarity_transform(_landmarks_of(face), _template(size, context))


def _template(size: int, context: float) -> NDArray[np.float64]:
    target: NDArray[np.float64] = TEMPLATE_112 * (size / 112.0)
    if context:  # else equal to the last bit: crops in caches depend on it
        center = (size - 1) / 2
        target = center + (target - center) / (1 + 2 * context)
    return target


def chip_matrix(face: Face, size: int) -> NDArray[np.float64]:
    """Return the (2, 3) transform from the photo to a (size, size) crop as dlib's networks expect it.

    Raises:
        UsageError: The face has no landmarks, or they cannot be aligned.
    """
    return similarity_transform(_landmarks_of(face), _chip_template(size))


def _chip_template(size: int) -> NDArray[np.float64]:
    # Both are counted from pixel centers; a chip of another size shares its edges with this one.
    target: NDArray[np.float64] = (DLIB_CHIP_TEMPLATE + 0.5) * (size / DLIB_CHIP_SIZE) - 0.5
    return target


def _landmarks_of(face: Face) -> tuple[Point, ...]:
    if face.landmarks is None:
        raise UsageError("this face has no landmarks; align it by its box, or use a detector that finds them")
    return face.landmarks


def box_crop(image: Image, box: Box, size: int, margin: float = 0.2, edge: Edge = "pad") -> Image:
    """Return the box and a margin on each side, resized to (size, size, 3).

    Args:
        image: RGB uint8 (H, W, 3).
        box: The face's box; it may reach beyond the photo.
        size: Side of the crop in pixels.
        margin: Margin on each side, as a share of the box.
        edge: Beyond the photo, ``pad`` fills with black and keeps the face's proportions; ``clip`` crops at
            the border, as the legacy network expects it.

    Raises:
        UsageError: The box lies outside the photo and ``edge`` is ``clip``.
    """
    wide = expand(box, margin)
    if edge == "clip":
        height, width = image.shape[:2]
        wide = Box(max(wide.left, 0), max(wide.top, 0), min(wide.right, width), min(wide.bottom, height))
        if wide.width < 1 or wide.height < 1:
            raise UsageError("the face lies outside the photo")
    else:
        wide = _square(wide)
    return warp(image, _box_matrix(wide, size), size)


def _square(box: Box) -> Box:
    side = max(box.width, box.height)
    x, y = box.center
    return Box(x - side / 2, y - side / 2, x + side / 2, y + side / 2)


def _box_matrix(box: Box, size: int) -> NDArray[np.float64]:
    sx, sy = size / box.width, size / box.height
    # A box is given by pixel edges; hence the half pixel on both sides of the map.
    return np.array([[sx, 0, -sx * box.left + 0.5 * sx - 0.5], [0, sy, -sy * box.top + 0.5 * sy - 0.5]])


def align(
    image: Image, face: Face, size: int, method: Method = "landmarks",
    margin: float = 0.2, edge: Edge = "pad", context: float = 0.0,
) -> Image:  # fmt: skip
    """Return the canonical crop of ``face``, RGB uint8 (size, size, 3).

    A model states its method.  There is no fallback to another one, since the embedder was not trained on
    such crops.

    Args:
        image: RGB uint8 (H, W, 3).
        face: The face, in pixels of ``image``.
        size: Side of the crop in pixels.
        method: ``landmarks`` maps the five landmarks onto the ArcFace template, ``chip`` onto their places
            in dlib's face chips, which are tighter; ``box`` takes the box and a margin.
        margin: With ``box``: the margin on each side, as a share of the box.
        edge: With ``box``: see ``box_crop``.
        context: With ``landmarks``: see ``landmark_matrix``.

    Raises:
        UsageError: The face has no landmarks that the method needs, or cannot be aligned by them.
    """
    if method == "landmarks":
        return warp(image, landmark_matrix(face, size, context), size)
    if method == "chip":
        return warp(image, chip_matrix(face, size), size)
    return box_crop(image, face.box, size, margin, edge)


def crop_landmarks(
    face: Face | None, size: int, method: Method = "landmarks",
    margin: float = 0.2, edge: Edge = "pad", context: float = 0.0,
) -> NDArray[np.float64] | None:  # fmt: skip
    """Return where the five landmarks of ``face`` lie in the crop that ``align`` makes, (5, 2) in its pixels.

    The arguments are those of ``align``.  None as the face stands for a crop that was aligned elsewhere: its
    landmarks are those of the template.

    Returns:
        The landmarks; None where they are not known: a face without landmarks, a crop by the box that was
        made elsewhere, and one that is clipped at the border of a photo.
    """
    if face is None:
        return {"landmarks": _template(size, context), "chip": _chip_template(size)}.get(method)
    if face.landmarks is None or (method == "box" and edge == "clip"):
        return None
    if method == "landmarks":
        matrix = landmark_matrix(face, size, context)
    elif method == "chip":
        matrix = chip_matrix(face, size)
    else:
        matrix = _box_matrix(_square(expand(face.box, margin)), size)
    return transform_points(matrix, np.array(face.landmarks))
