"""What is written without the onnx package, read back with it and run."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facealike.utils.onnx_writer import IR_VERSION, OPSET, model, node, tensor

onnx = pytest.importorskip("onnx")


def padded(pads: list[int]) -> bytes:
    """x -> x with zeros around it, times two."""
    nodes = [node("Pad", ["x", "pads"], "wide"), node("Mul", ["wide", "two"], "y")]
    constants = [tensor("pads", np.array(pads, dtype=np.int64)), tensor("two", np.float32([2.0]))]
    return model(nodes, constants, ("x", ("batch", 3)), ("y", ("batch", "wide")))


def test_the_package_reads_what_was_written() -> None:
    read = onnx.load_from_string(padded([0, 1, 0, 2]))
    onnx.checker.check_model(read, full_check=True)
    assert read.ir_version == IR_VERSION and read.opset_import[0].version == OPSET
    sides = read.graph.input[0].type.tensor_type.shape.dim
    assert sides[0].dim_param == "batch" and sides[1].dim_value == 3
    assert [each.op_type for each in read.graph.node] == ["Pad", "Mul"]


def test_it_runs() -> None:
    session = onnxruntime.InferenceSession(padded([0, 1, 0, 2]), providers=["CPUExecutionProvider"])
    found = session.run(None, {"x": np.float32([[1, 2, 3], [4, 5, 6]])})[0]
    np.testing.assert_array_equal(found, [[0, 2, 4, 6, 0, 0], [0, 8, 10, 12, 0, 0]])


@settings(deadline=None)
@given(st.integers(-(2**63), 2**63 - 1), st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=5))
def test_attributes_keep_their_values(one: int, several: list[int]) -> None:
    read = onnx.NodeProto.FromString(node("Any", ["a", "b"], "c", one=one, several=several))
    assert list(read.input) == ["a", "b"] and list(read.output) == ["c"] and read.op_type == "Any"
    values = {each.name: onnx.helper.get_attribute_value(each) for each in read.attribute}
    assert values == {"one": one, "several": several}


@pytest.mark.parametrize("kind", [np.float32, np.int64])
@pytest.mark.parametrize("shape", [(3,), (2, 300), (2, 3, 4), (0, 2)])
def test_tensors_keep_their_values(kind: type, shape: tuple[int, ...]) -> None:
    values = np.arange(-5, np.prod(shape) - 5).reshape(shape).astype(kind)
    read = onnx.TensorProto.FromString(tensor("name", np.asfortranarray(values)))
    found = onnx.numpy_helper.to_array(read)
    assert read.name == "name" and found.dtype == kind
    np.testing.assert_array_equal(found, values)


def test_other_types_are_refused() -> None:
    with pytest.raises(KeyError):
        tensor("name", np.zeros(3))  # float64 would double the file unnoticed
