"""The 68 landmarks of a face by dlib's predictor; they need the extra ``facealike[dlib]``.

Source: Kazemi and Sullivan, "One millisecond face alignment with an ensemble of regression trees", CVPR 2014.
The points are numbered as in Sagonas et al., "300 Faces in-the-wild challenge", ICCV workshops 2013.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ...model_zoo.dlib_weights import package_file
from ...types import Image
from ...utils.extras import needs_extra

FILE = "shape_predictor_68_face_landmarks.dat"

PARTS = {
    "chin": range(17),
    "left_eyebrow": range(17, 22),
    "right_eyebrow": range(22, 27),
    "nose_bridge": range(27, 31),
    "nose_tip": range(31, 36),
    "left_eye": range(36, 42),
    "right_eye": range(42, 48),
    "top_lip": (*range(48, 55), 64, 63, 62, 61, 60),
    "bottom_lip": (*range(54, 60), 48, 60, 67, 66, 65, 64),
}
"""The points of each part, in the order in which ``face_recognition`` lists them."""


def landmarks_68(image: Image, location: tuple[int, int, int, int]) -> dict[str, list[tuple[int, int]]]:
    """Return the points (x, y) of each part of the face at (top, right, bottom, left).

    Raises:
        MissingExtra: dlib or its file of the predictor is not installed.
    """
    dlib, predict = _predictor()
    top, right, bottom, left = location
    shape = predict(np.ascontiguousarray(image), dlib.rectangle(left, top, right, bottom))
    points = [(shape.part(i).x, shape.part(i).y) for i in range(shape.num_parts)]
    return {part: [points[i] for i in numbers] for part, numbers in PARTS.items()}


@functools.cache
def _predictor() -> tuple[Any, Any]:
    with needs_extra("dlib", "a face with 68 landmarks"):
        import dlib
    return dlib, dlib.shape_predictor(str(package_file(FILE)))
