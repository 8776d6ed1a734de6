"""Fold block-quantized weights of an ONNX file into float weights, without the ``onnx`` package.

OpenCV Zoo publishes ``*_int8bq.onnx`` files: weights in INT8 with a scale for each block of a row, and
a DequantizeLinear and a Reshape node before each convolution.  They save download size only; the
runtime computes in float, after undoing the quantization on every call.  The publisher's script also
leaves the weights among the graph's inputs, so that no runtime accepts the file.  Here both are
repaired once, on import.  Field numbers are those of ``onnx.proto``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from ..utils.onnx_messages import (
    BYTES,
    INITIALIZER,
    INPUT,
    NODE,
    VARINT,
    Field,
    fields,
    graph_of,
    read_varint,
    submessage,
    text_of,
    with_graph,
)
from ..utils.onnx_writer import tensor

TYPES = {1: "<f4", 2: "u1", 3: "i1", 6: "<i4", 7: "<i8", 10: "<f2"}  # TensorProto.DataType


def fold_blocks(content: bytes) -> bytes:
    """Return the network with float weights if it is block-quantized, any other file unchanged.

    Raises:
        ModelError: The file is block-quantized and damaged.
    """
    if b"block_size" not in content:
        return content
    try:
        folded = _fold(graph_of(content))
    except (ValueError, KeyError, IndexError, StopIteration, TypeError, UnicodeDecodeError) as error:
        raise ModelError("a block-quantized ONNX file that cannot be read; copy it again") from error
    if folded is None:
        return content
    return with_graph(content, folded)


def _fold(graph: list[Field]) -> list[Field] | None:
    """The graph with its block-quantized weights in float; None where there are none."""
    nodes = [_Node(submessage(value)) for number, _, value in graph if number == NODE]
    stored = {_name(submessage(v)): submessage(v) for n, _, v in graph if n == INITIALIZER}
    made: dict[str, NDArray[np.float32]] = {}
    folded: set[int] = set()
    for place, node in enumerate(nodes):
        blocks = node.operator == "DequantizeLinear" and node.attributes.get("block_size")
        if blocks and all(name in stored for name in node.inputs):
            made[node.outputs[0]] = _dequantized(node, [read_tensor(stored[name]) for name in node.inputs])
            folded.add(place)
        elif node.operator == "Reshape" and node.inputs[0] in made and node.inputs[1] in stored:
            made[node.outputs[0]] = _reshaped(made[node.inputs[0]], read_tensor(stored[node.inputs[1]]))
            folded.add(place)
    if not folded:
        return None
    kept = [node for place, node in enumerate(nodes) if place not in folded]
    used = {name for node in kept for name in node.inputs}
    result: list[Field] = []
    place = -1
    for number, wire, value in graph:
        place += number == NODE
        if number == NODE and place in folded:
            continue
        if number == INITIALIZER and _name(submessage(value)) not in used:
            continue
        if number == INPUT and text_of(submessage(value), 1) not in used - set(stored):
            continue
        result.append((number, wire, value))
    extra = [(INITIALIZER, BYTES, tensor(name, values)) for name, values in made.items() if name in used]
    return [*result, *extra]


class _Node:
    def __init__(self, content: bytes) -> None:
        self.inputs: list[str] = []
        self.outputs: list[str] = []
        self.operator = ""
        self.attributes: dict[str, int] = {}
        for number, _, value in fields(content):
            if number == 1:
                self.inputs.append(submessage(value).decode())
            elif number == 2:
                self.outputs.append(submessage(value).decode())
            elif number == 4:
                self.operator = submessage(value).decode()
            elif number == 5:
                attribute = list(fields(submessage(value)))
                whole = [v for n, _, v in attribute if n == 3]
                if whole and isinstance(whole[0], int):
                    signed = whole[0] - (1 << 64) if whole[0] >> 63 else whole[0]
                    self.attributes[text_of(submessage(value), 1)] = signed


def read_tensor(content: bytes) -> NDArray[Any]:
    """Return the values of a TensorProto; ValueError for a type or storage that is not supported."""
    sides: list[int] = []
    kind, raw = 0, None
    listed: list[int] = []
    for number, wire, value in fields(content):
        if number == 1:
            sides += [value] if isinstance(value, int) else _packed(value)
        elif number == 2 and isinstance(value, int):
            kind = value
        elif number == 4:
            raw = (raw or b"") + submessage(value)  # float_data: four bytes each, packed or not
        elif number in (5, 7):
            listed += [value] if isinstance(value, int) else _packed(value)
        elif number == 9:
            raw = submessage(value)
        elif number == 13 or (number == 14 and wire == VARINT and value):
            raise ValueError("weights in a second file")
    dtype = np.dtype(TYPES[kind])
    if raw is not None:
        values = np.frombuffer(raw, dtype)
    else:
        signed = [v - (1 << 64) if v >> 63 else v for v in listed]
        values = np.array(signed, dtype=np.int64).astype(dtype)
    if values.size != math.prod(sides):
        raise ValueError("a tensor of another size than it states")
    return values.reshape(sides)


def _dequantized(node: _Node, values: list[NDArray[Any]]) -> NDArray[np.float32]:
    """(x - zero point) * scale, each scale for ``block_size`` neighbors along ``axis``."""
    x, scale = values[0], values[1]
    axis, block = node.attributes.get("axis", 1) % max(1, x.ndim), node.attributes["block_size"]
    if block < 1 or -(-x.shape[axis] // block) != scale.shape[axis] or scale.ndim != x.ndim:
        raise ValueError("blocks that do not fit the weights")
    if not np.isfinite(scale).all():
        raise ValueError("scales that are not finite")
    inside = [slice(0, side) for side in x.shape]
    wide = np.repeat(scale.astype(np.float32), block, axis=axis)[tuple(inside)]
    zero: Any = np.float32(0)
    if len(values) > 2:
        zero = np.repeat(values[2].astype(np.float32), block, axis=axis)[tuple(inside)]
    return np.ascontiguousarray((x.astype(np.float32) - zero) * wide, dtype=np.float32)


def _reshaped(values: NDArray[np.float32], shape: NDArray[Any]) -> NDArray[np.float32]:
    sides = [values.shape[i] if side == 0 else int(side) for i, side in enumerate(shape.tolist())]
    return values.reshape(sides)


def _name(content: bytes) -> str:
    """The name of a TensorProto."""
    return text_of(content, 8)


def _packed(content: bytes) -> list[int]:
    at, found = 0, []
    while at < len(content):
        value, at = read_varint(content, at)
        found.append(value)
    return found
