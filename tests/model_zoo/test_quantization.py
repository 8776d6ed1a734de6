"""INT8 files: which layers are in integers, and how linear layers and names are stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from facealike.model_zoo.quantization import MIN_LINEAR_SIZE, quantize_int8, relative_error
from facealike.train.networks.init_from_model import stored_weights

SIDE, WIDTH, OUT = 8, 16, 32


def linear_weights() -> dict[str, np.ndarray]:
    """Weights that differ in range a thousand times from input to input; one input is dead."""
    rng = np.random.default_rng(0)
    ranges = np.geomspace(1, 1e-3, WIDTH * SIDE * SIDE)
    ranges[5] = 0
    one, other = rng.normal(size=(2, OUT, WIDTH * SIDE * SIDE)) * ranges
    return {"one.weight": one, "other.weight": other.T}


@pytest.fixture(scope="module")
def branched() -> bytes:
    """A convolution, two branches of one each, and a linear layer behind either: a Gemm and a MatMul."""
    rng, node = np.random.default_rng(1), onnx.helper.make_node
    nodes = [
        node("Conv", ["crops", "stem", "stem_bias"], ["a"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Relu", ["a"], ["shared"]),
        node("Conv", ["shared", "left", "left_bias"], ["b"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Relu", ["b"], ["c"]),
        node("Flatten", ["c"], ["d"]),
        node("Gemm", ["d", "one.weight"], ["e"], transB=1),
        node("Conv", ["shared", "right", "right_bias"], ["f"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Add", ["f", "shared"], ["g"]),
        node("Flatten", ["g"], ["h"]),
        node("MatMul", ["h", "other.weight"], ["i"]),
        node("Concat", ["e", "i"], ["embeddings"], axis=1),
    ]
    constants: dict[str, np.ndarray] = linear_weights()
    for name, inputs in (("stem", 3), ("left", WIDTH), ("right", WIDTH)):
        constants[name] = rng.normal(size=(WIDTH, inputs, 3, 3)) / (9 * inputs) ** 0.5
        constants[f"{name}_bias"] = rng.normal(size=WIDTH)
    shapes = {"crops": ["n", 3, SIDE, SIDE], "embeddings": ["n", 2 * OUT]}
    given, made = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
    )
    stored = [onnx.numpy_helper.from_array(v.astype(np.float32), name) for name, v in constants.items()]
    graph = onnx.helper.make_graph(nodes, "g", [given], [made], stored)
    opset = [onnx.helper.make_opsetid("", 17)]
    content: bytes = onnx.helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    return content


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    return np.random.default_rng(2).normal(size=(32, 3, SIDE, SIDE)).astype(np.float32)


@pytest.fixture(scope="module")
def short(branched: bytes, faces: np.ndarray) -> onnx.ModelProto:
    return onnx.load_model_from_string(quantize_int8(branched, faces))


def constants_of(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}


def test_the_last_convolution_of_each_branch_is_in_integers(short: onnx.ModelProto) -> None:
    stored = constants_of(short)
    for name in ("stem", "left", "right"):
        assert stored[f"{name}_quantized"].dtype == np.int8 and name not in stored
    makers = {output: node for node in short.graph.node for output in node.output}
    behind = [node for node in short.graph.node if node.op_type == "Flatten"]
    assert [makers[node.input[0]].op_type for node in behind] == ["DequantizeLinear"] * 2


def test_linear_layers_keep_their_precision(
    branched: bytes, short: onnx.ModelProto, faces: np.ndarray
) -> None:
    stored, read = constants_of(short), stored_weights(short.SerializeToString())
    for name, wanted in linear_weights().items():
        assert wanted.size >= MIN_LINEAR_SIZE and stored[f"{name}_quantized"].dtype == np.int8
        outputs = 0 if name.startswith("one") else 1
        bound = np.abs(wanted).max(axis=outputs, keepdims=True) / 127
        assert (np.abs(read[name] - wanted) <= 0.6 * bound + 1e-9).all()
    sessions = [onnxruntime.InferenceSession(each) for each in (branched, short.SerializeToString())]
    whole, found = (session.run(None, {"crops": faces})[0] for session in sessions)
    assert relative_error(whole, found) < 0.01


def test_weights_are_computed_on_loading(short: onnx.ModelProto, tmp_path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(short.SerializeToString(), options)
    assert "Cast" in {node.op_type for node in short.graph.node}
    assert "Cast" not in {node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node}


def test_names_are_short_and_zero_points_stored_once(short: onnx.ModelProto) -> None:
    stored = constants_of(short)
    zeros = [(v.dtype, v.tobytes()) for name, v in stored.items() if name.endswith("_zero_point")]
    assert len(zeros) == len(set(zeros))
    assert not short.graph.value_info
    made = [output for node in short.graph.node for output in node.output]
    assert len(made) == len(set(made)) and max(map(len, made[:-1])) <= 4 and made[-1] == "embeddings"
    onnx.checker.check_model(short)
