"""Write a small ONNX graph without the ``onnx`` package.

An ONNX file is one protocol-buffer message, and the base install has no ``onnx`` package.  Field numbers are
those of ``onnx.proto`` (ONNX IR version 8); tests read the result back with ``onnx``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

IR_VERSION = 8
OPSET = 17

Array: TypeAlias = NDArray[np.float32] | NDArray[np.float16] | NDArray[np.int64] | NDArray[np.uint8]
Attribute: TypeAlias = int | Sequence[int]
Shape: TypeAlias = Sequence[int | str]
"""The dimensions of a tensor; a name stands for a free dimension."""

_KINDS = {
    np.dtype(np.float32): 1, np.dtype(np.uint8): 2, np.dtype(np.int8): 3, np.dtype(np.int32): 6,
    np.dtype(np.int64): 7, np.dtype(np.float16): 10,
}  # TensorProto.DataType  # fmt: skip
_INT, _INTS = 2, 7  # AttributeProto.AttributeType


def node(operator: str, inputs: Sequence[str], output: str, **attributes: Attribute) -> bytes:
    """Encode an operator with inputs and one output by name; attributes are integers or lists of them."""
    parts = [_text(1, name) for name in inputs]
    parts += [_text(2, output), _text(3, output), _text(4, operator)]
    for name, value in attributes.items():
        if isinstance(value, int):
            content = write_number(3, value) + write_number(20, _INT)
        else:
            content = b"".join(write_number(8, each) for each in value) + write_number(20, _INTS)
        parts.append(write_message(5, _text(1, name) + content))
    return b"".join(parts)


def tensor(name: str, values: Array) -> bytes:
    """Encode a constant of the graph."""
    little = np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<"))
    sides = b"".join(write_number(1, side) for side in values.shape)
    return sides + write_number(2, _KINDS[values.dtype]) + _text(8, name) + write_message(9, little.tobytes())


def model(
    nodes: Iterable[bytes], tensors: Iterable[bytes], source: tuple[str, Shape], result: tuple[str, Shape]
) -> bytes:
    """Return the ONNX file.

    Args:
        nodes: What ``node`` returned, in topological order.
        tensors: What ``tensor`` returned, for the constants.
        source: Name and shape of the only input, float32.
        result: Name and shape of the only output, float32.
    """
    return typed_model(nodes, tensors, [(*source, np.float32)], (*result, np.float32))


def typed_model(
    nodes: Iterable[bytes], tensors: Iterable[bytes], sources: Iterable[tuple[str, Shape, Any]],
    result: tuple[str, Shape, Any],
) -> bytes:  # fmt: skip
    """Return the ONNX file of a graph whose inputs and output each have a name, a shape and a dtype."""
    graph = [write_message(1, each) for each in nodes]
    graph += [_text(2, "facealike"), *(write_message(5, each) for each in tensors)]
    graph += [write_message(11, described(*source)) for source in sources]
    graph += [write_message(12, described(*result))]
    # Without a version of the writer, equal graphs give equal files, and so equal model ids.
    about = write_number(1, IR_VERSION) + _text(2, "facealike")
    return about + write_message(7, b"".join(graph)) + write_message(8, _text(1, "") + write_number(2, OPSET))


def with_metadata(onnx: bytes, name: str, value: str) -> bytes:
    """Return an ONNX file with another entry in its metadata.

    The entries are a repeated field of the message, so one may be appended.
    """
    return onnx + write_message(14, _text(1, name) + _text(2, value))


def described(name: str, shape: Shape, dtype: Any) -> bytes:
    """Encode name, shape and dtype of an input or output."""
    sides = [_text(2, side) if isinstance(side, str) else write_number(1, side) for side in shape]
    dimensions = b"".join(write_message(1, side) for side in sides)
    kind = write_message(1, write_number(1, _KINDS[np.dtype(dtype)]) + write_message(2, dimensions))
    return _text(1, name) + write_message(2, kind)


def write_varint(value: int) -> bytes:
    """Encode seven bits a byte, lowest first; the high bit is set on all but the last byte."""
    value &= (1 << 64) - 1  # a negative number is written as its two's complement
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def write_number(field: int, value: int) -> bytes:
    return write_varint(field << 3) + write_varint(value)


def write_message(field: int, content: bytes) -> bytes:
    return write_varint(field << 3 | 2) + write_varint(len(content)) + content


def _text(field: int, text: str) -> bytes:
    return write_message(field, text.encode())
