"""Networks of ONNX files in torch, and stored models as teachers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from facealike.embedding.face_model import Model
from facealike.errors import ModelError, UsageError
from facealike.model_file.store import HOME_VARIABLE
from facealike.model_zoo.install import add_model
from facealike.model_zoo.onnx_import import OnnxConfig
from facealike.model_zoo.openvino_ir import read_ir
from facealike.train.joint import teachers
from facealike.train.joint.teachers import named_teacher
from facealike.train.networks.onnx_network import OnnxNetwork
from support.data_paths import data_path
from support.dlib_file import dlib_weights
from support.ir_files import small_ir
from support.one_thread import one_thread  # noqa: F401 (a fixture)

onnx = pytest.importorskip("onnx")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))


def mobile_net(**changes: object) -> bytes:
    """What SFace is made of, small: Sub, Mul, Conv, BatchNormalization, PRelu, Dropout, Flatten, Gemm."""
    rng, helper = np.random.default_rng(0), onnx.helper
    pads = changes.get("pads", [1, 1, 1, 1])
    nodes = [
        helper.make_node("Sub", ["data", "mean"], ["a"]),
        helper.make_node("Mul", ["a", "scale"], ["b"]),
        helper.make_node("Conv", ["b", "w"], ["c"], kernel_shape=[3, 3], pads=pads, strides=[2, 2]),
        helper.make_node("BatchNormalization", ["c", "g", "h", "m", "v"], ["d"], epsilon=1e-3),
        helper.make_node("PRelu", ["d", "slope"], ["e"]),
        helper.make_node("Conv", ["e", "depth"], ["f"], kernel_shape=[3, 3], pads=[1, 1, 1, 1], group=4),
        helper.make_node("Constant", [], ["ratio"], value=onnx.numpy_helper.from_array(np.float32(0.4))),
        helper.make_node("Dropout", ["f", "ratio"], ["i"]),
        helper.make_node("Flatten", ["i"], ["j"]),
        helper.make_node(str(changes.get("last", "Gemm")), ["j", "fc", "bias"], ["y"], transB=1, alpha=1.0),
    ]
    shapes = {
        "w": (4, 3, 3, 3), "g": (4,), "h": (4,), "m": (4,), "slope": (4, 1, 1), "depth": (4, 1, 3, 3),
        "fc": (5, 64), "bias": (5,),
    }  # fmt: skip
    constants = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    constants |= {
        "mean": np.float32([127.5]), "scale": np.float32([1 / 128]), "v": np.float32([1, 2, 0.5, 3]),
    }  # fmt: skip
    floats = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("data", floats, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("y", floats, ["n", 5])],
        [onnx.numpy_helper.from_array(values, name) for name, values in constants.items()],
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = made.SerializeToString()
    return content


def by_onnxruntime(content: bytes, crops: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    found: np.ndarray = session.run(None, {session.get_inputs()[0].name: crops})[0]
    return found


@pytest.mark.parametrize("kind", ["ir", "mobile"])
def test_torch_computes_what_onnxruntime_does(kind: str) -> None:
    ir = small_ir()
    content = read_ir(ir.xml, ir.bin).to_onnx() if kind == "ir" else mobile_net()
    crops = np.random.default_rng(1).integers(0, 256, (3, 3, 8, 8)).astype(np.float32)
    network = OnnxNetwork(content)
    np.testing.assert_allclose(
        network(torch.from_numpy(crops)).numpy(), by_onnxruntime(content, crops), rtol=1e-4, atol=1e-4
    )
    assert not any(p.requires_grad for p in network.parameters()) and not network.training


def test_what_torch_would_compute_otherwise_is_refused() -> None:
    crops = torch.zeros(1, 3, 8, 8)
    with pytest.raises(ModelError, match="one side more"):
        OnnxNetwork(mobile_net(pads=[1, 1, 0, 0]))(crops)
    with pytest.raises(ModelError, match="Softsign"):
        OnnxNetwork(mobile_net(last="Softsign"))


@pytest.mark.parametrize("backend", ["openvino", "torch"])
def test_a_stored_model_teaches_what_it_embeds(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if backend == "openvino":
        pytest.importorskip("openvino")
    else:
        monkeypatch.setattr(teachers, "find_spec", lambda name: None)
    monkeypatch.setattr(teachers, "computes_bfloat16", lambda device: False)
    ir = small_ir()
    (tmp_path / "net.xml").write_bytes(ir.xml)
    (tmp_path / "net.bin").write_bytes(ir.bin)
    add_model(tmp_path / "net.xml", config=OnnxConfig(8, "3/2", "landmarks", "bgr"))
    teacher = named_teacher("net", 0.4)
    assert (teacher.name, teacher.size, teacher.weight, teacher.layout) == ("net", 8, 0.4, "arcface")
    crops = np.random.default_rng(0).integers(0, 256, (35, 8, 8, 3), dtype=np.uint8)  # more than a chunk
    found = teacher.embed(torch.from_numpy(crops).permute(0, 3, 1, 2).float())
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    np.testing.assert_allclose(found, Model.load("net", device="cpu").embedder.embed(crops), atol=2e-4)


def test_dlib_teaches_on_its_own_chips() -> None:
    pytest.importorskip("openvino")
    dlib_weights()  # skips without the package
    add_model("dlib")
    teacher = named_teacher("dlib", 0.3)
    assert (teacher.size, teacher.layout) == (150, "chip")
    rows = teacher.embed(torch.full((3, 3, 150, 150), 90.0))
    assert rows.shape == (3, 129) and np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-2)


def test_a_teacher_takes_crops_aligned_by_landmarks(tmp_path: Path) -> None:
    ir = small_ir()
    (tmp_path / "net.xml").write_bytes(ir.xml)
    (tmp_path / "net.bin").write_bytes(ir.bin)
    add_model(tmp_path / "net.xml", config=OnnxConfig(8, "raw", "box"))
    with pytest.raises(UsageError, match="aligned by landmarks"):
        named_teacher("net", 1.0)


@pytest.mark.parametrize(
    ("variable", "name"), [("FACEALIKE_SFACE", "sface"), ("FACEALIKE_RETAIL0095", "retail-0095")]
)
def test_both_real_teachers_in_torch(variable: str, name: str) -> None:
    (added,) = add_model(data_path(variable), plain=True)
    assert added.name == name and added.file is not None
    size = added.file.preprocessing.size
    crops = np.random.default_rng(0).integers(0, 256, (1, 3, size, size)).astype(np.float32)
    wanted = by_onnxruntime(added.file.embedder, crops)
    found = OnnxNetwork(added.file.embedder)(torch.from_numpy(crops)).numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-4 * float(np.abs(wanted).max()))


def test_a_teacher_has_no_score_normalization(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facealike.train.joint.teachers.find_spec", lambda _: None)
    path = data_path("FACEALIKE_RETAIL0095")
    (plain,) = add_model(path, name="plain", plain=True)
    (usual,) = add_model(path)
    assert plain.file is not None and usual.file is not None and plain.file.id != usual.file.id
    size = usual.file.preprocessing.size
    crops = torch.from_numpy(np.random.default_rng(0).uniform(0, 255, (2, 3, size, size)).astype(np.float32))
    rows = [named_teacher(name, 1.0).embed(crops) for name in ("plain", "retail-0095")]
    np.testing.assert_allclose(rows[1], rows[0], atol=1e-4 * float(np.abs(rows[0]).max()))
