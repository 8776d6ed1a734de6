"""Measures of a face: size, sharpness, noise, pose, lighting and framing."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..imaging.align import TEMPLATE_112, landmark_matrix
from ..imaging.geometry import warp
from ..types import Face, Image

Floats: TypeAlias = NDArray[np.float64]


SIDE = 112
"""Side of the crop that is measured, or the size of the face in the photo if that is smaller."""


SMALLEST_SIDE = 48  # eight blocks of 6 px


TEMPLATE_EYES = float(np.linalg.norm(TEMPLATE_112[1] - TEMPLATE_112[0]))


# The part of the crop that shows the face and not the background; center and half axes in 112nds.
OVAL_CENTER, OVAL_AXES = (56.0, 68.0), (36.0, 44.0)


# Of dlib's boxes, as ``facealike.detection.landmarks.UPRIGHT`` has it: the eyes' distance by the box's side.
EYES_OF_BOX = 0.42


# Distance of the tip of the nose from the plane of eyes and mouth, in distances between the eyes; from
# the five points of a mean head in three dimensions.  The rest is that of the template.
NOSE_DEPTH = 0.435


_EYE_LINE, _MOUTH_LINE = float(TEMPLATE_112[:2, 1].mean()), float(TEMPLATE_112[3:, 1].mean())


NOSE_HEIGHT = 0.557  # from the eyes to the mouth; the median on LFW's validation people


EYES_TO_MOUTH = (_MOUTH_LINE - _EYE_LINE) / TEMPLATE_EYES


def template_matrix(face: Face) -> Floats:
    """Return the (2, 3) transform of the face onto the template, by its box where landmarks fail."""
    if face.landmarks is not None:
        try:
            matrix = landmark_matrix(face, SIDE)
            if scale_of(matrix) > 1e-6:
                return matrix
        except UsageError:  # all landmarks on one point
            pass
    scale = TEMPLATE_EYES / (EYES_OF_BOX * max(face.box.width, face.box.height))
    shift = TEMPLATE_112.mean(axis=0) - scale * np.array(face.box.center)
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])


def scale_of(matrix: Floats) -> float:
    """Return the scale of a (2, 3) similarity transform."""
    return math.sqrt(abs(float(np.linalg.det(matrix[:, :2]))))


def pixel_measures(image: Image, matrix: Floats) -> dict[str, float]:
    """Return sharpness, noise, lighting and framing of the face's oval; see ``face_quality``."""
    shrunk = min(1.0, max(1 / scale_of(matrix), SMALLEST_SIDE / SIDE))
    side = max(SMALLEST_SIDE, round(SIDE * shrunk))
    matrix = matrix * (side / SIDE)
    oval, left = face_oval(side)
    visible = oval & _inside(matrix, side, image.shape)
    inside = float(visible.sum() / oval.sum())
    if not visible.any():
        return {"inside": 0.0}
    crop = warp(image, matrix, side)
    # Sums, not a matrix product, which would start the threads of a BLAS for one small crop.
    gray = (0.299 * crop[:, :, 0] + 0.587 * crop[:, :, 1] + 0.114 * crop[:, :, 2]) / 255.0
    values = gray[visible]
    # np.percentile would import numpy.ma, which takes longer than everything else here on a cold start.
    count = len(values) - 1
    dark, bright = np.interp([0.05 * count, 0.95 * count], np.arange(count + 1), np.sort(values))
    halves = [values[left[visible]], values[~left[visible]]]
    means = [float(half.mean()) if half.size else float(values.mean()) for half in halves]
    contrast = float(bright - dark)
    detail = {"sharpness": _sharpness(gray, visible), "noise": _noise(gray, visible, contrast)}
    return {
        **{name: value for name, value in detail.items() if value is not None},
        "brightness": float(values.mean()),
        "contrast": contrast,
        "clipped": float(((values <= 0.02) | (values >= 0.98)).mean()),
        "side_light": abs(means[0] - means[1]) / max(sum(means) / 2, 1e-6),
        "inside": inside,
    }


