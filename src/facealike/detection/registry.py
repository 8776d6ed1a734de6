"""Detectors by name and by spec, and the default detector."""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import Any

from ..errors import DetectorError, ModelError
from .base import Detector
from .dlib_hog import DlibDetector
from .kinds import KINDS, check_detector_spec
from .landmarks import default_landmarks
from .yunet import YuNetDetector

DEFAULT_LICENSE = (
    "Apache-2.0; trained on faces of FairFace (CC BY 4.0) and LFW and on free wallpapers, distilled from "
    "YuNet (MIT)"
)

DEFAULT_CONFIDENCE = 0.6
"""Confidence from which on the default detector reports a face; docs/results/detector.md has the figures."""

DEFAULT_LANDMARK_OVERLAP = 0.5
"""Overlap of the boxes whose landmarks are averaged; docs/results/detector.md has the figures."""

DEFAULT_CLOSE_SIDE = 320
"""Side in pixels of its second look, for faces that fill much of a photo."""


def default_detector(threads: int = 0) -> YuNetDetector:
    """Return the detector of the default model.

    Args:
        threads: Threads of one run; 0 lets onnxruntime choose.

    Examples:
        >>> faces = default_detector().detect(read_image("photo.jpg"))
    """
    return YuNetDetector(
        _default_weights(), DEFAULT_CONFIDENCE, threads=threads,
        landmark_overlap=DEFAULT_LANDMARK_OVERLAP, close_side=DEFAULT_CLOSE_SIDE,
    )  # fmt: skip


def _default_weights() -> bytes:
    file = resources.files("facealike") / "weights" / "detector.onnx"
    try:
        return file.read_bytes()
    except OSError as error:
        raise DetectorError("facealike/weights/detector.onnx is missing; install facealike again") from error


def detector_license(detector: Detector) -> str:
    """Return the license of a detector, as the card of a model that carries it states it."""
    if detector.weights == _default_weights():
        return DEFAULT_LICENSE
    return KINDS[detector.spec["kind"]].license


def named_detector(name: str) -> Detector:
    """Return a detector by its name on the command line.

    Args:
        name: ``facealike`` (the default), ``dlib`` (boxes only), ``dlib-landmarks`` (dlib's boxes with our
            landmarks), or the path of a YuNet ONNX file.

    Raises:
        DetectorError: The file cannot be used, or dlib is not installed.
    """
    if name == "facealike":
        return default_detector()
    if name == "dlib":
        return DlibDetector()
    if name == "dlib-landmarks":
        return DlibDetector(landmarks=default_landmarks())
    return YuNetDetector(name)


def make_detector(spec: dict[str, Any], weights: bytes | None = None, threads: int = 0) -> Detector:
    """Return the detector that ``spec`` describes.

    Args:
        spec: ``Detector.spec``, as a model file stores it.
        weights: Its ONNX file, where the kind has weights.
        threads: Threads of one run; 0 lets onnxruntime choose.

    Raises:
        DetectorError: The spec is invalid, or ``weights`` are not those that it names.
    """
    try:
        kind = check_detector_spec(spec)
    except ModelError as error:
        raise DetectorError(str(error)) from None
    if not kind.has_weights:
        weights = None
    elif weights is None or hashlib.sha256(weights).hexdigest() != spec["sha256"]:
        raise DetectorError("the detector's weights do not match the hash that the model states")
    return kind.make(spec, weights, threads)
