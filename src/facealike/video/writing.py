"""Write a video from pictures with times, whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from ..errors import DataError, UsageError
from ..types import Image
from ..utils.atomic_write import file_beside
from ..utils.extras import needs_extra

FORMATS = {".mp4": "mp4", ".mkv": "matroska", ".mov": "mov"}
"""Endings of videos that can be written, and FFmpeg's names of their formats."""

CODECS = ("libx264", "mpeg4")
"""Encoders, the best first; which ones there are depends on how FFmpeg was built."""

CLOCK = Fraction(1, 90_000)
"""Seconds of a tick: the clock of MPEG, a multiple of the common frame rates."""

OPTIONS = {"libx264": {"crf": "20", "preset": "veryfast"}, "mpeg4": {"qscale": "3"}}


def check_video_name(path: str | os.PathLike[str]) -> None:
    """Raise UsageError unless ``path`` ends as a video that can be written."""
    if Path(path).suffix.lower() not in FORMATS:
        raise UsageError(f"{path}: a video is written as .mp4, .mkv or .mov; change the ending")


@contextlib.contextmanager
def written_video(path: str | os.PathLike[str], rate: float) -> Iterator[Callable[[Image, float], None]]:
    """Yield a function that adds a frame: its picture, uint8 (H, W, 3), and its time in seconds.

    All frames have the size of the first; an odd last row or column is left out, as the codecs need it.

    Args:
        path: A file that ends in .mp4, .mkv or .mov; it is replaced when the block ends without an error.
        rate: Frames per second, about; the times count.

    Raises:
        MissingExtra: PyAV is not installed.
        DataError: The file cannot be written.
        UsageError: ``path`` has another ending.
    """
    check_video_name(path)
    with needs_extra("video", "writing a video"):
        import av
    codec = next((name for name in CODECS if name in av.codecs_available), None)
    if codec is None:
        raise DataError(
            f"{path}: this build of FFmpeg has no encoder of {' or '.join(CODECS)}; install PyAV's"
        )
    with file_beside(path) as beside:
        try:
            with av.open(str(beside), "w", format=FORMATS[Path(path).suffix.lower()]) as container:
                stream = container.add_stream(
                    codec, rate=Fraction(rate).limit_denominator(1001), options=OPTIONS[codec]
                )
                stream.pix_fmt = "yuv420p"
                stream.time_base = stream.codec_context.time_base = CLOCK
                last = -1

                def add(image: Image, time: float) -> None:
                    nonlocal last
                    height, width = (side // 2 * 2 for side in image.shape[:2])
                    if last < 0:
                        stream.width, stream.height = width, height
                    frame = av.VideoFrame.from_ndarray(
                        np.ascontiguousarray(image[:height, :width]), format="rgb24"
                    )
                    last = max(last + 1, round(time / CLOCK))  # two frames never have one time
                    frame.pts, frame.time_base = last, CLOCK
                    container.mux(stream.encode(frame))

                yield add
                container.mux(stream.encode())
        except (av.error.FFmpegError, OSError) as error:
            reason = getattr(error, "strerror", None) or error
            raise DataError(f"{path}: the video cannot be written ({reason}); check the folder") from error
