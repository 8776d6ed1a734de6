"""The tracker on boxes that are made up: who is linked to whom, and never two faces of one frame."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from facealike.types import Box, Face
from facealike.video.assignment import best_assignment
from facealike.video.joining import join_tracks
from facealike.video.motion import BoxMotion
from facealike.video.template import mean_embedding, mean_of, template_of
from facealike.video.tracker import FaceInFrame, Tracker, TrackerSettings

SETTINGS = TrackerSettings(split=0.8, poor=0.5, keep=1.0)
RATE = 10.0


def person(number: int, noise: float = 0.0, seed: int = 0) -> NDArray[np.float32]:
    """A unit vector near the axis of a person."""
    vector = np.eye(16)[number] + noise * np.random.default_rng(seed).normal(size=16)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def seen(
    frame: int, x: float, who: int, y: float = 0.0, side: float = 10.0, quality: float = 1.0
) -> FaceInFrame:
    box = Box(x - side / 2, y - side / 2, x + side / 2, y + side / 2)
    return FaceInFrame(frame, frame / RATE, Face(box, 0.9), quality, person(who, 0.05, seed=frame))


def tracked(
    frames: list[list[FaceInFrame]], settings: TrackerSettings = SETTINGS
) -> list[tuple[FaceInFrame, ...]]:
    tracker = Tracker(settings)
    for number, faces in enumerate(frames):
        tracker.add(number / RATE, faces)
    return tracker.finished()


def spans(tracks: list[tuple[FaceInFrame, ...]]) -> list[tuple[int, int, int]]:
    """The first frame, the last one and the number of faces of each track."""
    return [(faces[0].frame, faces[-1].frame, len(faces)) for faces in tracks]


def people(tracks: list[tuple[FaceInFrame, ...]]) -> list[set[int]]:
    return [{int(np.argmax(face.embedding)) for face in faces} for faces in tracks]


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 2**32 - 1), st.booleans())
def test_an_assignment_is_as_good_as_that_of_scipy(rows: int, columns: int, seed: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(rows, columns))
    scores = np.round(scores) if ties else scores
    scores[rng.random(scores.shape) < 0.3] = -1e6
    found = best_assignment(scores)
    assert len({a for a, _ in found}) == len({b for _, b in found}) == len(found) == min(rows, columns)
    best = scores[linear_sum_assignment(scores, maximize=True)].sum()
    assert sum(scores[pair] for pair in found) == pytest.approx(best)


def test_a_face_that_moves_steadily_is_where_it_is_expected() -> None:
    motion = BoxMotion(Box(0, 0, 10, 10), 0)
    for step in range(1, 8):  # two sizes a second to the right, and growing
        motion.update(Box(2 * step, 0, 2 * step + 10 + step, 10 + step), step / 10)
    expected = motion.predict(1.0)
    assert expected.left == pytest.approx(20, abs=1) and expected.height == pytest.approx(20, abs=1)
    shrinking = BoxMotion(Box(0, 0, 10, 10), 0)
    shrinking.update(Box(4, 4, 6, 6), 0.1)
    far = shrinking.predict(5.0)
    assert far.width > 0 and far.height > 0


def test_two_people_who_cross_keep_their_tracks() -> None:
    frames = [[seen(i, 2 * i, 0), seen(i, 40 - 2 * i, 1, y=1)] for i in range(21)]
    tracks = tracked(frames)
    assert spans(tracks) == [(0, 20, 21)] * 2 and sorted(map(tuple, people(tracks))) == [(0,), (1,)]


def test_a_person_who_takes_anothers_place_begins_a_new_track() -> None:
    """A hard cut: the box stays, the embedding is another person's."""
    tracks = tracked([[seen(i, 0, int(i >= 5))] for i in range(10)])
    assert spans(tracks) == [(0, 4, 5), (5, 9, 5)] and people(tracks) == [{0}, {1}]


def test_two_people_who_swap_places_in_a_cut_are_not_swapped() -> None:
    tracks = tracked([[seen(i, 12 * (i >= 5), 0), seen(i, 12 * (i < 5), 1)] for i in range(10)])
    assert all(len(each) == 1 for each in people(tracks))


def test_a_poor_face_is_linked_by_its_place_alone() -> None:
    turned = [seen(i, i, 2 if 4 <= i < 6 else 0, quality=0.2 if 4 <= i < 6 else 1.0) for i in range(10)]
    assert spans(tracked([[face] for face in turned])) == [(0, 9, 10)]
    away = [seen(0, 0, 0), seen(1, 9, 0, quality=0.2)]  # near enough for a good face only
    assert len(tracked([[face] for face in away])) == 2
    good = [seen(0, 0, 0), seen(1, 9, 0)]
    assert len(tracked([[face] for face in good])) == 1


