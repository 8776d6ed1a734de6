"""What a detector is: the protocol that every kind follows."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Protocol

from ..types import Box, Face, Image


class Detector(Protocol):
    """Finds faces in an image; the most confident first, an empty list where there is none.

    One that has ``thread_safe = True`` is called from several threads at once, where many photos are
    looked at; others are called by one at a time.  One that states ``max_side``, the number of pixels
    beyond which it shrinks a photo itself, may be given large photos that were shrunk already.
    """

    @property
    def spec(self) -> dict[str, Any]:
        """What makes this detector this detector, ready for JSON; equal specs find equal faces."""

    @property
    def has_landmarks(self) -> bool: ...

    @property
    def weights(self) -> bytes | None:
        """The ONNX file that it runs, None where it needs none; a model carries it along."""

    def detect(self, image: Image) -> list[Face]: ...


def fingerprint(detector: Detector) -> str:
    """SHA-256 of the detector's spec: two detectors that agree on it are interchangeable."""
    return hashlib.sha256(json.dumps(detector.spec, sort_keys=True).encode()).hexdigest()


def scale_face(face: Face, factor: float) -> Face:
    """The same face in an image that is ``factor`` times as large."""
    landmarks = face.landmarks
    if landmarks is not None:
        landmarks = tuple((x * factor, y * factor) for x, y in landmarks)
    return Face(Box(*(v * factor for v in face.box)), face.confidence, landmarks)
