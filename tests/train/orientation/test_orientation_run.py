"""Training the orientation network: its examples turn as their classes say, and a short run learns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from facealike.detection.orientation import SIZE, TURNS, Orientation
from facealike.detection.registry import default_detector
from facealike.detection.yunet import YuNetDetector
from facealike.imaging.read import read_image
from facealike.train.orientation.crops import STORED, collect, examples, part_of, square
from facealike.train.orientation.run import OrientationNet, OrientationRecipe, measure, train
from facealike.types import Box
from support.tiny_model import hopper_path


def test_an_example_is_turned_as_its_class_says() -> None:
    """A white upper half is found above, on the left, below or on the right: counterclockwise."""
    image = torch.zeros(400, 3, STORED, STORED, dtype=torch.uint8)
    image[:, :, : STORED // 2] = 255
    crops, classes = examples(image, torch.ones(400, dtype=torch.bool), torch.Generator().manual_seed(0))
    assert crops.shape == (400, 3, SIZE, SIZE) and set(classes.tolist()) == set(range(TURNS))
    level = crops.mean(dim=1)
    half = SIZE // 2
    sides = torch.stack(
        [level[:, :half].mean((1, 2)), level[:, :, :half].mean((1, 2)),
         level[:, half:].mean((1, 2)), level[:, :, half:].mean((1, 2))], 1
    )  # fmt: skip
    assert torch.equal(sides.argmax(dim=1), classes)


def test_places_without_a_face_have_a_class_of_their_own() -> None:
    images = torch.zeros(8, 3, STORED, STORED, dtype=torch.uint8)
    face = torch.tensor([True, False] * 4)
    _, classes = examples(images, face, torch.Generator().manual_seed(1))
    assert ((classes == TURNS) == ~face).all()


def test_places_without_a_face_keep_away_from_faces() -> None:
    weights = default_detector().weights
    assert weights is not None
    teacher = YuNetDetector(weights, 0.3, threads=1)
    photo = read_image(hopper_path())
    made = list(collect([photo] * 5, teacher, np.random.default_rng(0)))
    faces = [crop for crop, face in made if face]
    assert len(faces) >= 5 and all(crop.shape == (STORED, STORED, 3) for crop, _ in made)
    assert sum(not face for _, face in made) > 5


def test_squares_lie_in_the_photo_and_parts_at_the_face() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        box = square(rng, (120, 300))
        assert 0 <= box.left < box.right <= 300 and 0 <= box.top < box.bottom <= 120
        part = part_of(rng, Box(50, 50, 150, 190))
        assert part.width < 60 and 50 <= part.center[0] <= 150 and 50 <= part.center[1] <= 190


def test_a_short_run_learns_which_side_is_up(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    crops = torch.from_numpy(rng.integers(90, 120, (60, 3, STORED, STORED), dtype=np.uint8))
    face = torch.arange(60) % 2 == 0
    crops[face, :, : STORED // 2] //= 4
    network = train(crops, face, OrientationRecipe(steps=60, batch=32))
    found = measure(network, crops, face)
    assert found["right"] > 0.9 and found["false"] < 0.1 and found["missed"] < 0.1
    again = train(crops, face, OrientationRecipe(steps=3, batch=8, rate=1e-3))
    same = train(crops, face, OrientationRecipe(steps=3, batch=8, rate=1e-3))
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), same.parameters(), strict=True))


def test_the_written_network_is_read_by_the_detector(tmp_path: Path) -> None:
    from facealike.train.export_onnx import to_onnx
    from facealike.train.orientation.run import Probabilities

    network = Probabilities(OrientationNet()).eval()
    example = torch.rand(2, 3, SIZE, SIZE)
    content = to_onnx(network, example, "crops", "probabilities")
    rows = Orientation(content)(np.zeros((9, 9, 3), np.uint8), [])
    assert rows.shape == (0, TURNS + 1)
    with torch.no_grad():
        assert network(example).sum(dim=1) == pytest.approx(torch.ones(2))
