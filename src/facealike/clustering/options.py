"""How faces are grouped, and the threshold for it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypedDict

from ..calibration.calibration import Calibration
from ..calibration.survival_threshold import survival_threshold
from ..detection.face_policy import FACE_POLICIES, FacePolicy
from ..errors import UsageError

FMR = 1e-4
"""Default target FMR of the threshold: the best of those measured on LFW's validation and calibration people
(docs/results/clustering.md)."""

MIN_QUALITY = 0.8
"""Default lowest quality of a face that is grouped.  Below it are most faces of less than 30 pixels, whose
embeddings are alike whoever they show, and few that a photo is taken of (docs/results/clustering.md)."""

REVIEW = 10.0
"""Groups whose mean score reaches the threshold of so many times the FMR are listed for review."""

HIGHEST_FMR = 0.5
"""The highest FMR of the threshold for review."""


@dataclass(frozen=True)
class ClusterOptions:
    """How faces are grouped; the fields are arguments of ``cluster``.

    Attributes:
        fmr: Target FMR of the threshold; None for ``FMR``, unless a threshold is given.
        threshold: The lowest mean cosine of two groups that are merged, in place of a target FMR.
        face: Which faces of a photo are grouped.
        min_quality: Faces of a lower quality belong to no person.
        same_photo: Whether two faces of one photo may be one person, as in a collage.

    Raises:
        UsageError: The options contradict each other or are out of range.
    """

    fmr: float | None = None
    threshold: float | None = None
    face: FacePolicy = "all"
    min_quality: float = MIN_QUALITY
    same_photo: bool = False

    def __post_init__(self) -> None:
        if self.fmr is not None and self.threshold is not None:
            raise UsageError(
                "give a threshold or an FMR, not both: the model looks up a threshold for the FMR"
            )
        if self.fmr is not None and not 0 < self.fmr < 1:
            raise UsageError(f"the FMR lies between 0 and 1, both excluded, not at {self.fmr:g}")
        if self.threshold is not None and not (math.isfinite(self.threshold) and -1 <= self.threshold <= 1):
            raise UsageError(f"the threshold is a cosine between -1 and 1, not {self.threshold}")
        if self.face not in FACE_POLICIES:
            raise UsageError(f"the face policy is one of {', '.join(FACE_POLICIES)}, not {self.face!r}")
        if not 0 <= self.min_quality <= 1:
            raise UsageError(f"a quality lies between 0 and 1, so the lowest cannot be {self.min_quality}")


class ClusterKeywords(TypedDict, total=False):
    """The fields of ``ClusterOptions``, as keyword arguments of ``cluster``."""

    fmr: float | None
    threshold: float | None
    face: FacePolicy
    min_quality: float
    same_photo: bool


@dataclass(frozen=True)
class ClusterThreshold:
    """The threshold of a clustering.

    Attributes:
        value: The lowest mean cosine of two groups that are merged.
        fmr: The target FMR it was looked up for; None where it was given.
        extrapolated: Whether the FMR is lower than the calibration pairs can count.
        review: The lowest mean cosine of two groups that are listed for review; None where the threshold was
            given.
    """

    value: float
    fmr: float | None = None
    extrapolated: bool = False
    review: float | None = None


def cluster_threshold(calibration: Calibration, options: ClusterOptions) -> ClusterThreshold:
    """Return the threshold for options.

    Raises:
        NotCalibrated: No threshold is given, and the model has no table of impostor scores.
    """
    if options.threshold is not None:
        return ClusterThreshold(options.threshold)
    fmr = FMR if options.fmr is None else options.fmr
    value, extrapolated = survival_threshold(calibration.check().tail, fmr)
    review, _ = survival_threshold(calibration.tail, max(fmr, min(REVIEW * fmr, HIGHEST_FMR)))
    return ClusterThreshold(value, fmr, extrapolated, review)
