"""The second look at a photo, and --min-face: which faces come from where, and what real photos gain."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from facealike.detection.base import MAX_SIDE, fingerprint
from facealike.detection.registry import DEFAULT_CONFIDENCE, default_detector, make_detector
from facealike.detection.second_look import LARGE, LEEWAY, joined
from facealike.detection.yunet import SMALLEST, YuNetDetector
from facealike.embedding.cropper import FaceCropper
from facealike.errors import UsageError
from facealike.imaging.boxes import iou
from facealike.imaging.read import read_image
from facealike.types import Box, Face
from support.tiny_model import hopper_path

SIDE = 1000


def face(x: float, y: float, side: float, confidence: float = 0.9) -> Face:
    return Face(Box(x, y, x + side, y + side), confidence)


def detector(**settings: int) -> YuNetDetector:
    weights = default_detector().weights
    assert weights is not None
    return YuNetDetector(weights, DEFAULT_CONFIDENCE, threads=1, landmark_overlap=0.5, **settings)


def test_small_faces_come_from_the_photo_and_large_ones_from_the_reduced_one() -> None:
    small, large = face(0, 0, 80), face(300, 300, 500)
    eye = face(400, 400, 90)  # a part of the large face
    beside = face(850, 850, 120)
    other = face(10, 10, 600, 0.95)  # nonsense as large as this is not taken from the photo
    found = joined([other, small, eye, beside], [large, face(700, 0, 60, 0.99)], SIDE)
    assert set(found) == {small, large, beside}
    assert joined([small], [], SIDE) == [small] and joined([], [large], SIDE) == [large]
    assert joined([], [], SIDE) == []


def test_a_face_of_middle_size_is_given_once_whichever_look_finds_it() -> None:
    for near in (LARGE / LEEWAY * 1.05, LARGE, LARGE * LEEWAY * 0.98):
        one, again = face(100, 100, near * SIDE, 0.95), face(105, 98, near * SIDE * 0.98, 0.9)
        assert joined([one], [], SIDE) == [one] and joined([], [one], SIDE) == [one]
        assert joined([one], [again], SIDE) == [again]


def test_faces_are_sorted_by_confidence() -> None:
    far = [face(i * 100, 0, 50, c) for i, c in enumerate((0.99, 0.9))]
    assert [f.confidence for f in joined(far, [face(0, 400, 400, 0.95)], SIDE)] == [0.99, 0.95, 0.9]


def test_a_face_that_fills_a_large_photo_is_found() -> None:
    """A portrait whose face has three quarters of the height, at 1,000 pixels."""
    photo = PillowImage.fromarray(read_image(hopper_path()))
    (at,) = detector().detect(np.asarray(photo))
    x, y = at.box.center
    half = at.box.height / 0.75 / 2
    near = photo.resize((1000, 1000), box=(x - half, y - half, x + half, y + half))
    wanted = (np.array(at.box) - [x - half, y - half] * 2) * 1000 / (2 * half)
    found = detector(close_side=320).detect(np.asarray(near))
    assert len(found) == 1
    assert iou(np.array([found[0].box]), wanted[None])[0, 0] > 0.6


def test_photos_no_larger_than_the_second_look_are_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    own = YuNetDetector._look
    monkeypatch.setattr(
        YuNetDetector, "_look", lambda self, image, limit: (looks.append(limit), own(self, image, limit))[1]
    )
    finder = detector(close_side=320)
    finder.detect(np.zeros((320, 200, 3), np.uint8))
    finder.detect(np.zeros((321, 200, 3), np.uint8))
    assert looks == [800, 800, 320]


@pytest.fixture(scope="module")
def small_face() -> tuple[np.ndarray, np.ndarray]:
    """A photo of 2,200 pixels with a face of 20 pixels, and its box."""
    photo = read_image(hopper_path())
    (at,) = detector().detect(photo)
    scale = 20 / float(np.sqrt(at.box.area))
    size = round(photo.shape[1] * scale), round(photo.shape[0] * scale)
    small = PillowImage.fromarray(photo).resize(size, PillowImage.Resampling.LANCZOS)
    large = np.full((2200, 2200, 3), 90, np.uint8)
    large[1500 : 1500 + small.height, 900 : 900 + small.width] = np.asarray(small)
    return large, np.array(at.box) * scale + [900, 1500, 900, 1500]


def test_min_face_finds_in_a_large_photo_what_is_lost_otherwise(
    small_face: tuple[np.ndarray, np.ndarray],
) -> None:
    large, wanted = small_face
    closer = detector().with_min_face(12)
    assert detector().detect(large) == []
    (found,) = closer.detect(large)
    assert iou(np.array([found.box]), wanted[None])[0, 0] > 0.4
    photo = read_image(hopper_path())  # small enough already: it is searched as it was
    assert closer.detect(photo) == detector().detect(photo)


def test_min_face_is_in_pixels_of_the_whole_photo(
    small_face: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    """Large JPEGs are decoded at reduced size for other detectors."""
    path = tmp_path / "large.jpg"
    PillowImage.fromarray(small_face[0]).save(path, quality=95)
    cropper = FaceCropper(detector().with_min_face(12), None)
    (found,) = cropper.faces(cropper.photo(path), "all", quality=False)
    assert found.face is not None
    assert iou(np.array([found.face.box]), small_face[1][None])[0, 0] > 0.4


def test_the_side_of_a_search_is_bounded() -> None:
    looks: list[int] = []

    class Looking(YuNetDetector):
        def _look(self, image, limit):  # type: ignore[no-untyped-def]
            looks.append(limit)
            return []

    weights = default_detector().weights
    assert weights is not None
    finder = Looking(weights, min_face=20)
    for side in (100, 1000, 3000, 30_000):
        finder.detect(np.zeros((4, side, 3), np.uint8))
    assert looks == [800, 800, 3000 * SMALLEST // 20, MAX_SIDE]


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(UsageError, match="too small"):
        detector().with_min_face(SMALLEST - 1)


def test_the_settings_are_part_of_the_spec_and_come_back() -> None:
    plain, both = detector(), detector(close_side=320, min_face=24)
    assert "close_side" not in plain.spec and "min_face" not in plain.spec
    assert both.spec["close_side"] == 320 and both.spec["min_face"] == 24
    again = make_detector(both.spec, both.weights)
    assert again.spec == both.spec and fingerprint(again) != fingerprint(plain)
