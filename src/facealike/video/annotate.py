"""Draw the tracks of a video into a copy of it."""

from __future__ import annotations

import math
import os
from bisect import bisect_right

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw

from ..errors import UsageError
from ..plotting.drawing import (
    BLUE,
    INK,
    NEUTRAL,
    PAPER,
    VERMILION,
    Color,
    font,
    line_height,
    shortened,
    text_width,
)
from ..types import Box, Image, Progress
from .frames import FrameRate, reading
from .result import Track, VideoTracks
from .source import VideoSource, is_camera
from .writing import written_video

GAP = 0.5
"""Seconds between two faces of a track up to which a box is drawn in between."""

COLORS: dict[str | None, Color] = {"match": BLUE, "unknown": VERMILION, "uncertain": NEUTRAL, None: BLUE}


def annotate_video(
    video: VideoSource, tracks: VideoTracks, out: str | os.PathLike[str], *, seconds: float | None = None,
    progress: Progress | None = None,
) -> int:  # fmt: skip
    """Write a copy of a video with a box, the number and the decision of each track; without sound.

    Between two frames that were looked at, boxes are interpolated.

    Args:
        video: The file that was tracked.
        tracks: What ``track_faces`` returned for it.
        out: A file that ends in .mp4, .mkv or .mov; it appears whole or not at all.
        seconds: The video up to this time; None for the whole.
        progress: Called with (done, total) frames.

    Returns:
        The number of frames written.

    Raises:
        VideoError: The video cannot be read.
        DataError: The file cannot be written.
        UsageError: The video is a camera, or ``out`` has another ending.
    """
    if is_camera(video):
        raise UsageError("the frames of a camera are not kept to draw on; record a file first")
    moving = [_Moving(track, tracks.seconds) for track in tracks.tracks]
    done = 0
    with reading(video) as reader, written_video(out, reader.rate) as add:
        expected = round(min(reader.duration or 0.0, seconds or math.inf) * reader.rate)
        for frame in reader.frames(FrameRate(seconds=seconds)):
            here = [(each.track, box) for each in moving if (box := each.box(frame.time)) is not None]
            add(_drawn(frame.image, here) if here else frame.image, frame.time)
            done += 1
            if progress is not None:
                progress(done, max(done + 1, expected))
    if progress is not None:
        progress(done, done)
    return done


class _Moving:
    """A track whose box is known at every time; ``end`` is that of the last frame that was looked at."""

    def __init__(self, track: Track, end: float) -> None:
        self.track = track
        self._end = end
        self._times = [face.time for face in track.faces]

    def box(self, time: float) -> Box | None:
        """Return the box at a time, interpolated; None where the face is not seen."""
        faces, after = self.track.faces, bisect_right(self._times, time + 1e-6)
        if after == 0:
            return None
        before = faces[after - 1]
        # Behind the last frame that was looked at, the last boxes stand.
        if time - before.time < 1e-3 or (before.time == self._end and time - before.time <= GAP):
            return before.face.box
        if after == len(faces) or faces[after].time - before.time > GAP:
            return None
        share = (time - before.time) / (faces[after].time - before.time)
        edges = (1 - share) * np.array(before.face.box) + share * np.array(faces[after].face.box)
        return Box(*edges.tolist())


def _drawn(image: Image, boxes: list[tuple[Track, Box]]) -> Image:
    """Return a frame with the boxes and labels of tracks."""
    picture = PillowImage.fromarray(image)
    draw = ImageDraw.Draw(picture)
    size = max(12, round(picture.height / 32))
    for track, box in boxes:
        color = COLORS[track.decision]
        line = max(2, size // 5)
        edges = tuple(
            max(-line, min(value, limit))
            for value, limit in zip(box, 2 * (picture.width, picture.height), strict=True)
        )
        draw.rectangle(edges, outline=color, width=line)
        text = shortened(label(track), size, max(picture.width - 8, size))
        width, height = text_width(text, size) + 8, line_height(size)
        left = max(0.0, min(edges[0], picture.width - width))
        top = edges[1] - height if edges[1] >= height else max(0.0, min(edges[3], picture.height - height))
        draw.rectangle((left, top, left + width, top + height), fill=color)
        ink = INK if color == NEUTRAL else PAPER
        draw.text((left + 4, top + height / 2), text, fill=ink, font=font(size), anchor="lm")
    return np.asarray(picture)


def label(track: Track) -> str:
    """Return what stands at the box of a track: its number and the decision."""
    if track.decision is None:
        return str(track.number)
    if track.decision == "match":
        return f"{track.number} {track.person}"
    candidates = track.found.candidates if track.found is not None else ()
    guess = f": {candidates[0].person}?" if track.decision == "uncertain" and candidates else ""
    return f"{track.number} {track.decision}{guess}"
