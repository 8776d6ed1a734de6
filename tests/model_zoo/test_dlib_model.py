"""dlib's network as a model file: scores that rank as dlib's distances do, and galleries that are kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facealike import Model, ModelError, ModelFile, UsageError
from facealike.model_zoo.dlib import LIFT, SQUARE, TOLERANCE, distance_of, dlib_model, lift, score_of
from facealike.model_zoo.dlib_onnx import to_onnx
from facealike.model_zoo.dlib_weights import SIZE, find_dlib_weights, read_dlib_resnet
from support.dlib_file import dlib_weights, random_file


def descriptors(count: int, seed: int = 0) -> np.ndarray:
    """(n, 128), as dlib's: a common part of length 1.3, and each face's own."""
    rng = np.random.default_rng(seed)
    common = rng.standard_normal(128)
    own = rng.standard_normal((count, 128)) * (0.5 / np.sqrt(128))
    return 1.3 * common / np.linalg.norm(common) + own


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.floats(0.01, 1.0))
def test_lifted_descriptors_are_the_formula(seed: int, e: float) -> None:
    x = descriptors(3, seed)
    for row, descriptor in zip(lift(x, e), x, strict=True):
        square = e * e * sum(v * v for v in descriptor)
        wanted = [*(2 * e * v / (1 + square) for v in descriptor), (1 - square) / (1 + square)]
        np.testing.assert_allclose(row, wanted, atol=1e-6)
        assert float(row @ row) == pytest.approx(1, abs=1e-5)


@settings(deadline=None)
@given(st.floats(0, 1.2), st.floats(0.01, 1.0), st.floats(0.5, 4))
def test_distance_and_score_are_inverse(distance: float, e: float, square: float) -> None:
    score = score_of(distance, e, square)
    assert distance_of(score, e, square) == pytest.approx(distance, abs=1e-5)


def test_the_score_is_that_of_two_such_descriptors() -> None:
    x = descriptors(2)
    x *= np.sqrt(SQUARE) / np.linalg.norm(x, axis=1, keepdims=True)
    a, b = lift(x).astype(np.float64)
    assert float(a @ b) == pytest.approx(score_of(float(np.linalg.norm(x[0] - x[1]))), abs=1e-6)


def test_scores_rank_pairs_as_distances_do() -> None:
    """Nearly: the lift is bent, and a pair of longer descriptors scores a little higher."""
    x = descriptors(300)
    first, second = np.triu_indices(len(x), 1)
    distances = np.linalg.norm(x[first] - x[second], axis=1)
    lifted = lift(x).astype(np.float64)
    scores = (lifted[first] * lifted[second]).sum(axis=1)
    ranks = [np.argsort(np.argsort(values)) for values in (-distances, scores)]
    assert np.corrcoef(ranks)[0, 1] > 0.98
    told = np.array([distance_of(score) for score in scores[::20]])
    assert np.abs(told - distances[::20]).max() < 0.03  # three parts in a hundred, more or less
    clear = np.abs(distances - 0.7) > 0.03
    assert clear.sum() > 10_000
    np.testing.assert_array_equal((scores >= score_of(0.7))[clear], (distances <= 0.7)[clear])


def test_descriptors_of_another_shape_are_refused() -> None:
    for shape in [(128,), (2, 129), (1, 2, 128)]:
        with pytest.raises(UsageError, match=r"\(n, 128\)"):
            lift(np.zeros(shape))


def test_another_file_is_refused(tmp_path: Path) -> None:
    """Also one that can be read: nobody knows its licence, and 0.6 may mean nothing for it."""
    data, _ = random_file()
    assert read_dlib_resnet(data).parameters > 5_000_000
    path = tmp_path / "some.dat"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=r"some\.dat: not the dlib_face_recognition_resnet"):
        dlib_model(path)
    with pytest.raises(ModelError, match="cannot be read"):
        dlib_model(tmp_path / "none.dat")


def test_equal_networks_are_equal_files() -> None:
    data, _ = random_file()
    net = read_dlib_resnet(data)
    assert to_onnx(net, LIFT) == to_onnx(read_dlib_resnet(data), LIFT) != to_onnx(net)


def test_the_model(tmp_path: Path) -> None:
    dlib = pytest.importorskip("dlib")
    dlib_weights()
    file = dlib_model(find_dlib_weights())
    file.write(tmp_path / "dlib.facealike")
    assert ModelFile.read(tmp_path / "dlib.facealike") == file
    assert file.card.licences["weights"].commercial is True and file.preprocessing.align == "chip"
    model = Model(file, "cpu", threads=1)
    assert model.threshold == pytest.approx(score_of(TOLERANCE)) and model.embedder.dimensions == 129
    rng = np.random.default_rng(0)
    chips = rng.integers(0, 256, (2, 15, 15, 3), dtype=np.uint8).repeat(10, axis=1).repeat(10, axis=2)
    assert chips.shape[1] == SIZE
    network = dlib.face_recognition_model_v1(str(find_dlib_weights()))
    own = np.array(network.compute_face_descriptor(list(chips)))
    np.testing.assert_allclose(model.embed_crops(chips), lift(own), atol=1e-5)
