"""Detectors by name, and what each may be used for."""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import Any

from ..errors import DetectorError, ModelError
from .base import Detector
from .dlib_hog import DlibDetector
from .kinds import check_detector_spec
from .landmarks import shipped_landmarks
from .yunet import YuNetDetector

LICENCES = {
    "yunet": "as the author of the YuNet file states (OpenCV's is MIT)",
    "dlib-hog": "dlib: Boost Software Licence 1.0",
    "dlib-landmarks": "dlib: Boost Software Licence 1.0; landmark network: Apache-2.0, taught by YuNet (MIT)",
}


SHIPPED_LICENCE = "Apache-2.0; trained on faces of FairFace (CC BY 4.0) and LFW, taught by YuNet (MIT)"


SHIPPED_CONFIDENCE = 0.87
"""Confidence from which on a detection of ours counts as a face; docs/results/detector.md has the figures."""


SHIPPED_LANDMARK_OVERLAP = 0.5
"""Of the boxes whose landmarks are averaged; docs/results/detector.md says what that is worth."""


def shipped_detector(threads: int = 0) -> YuNetDetector:
    """Our own detector, which comes with facealike."""
    return YuNetDetector(
        _shipped_weights(), SHIPPED_CONFIDENCE, threads=threads, landmark_overlap=SHIPPED_LANDMARK_OVERLAP
    )


def _shipped_weights() -> bytes:
    file = resources.files("facealike") / "weights" / "detector.onnx"
    try:
        return file.read_bytes()
    except OSError as error:
        raise DetectorError("facealike/weights/detector.onnx is missing; install facealike again") from error


def detector_licence(detector: Detector) -> str:
    """What the card of a model says of the licence of the detector that travels with it."""
    if detector.weights == _shipped_weights():
        return SHIPPED_LICENCE
    return LICENCES[detector.spec["kind"]]


def named_detector(name: str) -> Detector:
    """``facealike`` (our own), ``dlib`` (boxes), ``dlib-landmarks`` (its boxes with landmarks of ours), or
    the path of a YuNet ONNX file."""
    if name == "facealike":
        return shipped_detector()
    if name == "dlib":
        return DlibDetector()
    if name == "dlib-landmarks":
        return DlibDetector(landmarks=shipped_landmarks())
    return YuNetDetector(name)


def make_detector(spec: dict[str, Any], weights: bytes | None = None, threads: int = 0) -> Detector:
    """The detector that ``spec`` describes; ``weights`` are its ONNX bytes, where it has any."""
    try:
        kind = check_detector_spec(spec)
    except ModelError as error:
        raise DetectorError(str(error)) from None
    if kind == "dlib-hog":
        return DlibDetector(spec["min_confidence"], spec["max_side"])
    if weights is None or hashlib.sha256(weights).hexdigest() != spec["sha256"]:
        raise DetectorError("the detector's weights do not match the hash that the model states")
    if kind == "dlib-landmarks":
        return DlibDetector(spec["min_confidence"], spec["max_side"], weights)
    return YuNetDetector(
        weights, spec["min_confidence"], spec["overlap"], spec["max_side"], threads,
        spec.get("landmark_overlap"),
    )  # fmt: skip
