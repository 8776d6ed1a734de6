"""Correct what a detector does not see: faces turned by 90 degrees or more, and boxes without a face."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..imaging.align import TEMPLATE_112
from ..imaging.boxes import iou
from ..imaging.geometry import invert, transform_points, warp
from ..types import Box, Face, Image, Point
from .crop_network import crop_matrix
from .orientation import TURNS, Orientation

NO_FACE = 0.9
"""Probability from which on a detection is no face and is dropped."""
SURE = 0.6
"""Probability from which on a face is turned."""
SIDE, AROUND = 256, 2.5
"""Pixels of the square in which a turned face is searched again, and its side relative to the box."""
SAME = 0.3
"""Least IoU of the box found there with the first one."""


def upright(
    image: Image, faces: Sequence[Face], orientation: Orientation, search: Callable[[Image], list[Face]]
) -> list[Face]:
    """Return ``faces`` without those that are none, and with the landmarks of turned faces in their places.

    A turned face is turned back, with its surroundings, and searched there once more.

    Args:
        image: The photo.
        faces: What the detector found in it.
        orientation: The network that classifies the faces.
        search: Returns the faces of a picture of ``SIDE`` pixels.
    """
    kept = []
    for face, row in zip(faces, orientation(image, faces), strict=True):
        quarters = int(row[:TURNS].argmax())
        if row[TURNS] >= NO_FACE:
            continue
        if quarters and row[quarters] >= SURE:
            face = turned_face(image, face, quarters, search)
        kept.append(face)
    return kept


def turned_face(image: Image, face: Face, quarters: int, search: Callable[[Image], list[Face]]) -> Face:
    """Return ``face`` with the landmarks of a face that is turned counterclockwise by quarters."""
    matrix = crop_matrix(face.box, SIDE, AROUND)
    found = search(np.ascontiguousarray(np.rot90(warp(image, matrix, SIDE), -quarters)))
    middle, half = SIDE / 2, SIDE / AROUND / 2
    wanted = np.array([[middle - half, middle - half, middle + half, middle + half]])
    overlaps = iou(np.array([each.box for each in found]).reshape(-1, 4), wanted)[:, 0]
    back = invert(matrix)
    if not (overlaps > SAME).any():  # nothing there: the places that a face in this box has on average
        points = (TEMPLATE_112 - 56) * (2 * half / 90) + [middle - 0.5, middle - 0.5]
        return replace(face, landmarks=_points(transform_points(back, _turned(points, quarters))))
    best = found[int(overlaps.argmax())]
    if best.landmarks is None:
        return face
    landmarks = transform_points(back, _turned(np.array(best.landmarks), quarters))
    # The corners of a box are pixel edges, half a pixel before the centers.
    corners = np.array([best.box[:2], best.box[2:]]) - 0.5
    low, high = np.sort(transform_points(back, _turned(corners, quarters)) + 0.5, axis=0)
    return Face(Box(*low.tolist(), *high.tolist()), face.confidence, _points(landmarks))


def _turned(points: NDArray[np.float64], quarters: int) -> NDArray[np.float64]:
    """Return where points (n, 2) of a picture of ``SIDE`` pixels are once it is turned counterclockwise."""
    for _ in range(quarters):
        points = np.stack([points[:, 1], SIDE - 1 - points[:, 0]], axis=1)
    return points


def _points(points: NDArray[np.float64]) -> tuple[Point, ...]:
    return tuple((float(x), float(y)) for x, y in points)
