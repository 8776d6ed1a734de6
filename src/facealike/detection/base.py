"""The protocol of every detector."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Protocol

from ..types import Box, Face, Image

MAX_SIDE = 4096
"""Largest input side in pixels; at 4,096 squared YuNet takes about a gigabyte."""


class Detector(Protocol):
    """A detector finds faces in an image: the most confident first, an empty list where there is none.

    A detector with ``thread_safe = True`` is called from several threads at once; others by one thread at a
    time.  A detector that states ``max_side``, the side in pixels to which it shrinks larger photos, may be
    given large JPEGs that were decoded at reduced size, unless it also states ``min_face``.

    Examples:
        >>> class WholePhoto:
        ...     spec = {"kind": "whole"}
        ...     has_landmarks, weights = False, None
        ...     def detect(self, image):
        ...         return [Face(Box(0, 0, image.shape[1], image.shape[0]), 1.0)]
    """

    @property
    def spec(self) -> dict[str, Any]:
        """The kind and settings, ready for JSON; detectors with equal specs find equal faces."""

    @property
    def has_landmarks(self) -> bool:
        """Whether its faces have five landmarks."""

    @property
    def weights(self) -> bytes | None:
        """The ONNX file that it runs, None where it needs none; a model file stores it."""

    def detect(self, image: Image) -> list[Face]:
        """Return the faces of an image, RGB uint8 (H, W, 3)."""


def fingerprint(detector: Detector) -> str:
    """Return the SHA-256 of the detector's spec; detectors with equal fingerprints are interchangeable."""
    return hashlib.sha256(json.dumps(detector.spec, sort_keys=True).encode()).hexdigest()


def scale_face(face: Face, factor: float) -> Face:
    """Return the same face in an image that is ``factor`` times as large."""
    landmarks = face.landmarks
    if landmarks is not None:
        landmarks = tuple((x * factor, y * factor) for x, y in landmarks)
    return Face(Box(*(v * factor for v in face.box)), face.confidence, landmarks)
