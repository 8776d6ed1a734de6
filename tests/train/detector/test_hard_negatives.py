"""Hard places: seen by the detector, by the teacher at no size; they come back in pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facealike.detection.registry import default_detector
from facealike.train.detector import hard_negatives
from facealike.train.detector.hard_negatives import SIDES, hard_places, main, surroundings
from facealike.train.detector.pictures import HARD_SIDE, SIDE, Pool, compose
from facealike.types import Box, Face


class Finder:
    """Finds fixed relative boxes in pictures of some sides."""

    def __init__(self, *found: tuple[int, tuple[float, float, float, float]]) -> None:
        self.found = found

    def detect(self, image: np.ndarray) -> list[Face]:
        side = image.shape[0]
        return [Face(Box(*(v * side for v in box)), 0.5) for at, box in self.found if at == side]


A, B, C = (0.1, 0.1, 0.3, 0.3), (0.5, 0.5, 0.9, 0.9), (0.6, 0.1, 0.7, 0.2)


def test_a_place_is_hard_where_the_teacher_sees_nothing_at_any_size() -> None:
    image = np.zeros((250, 250, 3), np.uint8)
    student: Any = Finder((160, A), (320, A), (320, B), (640, C))
    teacher: Any = Finder((160, (0.52, 0.5, 0.9, 0.9)))
    np.testing.assert_allclose(hard_places(image, student, teacher), [A, C])
    assert hard_places(image, Finder(), teacher).shape == (0, 4)  # type: ignore[arg-type]
    assert len(hard_places(image, student, student)) == 0


def test_surroundings_are_centered_and_inside() -> None:
    x, y = np.meshgrid(np.arange(250), np.arange(250))
    image = np.stack([x, y, 0 * x], axis=2).astype(np.uint8)
    middle = surroundings(image, np.array([0.4, 0.4, 0.6, 0.6]))
    assert middle.shape == (HARD_SIDE, HARD_SIDE, 3)
    assert middle[..., 0].mean() == pytest.approx(125, abs=1) and middle[..., 1].mean() == pytest.approx(
        125, abs=1
    )
    assert np.ptp(middle[..., 0].astype(int)) == pytest.approx(250 * 0.2 * 2.5, abs=3)
    corner = surroundings(image, np.array([0.0, 0.9, 0.1, 1.0]))
    assert corner[..., 0].min() == 0 and corner[..., 1].max() >= 248
    assert surroundings(image, np.array([0, 0, 1, 1.0]))[..., 0].max() >= 248


def test_the_command_writes_them_into_the_pool_and_pictures_show_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    for name, side in (("photos", 250), ("chips", 144), ("scenery", 640)):
        np.save(tmp_path / f"{name}.npy", rng.integers(0, 200, (2, side, side, 3), dtype=np.uint8))
    weights = tmp_path / "d.onnx"
    weights.write_bytes(default_detector().weights or b"")
    paths = ["--pool", str(tmp_path), "--teacher", str(weights), "--detector", str(weights)]
    main(paths)  # noise, and the detector is its own teacher
    assert "no hard place" in capsys.readouterr().err
    assert Pool.open(tmp_path).hard is None
    monkeypatch.setattr(hard_negatives, "hard_places", lambda *_: np.array([A, B]))
    main(paths)
    pool = Pool.open(tmp_path)
    assert pool.hard is not None and pool.hard.shape == (8, HARD_SIDE, HARD_SIDE, 3)
    white = replace(pool, hard=np.full_like(pool.hard, 255))
    pictures = [compose(np.random.default_rng(seed), white) for seed in range(60)]
    assert all(picture.shape == (SIDE, SIDE, 3) for picture in pictures)
    assert SIDES[-1] > SIDE and sum(float(np.median(picture)) > 200 for picture in pictures) >= 3
