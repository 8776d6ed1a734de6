"""The benchmark of videos, where it is known who is where."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from facealike.types import Box, Face
from facealike.video.tracker import FaceInFrame
from support.load_benchmark import load, needs_benchmarks
from support.paths import ROOT

pytestmark = needs_benchmarks

PHOTO = ROOT / "examples" / "photos" / "hopper.jpg"


@pytest.fixture(scope="module")
def clips() -> Any:
    return load("accuracy.composed_clips")


@pytest.fixture(scope="module")
def video() -> Any:
    return load("accuracy.video")


def cast(clips: Any, swap: bool) -> Any:
    people = [("Ann", [PHOTO]), ("Bea", [PHOTO])]
    return clips.actors(people, swap, np.random.default_rng(0))


def face(frame: int, x: float, y: float, vector: list[float], quality: float = 1.0) -> FaceInFrame:
    box = Face(Box(x - 10, y - 10, x + 10, y + 10), 0.9)
    return FaceInFrame(frame, frame / 25, box, quality, np.array(vector, np.float32))


def test_people_cross_or_swap_places_and_it_is_known_where_they_are(clips: Any) -> None:
    for swap in (False, True):
        ann, bea = both = cast(clips, swap)
        steps = np.abs(np.diff(ann.places[:, 0]))
        assert (steps.max() > 200) == swap, "a jump in the middle only with a cut"
        assert ann.places[0, 0] < 320 < ann.places[-1, 0] and bea.places[-1, 0] < 320 < bea.places[0, 0]
        for frame in (0, 99):
            assert clips.person_at(both, frame, *ann.places[frame, :2]) == "Ann"
            assert clips.person_at(both, frame, *bea.places[frame, :2]) == "Bea"
        assert clips.person_at(both, 0, 0, 0) is None
    pictures = clips.frames(cast(clips, False), np.random.default_rng(0))
    first, second = next(pictures), next(pictures)
    assert first.shape == (clips.HEIGHT, clips.WIDTH, 3) and (first != second).any()


def test_a_track_of_two_people_is_not_pure(clips: Any, video: Any) -> None:
    both = cast(clips, True)
    places = {actor.name: actor.places[:, :2] for actor in both}

    def track(names: list[str], vector: list[float]) -> tuple[FaceInFrame, ...]:
        return tuple(face(i, *places[name][i], vector) for i, name in enumerate(names))

    each = [track(["Ann"] * 4, [1, 0]), track(["Bea"] * 4, [0, 1])]
    pure = video.Seen([both], each, each)
    mixed = video.Seen([both], [each[0]], [track(["Ann", "Ann", "Ann", "Bea"], [1, 0])])
    assert video.purity([pure])["purity"] == "1.0000" and video.purity([pure])["joined"] == "1.000"
    found = video.purity([pure, mixed])
    assert found["purity"] == f"{11 / 12:.4f}" and found["missed"] == "0.2500" and found["people"] == 4
    for by in ("score", "cosine"):
        twice = video.in_one_video([pure, pure], 0.9, by)
        assert len(twice.apart) == 4 and len(twice.joined) == 2, "the same two people in both clips"
        assert video.purity([twice])["purity"] == "1.0000"


def test_a_track_is_found_by_what_it_is_searched_with(video: Any) -> None:
    """Of four faces of Ann the poor one is another person's double."""
    ann, double = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]
    track = (face(0, 0, 0, ann), face(1, 0, 0, ann), face(2, 0, 0, double, 0.1), face(3, 0, 0, ann))
    others, survival = np.array([double], np.float32), [(-0.9, 1.0), (0.0, 0.5), (0.2, 0.1), (0.9, 0.001)]
    own = {"Ann": np.array(ann, np.float32)}
    found = video.identification({"Ann": [track]}, own, others, survival, 0)
    rows = {(row["way"], row["target"]): row for row in found}
    share = {way: float(rows[way, 0.01]["found"]) for way in video.WAYS}
    assert share == {"frame": 0.75, "best": 1, "mean": 1, "weighted": 1, "cosine": 1}
    assert float(rows["frame", 0.01]["fpir"]) == 0.25 and float(rows["weighted", 0.01]["fpir"]) == 0
    plain, weighted = (float(video.scores(track, way, others, 0.0)[0, 0]) for way in ("mean", "weighted"))
    assert weighted < plain < 0.4


def test_the_tracks_of_a_person_are_those_that_mostly_show_them(clips: Any, video: Any) -> None:
    both = cast(clips, True)
    ann = both[0].places[:, :2]
    seen = video.Seen(
        [both], [], [tuple(face(i, *ann[i], [1, 0]) for i in range(3)), (face(5, 0, 0, [1, 0]),)]
    )
    assert {name: len(each) for name, each in video.by_person([seen]).items()} == {"Ann": 1}
