"""OpenVINO IR files as ONNX: against a slow twin, and the real network against OpenVINO itself."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from facealike.errors import ModelError
from facealike.model_zoo.openvino_ir import read_ir
from support.data_paths import needs_data
from support.ir_files import IrBuilder, small_ir


def run(content: bytes, crops: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: crops})
    return found


def test_the_network_computes_what_its_layers_mean() -> None:
    ir = small_ir()
    crops = np.random.default_rng(1).integers(0, 256, (3, 3, 8, 8)).astype(np.float32)
    found = run(read_ir(ir.xml, ir.bin).to_onnx(), crops)
    np.testing.assert_allclose(found, ir.compute(crops), rtol=1e-4, atol=1e-5)


def test_the_graph_states_its_shapes() -> None:
    ir = small_ir()
    graph = read_ir(ir.xml, ir.bin)
    assert graph.input_shape == (1, 3, 8, 8) and graph.output_shape == (1, 5, 1, 1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda xml: b"<html/>", "not an OpenVINO IR"),
        (lambda xml: xml[:-20], "not an OpenVINO IR"),
        (lambda xml: xml.replace(b'"Sigmoid"', b'"Swish"'), "Swish"),
        (lambda xml: xml.replace(b'version="opset1"', b'version="opset9"', 3), "opset9"),
        (lambda xml: xml.replace(b'"numpy"', b'"pdpd"'), "broadcast"),
        (lambda xml: xml.replace(b'"explicit"', b'"same_upper"'), "automatic padding"),
        (lambda xml: xml.replace(b'element_type="f16"', b'element_type="i8"'), "type i8"),
        (lambda xml: xml.replace(b'offset="0"', b'offset="-6"'), "copy both files"),
        (lambda xml: xml.replace(b'offset="0"', b'offset="99999"'), "copy both files"),
        (lambda xml: xml.replace(b'strides="2, 2"', b'strides="two"'), "strides"),
        (lambda xml: xml.replace(b'from-layer="0"', b'from-layer="77"'), "not there"),
        (lambda xml: xml.replace(b'"Result"', b'"ReLU"'), "one output"),
        (lambda xml: xml.replace(b'rounding_type="floor"', b'rounding_type="ceil"'), "rounds up"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(change, words) -> None:
    ir = small_ir()
    changed = change(ir.xml)
    assert changed != ir.xml
    with pytest.raises(ModelError, match=words):
        read_ir(changed, ir.bin)


def test_weights_that_end_early_are_refused() -> None:
    ir = small_ir()
    with pytest.raises(ModelError, match="copy both files"):
        read_ir(ir.xml, ir.bin[:-1])


def test_a_loop_is_refused() -> None:
    ir = IrBuilder()
    ir.layer("Parameter", [], (1, 3, 8, 8), shape="1,3,8,8", element_type="f32")
    ir.layer("Add", ["0", "2"], (1, 3, 8, 8))
    ir.layer("ReLU", ["1"], (1, 3, 8, 8))
    ir.layer("Result", ["2"])
    with pytest.raises(ModelError, match="loop"):
        read_ir(ir.xml(), b"")


@needs_data("FACEALIKE_RETAIL0095")
def test_the_real_network_is_that_of_openvino() -> None:
    openvino = pytest.importorskip("openvino")
    xml = Path(os.environ["FACEALIKE_RETAIL0095"])
    crops = np.random.default_rng(0).integers(0, 256, (2, 3, 128, 128)).astype(np.float32)
    network = openvino.Core().read_model(xml)
    network.reshape([2, 3, 128, 128])
    wanted = openvino.Core().compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(crops)[0]
    found = run(read_ir(xml.read_bytes(), xml.with_suffix(".bin").read_bytes()).to_onnx(), crops)
    assert found.shape == (2, 256)
    np.testing.assert_allclose(found, wanted.reshape(2, -1), atol=2e-5)
