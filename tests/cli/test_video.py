"""``facealike video``: the table, the files it writes, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from facealike.cli import app
from facealike.video.frames import read_frames
from support.paths import ROOT
from support.video_clips import two_people, write_clip

pytest.importorskip("av")

PHOTOS = ROOT / "examples" / "photos"


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("video")
    write_clip(folder / "clip.mp4", 1, two_people)
    write_clip(folder / "empty.mp4", 0.4, lambda _: [])
    for name, photo in (("Grace Hopper", "hopper-turned.jpg"), ("Eileen Collins", "collins.jpg")):
        assert run("gallery", "enroll", folder / "people.db", name, PHOTOS / photo).exit_code == 0
    return folder


def test_a_video_is_told_as_a_table_and_written_whole(here: Path, tmp_path: Path) -> None:
    out, annotated = tmp_path / "tracks.jsonl", tmp_path / "clip.mp4"
    options = ["--gallery", here / "people.db", "--out", out, "--annotated", annotated]
    done = run("video", here / "clip.mp4", *options)
    assert done.exit_code == 0 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["track", "from", "to", "faces", "quality", "decision", "score"]
    assert "Grace Hopper" in lines[2] and "Eileen Collins" in lines[3]
    assert lines[4].endswith("clip.mp4: 2 tracks, 16 faces in 8 frames of 0.9 s")
    assert lines[5].startswith("  threshold 0.9")
    assert [json.loads(line)["track"] for line in out.read_text().splitlines()] == [1, 2]
    assert len(list(read_frames(annotated))) == 25


def test_json_is_one_document(here: Path) -> None:
    found = json.loads(run("video", here / "clip.mp4", "--every", "5", "--json").stdout)
    assert found["frames"] == 5 and [each["decision"] for each in found["tracks"]] == [None, None]


def test_a_video_without_a_face_ends_with_3(here: Path) -> None:
    done = run("video", here / "empty.mp4")
    assert done.exit_code == 3 and "no face was tracked" in done.stderr


def test_what_makes_no_sense_is_refused_before_the_work(here: Path, tmp_path: Path) -> None:
    clip = here / "clip.mp4"
    for words, message in (
        ((clip, "--fps", 2, "--every", 2), "not both"),
        ((clip, "--annotated", tmp_path / "x.avi"), "written as .mp4"),
        ((clip, "--annotated", clip), "the video itself"),
        ((clip, "--out", clip), "the video itself"),
        ((clip, "--out", tmp_path / "no" / "x"), "does not exist"),
        ((clip, "--out", tmp_path / "x.mp4", "--annotated", tmp_path / "x.mp4"), "are one file"),
        ((clip, "--gallery", tmp_path / "no.db"), "no such gallery"),
        ((0,), "a camera has no end"),
        ((0, "--seconds", 1, "--annotated", tmp_path / "x.mp4"), "needs a video file"),
        ((PHOTOS / "ORIGIN.md",), "not a video"),
    ):
        done = run("video", *words)
        assert done.exit_code == 2 and message in done.stderr, (words, done.output)
        assert done.stderr.count("\n") == 1


def test_a_file_that_lacks_its_end_is_used_with_a_warning(here: Path, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "long.mkv", 4, two_people, rate=10)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    done = run("video", path)
    assert done.exit_code == 0 and "warning" in done.stderr and "seconds that it states" in done.stderr
