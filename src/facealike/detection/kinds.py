"""What a model file may say of its detector: the kinds there are, the settings of each, and their limits."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from ..errors import ModelError
from ..utils.json_fields import checked_number, in_words

# The kinds that facealike.detection.registry can make.
HAS_LANDMARKS = {"yunet": True, "dlib-landmarks": True, "dlib-hog": False}
HAS_WEIGHTS = {"yunet": True, "dlib-landmarks": True, "dlib-hog": False}

MAX_SIDE = 4096  # pixels of the detector's input; at 4,096 squared YuNet takes about a gigabyte


class _Setting(NamedTuple):
    low: float
    high: float
    whole: bool = False
    optional: bool = False


_SIDE = _Setting(32, MAX_SIDE, whole=True)
_SETTINGS = {
    "yunet": {
        "min_confidence": _Setting(0, 1),
        "overlap": _Setting(0, 1),
        "max_side": _SIDE,
        "landmark_overlap": _Setting(0, 1, optional=True),  # models made before it was known have none
    },
    # dlib's confidence is the distance from a separating plane.
    "dlib-hog": {"min_confidence": _Setting(-10, 10), "max_side": _SIDE},
    "dlib-landmarks": {"min_confidence": _Setting(-10, 10), "max_side": _SIDE},
}


def check_detector_spec(spec: dict[str, Any]) -> str:
    """Return the kind of detector that ``spec`` describes.

    Raises ModelError for an unknown kind, a setting that is missing or unknown, and a value that is out
    of its limits.
    """
    kind = spec.get("kind")
    if not isinstance(kind, str) or kind not in HAS_LANDMARKS:
        raise ModelError(
            f"detector: the kind {in_words(kind)} is unknown; update facealike or retrain the model"
        )
    settings = _SETTINGS[kind]
    known = {"kind", *settings, *(["sha256"] if HAS_WEIGHTS[kind] else [])}
    optional = {name for name, setting in settings.items() if setting.optional}
    wrong = sorted((known ^ set(spec)) - optional)
    if wrong:
        raise ModelError(
            f"detector: entries missing or unknown ({in_words(', '.join(wrong))}); make the model again"
        )
    for name, (low, high, whole, _) in settings.items():
        if name in spec:
            checked_number(spec[name], f"detector: {name}", low, high, whole)
    if "sha256" in known and not _is_sha256(spec["sha256"]):
        raise ModelError(f"detector: sha256 must be 64 hex digits, not {in_words(spec['sha256'])}")
    return kind


def _is_sha256(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None
