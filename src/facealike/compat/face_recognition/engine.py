"""The facealike model behind the interface of ``face_recognition``: boxes, landmarks and encodings.

A model of ours compares unit vectors by their cosine, and each has its own threshold; programs written for
``face_recognition`` compare encodings by their distance and know 0.6.  So encodings are unit vectors times
the factor at which the model's threshold becomes a distance of 0.6.  dlib's network is the exception: its
encodings are dlib's own descriptors, and stored ones stay valid.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ...detection.landmarks import Landmarker, default_landmarks
from ...embedding.face_model import Model
from ...imaging.boxes import iou
from ...model_zoo.dlib import TOLERANCE, descriptors
from ...types import Box, Face, Image, Point
from ...utils.once import made_once

SAME_FACE = 0.5
"""A location that is given is that of a detected face, whose landmarks are used, from this IoU on."""

LARGEST_STEP = (0.04, 0.05, math.radians(5))
"""Jittered crops are moved by so much of the distance between the eyes, scaled by so much, and rotated."""


class Engine:
    """A model as ``face_recognition`` sees it.

    Args:
        model: The model; it needs a threshold.

    Raises:
        NotCalibrated: It has none.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self._of_dlib = "lift" in model.file.card.recipe and model.file.card.name == "dlib"
        self._scale = TOLERANCE / math.sqrt(max(2 - 2 * model.threshold, 1e-12))

    @made_once
    def landmarker(self) -> Landmarker:
        """Finds landmarks where only a box is known."""
        return Landmarker(default_landmarks())

    def faces(self, image: Image, smallest: int | None = None) -> list[Face]:
        """Return the faces of an image, the most confident first.

        Args:
            image: RGB uint8 (H, W, 3).
            smallest: The side in pixels of faces that are to be found in large photos; None for the usual.
        """
        detector = self.model.detector
        if smallest is not None and hasattr(detector, "with_min_face"):
            detector = detector.with_min_face(smallest)
        return detector.detect(image)

    def at(self, image: Image, boxes: Sequence[Box]) -> list[Face]:
        """Return the faces in the boxes with landmarks: the detector's where it finds the same face."""
        found = self.faces(image) if boxes else []
        return [self._face(image, box, found) for box in boxes]

    def _face(self, image: Image, box: Box, found: Sequence[Face]) -> Face:
        if found:
            overlaps = iou(np.array([box], float), np.array([face.box for face in found], float))[0]
            best = int(overlaps.argmax())
            if overlaps[best] >= SAME_FACE and found[best].landmarks is not None:
                return found[best]
        return Face(box, 1.0, self.landmarker(image, box))

    def encode(self, image: Image, faces: Sequence[Face], jitters: int = 1) -> list[NDArray[np.float64]]:
        """Return the encoding (d,) of each face: the mean over ``jitters`` crops, the first unchanged."""
        if not faces:
            return []
        crops = [crop for face in faces for crop in self._crops(image, face, jitters)]
        vectors = self.model.embed_crops(np.stack(crops))
        return list(self._encodings(vectors).reshape(len(faces), jitters, -1).mean(axis=1))

    def _crops(self, image: Image, face: Face, jitters: int) -> list[Image]:
        crops = [self.model.preprocessing.crop(image, face)]
        rng = np.random.default_rng(0)  # equal calls give equal encodings
        for _ in range(jitters - 1):
            crop = self.model.preprocessing.crop(image, _moved(face, rng))
            crops.append(np.ascontiguousarray(crop[:, ::-1]) if rng.random() < 0.5 else crop)
        return crops

    def _encodings(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        if self._of_dlib:
            return descriptors(vectors)
        return vectors.astype(np.float64) * self._scale


def _moved(face: Face, rng: np.random.Generator) -> Face:
    """Return the face with its points a little moved, scaled and rotated together."""
    box, points = face.box, face.landmarks
    corners = [(box.left, box.top), (box.right, box.bottom)]
    center = np.array(box.center)
    eyes = box.width / 2 if points is None else math.dist(points[0], points[1])
    shift, scale, turn = (step * rng.uniform(-1, 1, 2) for step in LARGEST_STEP)
    cosine, sine, size = math.cos(turn[0]), math.sin(turn[0]), 1 + scale[0]

    def moved(point: Point, turned: bool) -> Point:
        x, y = np.subtract(point, center) * size
        if turned:
            x, y = cosine * x - sine * y, sine * x + cosine * y
        return float(center[0] + x + shift[0] * eyes), float(center[1] + y + shift[1] * eyes)

    (left, top), (right, bottom) = (moved(corner, False) for corner in corners)
    return replace(
        face, box=Box(left, top, right, bottom),
        landmarks=None if points is None else tuple(moved(point, True) for point in points),
    )  # fmt: skip


_lock = threading.Lock()
_engine: Engine | None = None


def use_model(model: Model | str | os.PathLike[str] | None = None, device: str = "auto") -> None:
    """Choose the model behind the functions of this package, for the whole process.

    Encodings of two models cannot be compared: encode known faces again after a change.

    Args:
        model: A loaded Model, the path of a model file, the name of a stored model (``dlib`` gives dlib's own
            descriptors, once ``facealike models add dlib`` has stored it), or None for the default model.
        device: Where to load it.

    Raises:
        ModelError: The model file cannot be used.
        NotCalibrated: The model has no threshold.

    Examples:
        >>> import facealike.compat.face_recognition as face_recognition
        >>> face_recognition.use_model("dlib")
    """
    global _engine
    chosen = Engine(model if isinstance(model, Model) else Model.load(model, device))
    with _lock:
        _engine = chosen


def engine() -> Engine:
    """Return the engine that was chosen; the default model is loaded on first use."""
    global _engine
    with _lock:
        if _engine is None:
            _engine = Engine(Model.load())
        return _engine
