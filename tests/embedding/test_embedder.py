"""The embedder against a slow twin, devices without a fallback, and the way from photo to vector."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image as PillowImage

from facealike.detection.dlib_hog import DlibDetector
from facealike.detection.registry import default_detector
from facealike.detection.yunet import YuNetDetector
from facealike.embedding.embedder import Embedder
from facealike.embedding.embeddings_file import load_embeddings, save_embeddings
from facealike.embedding.face_model import Model
from facealike.errors import (
    DataError,
    DetectorError,
    DeviceError,
    FacealikeError,
    ImageNotFound,
    MixedModels,
    ModelError,
    NoFaceFound,
    UsageError,
)
from facealike.model_file.model_file import ModelFile
from facealike.model_file.preprocessing import Preprocessing
from facealike.model_file.zip_format import sha256
from facealike.types import Face
from support.data_paths import data_path
from support.tiny_model import astronaut, hopper_path, tiny_model_file, tiny_onnx

CROP = Preprocessing(32, "box")


def random_crops(n: int, size: int = 32) -> Any:
    return np.random.default_rng(7).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


def graph_of(nodes: list[Any], in_shape: Any, out_shape: Any, tensors: list[Any], inputs: int = 1) -> bytes:
    graph = helper.make_graph(
        nodes, "test",
        [helper.make_tensor_value_info(f"x{i}", TensorProto.FLOAT, in_shape) for i in range(inputs)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, out_shape)], tensors,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(tiny_model_file(), device="cpu")


# ---- the network ------------------------------------------------------------------------------


def test_embeddings_equal_a_slow_twin() -> None:
    weights = numpy_helper.to_array(onnx.load_from_string(tiny_onnx()).graph.initializer[0])
    crops = random_crops(3)
    fast = Embedder(tiny_onnx(), CROP, "cpu").embed(crops)
    assert fast.dtype == np.float32 and fast.shape == (3, 16)
    for crop, row in zip(crops, fast, strict=True):
        cells = [
            np.mean((crop[y : y + 4, x : x + 4, channel] - 127.5) / 127.5)
            for channel in range(3)
            for y in range(0, 32, 4)
            for x in range(0, 32, 4)
        ]
        slow = np.array(cells) @ weights.astype(np.float64)
        assert row == pytest.approx(slow / np.sqrt(sum(v * v for v in slow)), abs=1e-5)


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 100])
def test_the_batch_does_not_change_the_result(batch: int) -> None:
    embedder, crops = Embedder(tiny_onnx(), CROP, "cpu"), random_crops(7)
    whole = embedder.embed(crops)
    assert np.abs(embedder.embed(crops, batch) - whole).max() < 1e-5
    assert np.linalg.norm(whole, axis=1) == pytest.approx(1, abs=1e-6)


def test_no_crops_give_no_rows() -> None:
    embedder = Embedder(tiny_onnx(), CROP, "cpu")
    assert embedder.dimensions == 16
    assert embedder.embed(random_crops(0)).shape == (0, 16)
    with pytest.raises(UsageError, match="batch"):
        embedder.embed(random_crops(1), batch=0)
    with pytest.raises(UsageError, match="crops must be uint8"):
        embedder.embed(random_crops(1, size=16))


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_a_vector_without_direction_is_refused(value: float) -> None:
    weights = numpy_helper.from_array(np.full((3 * 32 * 32, 4), value, np.float32), "w")
    nodes = [helper.make_node("Flatten", ["x0"], ["f"]), helper.make_node("MatMul", ["f", "w"], ["y"])]
    embedder = Embedder(graph_of(nodes, ["n", 3, 32, 32], ["n", 4], [weights]), CROP, "cpu")
    with pytest.raises(ModelError, match="zero or non-finite"):
        embedder.embed(random_crops(2))


def test_a_graph_for_one_crop_takes_them_one_by_one() -> None:
    crops = random_crops(5)
    single = Embedder(tiny_onnx(batch=1), CROP, "cpu")
    assert np.abs(single.embed(crops, 3) - Embedder(tiny_onnx(), CROP, "cpu").embed(crops)).max() < 1e-6
    assert single.embed(crops[:0]).shape == (0, 16)


FLATTEN = [helper.make_node("Flatten", ["x0"], ["y"])]
SAME = [helper.make_node("Identity", ["x0"], ["y"])]
SUM = [helper.make_node("Add", ["x0", "x1"], ["s"]), helper.make_node("Flatten", ["s"], ["y"])]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not an ONNX graph"),
        (b"not ONNX", "not an ONNX graph"),
        (tiny_onnx()[:500], "not an ONNX graph"),
        (tiny_onnx(batch=2), "free (a dynamic batch)"),
        (tiny_onnx(size=48), "has 48 on axis 2, not 32"),
        (graph_of(FLATTEN, ["n", 1, 32, 32], ["n", "d"], []), "has 1 on axis 1, not 3"),
        (graph_of(FLATTEN, ["n", 3], ["n", 3], []), "one float32 input"),
        (graph_of(SUM, ["n", 3, 32, 32], ["n", "d"], [], inputs=2), "one float32 input"),
        (graph_of(SAME, ["n", 3, 32, 32], ["n", 3, 32, 32], []), "must return (n, d)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_graphs_that_cannot_be_used_are_refused(content: bytes, words: str) -> None:
    with pytest.raises(ModelError) as caught:
        Embedder(content, CROP, "cpu")
    assert words in str(caught.value) and "\n" not in str(caught.value)


# ---- devices ----------------------------------------------------------------------------------

HAS_CUDA = "CUDAExecutionProvider" in onnxruntime.get_available_providers()


def test_the_device_is_what_is_really_used() -> None:
    assert Embedder(tiny_onnx(), CROP, "cpu").device == "cpu"
    assert Embedder(tiny_onnx(), CROP, "auto").device == ("cuda:0" if HAS_CUDA else "cpu")


@pytest.mark.parametrize("device", ["gpu", "cuda", "cuda:", "cuda:-1", "CPU", "", "cuda:0 "])
def test_a_device_that_is_none_is_refused(device: str) -> None:
    with pytest.raises(UsageError, match="the device is auto, cpu or cuda:N"):
        Embedder(tiny_onnx(), CROP, device)


@pytest.mark.skipif(HAS_CUDA, reason="this onnxruntime has CUDA")
def test_cuda_without_cuda_support_is_an_error_and_no_fallback() -> None:
    with pytest.raises(DeviceError, match=r"cuda:0: .*no CUDA support.*--device cpu"):
        Embedder(tiny_onnx(), CROP, "cuda:0")


@pytest.mark.skipif(HAS_CUDA, reason="this onnxruntime has CUDA")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_cuda_that_does_not_start_is_an_error_and_no_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    """An onnxruntime that offers CUDA on a machine that has none."""
    offered = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: offered)
    with pytest.raises(DeviceError, match="cuda:3: "):
        Embedder(tiny_onnx(), CROP, "cuda:3")
    assert Embedder(tiny_onnx(), CROP, "auto").device == "cpu"


@pytest.mark.skipif(not HAS_CUDA, reason="this onnxruntime has no CUDA")
def test_cuda_agrees_with_the_cpu() -> None:
    on_cuda, on_cpu = Embedder(tiny_onnx(), CROP, "cuda:0"), Embedder(tiny_onnx(), CROP, "cpu")
    assert on_cuda.device == "cuda:0"
    assert np.abs(on_cuda.embed(random_crops(5)) - on_cpu.embed(random_crops(5))).max() < 1e-3
    with pytest.raises(DeviceError):
        Embedder(tiny_onnx(), CROP, "cuda:99")


# ---- from photo to vector ---------------------------------------------------------------------


def test_embed_is_detect_crop_embed_in_the_order_given(model: Model) -> None:
    image = astronaut()
    face = DlibDetector().detect(image)[0]
    by_hand = model.embed_crops(model.crop(image, face)[None])[0]
    (found,) = model.faces(image)
    assert found.face == face and found.found == 1 and found.quality is not None
    np.testing.assert_array_equal(found.crop, model.crop(image, face))
    rows = model.embed([hopper_path(), image, hopper_path()], batch=2)
    assert rows.shape == (3, 16)
    assert np.abs(rows[1] - by_hand).max() < 1e-6
    assert np.abs(rows[0] - rows[2]).max() < 1e-6 and np.abs(rows[0] - rows[1]).max() > 1e-2


def test_a_photo_is_the_same_by_path_by_bytes_and_as_an_array(model: Model) -> None:
    path = hopper_path()
    array = np.asarray(PillowImage.open(path).convert("RGB"))
    rows = model.embed([path, Path(path), Path(path).read_bytes(), array])
    assert np.abs(rows - rows[0]).max() < 1e-6


def test_aligned_looks_for_no_face(model: Model) -> None:
    spec = {**default_detector().spec, "sha256": sha256(tiny_onnx())}
    other = replace(model.file, detector_spec=spec, detector_weights=tiny_onnx())  # would not start
    fresh = Model(other, "cpu")
    crop = astronaut()[90:122, 200:232]
    rows = fresh.embed([crop, np.repeat(np.repeat(crop, 4, 0), 4, 1)], aligned=True)
    assert np.abs(rows[0] - fresh.embed_crops(crop[None])[0]).max() == 0
    assert np.abs(rows[1] - rows[0]).max() < 0.1
    with pytest.raises(DetectorError, match="not of the YuNet format"):
        fresh.embed([crop])


def test_a_photo_without_a_face_is_named(model: Model) -> None:
    grey = np.full((90, 90, 3), 128, np.uint8)
    with pytest.raises(NoFaceFound, match="image 2: no face found"):
        model.embed([astronaut(), grey])
    with pytest.raises(ImageNotFound, match="nowhere"):
        model.embed(["nowhere.jpg"])


def test_calls_that_make_no_sense_are_refused(model: Model) -> None:
    with pytest.raises(UsageError, match="'all'"):
        model.embed([astronaut()], face="all")
    for single in (hopper_path(), Path(hopper_path()), b"bytes", astronaut()):
        with pytest.raises(UsageError, match="put a single image in a list"):
            model.embed(single)  # type: ignore[arg-type]
    assert model.embed([]).shape == (0, 16)


def test_load_reads_a_file_and_names_the_missing_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tiny_model_file(threshold=0.25)
    file.write(tmp_path / "a.facealike")
    loaded = Model.load(tmp_path / "a.facealike", device="cpu", threads=1)
    assert (loaded.file, loaded.id, loaded.threshold, loaded.device) == (file, file.id, 0.25, "cpu")
    assert loaded.preprocessing == file.preprocessing
    monkeypatch.setattr("facealike.model_file.locate.resources.files", lambda package: tmp_path)
    with pytest.raises(ModelError, match="has no default model"):
        Model.load()
    (tmp_path / "weights").mkdir()
    file.write(tmp_path / "weights" / "default.facealike")
    assert Model.load().id == file.id


def test_a_model_by_landmarks_runs_on_a_yunet_file() -> None:
    detector = YuNetDetector(data_path("FACEALIKE_YUNET"))
    file = tiny_model_file(align="landmarks", detector_spec=detector.spec, detector_weights=detector.weights)
    model = Model(ModelFile.from_bytes(file.to_bytes()), "cpu")
    (found,) = model.faces(astronaut())
    assert found.face is not None and found.face.landmarks is not None
    assert model.embed([astronaut(), hopper_path()]).shape == (2, 16)


# ---- many photos, and files of vectors --------------------------------------------------------


def two_faces() -> Any:
    image = astronaut()[:, :400]
    return np.concatenate([image, image[:, ::-1]], axis=1)


def test_a_stream_goes_on_past_a_failure_and_says_which(model: Model, tmp_path: Path) -> None:
    PillowImage.fromarray(two_faces()).save(tmp_path / "two.png")
    PillowImage.fromarray(astronaut()).save(tmp_path / "one.png")
    (tmp_path / "bad.png").write_bytes(b"no image")
    paths = [tmp_path / name for name in ("one.png", "bad.png", "two.png", "one.png", "bad.png")]
    rows = list(model.stream(paths, face="all", batch=2))
    faces = len(DlibDetector().detect(two_faces()))
    assert faces >= 2
    expected = ["one.png", *["two.png"] * faces, "one.png"]
    assert [Path(row.photo).name for row in rows for _ in row.faces] == expected
    assert [Path(row.photo).name for row in rows if row.error is not None] == ["bad.png", "bad.png"]
    assert [row.index for row in rows] == list(range(5))
    assert np.abs(rows[0].faces[0].embedding - model.embed([astronaut()])[0]).max() < 1e-5
    with pytest.raises(FacealikeError, match=r"bad\.png"):
        list(model.stream(paths, on_error="raise"))


def test_embeddings_come_back_for_the_same_model_only(model: Model, tmp_path: Path) -> None:
    rows = model.embed_crops(random_crops(2))
    face = Face(DlibDetector().detect(astronaut())[0].box, 1.0)
    save_embeddings(tmp_path / "e.npz", rows, ["a.jpg", "ä\n.jpg"], model, [face, None])
    back, paths = load_embeddings(tmp_path / "e.npz", model)
    assert np.array_equal(back, rows) and paths == ("a.jpg", "ä\n.jpg")
    with np.load(tmp_path / "e.npz", allow_pickle=False) as content:
        assert set(content) == {"embeddings", "paths", "boxes", "model"}
        assert content["boxes"][0].tolist() == list(face.box) and np.isnan(content["boxes"][1]).all()
    other = Model(tiny_model_file(seed=1), "cpu")
    with pytest.raises(MixedModels, match=rf"made by model {model.id}, not {other.id}"):
        load_embeddings(tmp_path / "e.npz", other)
    with pytest.raises(UsageError, match="do not fit"):
        save_embeddings(tmp_path / "f.npz", rows, ["a.jpg"], model)


def test_files_of_anything_else_are_refused(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "e.npz"
    with pytest.raises(DataError, match="no file of embeddings"):
        load_embeddings(path, model)
    pickled, partial, short = io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.savez(pickled, embeddings=np.zeros((0, 16), np.float32), paths=np.array([{}]), model=np.array("x"))
    np.savez(partial, embeddings=np.zeros((0, 16), np.float32))
    np.savez(short, embeddings=np.zeros((1, 5), np.float32), paths=np.array(["a"]), model=np.array(model.id))
    for content in (
        b"",
        b"text",
        pickled.getvalue(),
        partial.getvalue(),
        short.getvalue(),
        short.getvalue()[:99],
    ):
        path.write_bytes(content)
        with pytest.raises(DataError):
            load_embeddings(path, model)
