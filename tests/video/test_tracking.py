"""Real faces in short videos: tracked, identified once a track, and drawn into a copy."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from facealike.embedding.face_model import Model
from facealike.errors import DataError, MixedModels, NotCalibrated, UsageError
from facealike.gallery.gallery import Gallery
from facealike.video.annotate import annotate_video, label
from facealike.video.frames import read_frames
from facealike.video.result import VideoTracks
from facealike.video.tracking import track_faces
from support.paths import ROOT
from support.tiny_model import tiny_model_file
from support.video_clips import Placed, crossing, cut, two_people, write_clip

pytest.importorskip("av")

PHOTOS = ROOT / "examples" / "photos"


@pytest.fixture(scope="module")
def model() -> Model:
    return Model.load()


@pytest.fixture(scope="module")
def gallery(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    gallery = Gallery.open(tmp_path_factory.mktemp("gallery") / "people.db", model)
    gallery.enroll("Grace Hopper", [PHOTOS / "hopper-turned.jpg"])
    gallery.enroll("Eileen Collins", [PHOTOS / "collins.jpg"])
    return gallery


def clip(path: Path, script: Callable[[float], Sequence[Placed]], seconds: float = 2.0) -> Path:
    return write_clip(path / f"{script.__name__}.mp4", seconds, script)


def seen(result: VideoTracks) -> dict[str | None, tuple[float, float, int]]:
    return {each.person: (each.first, each.last, len(each.faces)) for each in result.tracks}


def test_two_people_who_move_are_two_tracks_with_one_decision_each(gallery: Gallery, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    result = track_faces(
        clip(tmp_path, two_people), gallery=gallery, progress=lambda done, total: steps.append((done, total))
    )
    assert result.frames == 16 and result.faces == 32 and result.left_out == 0 and result.damage is None
    assert seen(result) == {"Grace Hopper": (0, 1.88, 16), "Eileen Collins": (0, 1.88, 16)}
    hopper = next(each for each in result.tracks if each.person == "Grace Hopper")
    assert hopper.decision == "match" and hopper.quality > 0.9
    assert hopper.best.quality == max(each.quality for each in hopper.faces)
    assert float(np.linalg.norm(hopper.embedding)) == pytest.approx(1)
    assert hopper.faces[-1].face.box.left > hopper.faces[0].face.box.left + 15, "she moves to the right"
    assert steps[-1] == (16, 16) and all(done <= total for done, total in steps)


def test_people_who_cross_are_not_mixed_up(gallery: Gallery, tmp_path: Path) -> None:
    result = track_faces(clip(tmp_path, crossing), gallery=gallery)
    assert set(seen(result)) == {"Grace Hopper", "Eileen Collins"} and len(result.tracks) == 2
    ways = {each.person: each.faces[-1].face.box.left - each.faces[0].face.box.left for each in result.tracks}
    assert ways["Grace Hopper"] > 100 and ways["Eileen Collins"] < -100


def test_a_cut_splits_a_track_and_the_person_is_found_again(gallery: Gallery, tmp_path: Path) -> None:
    path = clip(tmp_path, cut, 3)
    apart = track_faces(path, gallery=gallery, join_fmr=None)
    names = [each.person for each in apart.tracks]
    assert names == ["Grace Hopper", "Eileen Collins", "Grace Hopper"]
    assert [round(each.first) for each in apart.tracks] == [0, 1, 2]
    joined = track_faces(path, gallery=gallery)
    assert seen(joined) == {"Grace Hopper": (0, 2.88, 16), "Eileen Collins": (1, 1.88, 8)}


def test_a_stranger_is_unknown_and_without_a_gallery_nothing_is_said(model: Model, tmp_path: Path) -> None:
    path = clip(tmp_path, cut, 1)
    with Path(tmp_path / "x").open("w"):
        alone = Gallery.open(tmp_path / "one.db", model)
    alone.enroll("Eileen Collins", [PHOTOS / "collins.jpg"])
    (stranger,) = track_faces(path, gallery=alone, fpir=0.001).tracks
    assert (stranger.decision, stranger.person) != ("match", "Eileen Collins")
    (track,) = track_faces(path, model, every=5).tracks
    assert track.found is None and track.decision is None and track.person is None
    assert [face.frame for face in track.faces] == [0, 5, 10, 15, 20]
    assert track_faces(path, model, seconds=0.5).seconds < 0.5


def test_a_face_that_is_seen_once_is_left_out_and_counted(model: Model, tmp_path: Path) -> None:
    def flash(time: float) -> list[Placed]:
        return [("hopper", 80, 110, 120), *([("collins", 240, 110, 120)] if 0.5 <= time < 0.6 else [])]

    path = clip(tmp_path, flash, 1)
    result = track_faces(path, model)
    assert len(result.tracks) == 1 and result.left_out == 1
    assert len(track_faces(path, model, min_faces=1).tracks) == 2


def test_the_result_is_one_line_of_json_a_track(gallery: Gallery, tmp_path: Path) -> None:
    result = track_faces(clip(tmp_path, two_people, 1), gallery=gallery)
    rows = [json.loads(line) for line in result.to_jsonl().splitlines()]
    assert [row["track"] for row in rows] == [1, 2] and {row["decision"] for row in rows} == {"match"}
    assert all(row["model"] == result.model and len(row["faces"]) == 8 for row in rows)
    assert rows[0]["candidates"][0]["person"] == rows[0]["person"] and rows[0]["best"] in rows[0]["faces"]


def test_the_annotated_copy_has_all_frames_and_boxes_that_move(gallery: Gallery, tmp_path: Path) -> None:
    path, out = clip(tmp_path, two_people, 1), tmp_path / "out.mp4"
    result = track_faces(path, gallery=gallery)
    assert annotate_video(path, result, out) == 25
    before, after = list(read_frames(path)), list(read_frames(out))
    assert [frame.time for frame in after] == pytest.approx([frame.time for frame in before], abs=1e-3)
    hopper = next(each for each in result.tracks if each.person == "Grace Hopper")
    assert label(hopper).endswith("Grace Hopper")
    last = 0
    for number, (old, new) in enumerate(zip(before, after, strict=True)):
        changed = np.abs(old.image.astype(int) - new.image).sum(axis=2) > 120
        assert changed.sum() > 100, f"frame {number} has no box"
        left = np.flatnonzero(changed[:, :160].sum(axis=0) > 20)[0]  # the left edge of the left box
        assert left >= last - 1, "it moves to the right, also between the frames that were looked at"
        last = left
    assert not list(tmp_path.glob(".*")), "no file is left beside"


def test_a_copy_that_cannot_be_written_leaves_nothing(gallery: Gallery, tmp_path: Path) -> None:
    path = clip(tmp_path, cut, 0.4)
    result = track_faces(path, gallery=gallery)
    with pytest.raises(UsageError, match=r"written as \.mp4, \.mkv or \.mov"):
        annotate_video(path, result, tmp_path / "out.avi")
    with pytest.raises(DataError, match="cannot be written"):
        annotate_video(path, result, tmp_path / "missing" / "out.mp4")
    with pytest.raises(UsageError, match="the frames of a camera are not kept"):
        annotate_video(0, result, tmp_path / "out.mp4")
    (tmp_path / "old.mp4").write_bytes(b"old")
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(Exception, match="not a video"):
        annotate_video(path, result, tmp_path / "old.mp4")
    assert (tmp_path / "old.mp4").read_bytes() == b"old"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["cut.mp4", "old.mp4"]


def test_options_that_make_no_sense_are_refused(model: Model, gallery: Gallery, tmp_path: Path) -> None:
    path = clip(tmp_path, cut, 0.2)
    for options in (
        {"fps": 2, "every": 2}, {"split_fmr": 0}, {"join_fmr": 1}, {"min_quality": 2}, {"keep": -1},
        {"min_faces": 0}, {"fpir": 0},
    ):  # fmt: skip
        with pytest.raises(UsageError):
            track_faces(path, model, **options)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="a camera has no end"):
        track_faces(0, model)
    with pytest.raises(NotCalibrated):
        track_faces(path, Model(tiny_model_file(), "cpu"))
    other = Gallery.open(tmp_path / "other.db", tiny_model_file())
    with pytest.raises(MixedModels):
        track_faces(path, model, gallery=other)
