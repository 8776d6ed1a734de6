"""Frames of a video: upright, with their times, at the rate that is asked for."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from time import sleep
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image as PillowImage

from ..errors import UsageError, VideoError
from ..imaging.photo_warning import PhotoWarning
from ..types import Image
from ..utils.result import Shown
from .source import OpenVideo, VideoSource, open_video

if TYPE_CHECKING:
    from av import VideoFrame as DecodedFrame

MISSING_END = 1.0
"""Seconds by which a file may end before the time that it states; more is damage."""

WAIT = 0.005
"""Seconds between two looks at a camera that has no frame yet."""

FALLBACK_RATE = 25.0
"""Frames per second of a video that states neither times nor a rate."""


@dataclass(frozen=True, repr=False, eq=False)
class VideoFrame(Shown):
    """A frame of a video.

    Attributes:
        index: Its number among all frames of the video, from 0.
        time: Seconds from the first frame.
        image: The upright picture, RGB uint8 (H, W, 3).

    Examples:
        >>> for frame in read_frames("clip.mp4", fps=2):
        ...     print(frame.time, frame.image.shape)
    """

    index: int
    time: float
    image: Image = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        height, width = self.image.shape[:2]
        return {"index": self.index, "time": round(self.time, 4), "height": height, "width": width}

    def __str__(self) -> str:
        height, width = self.image.shape[:2]
        return f"frame {self.index} at {self.time:.2f} s, {width}x{height}"


@dataclass(frozen=True)
class FrameRate:
    """Which frames of a video are read; by default all.

    Attributes:
        fps: So many frames per second of the video, by their times; None for all.
        every: Every so many-th frame.
        seconds: The video up to this time; None for the whole.

    Raises:
        UsageError: A value is out of range, or both ``fps`` and ``every`` are given.
    """

    fps: float | None = None
    every: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.fps is not None and self.every is not None:
            raise UsageError("give frames per second or every how many frames, not both")
        for name, value in (("frames per second", self.fps), ("seconds", self.seconds)):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise UsageError(f"{name} are a number above 0, not {value:g}")
        if self.every is not None and self.every < 1:
            raise UsageError(f"every {self.every}th frame makes no sense; give 1 or more")

    def chooser(self) -> Callable[[int, float], bool]:
        """Return a function that says of each frame in turn, by its number and time, whether it is read."""
        every, due = self.every or 1, 0.0

        def wanted(index: int, time: float) -> bool:
            nonlocal due
            if self.fps is None:
                return index % every == 0
            # Half a millisecond early counts: times are multiples of a container's clock.
            if time + 5e-4 < due:
                return False
            due = (math.floor((time + 5e-4) * self.fps) + 1) / self.fps
            return True

        return wanted


class VideoReader:
    """Reads the frames of an open video once, from its beginning; see ``reading``.

    ``damage`` says after the last frame what is wrong with the file; None where nothing is.
    """

    def __init__(self, video: OpenVideo) -> None:
        self._video = video
        self.name = video.name
        self.camera = video.camera
        self.damage: str | None = None
        stream, container = video.stream, video.container
        rate = stream.average_rate or stream.guessed_rate
        self.rate = float(rate) if rate else FALLBACK_RATE
        # The duration of a container is that of its longest stream, which may be sound.
        only = len(container.streams) == 1
        length = stream.duration * stream.time_base if stream.duration and stream.time_base else None
        whole = container.duration / 1e6 if container.duration and only else None
        stated = float(length) if length is not None else whole
        self.duration = None if self.camera or stated is None or stated <= 0 else stated

    def frames(self, rate: FrameRate) -> Generator[VideoFrame, None, None]:
        """Yield the frames that ``rate`` chooses, in order of their times.

        Damaged parts are passed over, as far as the rest can be decoded; see ``damage``.

        Raises:
            VideoError: Not one frame can be decoded.
        """
        wanted, index, first, last, lost = rate.chooser(), 0, None, 0.0, 0
        step = 1 / self.rate
        for frame in self._decoded():
            if frame is None:
                lost += 1
                continue
            at = frame.time
            if first is None:
                first = 0.0 if at is None else at
            # Times of damaged files may run backwards.
            time = max(index * step if at is None else at - first, last)
            if rate.seconds is not None and time >= rate.seconds:
                return
            last = time
            if wanted(index, time):
                yield VideoFrame(index, time, self._upright(frame))
            index += 1
        if not index:
            raise VideoError(f"{self.name}: no frame of this video can be decoded; copy or record it again")
        end = last + step
        if self.duration is not None and self.duration - end > MISSING_END:
            self.damage = (
                f"the file ends after {end:.1f} of the {self.duration:.1f} seconds that it states; "
                "the frames up to there are used"
            )
        elif lost:
            parts = "one part" if lost == 1 else f"{lost:,} parts"
            self.damage = f"{parts} of the file cannot be decoded; the other frames are used"

    def _decoded(self) -> Iterator[DecodedFrame | None]:
        """Yield the decoded frames, and None for each packet that cannot be decoded."""
        from av.error import EOFError as EndOfVideo
        from av.error import FFmpegError

        packets = self._video.container.demux(self._video.stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except BlockingIOError:  # a camera that has no frame yet
                sleep(WAIT)
                packets = self._video.container.demux(self._video.stream)
                continue
            except FFmpegError:
                yield None
                return
            try:
                yield from packet.decode()
            except EndOfVideo:
                return
            except FFmpegError:
                yield None

    def _upright(self, frame: DecodedFrame) -> Image:
        """Return a frame as RGB, turned as the file says, with square pixels."""
        image: Image = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
        aspect = self._video.stream.sample_aspect_ratio
        if aspect and aspect != 1 and 0.1 < aspect < 10:
            height, width = image.shape[:2]
            size = max(1, round(width * float(aspect))), height
            image = np.asarray(PillowImage.fromarray(image).resize(size, PillowImage.Resampling.BILINEAR))
        turns = round(frame.rotation / 90) % 4  # counterclockwise
        return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


@contextlib.contextmanager
def reading(source: VideoSource) -> Iterator[VideoReader]:
    """Open a video to read its frames; it is closed when the block ends.  See ``open_video``."""
    with open_video(source) as video:
        yield VideoReader(video)


def read_frames(
    source: VideoSource, *, fps: float | None = None, every: int | None = None, seconds: float | None = None
) -> Generator[VideoFrame, None, None]:
    """Yield the frames of a video, upright, with their times.

    A damaged or truncated file yields the frames that can be decoded, and a PhotoWarning says what is wrong.

    Args:
        source: A video file; or a camera, by its number from 0 or the path of its device.
        fps: So many frames per second of the video; None for all.
        every: Every so many-th frame.
        seconds: The video up to this time; a camera without it never ends.

    Raises:
        MissingExtra: PyAV is not installed; ``facealike[video]`` installs it.
        VideoError: The source cannot be opened, is no video, or has no frame.
        UsageError: An argument is out of range.

    Examples:
        >>> for frame in read_frames("clip.mp4", fps=2):
        ...     print(frame.time, frame.image.shape)
    """
    rate = FrameRate(fps, every, seconds)
    with reading(source) as reader:
        yield from reader.frames(rate)
        if reader.damage is not None:
            warnings.warn(f"{reader.name}: {reader.damage}", PhotoWarning, stacklevel=2)
