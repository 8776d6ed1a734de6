"""Open a video file or a camera with PyAV.

A file is opened by Python and handed to FFmpeg as a stream of bytes, and no other protocol is allowed, so
that neither a name nor a playlist makes FFmpeg open a network connection or another file.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

from ..errors import UsageError, VideoError
from ..utils.escape import shown
from ..utils.extras import needs_extra

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

VideoSource: TypeAlias = "str | os.PathLike[str] | int"
"""A video file, or a camera: its number from 0, or the path of its device."""

MAX_PIXELS = 40_000_000
"""Limit on the pixels of a frame; 8K has 33 million."""

CAMERAS = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}")}
"""FFmpeg's format of cameras on each system, and the name of the camera of a number."""


@dataclass(frozen=True)
class OpenVideo:
    """An open video: container, first video stream, name in messages, and whether it is a camera."""

    container: InputContainer
    stream: VideoStream
    name: str
    camera: bool


@contextlib.contextmanager
def open_video(source: VideoSource) -> Iterator[OpenVideo]:
    """Open a video; it is closed when the block ends.

    Raises:
        MissingExtra: PyAV is not installed.
        VideoError: The source cannot be opened, is no video, or has no picture.
        UsageError: The source is of another kind.
    """
    with needs_extra("video", "reading a video"):
        import av

    with contextlib.ExitStack() as stack:
        camera = is_camera(source)
        if camera:
            name, container = _open_camera(av, source)
        else:
            if not isinstance(source, str | os.PathLike):
                raise UsageError(f"a video is a path or the number of a camera, not {type(source).__name__}")
            name = shown(source)
            file = stack.enter_context(_open_file(Path(source), name))
            container = _open_container(av, file, name)
        stack.enter_context(container)
        if not container.streams.video:
            raise VideoError(f"{name}: there is no picture in this file; give a video that shows something")
        stream = container.streams.video[0]
        stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}  # a frame may differ from the header
        width, height = stream.codec_context.width, stream.codec_context.height
        if width * height > MAX_PIXELS:
            raise VideoError(
                f"{name}: {width} x {height} pixels are over the limit of {MAX_PIXELS / 1e6:.3g} megapixels; "
                "scale the video down first"
            )
        stream.thread_type = "AUTO"
        yield OpenVideo(container, stream, name, camera)


def is_camera(source: VideoSource) -> bool:
    """Return whether a source is a camera: a number, or the path of a device."""
    if isinstance(source, int):
        return not isinstance(source, bool)
    try:
        return stat.S_ISCHR(os.stat(source).st_mode)  # noqa: PTH116
    except (OSError, TypeError, ValueError):
        return False


def _open_camera(av: Any, source: VideoSource) -> tuple[str, InputContainer]:
    if sys.platform not in CAMERAS:
        raise VideoError("cameras are read on Linux and macOS only; record a file first")
    kind, named = CAMERAS[sys.platform]
    device = named.format(source) if isinstance(source, int) else os.fspath(source)
    name = f"camera {shown(device)}"
    try:
        return name, av.open(device, format=kind)
    except (OSError, ValueError, av.error.FFmpegError) as error:
        raise VideoError(
            f"{name}: cannot be opened ({_reason(error)}); check that it is there, allowed and not in use"
        ) from None


def _open_file(path: Path, name: str) -> BinaryIO:
    # Without O_NONBLOCK, opening a named pipe waits for a writer.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        if path.is_dir():
            raise VideoError(f"{name}: a folder, not a video; give the path of one file")
        file = os.fdopen(os.open(path, flags), "rb")
    except FileNotFoundError:
        raise VideoError(f"{name}: no such file; check the path") from None
    except (OSError, ValueError) as error:
        raise VideoError(f"{name}: cannot be read ({_reason(error)}); check the path") from None
    status = os.fstat(file.fileno())
    if stat.S_ISREG(status.st_mode) and status.st_size:
        return file
    file.close()
    if stat.S_ISREG(status.st_mode):
        raise VideoError(f"{name}: the file is empty; copy or download it again")
    raise VideoError(f"{name}: a pipe or device, not a file; save the video to a file first")


def _open_container(av: Any, file: BinaryIO, name: str) -> InputContainer:
    try:
        container: InputContainer = av.open(file, options={"protocol_whitelist": "none"})
    except (OSError, ValueError, av.error.FFmpegError) as error:
        raise VideoError(
            f"{name}: not a video that can be read, or its beginning or index is missing "
            f"({_reason(error)}); copy or record it again"
        ) from None
    return container


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
