"""dlib's HOG detector for frontal faces, which needs no weights file.

Landmarks come from ``facealike.detection.landmarks``.  It needs the extra ``facealike[dlib]``.

Source: Dalal and Triggs, CVPR 2005; King, "Max-margin object detection", 2015.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import replace
from importlib import resources
from typing import Any

import numpy as np

from ..errors import DetectorError
from ..imaging.geometry import fit_within
from ..types import Box, Face, Image
from ..utils.extras import install_command
from .base import scale_face
from .landmarks import Landmarker


class DlibDetector:
    """dlib's frontal HOG detector: boxes only, or with five landmarks by our own network.

    It finds faces of 80 px and more.  Where it finds none, it runs once more at twice the size, as long as
    that stays within ``max_side``.

    Args:
        min_confidence: Distance from the separating plane from which on a face is reported.
        max_side: Larger photos are scaled down to this side in pixels.
        landmarks: The ONNX file of a ``Landmarker``; None finds no landmarks.

    Raises:
        DetectorError: dlib is not installed, or ``landmarks`` is no such file.

    Examples:
        >>> DlibDetector().detect(read_image("photo.jpg"))
    """

    thread_safe = True

    def __init__(
        self, min_confidence: float = 0.0, max_side: int = 800, landmarks: bytes | None = None
    ) -> None:
        try:
            import dlib
        except ImportError as error:
            raise DetectorError(f"dlib is not installed; run: {install_command('dlib')}") from error
        # dlib's object keeps the image it works on, so each thread has its own.
        self._dlib, self._own = dlib, threading.local()
        self._own.run = _frontal_detector(dlib).run
        self.min_confidence, self.max_side, self.weights = min_confidence, max_side, landmarks
        self._landmarker = None if landmarks is None else Landmarker(landmarks)

    def __reduce__(self) -> tuple[Any, ...]:
        return DlibDetector, (self.min_confidence, self.max_side, self.weights)

    @property
    def has_landmarks(self) -> bool:
        return self._landmarker is not None

    @property
    def spec(self) -> dict[str, Any]:
        spec = {"kind": "dlib-hog", "min_confidence": self.min_confidence, "max_side": self.max_side}
        if self.weights is not None:
            spec.update(kind="dlib-landmarks", sha256=hashlib.sha256(self.weights).hexdigest())
        return spec

    def detect(self, image: Image) -> list[Face]:
        small, scale = fit_within(image, self.max_side)
        small = np.ascontiguousarray(small)
        if not hasattr(self._own, "run"):
            self._own.run = _frontal_detector(self._dlib).run
        boxes, confidences, _ = self._own.run(small, 0, self.min_confidence)
        if not boxes and 2 * max(small.shape[:2]) <= self.max_side:
            boxes, confidences, _ = self._own.run(small, 1, self.min_confidence)
        faces = [
            # dlib's right and bottom edges are the last pixel inside the box.
            Face(Box(box.left(), box.top(), box.right() + 1, box.bottom() + 1), float(confidence))
            for box, confidence in zip(boxes, confidences, strict=True)
        ]
        faces = [scale_face(face, 1 / scale) for face in sorted(faces, key=lambda face: -face.confidence)]
        locate = self._landmarker
        return faces if locate is None else [replace(f, landmarks=locate(image, f.box)) for f in faces]


def _frontal_detector(dlib: Any) -> Any:
    """Return dlib's frontal detector, from a file that ``dlib.get_frontal_face_detector().save`` wrote.

    dlib unpacks its built-in one in about 300 ms, half the cold start of a comparison; the file loads in
    1 ms.  Both find the same faces, which tests/detection/test_detectors.py checks.
    """
    with resources.as_file(resources.files("facealike") / "weights" / "dlib-frontal-hog.svm") as copy:
        try:
            return dlib.fhog_object_detector(str(copy))
        except RuntimeError:  # no such file, or a dlib of another format
            return dlib.get_frontal_face_detector()
