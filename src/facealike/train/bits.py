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

LARGE = 256  # numbers, from which on a weight is worth storing in 16 bits
IN_BYTES = ("Conv", "Relu", "Add", "AveragePool")
CHUNK = 32  # faces at a time


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

    ``faces``, normalised crops (n, 3, S, S), show what range the numbers between the layers have.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    with tempfile.TemporaryDirectory() as name, _silent():
        folder = Path(name)
        folded = _folded(content, folder / "folded.onnx")
        quantize_static(
            folded, folder / "bytes.onnx", _Faces(folded.graph.input[0].name, faces), QuantFormat.QDQ,
            op_types_to_quantize=list(IN_BYTES), nodes_to_exclude=_behind_the_last_convolution(folded.graph),
            per_channel=True, reduce_range=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        )  # fmt: skip
        return (folder / "bytes.onnx").read_bytes()


def _folded(content: bytes, path: Path) -> onnx.ModelProto:
    """The network with its batch norms in the convolutions before them: one scale must do for both."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return onnx.load_model(path)


def _behind_the_last_convolution(graph: onnx.GraphProto) -> list[str]:
    """Names of the nodes that stay as they are: all but what leads to the block of the last
    convolution, its sum and ReLU included."""
    makers = {output: node for node in graph.node for output in node.output}
    last = [node for node in graph.node if node.op_type == "Conv"][-1]
    block = {last.output[0]: last}
    for node in graph.node:  # in the order of computation
        if node.op_type in IN_BYTES and any(name in block for name in node.input):
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

    def __init__(self, name: str, faces: NDArray[np.float32]) -> None:
        self._feeds: Iterator[dict[str, Any]] = (
            {name: faces[i : i + CHUNK]} for i in range(0, len(faces), CHUNK)
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
