"""Block-quantized ONNX files, folded into float weights."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facealike.errors import ModelError
from facealike.model_zoo.block_quantization import fold_blocks, read_tensor
from support.data_paths import needs_data

onnx = pytest.importorskip("onnx")


def options() -> onnxruntime.SessionOptions:
    quiet = onnxruntime.SessionOptions()
    quiet.log_severity_level = 4
    return quiet


def run(content: bytes, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(content, options(), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def quantized(axis: int = 1, block: int = 4, raw: bool = True) -> tuple[bytes, np.ndarray]:
    """A file as OpenCV Zoo's script leaves it, stale input and all; and its weights (6, 2, 3, 3) in float."""
    rng = np.random.default_rng(0)
    flat = (6, 18)
    stored = rng.integers(-128, 128, flat).astype(np.int8)
    blocks = tuple(-(-side // block) if i == axis else side for i, side in enumerate(flat))
    scales = rng.uniform(0.001, 0.02, blocks).astype(np.float32)
    zeros = rng.integers(-9, 9, blocks).astype(np.int8)
    weight = np.empty(flat, np.float32)
    for row in range(flat[0]):
        for column in range(flat[1]):
            at = (row // block, column) if axis == 0 else (row, column // block)
            weight[row, column] = (np.float32(stored[row, column]) - np.float32(zeros[at])) * scales[at]
    helper = onnx.helper
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"], axis=axis, block_size=block),
        helper.make_node("Reshape", ["d", "shape"], ["w"]),
        helper.make_node("Conv", ["data", "w"], ["y"], kernel_shape=[3, 3]),
    ]
    shape = np.array([6, 2, 3, 3], dtype=np.int64)
    made = onnx.numpy_helper.from_array(shape, "shape")
    if not raw:
        made = helper.make_tensor("shape", onnx.TensorProto.INT64, [4], shape.tolist())
    graph = helper.make_graph(
        nodes,
        "g",
        [
            helper.make_tensor_value_info("data", onnx.TensorProto.FLOAT, [1, 2, 5, 5]),
            helper.make_tensor_value_info("conv_weight", onnx.TensorProto.FLOAT, [6, 2, 3, 3]),
        ],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 6, 3, 3])],
        [
            onnx.numpy_helper.from_array(stored, "q"), onnx.numpy_helper.from_array(scales, "s"),
            onnx.numpy_helper.from_array(zeros, "z"), made,
        ],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return model.SerializeToString(), weight.reshape(6, 2, 3, 3)


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize(("axis", "block"), [(1, 4), (1, 18), (0, 4), (1, 1)])
def test_the_folded_network_has_the_weights_in_float(axis: int, block: int, raw: bool) -> None:
    content, weight = quantized(axis, block, raw)
    folded = onnx.load_from_string(fold_blocks(content))
    assert [node.op_type for node in folded.graph.node] == ["Conv"]
    assert [each.name for each in folded.graph.input] == ["data"]
    assert [each.name for each in folded.graph.initializer] == ["w"]
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(folded.graph.initializer[0]), weight)
    onnx.checker.check_model(folded, full_check=True)
    x = np.random.default_rng(1).normal(size=(1, 2, 5, 5)).astype(np.float32)
    twin = np.stack(
        [(x[0, :, i : i + 3, j : j + 3] * weight).sum(axis=(1, 2, 3)) for i in range(3) for j in range(3)]
    )
    np.testing.assert_allclose(run(fold_blocks(content), x).reshape(6, 9), twin.T, rtol=1e-4, atol=1e-5)


def test_folding_twice_changes_nothing_more() -> None:
    folded = fold_blocks(quantized()[0])
    assert fold_blocks(folded) == folded


def test_other_files_stay_as_they_are() -> None:
    for content in (b"", b"no network", b"with the word block_size"[:8]):
        assert fold_blocks(content) == content


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.integers(0, 255))
def test_damage_is_a_model_error_or_still_a_network(place: int, value: int) -> None:
    content = bytearray(quantized()[0])
    content[place % len(content)] = value
    try:
        fold_blocks(bytes(content))
    except ModelError as error:
        assert "copy it again" in str(error)


def test_a_truncated_file_is_refused() -> None:
    content = quantized()[0]
    with pytest.raises(ModelError, match="copy it again"):
        fold_blocks(content[:-40])


@pytest.mark.parametrize("kind", [np.float32, np.uint8, np.int8, np.int32, np.int64, np.float16])
def test_tensors_are_read_as_onnx_reads_them(kind: type) -> None:
    values = np.arange(-3, 3).astype(kind).reshape(2, 3)
    made = onnx.numpy_helper.from_array(values, "x").SerializeToString()
    np.testing.assert_array_equal(read_tensor(made), values)
    assert read_tensor(made).dtype == kind


@needs_data("FACEALIKE_SFACE")
def test_the_real_network_is_what_onnxruntime_makes_of_its_blocks() -> None:
    content = Path(os.environ["FACEALIKE_SFACE"]).read_bytes()
    model = onnx.load_from_string(content)
    crop = np.random.default_rng(0).integers(0, 256, (1, 3, 112, 112)).astype(np.float32)
    kept = [each for each in model.graph.input if each.name == "data"]
    del model.graph.input[:]
    model.graph.input.extend(kept)  # what onnxruntime would have accepted
    wanted = run(model.SerializeToString(), crop)
    found = run(fold_blocks(content), crop)
    np.testing.assert_allclose(found, wanted, atol=1e-4)
