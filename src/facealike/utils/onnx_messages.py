"""Read the messages of an ONNX file without the ``onnx`` package, and write them again.

An ONNX file is one protocol-buffer message of fields, each with a number, a wire type and a value, which may
be a message itself.  Source: "Encoding", protocol buffers documentation; field numbers as in ``onnx.proto``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from .onnx_writer import write_message, write_number, write_varint

Field: TypeAlias = tuple[int, int, int | bytes]
"""Number, wire type and value of one field; values of fixed width are kept as bytes."""

OPSETS, GRAPH = 8, 7  # of ModelProto
NODE, INITIALIZER, INPUT, OUTPUT = 1, 5, 11, 12  # of GraphProto
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def fields(content: bytes) -> Iterator[Field]:
    """Yield the fields of a protocol-buffer message; ValueError if it is damaged."""
    at = 0
    while at < len(content):
        key, at = read_varint(content, at)
        number, wire = key >> 3, key & 7
        if wire == VARINT:
            value, at = read_varint(content, at)
            yield number, wire, value
            continue
        if wire == BYTES:
            size, at = read_varint(content, at)
        elif wire in (FIXED64, FIXED32):
            size = 8 if wire == FIXED64 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if at + size > len(content):
            raise ValueError("the message ends within a field")
        yield number, wire, content[at : at + size]
        at += size


def encode(message: Iterable[Field]) -> bytes:
    """Return the message of these fields."""
    parts = []
    for number, wire, value in message:
        if isinstance(value, int):
            parts.append(write_number(number, value))
        elif wire == BYTES:
            parts.append(write_message(number, value))
        else:
            parts.append(write_varint(number << 3 | wire) + value)
    return b"".join(parts)


def read_varint(content: bytes, at: int) -> tuple[int, int]:
    """Return the number that begins at byte ``at``, and where it ends; ValueError if it is damaged."""
    value = shift = 0
    while True:
        if at >= len(content) or shift > 63:
            raise ValueError("a number that does not end")
        byte = content[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def submessage(value: int | bytes) -> bytes:
    """Return the value of a field that is a message; ValueError for a number."""
    if isinstance(value, int):
        raise ValueError("a number where a message was expected")
    return value


def graph_of(content: bytes) -> list[Field]:
    """Return the fields of the graph of an ONNX file; IndexError where it has none."""
    return list(fields(submessage(values_of(content, GRAPH)[0])))


def with_graph(content: bytes, graph: Iterable[Field]) -> bytes:
    """Return an ONNX file with another graph."""
    whole = encode(graph)
    return encode((number, wire, whole if number == GRAPH else v) for number, wire, v in fields(content))


def values_of(content: bytes, number: int) -> list[int | bytes]:
    """Return the values of all fields of a message with this number."""
    return [value for field, _, value in fields(content) if field == number]


def text_of(content: bytes, number: int) -> str:
    """Return the text of the first field with this number; empty where there is none."""
    return next((submessage(value).decode() for value in values_of(content, number)), "")
