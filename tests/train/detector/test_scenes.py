"""Scenes: marks must stay on the pixels they belong to, whatever is done to a photo."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facealike.train.detector import scenes as detector_scenes
from facealike.train.detector.backgrounds import background
from facealike.train.detector.photometric import augment_photometric
from facealike.train.detector.pseudo_labels import PseudoLabels, Sources
from facealike.train.detector.scenes import (
    SIDE,
    SMALLEST,
    compose,
    move_boxes,
    move_points,
    similarity,
)  # fmt: skip
from support.drawn_faces import COLOURS, SKIN, landmarks, made_sources, photo

SIZE = st.floats(0.2, 4)
TURN = st.floats(-80, 80)
PLACE = st.tuples(st.floats(-50, 300), st.floats(-50, 300))


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    return made_sources(tmp_path_factory.mktemp("scenes"))


@settings(max_examples=50)
@given(PLACE, PLACE, SIZE, TURN, st.booleans())
def test_the_centre_lands_on_its_target_and_lengths_scale(
    centre: tuple[float, float], target: tuple[float, float], scale: float, turn: float, mirror: bool
) -> None:
    matrix = similarity(centre, target, scale, turn, mirror)
    np.testing.assert_allclose(matrix @ [*centre, 1], target, atol=1e-6)
    assert np.linalg.det(matrix[:, :2]) == pytest.approx((-1 if mirror else 1) * scale**2)
    away = matrix @ [centre[0] + 3, centre[1] + 4, 1]
    assert np.linalg.norm(away - target) == pytest.approx(5 * scale, abs=1e-6)


@settings(max_examples=50)
@given(PLACE, SIZE, TURN, st.booleans(), st.floats(5, 90), st.floats(5, 90))
def test_a_moved_box_holds_the_turned_ellipse_tightly(
    target: tuple[float, float], scale: float, turn: float, mirror: bool, width: float, height: float
) -> None:
    box = np.array([[40.0, 60.0, 40 + width, 60 + height]])
    matrix = similarity((70, 70), target, scale, turn, mirror)
    moved = move_boxes(box, matrix)[0]
    angle = np.linspace(0, 2 * math.pi, 2001)
    # Edges of pixels are half a pixel from the centres in which the matrix counts.
    outline = np.stack([40 + width / 2 * (1 + np.cos(angle)), 60 + height / 2 * (1 + np.sin(angle))], 1) - 0.5
    through = outline @ matrix[:, :2].T + matrix[:, 2] + 0.5
    np.testing.assert_allclose(moved, [*through.min(0), *through.max(0)], atol=1e-3 * scale * 100)


def test_a_mirror_swaps_the_names_of_left_and_right() -> None:
    points = landmarks(20, 30, 60)[None]
    straight, mirrored = (
        move_points(points, similarity((72, 72), (72, 72), 1, 0, mirror)) for mirror in (False, True)
    )
    assert straight[0, 0, 0] < straight[0, 1, 0] and mirrored[0, 0, 0] < mirrored[0, 1, 0]
    np.testing.assert_allclose(mirrored[0, 0], [144 - points[0, 1, 0], points[0, 1, 1]])


@settings(max_examples=50, deadline=None)
@given(st.floats(0.45, 2.5), st.floats(-60, 60), st.booleans())
def test_pixels_and_landmarks_go_the_same_way(scale: float, turn: float, mirror: bool) -> None:
    """Each dot of the drawn face is found, by its colour, where its landmark says."""
    image, frame = photo(144, 32, 32, 80), np.array([0.0, 0.0, SIDE, SIDE])
    canvas = detector_scenes._Canvas(np.zeros((SIDE, SIDE, 3), np.uint8))
    matrix = similarity((72, 72), (127.3, 128.8), scale, turn, mirror)
    detector_scenes._paste(canvas, image, matrix, frame)
    moved = landmarks(32, 32, 80) @ matrix[:, :2].T + matrix[:, 2]
    rows, columns = np.indices((SIDE, SIDE))
    for (x, y), colour in zip(moved, COLOURS, strict=True):
        assert (np.abs(canvas.image.astype(int) - colour) < 60).all(axis=2).any()
        # Pixels on a dot's edge are part dot, part skin, and count by their part.
        way = colour - np.array(SKIN)
        part = np.clip((canvas.image - np.array(SKIN, float)) @ way / (way @ way), 0, 1)
        part[np.hypot(columns - x, rows - y) > 10 * scale + 1] = 0  # there the next dots begin
        found = np.average(columns, weights=part), np.average(rows, weights=part)
        assert np.hypot(found[0] - x, found[1] - y) < 0.35


def test_outside_the_frame_nothing_is_drawn() -> None:
    canvas = detector_scenes._Canvas(np.full((SIDE, SIDE, 3), 7, np.uint8))
    frame = np.array([40.0, 50.0, 90.0, 120.0])
    detector_scenes._paste(
        canvas, photo(144, 32, 32, 80), similarity((72, 72), (60, 80), 3, 10, False), frame
    )
    changed = (canvas.image != 7).any(axis=2)
    assert changed[50:120, 40:90].mean() > 0.95
    changed[50:120, 40:90] = False
    assert not changed.any()


def test_faces_are_kept_ignored_or_gone_by_what_is_visible() -> None:
    boxes = np.array(
        [[0, 0, 100, 100], [-20, 0, 80, 100], [-60, 0, 40, 100], [-90, 0, 10, 100], [50, 50, 56, 56]]
    )
    marks = PseudoLabels(
        boxes.astype(np.float32), np.zeros((5, 5, 2), np.float32), boxes[:1].astype(np.float32)
    )
    canvas = detector_scenes._Canvas(np.zeros((SIDE, SIDE, 3), np.uint8))
    identity = np.eye(2, 3)
    canvas.add(marks, identity, np.array([0.0, 0.0, SIDE, SIDE]))
    np.testing.assert_allclose(canvas.boxes, boxes[:2])
    # Four tenths seen: ignored; one tenth: background; six pixels: too small; and what was unsure.
    np.testing.assert_allclose(canvas.ignore, [boxes[2], boxes[4], boxes[0]])
    assert SMALLEST > 6


def test_scenes_depend_on_their_random_numbers_only(sources: Sources) -> None:
    one, again, other = (compose(np.random.default_rng(seed), sources) for seed in (5, 5, 6))
    np.testing.assert_array_equal(one.image, again.image)
    np.testing.assert_array_equal(one.boxes, again.boxes)
    assert not np.array_equal(one.image, other.image)


def test_scenes_are_well_formed_and_of_all_sorts(sources: Sources) -> None:
    counts, sizes = [], []
    for seed in range(40):
        scene = compose(np.random.default_rng(seed), sources)
        assert scene.image.shape == (SIDE, SIDE, 3) and scene.image.dtype == np.uint8
        assert scene.boxes.shape == (len(scene.points), 4) and scene.points.shape[1:] == (5, 2)
        assert scene.ignore.shape[1:] == (4,)
        side = scene.boxes[:, 2:] - scene.boxes[:, :2]
        assert (side > 0).all() and np.isfinite(scene.points).all()
        middle = (scene.boxes[:, :2] + scene.boxes[:, 2:]) / 2
        assert (np.abs(scene.points.mean(axis=1) - middle) < 0.3 * side + 1).all()
        counts.append(len(scene.boxes))
        sizes += np.sqrt(side.prod(axis=1)).tolist()
    assert min(counts) == 0 and max(counts) >= 4
    assert min(sizes) < 25 and max(sizes) > 150


def test_backgrounds_show_no_face(sources: Sources) -> None:
    for seed in range(40):
        image = background(np.random.default_rng(seed), sources, SIDE)
        assert image.shape == (SIDE, SIDE, 3) and image.dtype == np.uint8 and image.flags.writeable


def test_developing_moves_nothing() -> None:
    """A bright square stays where it is, whatever light, noise or file does to it."""
    image = np.full((SIDE, SIDE, 3), 40, np.uint8)
    image[100:140, 60:120] = 140
    changed = 0
    for seed in range(40):
        seen = augment_photometric(np.random.default_rng(seed), image)
        assert seen.shape == image.shape and seen.dtype == np.uint8
        grey = seen.astype(float).mean(axis=2)
        inside, around = grey[104:136, 64:116].mean(), grey[90:96, 60:120].mean()
        assert inside > around + 8
        assert grey[100:140, 52:56].mean() < (inside + around) / 2
        changed += not np.array_equal(seen, image)
    assert changed > 30
