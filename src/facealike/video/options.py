"""How faces are tracked in a video, and the thresholds for it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypedDict

from ..calibration.calibration import Calibration
from ..calibration.survival_threshold import survival_threshold
from ..errors import UsageError
from ..gallery.search import FPIR
from ..gallery.threshold import check_fpir
from .frames import FrameRate
from .tracker import TrackerSettings

FPS = 8.0
"""Default rate of the frames that are looked at, per second (docs/results/video.md)."""

SPLIT_FMR = 1e-3
"""Default FMR of the cosine below which a face does not continue a track (docs/results/video.md)."""

JOIN_FMR = 1e-4
"""Default target FMR of the mean cosine from which on two tracks are one (docs/results/clustering.md)."""

MIN_QUALITY = 0.8
"""Default quality below which an embedding says little (docs/results/clustering.md)."""

KEEP = 1.0
"""Default seconds for which a track without a face is kept."""

MIN_FACES = 2
"""Default least number of faces of a track: what is seen in a single frame is often no face."""


@dataclass(frozen=True)
class TrackOptions:
    """How faces are tracked; the fields are arguments of ``track_faces``.

    Attributes:
        fps: Frames that are looked at, per second of the video; None for ``FPS``, unless ``every`` is given.
        every: Look at every so many-th frame instead.
        seconds: The video up to this time; None for the whole.
        split_fmr: Below the threshold of this FMR a face does not continue a track, wherever it is.
        join_fmr: Two tracks that share no frame are one from the threshold of this FMR on; None joins none.
        min_quality: Below it an embedding says little: the face must overlap its track, and a track without
            a better face is not joined.
        keep: Seconds for which a track that has no face is kept.
        min_faces: Tracks of fewer faces are left out, and counted.
        fpir: Target FPIR of the search of each track in a gallery.

    Raises:
        UsageError: A value is out of range.
    """

    fps: float | None = None
    every: int | None = None
    seconds: float | None = None
    split_fmr: float = SPLIT_FMR
    join_fmr: float | None = JOIN_FMR
    min_quality: float = MIN_QUALITY
    keep: float = KEEP
    min_faces: int = MIN_FACES
    fpir: float = FPIR

    def __post_init__(self) -> None:
        _ = self.rate  # checks its values
        for rate in (self.split_fmr, self.join_fmr):
            if rate is not None and not 0 < rate < 1:
                raise UsageError(f"the FMR lies between 0 and 1, both excluded, not at {rate:g}")
        if not 0 <= self.min_quality <= 1:
            raise UsageError(f"a quality lies between 0 and 1, so the lowest cannot be {self.min_quality}")
        if not (math.isfinite(self.keep) and self.keep >= 0):
            raise UsageError(f"a track is kept for 0 seconds or more, not for {self.keep}")
        if self.min_faces < 1:
            raise UsageError(f"a track has one face or more, so the least cannot be {self.min_faces}")
        check_fpir(self.fpir)

    @property
    def rate(self) -> FrameRate:
        """Which frames are looked at."""
        fps = FPS if self.fps is None and self.every is None else self.fps
        return FrameRate(fps, self.every, self.seconds)


class TrackKeywords(TypedDict, total=False):
    """The fields of ``TrackOptions``, as keyword arguments of ``track_faces``."""

    fps: float | None
    every: int | None
    seconds: float | None
    split_fmr: float
    join_fmr: float | None
    min_quality: float
    keep: float
    min_faces: int
    fpir: float


@dataclass(frozen=True)
class TrackThresholds:
    """The cosines by which tracks were made.

    Attributes:
        split: Below it a face did not continue a track.
        join: From this mean cosine on two tracks are one; None where none were joined.
        split_fmr, join_fmr: The FMRs they were looked up for.
    """

    split: float
    join: float | None
    split_fmr: float
    join_fmr: float | None

    def to_dict(self) -> dict[str, Any]:
        return {
            "split": self.split, "join": self.join, "split_fmr": self.split_fmr, "join_fmr": self.join_fmr
        }  # fmt: skip


def track_thresholds(calibration: Calibration, options: TrackOptions) -> TrackThresholds:
    """Return the thresholds for options.

    Raises:
        NotCalibrated: The model has no table of impostor scores.
    """
    tail = calibration.check().tail
    split, _ = survival_threshold(tail, options.split_fmr)
    join = None if options.join_fmr is None else survival_threshold(tail, options.join_fmr)[0]
    return TrackThresholds(split, join, options.split_fmr, options.join_fmr)


def tracker_settings(thresholds: TrackThresholds, options: TrackOptions) -> TrackerSettings:
    """Return what the tracker needs of both."""
    return TrackerSettings(thresholds.split, options.min_quality, options.keep)
