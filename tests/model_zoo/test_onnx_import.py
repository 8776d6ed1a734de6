"""Bring your own: the wrapped embedder sees what its authors fed it, and gives no verdict by itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image as PillowImage
from typer.testing import CliRunner

from facealike.calibration.calibration import Calibration
from facealike.cli import app
from facealike.detection.registry import default_detector
from facealike.embedding.embedder import Embedder
from facealike.embedding.face_model import Model
from facealike.errors import ModelError, NotCalibrated, UsageError
from facealike.evaluation.all_pairs import evaluate_exhaustive
from facealike.evaluation.lfw_view2 import evaluate_view2
from facealike.evaluation.verification import evaluate_pairs
from facealike.imaging.align import TEMPLATE_112
from facealike.imaging.geometry import similarity_transform
from facealike.model_file.licenses import License
from facealike.model_zoo.onnx_import import parse_normalize, wrap_onnx
from facealike.types import Pair
from facealike.verification.compare import compare
from support.drawn_people import CentralBox, draw_face
from support.tiny_model import astronaut, hopper_path, tiny_onnx


@pytest.fixture
def embedder(tmp_path: Path) -> Path:
    path = tmp_path / "theirs.onnx"
    path.write_bytes(tiny_onnx(size=112, dimensions=24))
    return path


def by_hand(
    path: Path, scale: Callable[[Any], Any], bgr: bool = False
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """(crop, unit vector) of the astronaut, as the authors of an ArcFace would make them with NumPy."""
    model = Model(wrap_onnx(path), device="cpu")
    image = astronaut()
    (found,) = model.faces(image)
    face = found.face
    assert face is not None and face.landmarks is not None
    inverse = np.linalg.inv(np.vstack([similarity_transform(face.landmarks, TEMPLATE_112), [0, 0, 1]]))
    crop = model.crop(image, face)
    # The middle of the crop, sampled by hand where the eyes are: the crop is where we say it is.
    x, y = (inverse @ [56.0, 72.0, 1])[:2]
    assert np.abs(crop[72, 56].astype(int) - image[round(y), round(x)]).max() < 60
    pixels = crop.astype(np.float32)
    order = [2, 1, 0] if bgr else [0, 1, 2]
    batch = np.stack([scale(pixels[:, :, channel]) for channel in order])[None]
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    (vector,) = session.run(None, {session.get_inputs()[0].name: batch.astype(np.float32)})
    return crop, vector[0] / np.linalg.norm(vector[0])


@pytest.mark.parametrize(
    ("normalise", "scale"),
    [
        ("arcface", lambda x: (x - 127.5) / 127.5),
        ("0-1", lambda x: x / 255),
        ("unit", lambda x: x / 255),
        ("raw", lambda x: x),
        ("127.5/128", lambda x: (x - 127.5) / 128),
    ],
)
@pytest.mark.parametrize("bgr", [False, True])
def test_the_vector_is_that_of_the_network_run_directly(
    embedder: Path, normalise: str, scale: Callable[[Any], Any], bgr: bool
) -> None:
    wrapped = wrap_onnx(embedder, normalize=normalise, channels="bgr" if bgr else "rgb")
    crop, expected = by_hand(embedder, scale, bgr)
    model = Model(wrapped, device="cpu")
    assert np.abs(model.embed_crops(crop[None])[0] - expected).max() < 1e-6
    assert np.abs(model.embed([astronaut()])[0] - expected).max() < 1e-6


def test_mean_and_std_may_differ_by_channel_and_red_comes_first(embedder: Path) -> None:
    mean, std = np.array([123.7, 116.3, 103.5]), np.array([58.4, 57.1, 57.4])
    crops = np.random.default_rng(0).integers(0, 256, (2, 112, 112, 3), dtype=np.uint8)
    for channels, order in (("rgb", [0, 1, 2]), ("bgr", [2, 1, 0])):
        file = wrap_onnx(embedder, 112, "123.7,116.3,103.5/58.4,57.1,57.4", channels=channels)  # type: ignore[arg-type]
        expected = ((crops - mean) / std)[..., order].transpose(0, 3, 1, 2)
        assert np.abs(file.preprocessing.normalize(crops) - expected).max() < 1e-4


@pytest.mark.parametrize("text", ["", "arc", "1/2/3", "1,2/3", "a/b", "1,2,3,4/1", "/", "1"])
def test_a_normalisation_that_is_none(text: str) -> None:
    with pytest.raises(UsageError, match=r"arcface, 0-1, .*127\.5/128"):
        parse_normalize(text)


def test_what_the_file_says_of_itself(embedder: Path) -> None:
    file = wrap_onnx(embedder, license="mit", name="theirs", source="https://example.org/theirs.onnx")
    assert file.detector_spec == default_detector().spec and file.embedder == embedder.read_bytes()
    assert file.preprocessing.size == 112 and file.preprocessing.align == "landmarks"
    assert file.card.licences == {"weights": License("MIT", "MIT", True, "https://example.org/theirs.onnx")}
    assert file.card.licence == {"weights": "MIT"} and file.card.identity_hashes == ()
    assert file.calibration.is_none and file.from_bytes(file.to_bytes()) == file
    assert wrap_onnx(embedder).card.licences["weights"].commercial is None
    assert wrap_onnx(embedder, channels="bgr").id != file.id != wrap_onnx(embedder, normalize="raw").id
    json.dumps(file.card.to_dict())


def graph(path: Path, inputs: list[Any], outputs: list[Any], nodes: list[Any], weights: list[Any]) -> Path:
    made = helper.make_graph(
        nodes,
        "theirs",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, inputs)],
        [helper.make_tensor_value_info(f"y{i}", TensorProto.FLOAT, shape) for i, shape in enumerate(outputs)],
        weights,
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def matrix(cells: int, name: str = "w") -> Any:
    drawn = np.random.default_rng(0).normal(size=(cells, 8)).astype(np.float32)
    return numpy_helper.from_array(drawn, name)


def test_graphs_as_others_export_them(tmp_path: Path) -> None:
    """A batch of one (SFace), the norm as a second output (AdaFace), a size left open."""
    flat = helper.make_node("Flatten", ["x"], ["f"])
    vector = helper.make_node("MatMul", ["f", "w"], ["y0"])
    norm = helper.make_node("ReduceL2", ["f"], ["y1"], axes=[1], keepdims=1)
    cells = matrix(3 * 16 * 16)
    single = graph(tmp_path / "one.onnx", [1, 3, 16, 16], [[1, 8]], [flat, vector], [cells])
    several = graph(
        tmp_path / "two.onnx", ["n", 3, 16, 16], [["n", 8], ["n", 1]], [flat, vector, norm], [cells]
    )
    crops = np.random.default_rng(1).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    one, two = (Model(wrap_onnx(path), device="cpu").embed_crops(crops) for path in (single, several))
    assert one.shape == (3, 8) and np.abs(one - two).max() < 1e-6
    free = graph(tmp_path / "free.onnx", ["n", 3, "h", "w"], [["n", 8]], [flat, vector], [cells])
    with pytest.raises(UsageError, match="--input"):
        wrap_onnx(free)
    assert wrap_onnx(free, 16).preprocessing.size == 16
    with pytest.raises(ModelError, match=r"free\.onnx: the embedder failed"):
        wrap_onnx(free, 32)


def test_files_that_cannot_be_wrapped_are_one_sentence(tmp_path: Path, embedder: Path) -> None:
    (tmp_path / "text.onnx").write_text("no graph")
    zero = matrix(3 * 16 * 16)
    zero.raw_data = bytes(len(zero.raw_data))
    nodes = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("MatMul", ["f", "w"], ["y0"])]
    graph(tmp_path / "zero.onnx", ["n", 3, 16, 16], [["n", 8]], nodes, [zero])
    cases: list[tuple[Path, dict[str, Any], str]] = [
        (tmp_path / "none.onnx", {}, "no ONNX file can be read"),
        (tmp_path / "text.onnx", {}, "not an ONNX graph that can be run"),
        (tmp_path / "zero.onnx", {}, "zero or non-finite"),
        (embedder, {"input_size": 96}, "has 112 on axis 2, not 96"),
        (embedder, {"align": "sideways"}, "align must be"),
        (embedder, {"channels": "grb"}, "channels must be"),
    ]
    for path, arguments, words in cases:
        with pytest.raises(ModelError, match=words) as caught:
            wrap_onnx(path, **arguments)
        assert "\n" not in str(caught.value)


# ---- no verdict without a threshold -----------------------------------------------------------


@pytest.fixture
def uncalibrated(tmp_path: Path, embedder: Path) -> Path:
    wrap_onnx(embedder).write(tmp_path / "theirs.facealike")
    return tmp_path / "theirs.facealike"


def test_compare_refuses_until_a_threshold_is_given(uncalibrated: Path) -> None:
    with pytest.raises(NotCalibrated, match="give --threshold, or learn one") as caught:
        compare(astronaut(), hopper_path(), uncalibrated)
    assert "\n" not in str(caught.value)
    result = compare(astronaut(), hopper_path(), uncalibrated, threshold=0.25)
    assert result.threshold == 0.25 and result.probability is None and result.fmr is None
    assert result.same == (result.score >= 0.25) and not result.uncertain
    with pytest.raises(UsageError, match="it has none; see facealike calibrate"):
        compare(astronaut(), hopper_path(), uncalibrated, fmr=0.01)
    done = CliRunner().invoke(app, ["compare", hopper_path(), hopper_path(), "-m", str(uncalibrated)])
    assert done.exit_code == 2 and done.stderr.count("\n") == 1 and "not calibrated" in done.stderr
    assert done.stdout == ""


def test_evaluate_refuses_but_ranks_and_view2_need_no_threshold(
    uncalibrated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Model.load(uncalibrated, device="cpu")
    box = replace(model.preprocessing, align="box")
    model.preprocessing = box
    model.embedder = Embedder(model.file.embedder, box, "cpu")
    model.__dict__["detector"] = CentralBox()
    root = tmp_path / "people"
    for person in range(6):
        (root / f"P{person}").mkdir(parents=True)
        for photo in (1, 2):
            PillowImage.fromarray(draw_face(person, photo)).save(
                root / f"P{person}" / f"P{person}_{photo:04d}.jpg"
            )
    photos = [[str(root / f"P{p}" / f"P{p}_{n:04d}.jpg") for n in (1, 2)] for p in range(6)]
    pairs = [Pair(a, b, True) for a, b in photos] + [
        Pair(photos[i][0], photos[i - 1][1], False) for i in range(6)
    ]
    with pytest.raises(NotCalibrated):
        evaluate_pairs(model, pairs, "drawn")
    with pytest.raises(NotCalibrated):
        evaluate_exhaustive(model, root, "all")
    given = evaluate_pairs(model, pairs, "drawn", threshold=0.5)
    assert given.threshold == 0.5 and given.threshold_from == "the caller" and given.pairs == 12
    with pytest.raises(NotCalibrated):
        _ = model.threshold
    lines = ["2\t3"]
    for fold in (0, 3):
        lines += [f"P{p}\t1\t2" for p in range(fold, fold + 3)]
        lines += [f"P{p}\t1\tP{(p + 1) % 3 + fold}\t2" for p in range(fold, fold + 3)]
    (tmp_path / "pairs.txt").write_text("\n".join(lines) + "\n")
    assert 0 <= evaluate_view2(model, root, tmp_path / "pairs.txt").accuracy <= 1


def test_the_calibration_that_is_none() -> None:
    none = Calibration.none()
    assert none.is_none and Calibration.from_dict(none.to_dict()) == none
    assert "not calibrated" in str(none) and none.probability_of(0.5) is None
    own = Calibration(0.4, "best F1", "people", 3)
    assert own.check() is own and not own.is_none
