"""The functions of ``face_recognition.api``, with its names, arguments and defaults.

A location is (top, right, bottom, left) in pixels, inside the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image as PillowImage

from ...errors import UsageError
from ...imaging.read import Source, read_image
from ...types import Box, Face, Image
from .engine import engine
from .landmarks_68 import landmarks_68

Location = tuple[int, int, int, int]
Landmarks = dict[str, list[tuple[int, int]]]

MODELS = ("hog", "cnn")
"""The names of the two detectors of ``face_recognition``; here both are the model's own."""

FACE_BEFORE_UPSAMPLING = 80
"""Pixels of the smallest face that dlib's detectors find in a photo that is not enlarged."""


def load_image_file(file: Source, mode: str = "RGB") -> NDArray[np.uint8]:
    """Return a photo as an array: uint8 (H, W, 3) for ``RGB``, (H, W) for ``L``.

    The photo is upright: its EXIF orientation is applied, which ``face_recognition`` does not do.

    Raises:
        ImageError: The photo cannot be read.
        UsageError: Another mode.

    Examples:
        >>> load_image_file("photo.jpg").shape
        (1080, 1920, 3)
    """
    if mode not in ("RGB", "L"):
        raise UsageError(f"an image is loaded in the mode RGB or L, not {mode!r}")
    image = read_image(file)
    return image if mode == "RGB" else np.asarray(PillowImage.fromarray(image).convert("L"))


def face_locations(
    img: NDArray[Any], number_of_times_to_upsample: int = 1, model: str = "hog"
) -> list[Location]:
    """Return where the faces of an image are, the most confident first; an empty list where there is none.

    Args:
        img: An array as ``load_image_file`` returns it.
        number_of_times_to_upsample: Each time beyond the first finds faces of half the size in large images.
        model: ``hog`` or ``cnn``; both are the detector of the model.

    Examples:
        >>> face_locations(load_image_file("photo.jpg"))
        [(142, 617, 409, 349)]
    """
    _check_model(model)
    image = read_image(img)
    return [_location(face, image) for face in engine().faces(image, _smallest(number_of_times_to_upsample))]


def batch_face_locations(
    images: Sequence[NDArray[Any]], number_of_times_to_upsample: int = 1, batch_size: int = 128
) -> list[list[Location]]:
    """Return ``face_locations`` of each image; ``batch_size`` is accepted and not needed."""
    return [face_locations(image, number_of_times_to_upsample) for image in images]


def face_landmarks(
    face_image: NDArray[Any], face_locations: Sequence[Location] | None = None,
    model: Literal["large", "small"] = "large",
) -> list[Landmarks]:  # fmt: skip
    """Return the landmarks of each face: lists of points (x, y) by the name of the part.

    Args:
        face_image: An array as ``load_image_file`` returns it.
        face_locations: Where the faces are; None looks for them.
        model: ``large`` has 68 points, by dlib's predictor, which needs the extra ``facealike[dlib]``;
            ``small`` has the tip of the nose and the center of each eye.

    Raises:
        MissingExtra: 68 points are asked for, and dlib is not installed.

    Examples:
        >>> face_landmarks(image, model="small")
        [{'nose_tip': [(496, 295)], 'left_eye': [(452, 230)], 'right_eye': [(541, 231)]}]
    """
    if model not in ("large", "small"):
        raise UsageError(f"the landmarks are those of the model large or small, not {model!r}")
    image = read_image(face_image)
    faces = _faces(image, face_locations)
    if model == "large":
        return [landmarks_68(image, _location(face, image)) for face in faces]
    return [_five(face) for face in faces]


def face_encodings(
    face_image: NDArray[Any], known_face_locations: Sequence[Location] | None = None, num_jitters: int = 1,
    model: str = "small",
) -> list[NDArray[np.float64]]:  # fmt: skip
    """Return the encoding (d,) of each face; two of one person are at most 0.6 apart.

    Args:
        face_image: An array as ``load_image_file`` returns it.
        known_face_locations: Where the faces are; None looks for them.
        num_jitters: Crops of each face, slightly moved, whose encodings are averaged.
        model: ``small`` or ``large``; both use the five landmarks of the model's detector.

    Examples:
        >>> (encoding,) = face_encodings(load_image_file("portrait.jpg"))
        >>> encoding.shape
        (219,)
    """
    if model not in ("large", "small"):
        raise UsageError(f"encodings use the landmark model large or small, not {model!r}")
    if num_jitters < 1:
        raise UsageError(f"an encoding is made of one crop or more, not {num_jitters}")
    image = read_image(face_image)
    return engine().encode(image, _faces(image, known_face_locations), num_jitters)


def compare_faces(
    known_face_encodings: ArrayLike, face_encoding_to_check: ArrayLike, tolerance: float = 0.6
) -> list[bool]:
    """Return for each known encoding whether it is at most ``tolerance`` from the one to check.

    0.6 is the threshold of the model; lower is stricter.

    Examples:
        >>> compare_faces([known], unknown)
        [True]
    """
    return [bool(near) for near in face_distance(known_face_encodings, face_encoding_to_check) <= tolerance]


def face_distance(face_encodings: ArrayLike, face_to_compare: ArrayLike) -> NDArray[np.float64]:
    """Return the distance of each encoding from another one, float64 (n,).

    Raises:
        UsageError: The encodings are of two models.

    Examples:
        >>> face_distance([known], unknown)
        array([0.31])
    """
    known = np.asarray(face_encodings, dtype=np.float64)
    if len(known) == 0:
        return np.empty(0)
    other = np.asarray(face_to_compare, dtype=np.float64)
    if known.ndim != 2 or other.shape != known.shape[1:]:
        raise UsageError(
            f"encodings of shape {known.shape} cannot be compared with one of shape {other.shape}; encode "
            "all faces with one model"
        )
    distances: NDArray[np.float64] = np.linalg.norm(known - other, axis=1)
    return distances


def _faces(image: Image, locations: Sequence[Location] | None) -> list[Face]:
    if locations is None:
        return engine().faces(image)
    return engine().at(image, [_box(location) for location in locations])


def _box(location: Location) -> Box:
    top, right, bottom, left = (int(value) for value in location)
    if right <= left or bottom <= top:
        raise UsageError(f"a location is (top, right, bottom, left), which {tuple(location)} cannot be")
    return Box(left, top, right, bottom)


def _location(face: Face, image: Image) -> Location:
    height, width = image.shape[:2]
    left, top, right, bottom = (round(value) for value in face.box)
    return max(top, 0), min(right, width), min(bottom, height), max(left, 0)


def _five(face: Face) -> Landmarks:
    assert face.landmarks is not None  # Engine finds them for every face
    left, right, nose = ((round(x), round(y)) for x, y in face.landmarks[:3])
    return {"nose_tip": [nose], "left_eye": [left], "right_eye": [right]}


def _smallest(times: int) -> int | None:
    if times < 0:
        raise UsageError(f"an image is enlarged 0 times or more, not {times}")
    return None if times < 2 else max(FACE_BEFORE_UPSAMPLING >> times, 1)


def _check_model(model: str) -> None:
    if model not in MODELS:
        raise UsageError(f"the face detector is hog or cnn, not {model!r}; here both are the model's own")
