"""An exported network in fewer bits: 16 for half the size, 8 for a quarter of it and of the time, too.

In 8 bits a network computes in whole numbers (Jacob et al., "Quantization and training of neural networks
for efficient integer-arithmetic-only inference", CVPR 2018).  Weights get a scale for each output channel
and seven bits of the eight: processors without VNNI add two products of bytes in 16 bits, and full bytes
would overflow there and give other scores than elsewhere.  What is left in 32 bits is what follows the last
convolution's block: pooling, the embedding and its length, which are cheap and decide the digits.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from ..errors import UsageError

LARGE = 256  # numbers, from which on a weight is worth storing in 16 bits
IN_BYTES = ("Conv", "Relu", "Add", "AveragePool", "MaxPool")
OPSET = 13  # of ONNX, from which on each channel may have a scale of its own
CHUNK = 32  # faces at a time
SHOWN = 1024  # crops, that the ranges of an 8-bit network are taken from
MOST_LOST = 0.02  # of the variance of embeddings, by fewer bits


def in_16_bits(content: bytes) -> bytes:
    """The ONNX file with each large float weight as 16 bits and a Cast, which a runtime folds on loading."""
    model = onnx.load_model_from_string(content)
    graph = model.graph
    casts = []
    for weight in graph.initializer:
        values = onnx.numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.size < LARGE:
            continue
        name, stored = weight.name, f"{weight.name}_half"
        weight.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), stored))
        casts.append(onnx.helper.make_node("Cast", [stored], [name], name, to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    smaller: bytes = model.SerializeToString()
    return smaller


def in_8_bits(content: bytes, faces: NDArray[np.float32]) -> bytes:
    """The ONNX file with its convolutions in whole numbers.

    ``faces``, normalised crops (n, 3, S, S), show what range the numbers between the layers have.  Raises
    UsageError for a network without convolutions, in 8 bits already, or beyond what onnxruntime can do.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    with tempfile.TemporaryDirectory() as name, _silent():
        folder = Path(name)
        try:
            merged = folded(content, folder / "folded.onnx")
            operators = {node.op_type for node in merged.graph.node}
            if "DequantizeLinear" in operators or "Conv" not in operators:
                has = "is in 8 bits already" if "Conv" in operators else "has no convolutions to do in 8 bits"
                raise UsageError(f"the network {has}; leave it as it is")
            quantize_static(
                merged, folder / "bytes.onnx", _Faces(merged.graph.input[0], faces), QuantFormat.QDQ,
                op_types_to_quantize=list(IN_BYTES),
                nodes_to_exclude=_behind_the_last_convolution(merged.graph),
                per_channel=True, reduce_range=True,
                activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            )  # fmt: skip
        except UsageError:
            raise
        except Exception as error:  # onnxruntime and onnx have no error class of their own to catch
            raise UsageError(
                f"onnxruntime cannot bring this network to 8 bits ({type(error).__name__}); try 16"
            ) from error
        return (folder / "bytes.onnx").read_bytes()


def apart(wanted: NDArray[np.float32], found: NDArray[np.float32]) -> float:
    """The mean squared distance of vectors (n, d) from those they should be, as a part of their variance."""
    variance = np.square(wanted - wanted.mean(axis=0)).sum(axis=1).mean()
    return float(np.square(wanted - found).sum(axis=1).mean() / max(float(variance), 1e-12))


def folded(content: bytes, path: Path) -> onnx.ModelProto:
    """The network with its batch norms in the convolutions before them: one scale must do for both."""
    import onnxruntime

    model = onnx.load_model_from_string(content)
    if any(known.domain in ("", "ai.onnx") and known.version < OPSET for known in model.opset_import):
        content = onnx.version_converter.convert_version(model, OPSET).SerializeToString()
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    model = onnx.load_model(path)
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"node_{number}"  # what is left out is told by its name
    return model


def _behind_the_last_convolution(graph: onnx.GraphProto) -> list[str]:
    """Names of the nodes that stay as they are: all but what leads to the block of the last
    convolution, its sum and ReLU included."""
    makers = {output: node for node in graph.node for output in node.output}
    last = [node for node in graph.node if node.op_type == "Conv"][-1]
    block = {last.output[0]: last}
    for node in graph.node:  # in the order of computation
        if node.op_type in ("Add", "Relu") and any(name in block for name in node.input):
            block[node.output[0]] = node
    inside: set[str] = set()
    waiting = list(block.values())
    while waiting:
        node = waiting.pop()
        if node.name not in inside:
            inside.add(node.name)
            waiting += [makers[name] for name in node.input if name in makers]
    return [node.name for node in graph.node if node.name not in inside]


class _Faces:
    """Hands the faces out as onnxruntime's calibration asks for them."""

    def __init__(self, given: onnx.ValueInfoProto, faces: NDArray[np.float32]) -> None:
        at_once = given.type.tensor_type.shape.dim[0].dim_value or CHUNK  # 0 is any number
        self._feeds: Iterator[dict[str, Any]] = (
            {given.name: faces[i : i + at_once]} for i in range(0, len(faces), at_once)
        )

    def get_next(self) -> dict[str, Any] | None:
        return next(self._feeds, None)


@contextmanager
def _silent() -> Iterator[None]:
    """No advice of onnxruntime's on preparing a network that is prepared already."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
