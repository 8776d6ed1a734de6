"""Link the faces of successive frames to tracks, by predicted motion and by their embeddings.

A face continues a track where it is near the predicted box and its embedding is no other person's.  After a
cut, or where two people swap places, the embeddings differ and a new track begins.  The embedding of a poor
face says little, so such a face must overlap the predicted box.  In each frame faces and tracks are assigned
one to one, so two faces of a frame are never in one track.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..imaging.boxes import iou
from ..types import Face
from .assignment import best_assignment
from .motion import BoxMotion

OVERLAP = 0.3
"""Least IoU with the predicted box of a poor face that continues a track."""

REACH = 1.0
"""Farthest distance from the predicted center, in face sizes, of a face that continues a track at once."""

DRIFT = 2.0
"""Face sizes per second by which the reach grows while a track is lost."""

SIZE_CHANGE = 2.0
"""Largest ratio of the sides of two successive faces of a track."""

NOT_ALLOWED = -1e6


class FaceInFrame(NamedTuple):
    """A face of a frame: the frame's number and time, the face, its quality and its unit vector (d,)."""

    frame: int
    time: float
    face: Face
    quality: float
    embedding: NDArray[np.float32]


@dataclass(frozen=True)
class TrackerSettings:
    """When a face continues a track.

    Attributes:
        split: Below this cosine with a track a face is another person's.
        poor: Below this quality an embedding says little.
        keep: Seconds for which a track that has no face is kept.
    """

    split: float
    poor: float
    keep: float


class _Track:
    """A track while it grows."""

    def __init__(self, first: FaceInFrame, poor: float) -> None:
        self.faces: list[FaceInFrame] = []
        self.motion = BoxMotion(first.face.box, first.time)
        self._sum = np.zeros(len(first.embedding))
        self._poor = poor
        self.add(first)

    def add(self, face: FaceInFrame) -> None:
        if self.faces:
            self.motion.update(face.face.box, face.time)
        self.faces.append(face)
        if face.quality >= self._poor:
            self._sum += face.quality * face.embedding

    @property
    def known(self) -> bool:
        """Whether a face was good enough to say whose track it is."""
        return bool(self._sum.any())

    def cosine(self, face: FaceInFrame) -> float:
        """Return the cosine with the mean of the track or with its last face, whichever is higher."""
        mean = float(self._sum @ face.embedding) / max(float(np.linalg.norm(self._sum)), 1e-9)
        last = self.faces[-1]
        return max(mean, float(last.embedding @ face.embedding) if last.quality >= self._poor else -1.0)


class Tracker:
    """Takes the faces of one frame after the other; ``finished`` has the tracks.

    Args:
        settings: When a face continues a track.

    Examples:
        >>> tracker = Tracker(TrackerSettings(split=0.9, poor=0.8, keep=1.0))
        >>> for frame in frames:
        ...     tracker.add(frame.time, faces_of(frame))
        >>> tracks = tracker.finished()
    """

    def __init__(self, settings: TrackerSettings) -> None:
        self.settings = settings
        self._live: list[_Track] = []
        self._ended: list[_Track] = []

    def add(self, time: float, faces: Sequence[FaceInFrame]) -> None:
        """Continue the tracks with the faces of a frame, in any order, and begin new ones.

        Args:
            time: Of the frame, in seconds, not before that of the last one.
            faces: All faces of the frame; may be empty.
        """
        keep = self.settings.keep
        self._ended += [each for each in self._live if time - each.motion.time > keep]
        self._live = [each for each in self._live if time - each.motion.time <= keep]
        faces = sorted(faces, key=lambda each: each.face.box)  # so that their order decides nothing
        taken = set()
        if faces and self._live:
            scores = self._scores(time, faces)
            for row, column in best_assignment(scores):
                if scores[row, column] > NOT_ALLOWED / 2:
                    self._live[row].add(faces[column])
                    taken.add(column)
        self._live += [_Track(each, self.settings.poor) for i, each in enumerate(faces) if i not in taken]

    def finished(self) -> list[tuple[FaceInFrame, ...]]:
        """Return the faces of each track, in the order in which the tracks began."""
        tracks = [tuple(each.faces) for each in (*self._ended, *self._live)]
        return sorted(tracks, key=lambda faces: (faces[0].frame, faces[0].face.box))

    def _scores(self, time: float, faces: Sequence[FaceInFrame]) -> NDArray[np.float64]:
        """Return how well each face (columns) continues each track (rows): 0 to 2, or NOT_ALLOWED."""
        predicted = [each.motion.predict(time) for each in self._live]
        overlaps = iou(np.array(predicted), np.array([each.face.box for each in faces]))
        scores = np.full(overlaps.shape, NOT_ALLOWED)
        for row, track in enumerate(self._live):
            reach = REACH + DRIFT * (time - track.motion.time)
            for column, face in enumerate(faces):
                near = 1 - _distance(predicted[row], face.face.box) / reach
                if near <= 0:
                    continue
                if face.quality < self.settings.poor or not track.known:
                    if overlaps[row, column] >= OVERLAP:
                        scores[row, column] = overlaps[row, column]
                    continue
                cosine = track.cosine(face)
                if cosine >= self.settings.split:
                    alike = (cosine - self.settings.split) / max(1 - self.settings.split, 1e-6)
                    scores[row, column] = near + alike
        return scores


def _distance(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Return the distance of the centers of two boxes in face sizes; infinite where one is far larger."""
    sides = [max(1e-6, ((x[2] - x[0]) * (x[3] - x[1])) ** 0.5) for x in (a, b)]
    if max(sides) > SIZE_CHANGE * min(sides):
        return float("inf")
    x, y = (((a[i] + a[i + 2]) - (b[i] + b[i + 2])) / 2 for i in (0, 1))
    return float((x * x + y * y) ** 0.5 / (sum(sides) / 2))