@lru_cache(maxsize=128)
def face_oval(side: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which pixels (side, side) of the crop show the face, and which lie in its left half."""
    place = (np.arange(side) + 0.5) * (SIDE / side) - 0.5
    x, y = place[None, :], place[:, None]
    oval = ((x - OVAL_CENTER[0]) / OVAL_AXES[0]) ** 2 + ((y - OVAL_CENTER[1]) / OVAL_AXES[1]) ** 2 <= 1
    return oval, np.broadcast_to(x < OVAL_CENTER[0], oval.shape)


def _inside(matrix: Floats, side: int, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which pixels (side, side) of the crop lie within a photo of ``shape``."""
    inverse = np.linalg.inv(matrix[:, :2])
    x, y = np.arange(side)[None, :] - matrix[0, 2], np.arange(side)[:, None] - matrix[1, 2]
    across, down = (row[0] * x + row[1] * y for row in inverse)
    return np.asarray(
        (across >= -0.5) & (across <= shape[1] - 0.5) & (down >= -0.5) & (down <= shape[0] - 0.5)
    )


def _sharpness(gray: Floats, visible: NDArray[np.bool_]) -> float | None:
    """Detail of blocks of 2 px over that of blocks of 6 px; 0 where there is neither, None if not visible.

    Two scales, since the variance of the Laplacian alone is small in a dark photo, too.
    """
    fine, coarse = (_detail(gray, visible, block) for block in (2, 6))
    if fine is None or coarse is None:
        return None
    return fine / coarse if coarse > 1e-4 else 0.0


def _detail(gray: Floats, visible: NDArray[np.bool_], block: int) -> float | None:
    """Root mean square of the Laplacian of ``gray`` averaged over blocks, where all of it is visible."""
    cells = len(gray) // block
    shape, end = (cells, block, cells, block), cells * block
    mean = gray[:end, :end].reshape(shape).mean(axis=(1, 3))
    whole = np.asarray(visible[:end, :end].reshape(shape).all(axis=(1, 3)))
    middle, around = np.s_[1:-1, 1:-1], (np.s_[:-2, 1:-1], np.s_[2:, 1:-1], np.s_[1:-1, :-2], np.s_[1:-1, 2:])
    laplacian, seen = 4 * mean[middle], whole[middle].copy()
    for side in around:
        laplacian -= mean[side]
        seen &= whole[side]
    return float(np.sqrt(np.mean(laplacian[seen] ** 2))) if seen.any() else None


def _noise(gray: Floats, visible: NDArray[np.bool_], contrast: float) -> float | None:
    """Standard deviation of the noise over the contrast; None without contrast, or if not visible.

    A mask that responds neither to planes nor, mostly, to edges.  The median of the responses replaces their
    mean, which hair and lashes would raise; that of a normal variable is 0.6745 standard deviations.

    Source: Immerkaer, "Fast noise variance estimation", Computer Vision and Image Understanding 64(2), 1996.
    """
    rows = gray[:-2] - 2 * gray[1:-1] + gray[2:]
    response = np.abs(rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:])
    down = visible[:-2] & visible[1:-1] & visible[2:]
    seen = np.sort(response[down[:, :-2] & down[:, 1:-1] & down[:, 2:]])
    if not len(seen) or contrast < 1e-3:
        return None
    return float(seen[len(seen) // 2]) / (6 * 0.6745) / contrast


def pose_measures(points: Floats, matrix: Floats) -> dict[str, float]:
    """Return yaw and roll, without a sign, and pitch in degrees, from five landmarks (5, 2)."""
    eyes, mouth = points[:2].mean(axis=0), points[3:].mean(axis=0)
    between, axis, nose = points[1] - points[0], mouth - eyes, points[2] - eyes
    apart, tall = float(np.hypot(*between)), float(np.hypot(*axis))
    roll = abs(math.degrees(math.atan2(matrix[1, 0], matrix[0, 0])))
    if tall < 1e-6:
        return {"yaw": 90.0, "pitch": 90.0, "roll": roll}
    aside = abs(axis[0] * nose[1] - axis[1] * nose[0]) / tall
    along = float(nose @ axis) / tall**2
    return {
        "yaw": math.degrees(math.atan2(aside, NOSE_DEPTH * apart)),
        "pitch": math.degrees(math.atan((along - NOSE_HEIGHT) * EYES_TO_MOUTH / NOSE_DEPTH)),
        "roll": roll,
    }
