"""Five landmarks in dlib's boxes: the geometry of the crops, and the shipped network on portraits."""

from __future__ import annotations

import hashlib
import os
from importlib import resources

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facealike.detection.dlib_hog import DlibDetector
from facealike.detection.landmarks import (
    SIZE,
    SURROUNDINGS,
    UPRIGHT,
    Landmarker,
    box_matrix,
    default_landmarks,
)
from facealike.detection.registry import make_detector, named_detector
from facealike.detection.select import select_faces
from facealike.detection.yunet import YuNetDetector
from facealike.errors import DetectorError
from facealike.imaging.geometry import invert, transform_points, warp
from facealike.types import Box
from support.data_paths import needs_data
from support.tiny_model import astronaut

YUNET = os.environ.get("FACEALIKE_YUNET")
LFW = os.environ.get("FACEALIKE_LFW")
numbers = st.floats(-500, 500)
sides = st.floats(5, 800)


@given(numbers, numbers, sides, sides)
def test_the_crop_holds_the_box_and_its_surroundings(
    left: float, top: float, width: float, height: float
) -> None:
    box = Box(left, top, left + width, top + height)
    matrix = box_matrix(box)
    side = max(width, height) * (1 + 2 * SURROUNDINGS)
    x, y = box.center
    # In pixel edges: the photo's edge coordinates are half a pixel more than its pixel centres.
    corners = np.array([[x - side / 2, y - side / 2], [x + side / 2, y + side / 2]]) - 0.5
    np.testing.assert_allclose(
        transform_points(matrix, corners), [[-0.5, -0.5], [SIZE - 0.5, SIZE - 0.5]], atol=1e-6
    )


@given(st.floats(-3, 3), st.floats(0.05, 20), numbers, numbers)
def test_invert_undoes(angle: float, scale: float, dx: float, dy: float) -> None:
    matrix = np.array(
        [
            [scale * np.cos(angle), -scale * np.sin(angle), dx],
            [scale * np.sin(angle), scale * np.cos(angle), dy],
        ]
    )
    points = np.array([[0.0, 0.0], [10.0, -3.0], [250.0, 100.0]])
    back = transform_points(invert(matrix), transform_points(matrix, points))
    slow = [
        [matrix[0, 0] * px + matrix[0, 1] * py + dx, matrix[1, 0] * px + matrix[1, 1] * py + dy]
        for px, py in points
    ]
    np.testing.assert_allclose(transform_points(matrix, points), slow, atol=1e-9)
    np.testing.assert_allclose(back, points, atol=1e-6)


def test_the_upright_shape_fits_the_crop() -> None:
    assert UPRIGHT.shape == (5, 2) and UPRIGHT.min() > 0.25 * SIZE and UPRIGHT.max() < 0.75 * SIZE


def test_landmarks_follow_a_turned_photo() -> None:
    """Turn the photo by a known angle and the points must turn with it."""
    detector = named_detector("dlib-landmarks")
    image = astronaut()
    (straight, *_) = detector.detect(image)
    assert straight.landmarks is not None
    points = np.array(straight.landmarks)
    eye_distance = float(np.linalg.norm(points[0] - points[1]))
    assert points[0, 0] < points[1, 0] and points[3, 0] < points[4, 0], "left of the image comes first"
    assert points[:2, 1].max() < points[2, 1] < points[3:, 1].min(), "eyes above the nose above the mouth"
    size = image.shape[0]
    for degrees in (-12, 12):
        angle, middle = np.radians(degrees), size / 2
        cos, sin = np.cos(angle), np.sin(angle)
        turn = np.array(
            [
                [cos, -sin, middle - cos * middle + sin * middle],
                [sin, cos, middle - sin * middle - cos * middle],
            ]
        )
        turned = detector.detect(warp(image, turn, size))[0]
        distance = np.linalg.norm(np.array(turned.landmarks) - transform_points(turn, points), axis=1)
        assert distance.mean() < 0.1 * eye_distance


@needs_data("FACEALIKE_YUNET", "FACEALIKE_LFW")
def test_landmarks_are_near_those_of_the_teacher_on_unseen_people() -> None:
    from facealike.datasets.people import People
    from facealike.imaging.read import read_image

    assert YUNET is not None and LFW is not None
    ours, teacher = named_detector("dlib-landmarks"), YuNetDetector(YUNET, threads=1)
    errors = []
    for path in People.from_folder(LFW).split("test").paths[:120]:
        image = read_image(path)
        found, known = ours.detect(image), teacher.detect(image)
        if not found or not known:
            continue
        a = np.array(select_faces(found, "central", image.shape)[0].landmarks)
        b = np.array(select_faces(known, "central", image.shape)[0].landmarks)
        errors.append(np.linalg.norm(a - b, axis=1).mean() / np.linalg.norm(b[0] - b[1]))
    assert len(errors) > 110
    assert np.median(errors) < 0.10, "a fraction of the distance between the eyes"


def test_the_detector_travels_by_its_spec() -> None:
    detector = named_detector("dlib-landmarks")
    again = make_detector(detector.spec, detector.weights)
    assert again.spec == detector.spec and again.has_landmarks
    assert again.detect(astronaut()) == detector.detect(astronaut())
    assert not DlibDetector().has_landmarks
    with pytest.raises(DetectorError, match="do not match the hash"):
        make_detector(detector.spec, detector.weights + b"x" if detector.weights else b"")


def test_a_wrong_network_is_refused() -> None:
    with pytest.raises(DetectorError, match="not an ONNX graph"):
        Landmarker(b"garbage")
    from support.tiny_model import tiny_onnx

    with pytest.raises(DetectorError, match="ten numbers"):
        Landmarker(tiny_onnx(SIZE))
    assert len(default_landmarks()) < 2_000_000


def test_the_weights_folder_says_what_lies_in_it() -> None:
    folder = resources.files("facealike") / "weights"
    text = (folder / "README.md").read_text("utf-8")
    for name in ("landmarks.onnx", "dlib-frontal-hog.svm"):
        digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        assert f"`{name}`" in text and digest in text, f"say in weights/README.md where {name} comes from"
