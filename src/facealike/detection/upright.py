"""Correct what a detector does not see: faces turned by 90 degrees or more, and boxes without a face.

Landmarks of tilted faces are not exact either: YuNet, and a network that learned from it, place them as if
the face were tilted by less.  Where they tilt by ``TILTED`` or more, the face is searched again in a picture
in which it is upright.
"""

from __future__ import annotations

import math
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
CERTAIN = 0.8
"""The detector's confidence from which on a detection is kept, whatever the network says of it.

In 10,110 photos of LFW, none of its test people, and in the training's wallpapers no such detection is no
face with a probability of ``NO_FACE``; elsewhere a portrait with both hands at the cap was.
"""
SURE = 0.6
"""Probability from which on a face is turned."""
SIDE, AROUND = 256, 2.5
"""Pixels of the square in which a turned face is searched again, and its side relative to the box."""
SAME = 0.3
"""Least IoU of the box found there with the first one."""
TILTED = 5.0
"""Tilt in degrees from which on a face is searched again upright."""
TILTED_SIDE = 160
"""Pixels of the square in which a tilted face is searched again: a face of 64 pixels, a fifth of the time."""


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
        if row[TURNS] >= NO_FACE and face.confidence < CERTAIN:
            continue
        if quarters and row[quarters] >= SURE:
            face = turned_face(image, face, quarters, search)
        else:
            quarters = 0
        # A face that is turned counterclockwise tilts by less.
        beyond = (_tilt(face) + 90 * quarters + 180) % 360 - 180
        if abs(beyond) >= TILTED:
            face = tilted_face(image, face, search)
        kept.append(face)
    return kept


def tilted_face(image: Image, face: Face, search: Callable[[Image], list[Face]]) -> Face:
    """Return ``face`` with the landmarks that are found once it is turned upright by those it has."""
    matrix = _level(crop_matrix(face.box, TILTED_SIDE, AROUND), _tilt(face), TILTED_SIDE)
    best = _central(search(warp(image, matrix, TILTED_SIDE)), TILTED_SIDE)
    if best is None or best.landmarks is None:
        return face
    return replace(face, landmarks=_points(transform_points(invert(matrix), np.array(best.landmarks))))


def turned_face(image: Image, face: Face, quarters: int, search: Callable[[Image], list[Face]]) -> Face:
    """Return ``face`` with the landmarks of a face that is turned counterclockwise by quarters."""
    matrix = crop_matrix(face.box, SIDE, AROUND)
    best = _central(search(np.ascontiguousarray(np.rot90(warp(image, matrix, SIDE), -quarters))), SIDE)
    back = invert(matrix)
    if best is None:  # nothing there: the places that a face in this box has on average
        points = (TEMPLATE_112 - 56) * (SIDE / AROUND / 90) + (SIDE / 2 - 0.5)
        return replace(face, landmarks=_points(transform_points(back, _turned(points, quarters))))
    if best.landmarks is None:
        return face
    landmarks = transform_points(back, _turned(np.array(best.landmarks), quarters))
    # The corners of a box are pixel edges, half a pixel before the centers.
    corners = np.array([best.box[:2], best.box[2:]]) - 0.5
    low, high = np.sort(transform_points(back, _turned(corners, quarters)) + 0.5, axis=0)
    return Face(Box(*low.tolist(), *high.tolist()), face.confidence, _points(landmarks))


def _central(found: Sequence[Face], side: int) -> Face | None:
    """Return the face in the middle of a picture of ``side`` pixels that shows ``AROUND`` times its box."""
    low, high = side / 2 * (1 - 1 / AROUND), side / 2 * (1 + 1 / AROUND)
    boxes = np.array([face.box for face in found]).reshape(-1, 4)
    overlaps = iou(boxes, np.array([[low, low, high, high]]))[:, 0]
    return found[int(overlaps.argmax())] if (overlaps > SAME).any() else None


def _tilt(face: Face) -> float:
    """Return by how many degrees the line between the eyes falls to the right; 0 without landmarks."""
    if face.landmarks is None:
        return 0.0
    (left, top), (right, bottom) = face.landmarks[:2]
    return math.degrees(math.atan2(bottom - top, right - left))


def _level(matrix: NDArray[np.float64], tilt: float, side: int) -> NDArray[np.float64]:
    """Return the crop's transform ``matrix``, with the crop turned about its middle by ``-tilt`` degrees."""
    cosine, sine = math.cos(math.radians(tilt)), math.sin(math.radians(tilt))
    turn = np.array([[cosine, sine], [-sine, cosine]])
    middle = side / 2 - 0.5
    moved: NDArray[np.float64] = turn @ matrix
    moved[:, 2] += middle - turn @ [middle, middle]
    return moved


def _turned(points: NDArray[np.float64], quarters: int) -> NDArray[np.float64]:
    """Return where points (n, 2) of a picture of ``SIDE`` pixels are once it is turned counterclockwise."""
    for _ in range(quarters):
        points = np.stack([points[:, 1], SIDE - 1 - points[:, 0]], axis=1)
    return points


def _points(points: NDArray[np.float64]) -> tuple[Point, ...]:
    return tuple((float(x), float(y)) for x, y in points)
