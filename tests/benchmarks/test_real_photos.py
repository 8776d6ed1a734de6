"""What the benchmark on labeled photos counts, on boxes and pictures where the right answer is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from facealike.types import Box, Face
from support.load_benchmark import load, needs_benchmarks

pytestmark = needs_benchmarks


@pytest.fixture(scope="module")
def module() -> Any:
    return load("accuracy.real_photos")


def picture(width: int, height: int) -> Any:
    """Each pixel tells its own place: red is the column, green the row."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([columns, rows, 0 * rows], axis=2).astype(np.uint8)


def photo(module: Any, *boxes: tuple[float, float, float, float], width: int = 200, height: int = 160) -> Any:
    return module.Photo("p.png", picture(width, height), np.array(boxes, dtype=float).reshape(-1, 4))


def test_overlaps_agree_with_counted_pixels(module: Any) -> None:
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 20, (2, 30, 2))
    boxes = np.concatenate([corners, corners + rng.integers(1, 20, (2, 30, 2))], axis=2).astype(float)
    grid = np.zeros((2, 30, 40, 40), dtype=bool)
    for side in range(2):
        for number, (left, top, right, bottom) in enumerate(boxes[side].astype(int)):
            grid[side, number, top:bottom, left:right] = True
    one, other = grid[0][:, None], grid[1][None]
    wanted = (one & other).sum((2, 3)) / (one | other).sum((2, 3))
    np.testing.assert_allclose(module.iou(*boxes), wanted)


def test_each_face_is_found_once_and_by_the_best_detection(module: Any) -> None:
    labeled = np.array([[0, 0, 10, 10], [20, 0, 30, 10.0]])
    detected = np.array([[2, 0, 12, 10], [0, 0, 10, 10], [21, 0, 31, 10], [50, 50, 60, 60.0]])
    assert module.matched(detected, labeled).tolist() == [-1, 0, 1, -1]
    assert module.matched(detected[:0], labeled).tolist() == []
    assert module.matched(detected, labeled[:0]).tolist() == [-1] * 4


def test_the_largest_detection_must_be_the_largest_face_or_one_of_its_size(module: Any) -> None:
    shown = photo(module, (0, 0, 40, 40), (60, 0, 99, 39), (120, 0, 140, 20))
    for face, right in (((1, 0, 41, 40), True), ((60, 0, 99, 39), True), ((120, 0, 140, 20), False)):
        assert module.largest_is_right(np.array([face], dtype=float), shown) is right
    hoodie = np.array([[0, 0, 40, 40], [0, 60, 80, 150]], dtype=float)
    assert not module.largest_is_right(hoodie, shown)
    assert not module.largest_is_right(hoodie[:0], shown)


@pytest.mark.parametrize("share", [0.55, 0.95])
def test_a_portrait_is_filled_by_its_face_as_asked(module: Any, share: float) -> None:
    shown = photo(module, (70, 50, 110, 100))
    cut = module.portrait(shown, share)
    ((left, top, right, bottom),) = cut.boxes
    assert cut.image.shape == (1000, 1000, 3) and (bottom - top) == pytest.approx(1000 * share)
    middle = cut.image[int((top + bottom) / 2), int((left + right) / 2)]
    assert abs(int(middle[0]) - 90) <= 1 and abs(int(middle[1]) - 75) <= 1
    assert module.portrait(photo(module, (0, 0, 150, 150)), 0.55) is None


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_turned_photo_keeps_its_face(module: Any, degrees: int) -> None:
    cut = module.turned(photo(module, (20, 30, 60, 90)), degrees)
    left, top, right, bottom = cut.boxes[0].astype(int)
    face = cut.image[top:bottom, left:right].reshape(-1, 3)
    assert (face.min(axis=0)[:2].tolist(), face.max(axis=0)[:2].tolist()) == ([20, 30], [59, 89])
    assert module.turned(photo(module, (0, 0, 9, 9), (20, 0, 29, 9)), degrees) is None


def test_a_folder_is_measured(module: Any, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for name in ("a.png", "b.png", "c.png"):
        PillowImage.fromarray(picture(200, 160)).save(tmp_path / "photos" / name)
    (tmp_path / "faces.csv").write_text(
        "photo,left,top,right,bottom\na.png,10,10,60,60\na.png,100,10,120,30\nb.png,10,10,60,60\nc.png,,,,\n"
    )

    def detect(image: Any) -> list[Face]:
        return [Face(Box(10, 10, 60, 60), 0.9), Face(Box(150, 90, 160, 100), 0.5)]

    rows = {what: (count, of) for what, count, of in module.measure(detect, module.read_photos(tmp_path))}
    assert {what: rows[what] for what in ("found", "false", "largest", "no face")} == {
        "found": (2, 3), "false": (4, 3), "largest": (2, 2), "no face": (1, 1),
    }  # fmt: skip
    assert rows["turned 180"] == (0, 1) and rows["share 0.55"][1] == 2
