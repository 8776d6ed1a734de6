"""Frames of a video: upright, in time, chosen as asked, and what is said of files that are damaged."""

from __future__ import annotations

import os
import struct
import warnings
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facealike.errors import MissingExtra, UsageError, VideoError
from facealike.imaging.photo_warning import PhotoWarning
from facealike.video.frames import FrameRate, VideoReader, read_frames
from facealike.video.source import open_video
from facealike.video.writing import written_video

av = pytest.importorskip("av")

RED_ABOVE = np.full((48, 64, 3), 60, np.uint8)
RED_ABOVE[:12] = (250, 0, 0)


def numbered(path: Path, times: list[float], image: np.ndarray[Any, Any] = RED_ABOVE) -> Path:
    with written_video(path, 25) as add:
        for time in times:
            add(image, time)
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of 25 frames each: at a steady rate, then at one that falls."""
    times = [i / 25 for i in range(25)] + [1 + i / 10 for i in range(10)]
    return numbered(tmp_path_factory.mktemp("clip") / "clip.mp4", times)


def test_frames_have_numbers_times_and_pictures(clip: Path) -> None:
    frames = list(read_frames(clip))
    assert [frame.index for frame in frames] == list(range(35))
    assert [round(frame.time, 3) for frame in frames[23:28]] == [0.92, 0.96, 1.0, 1.1, 1.2]
    assert all(frame.image.shape == (48, 64, 3) and frame.image.dtype == np.uint8 for frame in frames)
    assert np.abs(frames[0].image.astype(int) - RED_ABOVE).mean() < 8
    assert str(frames[1]) == "frame 1 at 0.04 s, 64x48"


def test_a_rate_is_one_of_the_time_and_not_of_the_frames(clip: Path) -> None:
    chosen = [round(frame.time, 2) for frame in read_frames(clip, fps=5)]
    assert chosen == [0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8]
    assert [frame.index for frame in read_frames(clip, every=10)] == [0, 10, 20, 30]
    assert len(list(read_frames(clip, fps=1000))) == 35
    assert [frame.index for frame in read_frames(clip, seconds=0.12)] == [0, 1, 2]


def test_a_video_that_runs_late_does_not_catch_up() -> None:
    wanted = FrameRate(fps=10).chooser()
    assert [wanted(i, time) for i, time in enumerate((0, 0.05, 3.0, 3.05, 3.1))] == [
        True,
        False,
        True,
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("matrix", "corner"),
    [
        ((0, 1, -1, 0), "right"),  # as phones held upright write it: to be turned clockwise
        ((0, -1, 1, 0), "left"),
        ((-1, 0, 0, -1), "below"),
    ],
)
def test_the_rotation_that_a_file_states_is_applied(
    clip: Path, tmp_path: Path, matrix: tuple[int, ...], corner: str
) -> None:
    """The matrix in the header of a track, ISO/IEC 14496-12 8.3.2: a, b, u, c, d, v in 16.16."""
    content = clip.read_bytes()
    one = 1 << 16
    upright = struct.pack(">9i", one, 0, 0, 0, one, 0, 0, 0, 1 << 30)
    a, b, c, d = (value * one for value in matrix)
    at = content.index(upright, content.index(b"tkhd"))
    turned = tmp_path / "turned.mp4"
    turned.write_bytes(
        content[:at] + struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30) + content[at + 36 :]
    )
    image = next(read_frames(turned)).image
    assert image.shape == ((48, 64, 3) if corner == "below" else (64, 48, 3))
    red = {"right": image[:, -8:], "left": image[:, :8], "below": image[-8:]}[corner]
    assert red[..., 0].mean() > 200 and image[..., 0].mean() < 130


def test_pixels_that_are_not_square_become_square(tmp_path: Path) -> None:
    path = tmp_path / "wide.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(3, 2)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(RED_ABOVE, format="rgb24")))
        container.mux(stream.encode())
    assert next(read_frames(path)).image.shape == (48, 96, 3)


# ---- damage --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds that compress badly, so that a part of the file is a part of the time."""
    path, rng = tmp_path_factory.mktemp("noisy") / "noisy.mkv", np.random.default_rng(0)
    with written_video(path, 10) as add:
        for i in range(40):
            add(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8), i / 10)
    return path


