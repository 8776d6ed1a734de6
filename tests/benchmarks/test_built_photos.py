"""The pictures of benchmarks.accuracy.built_photos hold what their rows say."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.accuracy.built_photos import SHAPES, is_found, placed, quarters, shape
from facealike.types import Box, Face


@pytest.mark.parametrize("roll", [0, 90, 180])
@pytest.mark.parametrize("size", [12, 60, 200])
def test_the_face_is_where_its_box_says(size: int, roll: int) -> None:
    photo = np.zeros((250, 250, 3), np.uint8)
    photo[80:180, 90:170] = 255
    scene = np.zeros((50, 70, 3), np.uint8)
    rng = np.random.default_rng(size)
    picture, box = placed(rng, (photo, Box(90, 80, 170, 180)), scene, 320, size, roll)
    rows, columns = np.nonzero(picture[:, :, 0] > 127)
    found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert picture.shape == (320, 320, 3)
    assert box == pytest.approx(found, abs=1.5 if size > 12 else 2.5)
    assert np.sqrt((box[2] - box[0]) * (box[3] - box[1])) == pytest.approx(size)
    assert is_found(lambda image: [Face(Box(*box), 1.0)], (picture, box))
    assert not is_found(lambda image: [Face(Box(0, 0, 9, 9), 1.0)], (picture, box))
    assert not is_found(lambda image: [], (picture, box))


def test_drawings_are_the_same_each_time_and_differ() -> None:
    made = [shape(number) for number in range(SHAPES)]
    assert all(np.array_equal(one, shape(number)) for number, one in enumerate(made))
    assert len({one.tobytes() for one in made}) == SHAPES and all(one.std() > 0 for one in made)


def test_quarters_are_parts_of_the_picture() -> None:
    scene = np.arange(10 * 6 * 3, dtype=np.uint8).reshape(10, 6, 3)
    whole, *parts = quarters(scene)
    assert whole is scene and [part.shape for part in parts] == [(5, 3, 3)] * 4
    assert np.array_equal(np.concatenate([np.concatenate(parts[:2], 1), np.concatenate(parts[2:], 1)]), scene)
