"""The kinds of detectors: one record a kind, with its settings, license, confidence curve and maker.

To add a detector: write its module, add its record to ``KINDS``, and its name to ``named_detector``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..errors import ModelError
from ..utils.json_fields import checked_number, in_words
from .base import MAX_SIDE, Detector
from .dlib_hog import DlibDetector
from .yunet import OPTIONAL, SMALLEST, YuNetDetector

Curve = tuple[tuple[float, float], ...]
"""(measure, share) points, rising in the measure; straight lines between, level outside."""


class Setting(NamedTuple):
    """The range of one entry of a detector's spec."""

    low: float
    high: float
    whole: bool = False
    optional: bool = False


@dataclass(frozen=True)
class DetectorKind:
    """What facealike knows about one kind of detector.

    ``confidence_curve`` maps a detector's confidence, whose scale is its own, to the ``detector`` part of a
    face's quality.  ``make`` returns the detector from a checked spec, its weights and a thread count.
    """

    name: str
    has_landmarks: bool
    has_weights: bool
    license: str
    confidence_curve: Curve
    settings: Mapping[str, Setting]
    make: Callable[[dict[str, Any], bytes | None, int], Detector]


def _make_yunet(spec: dict[str, Any], weights: bytes | None, threads: int) -> Detector:
    assert weights is not None
    sides = spec["min_confidence"], spec["overlap"], spec["max_side"]
    return YuNetDetector(weights, *sides, threads, *map(spec.get, OPTIONAL))


def _make_dlib(spec: dict[str, Any], weights: bytes | None, threads: int) -> Detector:
    return DlibDetector(spec["min_confidence"], spec["max_side"], weights)


_SIDE = Setting(32, MAX_SIDE, whole=True)
# dlib's confidence is the distance from a separating plane.
_DLIB_SETTINGS = {"min_confidence": Setting(-10, 10), "max_side": _SIDE}
_DLIB_CURVE: Curve = ((0.0, 0.94), (0.3, 1.0))

_KINDS = (
    DetectorKind(
        "yunet",
        has_landmarks=True,
        has_weights=True,
        license="as the author of the YuNet file states (OpenCV's is MIT)",
        confidence_curve=((0.6, 0.94), (0.72, 1.0)),
        settings={
            "min_confidence": Setting(0, 1),
            "overlap": Setting(0, 1),
            "max_side": _SIDE,
            # Older models have none of these.
            "landmark_overlap": Setting(0, 1, optional=True),
            "close_side": _SIDE._replace(optional=True),
            "min_face": _SIDE._replace(low=SMALLEST, optional=True),
        },
        make=_make_yunet,
    ),
    DetectorKind(
        "dlib-hog",
        has_landmarks=False,
        has_weights=False,
        license="dlib: Boost Software Licence 1.0",
        confidence_curve=_DLIB_CURVE,
        settings=_DLIB_SETTINGS,
        make=_make_dlib,
    ),
    DetectorKind(
        "dlib-landmarks",
        has_landmarks=True,
        has_weights=True,
        license="dlib: Boost Software Licence 1.0; landmark network: Apache-2.0, distilled from YuNet (MIT)",
        confidence_curve=_DLIB_CURVE,
        settings=_DLIB_SETTINGS,
        make=_make_dlib,
    ),
)
KINDS: dict[str, DetectorKind] = {kind.name: kind for kind in _KINDS}


def check_detector_spec(spec: dict[str, Any]) -> DetectorKind:
    """Return the kind of detector that ``spec`` describes.

    Raises:
        ModelError: The kind is unknown, a setting is missing, unknown or out of its range.
    """
    name = spec.get("kind")
    if not isinstance(name, str) or name not in KINDS:
        raise ModelError(
            f"detector: the kind {in_words(name)} is unknown; update facealike or retrain the model"
        )
    kind = KINDS[name]
    known = {"kind", *kind.settings, *(["sha256"] if kind.has_weights else [])}
    optional = {name for name, setting in kind.settings.items() if setting.optional}
    wrong = sorted((known ^ set(spec)) - optional)
    if wrong:
        raise ModelError(
            f"detector: entries missing or unknown ({in_words(', '.join(wrong))}); make the model again"
        )
    for name, (low, high, whole, _) in kind.settings.items():
        if name in spec:
            checked_number(spec[name], f"detector: {name}", low, high, whole)
    if "sha256" in known and not _is_sha256(spec["sha256"]):
        raise ModelError(f"detector: sha256 must be 64 hex digits, not {in_words(spec['sha256'])}")
    return kind


def _is_sha256(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None
