"""Training of the landmark network: the jitter moves pictures and points alike, and fitting learns."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from facealike.detection.landmarks import SIZE, Landmarker, box_matrix
from facealike.imaging.boxes import iou
from facealike.imaging.geometry import transform_points, warp
from facealike.train.landmarks.run import STORED, LandmarkNet, export, fit, jitter, stored_matrix
from facealike.types import Box


def spots(centres: np.ndarray, size: int) -> np.ndarray:
    """A picture (3, S, S) with a soft spot at each of the points (k, 2), all of one brightness."""
    rows, columns = np.mgrid[:size, :size]
    picture = np.zeros((size, size))
    for x, y in centres:
        picture += 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 8)
    return np.repeat(picture.clip(0, 255)[None], 3, axis=0)


def centre_of_mass(picture: np.ndarray) -> np.ndarray:
    total, x, y = 0.0, 0.0, 0.0
    for row in range(picture.shape[0]):
        for column in range(picture.shape[1]):
            total += picture[row, column]
            x += picture[row, column] * column
            y += picture[row, column] * row
    return np.array([x / total, y / total])


def test_the_jitter_moves_points_with_their_picture() -> None:
    """Five points on one spot: wherever the spot goes in the crop, the points must say so."""
    where = np.array([[84.0, 76.0]])
    images = torch.from_numpy(spots(where, STORED)).float().expand(12, -1, -1, -1)
    points = torch.from_numpy(where).float().expand(12, 5, 2)
    crops, moved = jitter(images, points, torch.Generator().manual_seed(3))
    assert crops.shape == (12, 3, SIZE, SIZE) and moved.shape == (12, 5, 2)
    seen = [centre_of_mass(crop[0].numpy()) for crop in crops]
    said = moved[:, 0].numpy() * (SIZE / 2) + SIZE / 2 - 0.5
    np.testing.assert_allclose(seen, said, atol=0.1)
    assert np.ptp(said, axis=0).min() > 2, "the crops differ"


@given(st.floats(-50, 300), st.floats(-50, 300), st.floats(20, 200), st.floats(20, 200))
def test_the_stored_crop_is_twice_the_view_around_the_same_centre(
    left: float, top: float, width: float, height: float
) -> None:
    box = Box(left, top, left + width, top + height)
    wide, narrow = stored_matrix(box), box_matrix(box)
    np.testing.assert_allclose(wide[:, :2] * SIZE * 2, narrow[:, :2] * STORED)
    centre = np.array([[box.center[0] - 0.5, box.center[1] - 0.5]])
    np.testing.assert_allclose(transform_points(wide, centre), [[STORED / 2 - 0.5] * 2], atol=1e-6)
    np.testing.assert_allclose(transform_points(narrow, centre), [[SIZE / 2 - 0.5] * 2], atol=1e-6)


boxes = st.builds(
    lambda x, y, width, height: Box(x, y, x + width, y + height),
    st.integers(0, 12), st.integers(0, 12), st.integers(1, 12), st.integers(1, 12),
)  # fmt: skip


@given(boxes, boxes)
def test_overlap_against_counted_pixels(a: Box, b: Box) -> None:
    cells = [
        {(x, y) for x in range(int(k.left), int(k.right)) for y in range(int(k.top), int(k.bottom))}
        for k in (a, b)
    ]
    assert (
        abs(
            float(iou(np.array([a]), np.array([b]))[0, 0])
            - len(cells[0] & cells[1]) / len(cells[0] | cells[1])
        )
        < 1e-9
    )


def test_a_few_epochs_learn_and_the_export_runs() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(60, 100, (48, 5, 2)).astype(np.float32)
    points[:, 1:] = points[:, :1]  # one spot, so that a few steps can learn it
    images = np.stack([spots(p[:1], STORED) for p in points]).astype(np.uint8)
    network, losses = fit(torch.from_numpy(images), torch.from_numpy(points), epochs=12, seed=0, batch=16)
    assert losses[-1] < 0.8 * losses[0]
    content = export(network)
    found = Landmarker(content)(warp(np.zeros((90, 90, 3), np.uint8), np.eye(2, 3), 90), Box(20, 20, 70, 70))
    assert len(found) == 5 and np.isfinite(found).all()
    assert sum(p.numel() for p in LandmarkNet().parameters()) < 250_000