def test_a_lost_track_is_kept_for_a_while() -> None:
    hidden = [[] if 5 <= i < 10 else [seen(i, i, 0)] for i in range(15)]
    assert spans(tracked(hidden)) == [(0, 14, 10)]
    longer = [[] if 5 <= i < 20 else [seen(i, i, 0)] for i in range(25)]
    assert spans(tracked(longer)) == [(0, 4, 5), (20, 24, 5)]


def test_a_face_elsewhere_or_of_another_size_begins_a_new_track() -> None:
    assert len(tracked([[seen(0, 0, 0)], [seen(1, 40, 0)]])) == 2
    assert len(tracked([[seen(0, 0, 0)], [seen(1, 0, 0, side=30)]])) == 2


@st.composite
def films(draw: st.DrawFn) -> list[list[FaceInFrame]]:
    """Up to four people on random walks who come and go, some of them poorly seen, some of them doubles."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count, frames = draw(st.integers(1, 4)), draw(st.integers(1, 12))
    identity = [int(rng.integers(0, 3)) for _ in range(count)]
    places = rng.uniform(0, 40, (count, 2))
    film = []
    for frame in range(frames):
        places += rng.normal(0, 4, places.shape)
        here = [(place, who) for place, who in zip(places, identity, strict=True) if rng.random() < 0.8]
        sides, qualities = rng.uniform(8, 12, len(here)), rng.random(len(here))
        film.append(
            [
                seen(frame, float(x), who, float(y), float(sides[i]), float(qualities[i]))
                for i, ((x, y), who) in enumerate(here)
            ]
        )
    return film


@settings(max_examples=150, deadline=None)
@given(films(), st.randoms())
def test_no_two_faces_of_a_frame_are_in_one_track_whatever_their_order(
    film: list[list[FaceInFrame]], random: Random
) -> None:
    tracks = tracked(film)
    for result in (tracks, join_tracks(tracks, 0.7, 0.5)):
        assert sum(map(len, result)) == sum(map(len, film)), "each face is in one track"
        for faces in result:
            numbers = [face.frame for face in faces]
            assert numbers == sorted(set(numbers))
    mixed = [random.sample(faces, len(faces)) for faces in film]
    again = tracked(mixed)
    assert [[id(face) for face in faces] for faces in again] == [
        [id(face) for face in faces] for faces in tracks
    ]


def test_tracks_of_one_person_are_joined_but_not_those_seen_together() -> None:
    before, after = [seen(i, 0, 0) for i in range(3)], [seen(i, 80, 0) for i in range(6, 9)]
    other = [seen(i, 0, 1) for i in range(6, 9)]
    joined = join_tracks([tuple(before), tuple(other), tuple(after)], 0.9, 0.5)
    assert spans(joined) == [(0, 8, 6), (6, 8, 3)]
    twins = [seen(i, 40, 0) for i in range(3)]
    assert len(join_tracks([tuple(before), tuple(twins)], 0.9, 0.5)) == 2
    poor = tuple(face._replace(quality=0.3) for face in after)
    assert len(join_tracks([tuple(before), poor], 0.9, 0.5)) == 2
    assert len(join_tracks([tuple(before), tuple(after)], 0.9999, 0.5)) == 2


def test_a_template_is_the_weighted_mean_of_its_faces() -> None:
    a, b = person(0), person(1)
    assert mean_embedding([a, b], [0.9, 0.3]) == pytest.approx(0.75 * a + 0.25 * b)
    assert mean_embedding([a, b], [0, 0]) == pytest.approx((a + b) / 2)
    assert mean_embedding([a, -a], [1, 1]) == pytest.approx(a), "opposite vectors have no mean"
    assert mean_embedding([a], [0.2]).dtype == np.float32
    faces = (seen(0, 0, 0, quality=0.9), seen(1, 0, 1, quality=0.1))
    probe = person(2, 0.3)
    scores = [float(face.embedding @ probe) for face in faces]
    assert float(mean_of(faces) @ probe) == pytest.approx(0.9 * scores[0] + 0.1 * scores[1], abs=1e-6)
    assert float(np.linalg.norm(template_of(faces))) == pytest.approx(1)
    assert template_of(faces) @ faces[0].embedding > template_of(faces) @ faces[1].embedding


def test_tracks_are_joined_at_the_mean_score_of_their_faces() -> None:
    """The cosine of the means of two tracks is higher than the mean score of their faces."""
    rng = np.random.default_rng(0)
    tracks = []
    for start in (0, 10):
        vectors = np.eye(16)[0] + rng.normal(0, 0.3, (8, 16))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        tracks.append(
            tuple(
                seen(start + i, 0, 0)._replace(embedding=vector.astype(np.float32))
                for i, vector in enumerate(vectors)
            )
        )
    first, second = (np.stack([face.embedding for face in track]) for track in tracks)
    score = float((first @ second.T).mean())
    cosine = float(template_of(tracks[0]) @ template_of(tracks[1]))
    assert cosine > score + 0.2
    assert (
        len(join_tracks(tracks, score + 0.01, 0.5)) == 2 and len(join_tracks(tracks, score - 0.01, 0.5)) == 1
    )
