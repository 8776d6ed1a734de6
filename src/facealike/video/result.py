"""The tracks of a video: who is seen, when and where, with one decision a track."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..gallery.candidates import CandidateList
from ..types import Face
from ..utils.escape import shown
from ..utils.result import Result, Shown
from ..utils.wording import counted
from .options import TrackThresholds


@dataclass(frozen=True, repr=False)
class TrackedFace(Shown):
    """A face of a track in one frame.

    Attributes:
        frame: The number of the frame among all of the video, from 0.
        time: Seconds from the first frame.
        face: Where it is, in pixels of the upright frame.
        quality: Its quality, 0 to 1.

    Examples:
        >>> for face in track.faces:
        ...     print(face.time, face.face.box)
    """

    frame: int
    time: float
    face: Face
    quality: float

    def to_dict(self) -> dict[str, Any]:
        return {
            "frame": self.frame,
            "time": round(self.time, 3),
            "box": [round(value, 1) for value in self.face.box],
            "quality": round(self.quality, 3),
        }

    def __str__(self) -> str:
        return f"frame {self.frame} at {self.time:.2f} s, {self.face}, quality {self.quality:.2f}"


@dataclass(frozen=True, repr=False, eq=False)
class Track(Shown):
    """One person in a video: their face in one frame after the other.

    Attributes:
        number: From 1, in the order in which tracks begin.
        faces: Its faces, in the order of the frames; one a frame.
        embedding: Its template: the mean of the faces' unit vectors, weighted by quality, as a unit vector,
            float32 (d,).
        found: Who it may be among the people of a gallery; None where none was asked.  Its scores are on the
            scale of single faces.

    Examples:
        >>> for track in track_faces("clip.mp4", gallery="people.db").tracks:
        ...     print(track.number, track.first, track.last, track.decision, track.person)
    """

    number: int
    faces: tuple[TrackedFace, ...]
    embedding: NDArray[np.float32] = field(repr=False)
    found: CandidateList | None = None

    @property
    def first(self) -> float:
        """Seconds from the first frame of the video at which the track begins."""
        return self.faces[0].time

    @property
    def last(self) -> float:
        """Seconds at which its last face is seen."""
        return self.faces[-1].time

    @property
    def best(self) -> TrackedFace:
        """The face of the highest quality, the first of equal ones."""
        return max(self.faces, key=lambda each: each.quality)

    @property
    def quality(self) -> float:
        """The mean quality of its faces."""
        return sum(each.quality for each in self.faces) / len(self.faces)

    @property
    def decision(self) -> str | None:
        """``match``, ``uncertain`` or ``unknown``; None where no gallery was asked or it cannot decide."""
        return None if self.found is None else self.found.decision

    @property
    def person(self) -> str | None:
        """The person of the gallery whom it matches; None where it matches none."""
        if self.found is None or self.found.decision != "match":
            return None
        return self.found.candidates[0].person

    def to_dict(self) -> dict[str, Any]:
        found = None if self.found is None else self.found.to_dict()
        return {
            "track": self.number,
            "first": round(self.first, 3),
            "last": round(self.last, 3),
            "quality": round(self.quality, 3),
            "best": self.best.to_dict(),
            "decision": self.decision,
            "person": self.person,
            "candidates": None if found is None else found["candidates"],
            "threshold": None if found is None else found["threshold"],
            "faces": [each.to_dict() for each in self.faces],
        }

    def __str__(self) -> str:
        seen = f"track {self.number}: {self.first:.1f}-{self.last:.1f} s, {counted(len(self.faces), 'face')}"
        if self.found is None:
            return seen
        best = f", {self.found.candidates[0]}" if self.found.candidates else ""
        return f"{seen}: {self.decision or 'not calibrated'}{best}"


@dataclass(frozen=True, repr=False, eq=False)
class VideoTracks(Result):
    """The tracks of a video, in the order in which they begin.

    Attributes:
        video: The file or the camera.
        tracks: One for each person and stretch of time that was seen; see ``track_faces``.
        frames: How many frames were looked at.
        faces: How many faces were found in them.
        seconds: The time of the last of these frames.
        left_out: Tracks that were left out because they have too few faces.
        thresholds: The cosines by which tracks were split and joined.
        model: The id of the model.
        damage: What is wrong with the file, in one sentence; None where nothing is.

    Examples:
        >>> result = track_faces("clip.mp4", gallery="people.db")
        >>> [(track.first, track.last, track.person) for track in result.tracks]
        [(0.0, 4.1, 'Ann'), (2.5, 9.9, None)]
    """

    ASK: ClassVar[str] = "ask for .tracks, which is empty where no face was seen"

    video: str
    tracks: tuple[Track, ...]
    frames: int
    faces: int
    seconds: float
    left_out: int
    thresholds: TrackThresholds
    model: str
    damage: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "video": self.video,
            "model": self.model,
            "frames": self.frames,
            "faces": self.faces,
            "seconds": round(self.seconds, 3),
            "left_out": self.left_out,
            "thresholds": self.thresholds.to_dict(),
            "damage": self.damage,
            "tracks": [track.to_dict() for track in self.tracks],
        }

    def to_jsonl(self) -> str:
        """Return one line of JSON a track, each with the video and the id of the model."""
        start = {"video": self.video, "model": self.model}
        lines = [json.dumps({**start, **track.to_dict()}, allow_nan=False) for track in self.tracks]
        return "".join(f"{line}\n" for line in lines)

    def __str__(self) -> str:
        out = f", {self.left_out:,} of too few faces left out" if self.left_out else ""
        return (
            f"{shown(self.video)}: {counted(len(self.tracks), 'track')}, {counted(self.faces, 'face')} in "
            f"{counted(self.frames, 'frame')} of {self.seconds:.1f} s{out}"
        )

    def _html_rows(self) -> dict[str, Any]:
        return {name: value for name, value in super()._html_rows().items() if name != "tracks"}
