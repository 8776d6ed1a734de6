"""Rows of people who cover each other: what is nearer is larger, lower and in front."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image as PillowImage

from facealike.detection.registry import default_detector
from facealike.imaging.read import read_image
from facealike.train.detector import crowds
from facealike.train.detector.crowds import dressed, packed
from support.tiny_model import hopper_path

SIDE = 320
SIZE = 104.0


def portrait() -> np.ndarray:
    """A real face of ``SIZE`` pixels in the middle of a square of 250."""
    (face,) = default_detector().detect(photo := read_image(hopper_path()))
    scale = SIZE / (face.box[3] - face.box[1])
    x, y = (face.box[0] + face.box[2]) / 2, (face.box[1] + face.box[3]) / 2
    half = 125 / scale
    picture = PillowImage.fromarray(photo).crop((int(x - half), int(y - half), int(x + half), int(y + half)))
    return np.asarray(picture.resize((250, 250)))


@pytest.fixture(scope="module")
def person() -> np.ndarray:
    return portrait()


def crowd(seed: int, person: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return packed(rng, np.full((SIDE, SIDE, 3), 90, np.uint8), (person,), (SIZE,), 5.0)


def test_a_crowd_is_of_faces_that_grow_towards_the_bottom(person: np.ndarray) -> None:
    counts, slopes = [], []
    for seed in range(8):
        image = crowd(seed, person)
        assert image.shape == (SIDE, SIDE, 3) and image.dtype == np.uint8
        faces = default_detector().detect(image)
        counts.append(len(faces))
        middles = [(face.box[1] + face.box[3]) / 2 for face in faces]
        heights = [face.box[3] - face.box[1] for face in faces]
        if len(faces) > 4:
            slopes.append(np.polyfit(middles, heights, 1)[0])
    assert np.median(counts) >= 8, counts
    assert np.mean(np.array(slopes) > 0) >= 0.8, slopes


def test_the_same_generator_makes_the_same_crowd(person: np.ndarray) -> None:
    np.testing.assert_array_equal(crowd(3, person), crowd(3, person))
    assert (crowd(3, person) != crowd(4, person)).mean() > 0.2


def test_nearer_people_are_drawn_later(person: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[float, float]] = []
    real = crowds._put

    def put(picture, person, scale, degrees, middle, rng):
        drawn.append((middle[1], scale))
        real(picture, person, scale, degrees, middle, rng)

    monkeypatch.setattr(crowds, "_put", put)
    for seed in range(6):
        drawn.clear()
        crowd(seed, person)
        heights, scales = np.array(drawn).T
        order = np.arange(len(drawn))
        assert np.corrcoef(order, heights)[0, 1] > 0.8
        assert np.corrcoef(heights, scales)[0, 1] > -0.3  # a flat crowd may be of equal sizes


def test_a_mask_covers_the_lower_half_of_the_face_only(person: np.ndarray) -> None:
    changed = np.zeros(person.shape[:2])
    for seed in range(20):
        rng = np.random.default_rng(seed)
        mirrored = np.random.default_rng(seed).random() < 0.5
        made = np.asarray(dressed(rng, person, SIZE, covered=1.0))
        changed += (made[:, ::-1] if mirrored else made).astype(int).__ne__(person).any(axis=2)
    middle, reach = 125, SIZE / 2
    mouth = changed[middle + 20 : middle + 40, middle - 15 : middle + 15]
    assert mouth.mean() > 19  # always covered
    eyes = changed[middle - 30 : middle - 15, middle - 40 : middle + 40]
    assert eyes.mean() < 5  # dark glasses alone
    outside = np.ones_like(changed, bool)
    outside[middle - 40 : int(middle + 1.2 * reach), middle - 50 : middle + 50] = False
    assert not changed[outside].any()


def test_without_masks_most_people_are_as_in_their_photo(person: np.ndarray) -> None:
    same = [
        any(
            np.array_equal(np.asarray(dressed(np.random.default_rng(seed), person, SIZE, 0.0)), each)
            for each in (person, person[:, ::-1])
        )
        for seed in range(60)
    ]
    assert 0.85 < np.mean(same) < 1