def test_a_file_that_lacks_its_end_gives_the_frames_up_to_there(noisy: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(noisy.read_bytes()[: noisy.stat().st_size // 2])
    with pytest.warns(
        PhotoWarning, match=r"cut.mkv: the file ends after \d.\d of the 4.0 seconds that it states"
    ):
        frames = list(read_frames(cut))
    assert 5 < len(frames) < 35 and [frame.index for frame in frames] == list(range(len(frames)))


def test_a_damaged_part_is_passed_over_and_told(noisy: Path, tmp_path: Path) -> None:
    content = bytearray(noisy.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = np.random.default_rng(1).bytes(3000)
    bad = tmp_path / "bad.mkv"
    bad.write_bytes(content)
    with pytest.warns(PhotoWarning, match="bad.mkv: .*frames"):
        frames = list(read_frames(bad))
    assert len(frames) >= 15


def test_an_intact_file_warns_of_nothing(noisy: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(read_frames(noisy))) == 40
        assert len(list(read_frames(noisy, seconds=1))) == 10


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"no video", "not a video that can be read"),
        (
            b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:2,\nclip.mp4\n#EXT-X-ENDLIST\n",
            "not a video that can be",
        ),
        (b"ffconcat version 1.0\nfile clip.mp4\n", "not a video that can be read"),
        (None, "no such file"),
    ],
)
def test_what_is_no_video_is_told_in_one_sentence(
    clip: Path, tmp_path: Path, content: bytes | None, message: str
) -> None:
    """A playlist must open no other file, not even one beside it."""
    path = tmp_path / "x.m3u8"
    (tmp_path / "clip.mp4").write_bytes(clip.read_bytes())
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(VideoError, match=f"x.m3u8: {message}"):
        list(read_frames(path))


def test_sound_folders_pipes_and_addresses_are_refused(tmp_path: Path) -> None:
    sound = tmp_path / "sound.wav"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for source, message in (
        (sound, "there is no picture in this file"),
        (tmp_path, "a folder, not a video"),
        (pipe, "a pipe or device"),
        ("http://localhost/x.mp4", "no such file"),
        ("a\0b", "cannot be read"),
        (99, "camera /dev/video99: cannot be opened"),
    ):
        with pytest.raises(VideoError, match=message):
            list(read_frames(source))  # type: ignore[arg-type]
    for wrong in (True, None, b"x.mp4"):
        with pytest.raises(UsageError, match="a video is a path or the number of a camera"):
            list(read_frames(wrong))  # type: ignore[arg-type]


def test_a_rate_that_makes_no_sense_is_refused(clip: Path) -> None:
    for options in ({"fps": 0}, {"fps": float("nan")}, {"every": 0}, {"seconds": -1}, {"fps": 2, "every": 2}):
        with pytest.raises(UsageError):
            list(read_frames(clip, **options))  # type: ignore[arg-type]


def test_a_camera_is_read_for_so_many_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """FFmpeg's source of test pictures in place of a camera, of which there is none here."""
    import facealike.video.source as source

    monkeypatch.setattr(
        source, "CAMERAS", {source.sys.platform: ("lavfi", "testsrc=size=64x48:rate=10[out{}]")}
    )
    frames = list(read_frames(0, seconds=0.5))
    assert len(frames) == 5 and frames[0].image.shape == (48, 64, 3)


def test_a_camera_that_has_no_frame_yet_is_asked_again(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As macOS has it: the demuxer raises EAGAIN between frames."""
    with open_video(clip) as video:
        packets, asked = video.container.demux(video.stream), []

        class Slow:
            streams, duration = video.container.streams, video.container.duration

            def demux(self, stream: object) -> Iterator[Any]:
                asked.append(stream)
                for number, packet in enumerate(packets):
                    yield packet
                    if number % 10 == 9:
                        raise av.error.BlockingIOError(11, "try again")

        reader = VideoReader(replace(video, container=Slow()))  # type: ignore[arg-type]
        assert len(list(reader.frames(FrameRate()))) == 35 and len(asked) == 4


def test_without_pyav_the_extra_is_named(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(MissingExtra, match=r'reading a video needs av.*pip install "facealike\[video\]"'):
        list(read_frames(clip))
