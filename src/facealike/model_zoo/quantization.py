"""Quantize an ONNX network: FP16 halves its size; INT8 quarters size and latency.

INT8 computes in integers (Jacob et al., "Quantization and training of neural networks for efficient
integer-arithmetic-only inference", CVPR 2018).  Weights get one scale for each output channel and use seven
of the eight bits: processors without VNNI add two products of bytes in 16 bits, where full bytes would
overflow and give other scores than on other processors.  The layers after the block of a last convolution are
computed in FP32: pooling, the embedding and its normalization, which are cheap and decide the precision.
Weights of large linear layers are only stored in INT8.
"""

from __future__ import annotations

import logging
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from ..errors import UsageError

MIN_FP16_SIZE = 256  # values; smaller weights stay in FP32
MIN_LINEAR_SIZE = 16_384  # values; smaller weights of linear layers stay in FP32
QUANTIZED_OPERATORS = ("Conv", "Relu", "Add", "AveragePool", "MaxPool")
OPSET = 13  # the first ONNX opset with a scale for each channel
CHUNK = 32  # faces in one batch
CALIBRATION_CROPS = 1024  # used to estimate activation ranges
MAX_RELATIVE_ERROR = 0.02  # of the variance of the embeddings


def convert_fp16(content: bytes) -> bytes:
    """Return the ONNX file with large weights in FP16, each with a Cast, which a runtime folds on loading."""
    model = onnx.load_model_from_string(content)
    graph = model.graph
    casts = []
    for weight in graph.initializer:
        values = onnx.numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.size < MIN_FP16_SIZE:
            continue
        name, stored = weight.name, f"{weight.name}_half"
        weight.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), stored))
        casts.append(onnx.helper.make_node("Cast", [stored], [name], name, to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    smaller: bytes = model.SerializeToString()
    return smaller


def quantize_int8(content: bytes, faces: NDArray[np.float32]) -> bytes:
    """Return the ONNX file with its convolutions in INT8.

    Args:
        content: The ONNX file.
        faces: Normalized crops, float32 (n, 3, S, S), from which activation ranges are estimated.

    Raises:
        UsageError: The network has no convolutions, is in INT8 already, or cannot be quantized by
        onnxruntime.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    with tempfile.TemporaryDirectory() as name, _silent():
        folder = Path(name)
        try:
            merged = fold_batch_norms(content, folder / "folded.onnx")
            operators = {node.op_type for node in merged.graph.node}
            if "DequantizeLinear" in operators or "Conv" not in operators:
                has = "is in 8 bits already" if "Conv" in operators else "has no convolutions to do in 8 bits"
                raise UsageError(f"the network {has}; leave it as it is")
            quantize_static(
                merged, folder / "bytes.onnx", _Faces(merged.graph.input[0], faces), QuantFormat.QDQ,
                op_types_to_quantize=list(QUANTIZED_OPERATORS),
                nodes_to_exclude=_after_last_convolutions(merged.graph),
                per_channel=True, reduce_range=True,
                activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            )  # fmt: skip
        except UsageError:
            raise
        except Exception as error:  # onnxruntime and onnx have no error class of their own to catch
            raise UsageError(
                f"onnxruntime cannot bring this network to 8 bits ({type(error).__name__}); try 16"
            ) from error
        model = onnx.load_model(folder / "bytes.onnx")
        _store_linear_int8(model.graph)
        _shorten(model.graph)
        smaller: bytes = model.SerializeToString()
        return smaller


def relative_error(wanted: NDArray[np.float32], found: NDArray[np.float32]) -> float:
    """Return the mean squared distance of vectors (n, d) from ``wanted``, relative to their variance."""
    variance = np.square(wanted - wanted.mean(axis=0)).sum(axis=1).mean()
    return float(np.square(wanted - found).sum(axis=1).mean() / max(float(variance), 1e-12))


def fold_batch_norms(content: bytes, path: Path) -> onnx.ModelProto:
    """Return the network with each batch norm folded into the convolution before it, as INT8 needs."""
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
        node.name = node.name or f"node_{number}"  # nodes are excluded from quantization by name
    return model


def _after_last_convolutions(graph: onnx.GraphProto) -> list[str]:
    """Return the names of nodes to leave in FP32: all but those that lead to a last convolution's block.

    A convolution is a last one if no other is computed from it; a network with branches has several.  Its
    block is its Add and ReLU.
    """
    makers = {output: node for node in graph.node for output in node.output}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    earlier = _leading_to(
        [makers[name] for node in convolutions for name in node.input if name in makers], makers
    )
    block = {node.output[0]: node for node in convolutions if node.name not in earlier}
    for node in graph.node:  # in the order of computation
        if node.op_type in ("Add", "Relu") and any(name in block for name in node.input):
            block[node.output[0]] = node
    inside = _leading_to(list(block.values()), makers)
    return [node.name for node in graph.node if node.name not in inside]


def _leading_to(nodes: list[onnx.NodeProto], makers: dict[str, onnx.NodeProto]) -> set[str]:
    """Return the names of ``nodes`` and of all that they are computed from."""
    found: set[str] = set()
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if node.name not in found:
            found.add(node.name)
            waiting += [makers[name] for name in node.input if name in makers]
    return found


def _store_linear_int8(graph: onnx.GraphProto) -> None:
    """Store the weights of large linear layers in INT8; change ``graph``.

    There is a scale for each input, not for each output: the inputs of an embedding layer differ in range a
    thousand times, and so do their weights.  Only storage is smaller: a runtime computes the weights in FP32
    when it loads the file.
    """
    stored = {tensor.name: tensor for tensor in graph.initializer}
    uses = Counter(name for node in graph.node for name in node.input)
    unpacking: list[onnx.NodeProto] = []
    for node in graph.node:
        weight = stored.get(node.input[1]) if node.op_type in ("Gemm", "MatMul") else None
        if weight is None or weight.data_type != onnx.TensorProto.FLOAT or len(weight.dims) != 2:
            continue
        values = onnx.numpy_helper.to_array(weight)
        if values.size < MIN_LINEAR_SIZE or uses[weight.name] > 1:
            continue
        outputs = 0 if any(each.name == "transB" and each.i for each in node.attribute) else 1
        scale = (np.abs(values).max(axis=outputs, keepdims=True) / 127).astype(np.float16)
        step = np.where(scale > 0, scale, 1).astype(np.float32)
        whole = np.clip(np.rint(values / step), -127, 127).astype(np.int8)
        unpacking += _unpacking(weight.name)
        for suffix, part in (("quantized", whole), ("scale", scale)):
            graph.initializer.append(onnx.numpy_helper.from_array(part, f"{weight.name}_{suffix}"))
        graph.initializer.remove(weight)
    nodes = [*unpacking, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _unpacking(name: str) -> list[onnx.NodeProto]:
    """Return nodes that compute the weight ``name``.

    Not a DequantizeLinear, which onnxruntime keeps, and would compute again in each run.
    """
    node, parts = onnx.helper.make_node, (f"{name}_quantized", f"{name}_scale")
    casts = [node("Cast", [part], [f"{part}_float"], to=onnx.TensorProto.FLOAT) for part in parts]
    return [*casts, node("Mul", [f"{part}_float" for part in parts], [name])]


def _shorten(graph: onnx.GraphProto) -> None:
    """Remove what a runtime does not need: shapes, long names of values, and equal zero points."""
    del graph.value_info[:]
    names = {name: name for name in ("", *(output.name for output in graph.output))}
    names |= {given.name: given.name for given in (*graph.input, *graph.initializer)}
    first: dict[bytes, str] = {}
    for constant in list(graph.initializer):
        if constant.name.endswith("_zero_point"):
            values = onnx.numpy_helper.to_array(constant)
            content = f"{values.dtype}{values.shape}".encode() + values.tobytes()
            names[constant.name] = first.setdefault(content, constant.name)
            if names[constant.name] != constant.name:
                graph.initializer.remove(constant)
    taken = set(names)
    free = (short for number in count() if (short := f"v{number}") not in taken)
    for node in graph.node:
        node.name = ""
        for given in (node.input, node.output):
            given[:] = [
                names[name] if name in names else names.setdefault(name, next(free)) for name in given
            ]


class _Faces:
    """The calibration data reader that onnxruntime expects."""

    def __init__(self, given: onnx.ValueInfoProto, faces: NDArray[np.float32]) -> None:
        at_once = given.type.tensor_type.shape.dim[0].dim_value or CHUNK  # 0: any
        self._feeds: Iterator[dict[str, Any]] = (
            {given.name: faces[i : i + at_once]} for i in range(0, len(faces), at_once)
        )

    def get_next(self) -> dict[str, Any] | None:
        return next(self._feeds, None)


@contextmanager
def _silent() -> Iterator[None]:
    """Suppress onnxruntime's advice to preprocess a network, which is done already."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
