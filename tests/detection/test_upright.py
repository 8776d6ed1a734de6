"""Turned faces and boxes without a face: what a detector returns once the orientation network has spoken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from facealike.detection.crop_network import crop_matrix
from facealike.detection.orientation import ENTRY, SIZE, TURNS, Orientation, with_orientation
from facealike.detection.registry import default_detector
from facealike.detection.upright import CERTAIN, NO_FACE, SURE, turned_face, upright
from facealike.detection.yunet import YuNetDetector
from facealike.errors import DetectorError
from facealike.imaging.align import chip_matrix
from facealike.imaging.boxes import iou
from facealike.imaging.geometry import transform_points, warp
from facealike.imaging.read import read_image
from facealike.types import Box, Face, Image
from facealike.utils import onnx_writer
from support.tiny_model import hopper_path


class Fixed(Orientation):
    """Returns the same rows whatever it sees."""

    def __init__(self, *rows: Sequence[float]) -> None:
        self.rows = np.array(rows, dtype=np.float32)

    def __call__(self, image: Image, faces: Sequence[Face]) -> np.ndarray:
        return self.rows[: len(faces)]


def detector() -> YuNetDetector:
    weights = default_detector().weights
    assert weights is not None
    return YuNetDetector(weights, 0.8, threads=1, landmark_overlap=0.5)


def turned_photo(quarters: int) -> tuple[Image, Face, Face]:
    """A photo turned counterclockwise, its face as it is there, and the same with the eyes put on top."""
    photo = read_image(hopper_path())
    photo = photo[: min(photo.shape[:2]), : min(photo.shape[:2])]
    face = detector().detect(photo)[0]
    assert face.landmarks is not None
    left, top, right, bottom = face.box
    points = np.array(face.landmarks)
    side = photo.shape[0]
    for _ in range(quarters):
        left, top, right, bottom = top, side - right, bottom, side - left
        points = np.stack([points[:, 1], side - 1 - points[:, 0]], axis=1)
    box = Box(left, top, right, bottom)
    true = Face(box, face.confidence, tuple((float(x), float(y)) for x, y in points))
    middle = np.array(box.center)
    wrong = (np.array(face.landmarks) - np.array(face.box.center)) + middle
    return (
        np.ascontiguousarray(np.rot90(photo, quarters)), true,
        Face(box, face.confidence, tuple((float(x), float(y)) for x, y in wrong)),
    )  # fmt: skip


def test_the_crop_shows_the_box_in_the_middle() -> None:
    matrix = crop_matrix(Box(100, 50, 180, 150), size=48, view=1.5)
    corners = transform_points(matrix, np.array([[140 - 0.5, 100 - 0.5], [140 - 0.5, 25 - 0.5]]))
    assert corners == pytest.approx(np.array([[23.5, 23.5], [23.5, -0.5]]))


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_turned_face_gets_its_own_landmarks(quarters: int) -> None:
    image, true, wrong = turned_photo(quarters)
    found = turned_face(image, wrong, quarters, detector().detect)
    assert iou(np.array([found.box]), np.array([true.box]))[0, 0] > 0.8
    away = np.linalg.norm(np.array(found.landmarks) - np.array(true.landmarks), axis=1)
    assert away.max() < 0.06 * max(true.box.width, true.box.height)
    upright_photo, straight, _ = turned_photo(0)
    wanted, right, turned = (
        warp(photo, chip_matrix(face, 96), 96).astype(float).ravel()
        for photo, face in ((upright_photo, straight), (image, found), (image, wrong))
    )
    assert np.corrcoef(wanted, right)[0, 1] > 0.7 > 0.5 > np.corrcoef(wanted, turned)[0, 1]


def test_a_turned_face_that_is_not_found_again_gets_average_landmarks() -> None:
    image, true, wrong = turned_photo(2)
    found = turned_face(image, wrong, 2, lambda near: [])
    assert found.box == wrong.box and found.landmarks is not None and true.landmarks is not None
    assert found.landmarks[0][1] > found.landmarks[3][1]  # eyes below the mouth
    away = np.linalg.norm(np.array(found.landmarks) - np.array(true.landmarks), axis=1)
    assert away.max() < 0.25 * true.box.height


def test_only_what_the_network_is_sure_of_changes() -> None:
    image, _, wrong = turned_photo(1)
    wrong = replace(wrong, confidence=CERTAIN - 0.1)
    row = [0.0] * (TURNS + 1)
    sure, unsure, none, maybe = (row.copy() for _ in range(4))
    sure[1], unsure[1], none[TURNS], maybe[TURNS] = SURE + 0.1, SURE - 0.1, NO_FACE + 0.05, NO_FACE - 0.05
    maybe[0] = 0.1
    unsure[0] = 0.1
    kept = upright(image, [wrong] * 4, Fixed(sure, unsure, none, maybe), detector().detect)
    assert len(kept) == 3 and kept[1:] == [wrong, wrong] and kept[0].landmarks != wrong.landmarks
    assert upright(image, [], Fixed(row), detector().detect) == []


def test_a_face_that_the_detector_is_certain_of_is_kept() -> None:
    image, face, _ = turned_photo(0)
    none = [0.0] * TURNS + [1.0]
    for confidence, count in ((CERTAIN - 0.01, 0), (CERTAIN, 1), (1.0, 1)):
        found = upright(image, [replace(face, confidence=confidence)], Fixed(none), detector().detect)
        assert len(found) == count


def network(bias: Sequence[float]) -> bytes:
    """An ONNX network that returns ``bias`` for each crop."""
    weights = np.zeros((3 * SIZE * SIZE, TURNS + 1), np.float32)
    nodes = [
        onnx_writer.node("Flatten", ["crops"], "flat", axis=1),
        onnx_writer.node("Gemm", ["flat", "weights", "bias"], "probabilities"),
    ]
    tensors = [
        onnx_writer.tensor("weights", weights), onnx_writer.tensor("bias", np.array(bias, np.float32)),
    ]  # fmt: skip
    return onnx_writer.model(
        nodes, tensors, ("crops", ["n", 3, SIZE, SIZE]), ("probabilities", ["n", TURNS + 1])
    )


def test_a_detector_carries_the_network_in_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facealike.detection.upright.CERTAIN", 1.1)
    plain = detector()
    photo = read_image(hopper_path())
    faces = plain.detect(photo)
    upright_always = with_orientation(plain.weights, network([1, 0, 0, 0, 0]))
    none_at_all = with_orientation(plain.weights, network([0, 0, 0, 0, 1]))
    settings = {"min_confidence": 0.8, "threads": 1, "landmark_overlap": 0.5}
    assert YuNetDetector(upright_always, **settings).detect(photo) == faces != []
    assert YuNetDetector(none_at_all, **settings).detect(photo) == []
    assert YuNetDetector(none_at_all).spec["sha256"] != plain.spec["sha256"]


@pytest.mark.parametrize("bad", ["*", "aGVsbG8="])
def test_a_damaged_network_is_refused(bad: str) -> None:
    damaged = onnx_writer.with_metadata(detector().weights, ENTRY, bad)
    with pytest.raises(DetectorError, match="orientation network"):
        YuNetDetector(damaged)


def test_many_faces_are_seen_in_their_own_order() -> None:
    finder = Orientation(network([0.1, 0.2, 0.3, 0.4, 0.5]))
    image = np.zeros((50, 50, 3), np.uint8)
    faces = [Face(Box(0, 0, 10 + i % 7, 20), 1.0) for i in range(70)]
    assert finder(image, faces).shape == (70, TURNS + 1)
    assert finder(image, []).shape == (0, TURNS + 1)
