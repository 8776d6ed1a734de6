"""The detectors of a benchmark: the default one with other weights or settings."""

from __future__ import annotations

import hashlib
from pathlib import Path

from facealike.detection.registry import default_detector, make_detector
from facealike.detection.yunet import YuNetDetector


def with_settings(detector: YuNetDetector, weights: Path | None = None, **changes: object) -> YuNetDetector:
    """Return a detector with the weights of a file in the format of YuNet, or with other settings.

    Args:
        detector: The detector as it is.
        weights: The file; None keeps the weights.
        changes: Entries of its spec; None takes a setting out.
    """
    spec = {name: value for name, value in {**detector.spec, **changes}.items() if value is not None}
    content = detector.weights
    if weights is not None:
        content = weights.read_bytes()
        spec["sha256"] = hashlib.sha256(content).hexdigest()
    made = make_detector(spec, content, threads=1)
    assert isinstance(made, YuNetDetector)  # as the spec says
    return made


USUAL = default_detector(threads=1)
"""The default detector on one thread."""
