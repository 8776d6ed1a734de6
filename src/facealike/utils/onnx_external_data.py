"""Find and embed the weights that an ONNX file keeps in other files (external data).

A model file must hold all of its weights: otherwise onnxruntime would load whatever file has the stated name
in the current directory.  The base install has no onnx package, so the protobuf is parsed here: only messages
that can hold a tensor are entered, all others are skipped by their length.

Source: onnx/onnx.proto3, and docs/ExternalData.md of the same repository.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple

from ..errors import ModelError

CHILDREN: dict[str, dict[int, str]] = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: "TensorProto", 6: "GraphProto", 10: "TensorProto", 11: "GraphProto",
        22: "SparseTensorProto", 23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
    "TensorProto": {},
}  # fmt: skip
"""The fields of each message that lead to a tensor."""

RAW_DATA, EXTERNAL_DATA, DATA_LOCATION = 9, 13, 14  # fields of a TensorProto
TYPED_DATA = (4, 5, 6, 7, RAW_DATA, 10, 11)
KEY, VALUE = 1, 2  # fields of a StringStringEntryProto

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # protobuf's wire types; groups (3, 4) are not used by ONNX
MAX_DEPTH = 100  # of nested messages; protobuf's own limit
MAX_FIELDS = 2_000_000  # a network of ten thousand nodes has about a hundred thousand

Chunks = list["bytes | memoryview"]
Reader = Callable[[dict[str, str]], bytes]


class _Field(NamedTuple):
    """One field: its tag begins at ``start``, its value reaches from ``value`` to ``end``."""

    number: int
    wire: int
    start: int
    value: int
    end: int
    varint: int


def refuse_external_data(onnx: bytes, what: str) -> None:
    """Raise ModelError, naming ``what``, if a tensor of this ONNX file lies in another file.

    Bytes that are not an ONNX file are refused too, since they cannot be checked.
    """
    try:
        external = _Walk(onnx).external_locations()
        found = next(external, None)
    except _NotProtobuf as error:
        raise ModelError(f"{what} is not an ONNX graph that can be run ({error}); export it again") from None
    if found is not None:
        raise ModelError(
            f"{what} keeps weights in a second file ({found[:60]!r}), which is not allowed; import its "
            "ONNX file with facealike models add, which embeds them"
        )


def embed_external_data(onnx: bytes, folder: Path, limit: int) -> bytes:
    """Return the ONNX file with its external data, in files of ``folder``, embedded.

    Without external data, the same bytes are returned.

    Raises:
        ModelError: A stated file is missing, lies outside ``folder`` or is shorter than stated; the result
            would exceed ``limit`` bytes; or the bytes are not an ONNX file.
    """
    room = limit - len(onnx)

    def read(entries: dict[str, str]) -> bytes:
        nonlocal room
        content = _external_bytes(entries, folder, room, limit)
        room -= len(content)
        return content

    try:
        walk = _Walk(onnx)
        chunks = walk.embedded("ModelProto", 0, len(onnx), read)
    except _NotProtobuf as error:
        raise ModelError(f"not an ONNX graph that can be run ({error}); export it again") from None
    return onnx if chunks is None else b"".join(chunks)


class _NotProtobuf(Exception):
    """The bytes are not a protobuf message, or not one that an ONNX file would hold."""


class _Walk:
    """A walk through one ONNX file, with a limit on the number of fields."""

    def __init__(self, onnx: bytes) -> None:
        self._view = memoryview(onnx)
        self._left = MAX_FIELDS

    def external_locations(self) -> Iterator[str]:
        """Yield the stated file of each external tensor, empty where only the flag is set."""
        todo = [("ModelProto", 0, len(self._view), 0)]
        while todo:
            kind, start, end, depth = todo.pop()
            if depth > MAX_DEPTH:
                raise _NotProtobuf("nested too deeply")
            children = CHILDREN[kind]
            for field in self.fields(start, end):
                if field.wire == BYTES and field.number in children:
                    todo.append((children[field.number], field.value, field.end, depth + 1))
                elif kind == "TensorProto" and self._is_external(field):
                    yield self._entries(start, end).get("location", "")

    def embedded(self, kind: str, start: int, end: int, read: Reader, depth: int = 0) -> Chunks | None:
        """Return the message with its external data embedded; None where it has none."""
        if depth > MAX_DEPTH:
            raise _NotProtobuf("nested too deeply")
        if kind == "TensorProto":
            return self._embedded_tensor(start, end, read)
        chunks: Chunks = []
        copied = start  # end of what the chunks hold
        for field in self.fields(start, end):
            child = CHILDREN[kind].get(field.number) if field.wire == BYTES else None
            inner = child and self.embedded(child, field.value, field.end, read, depth + 1)
            if inner:
                tag = _varint(field.number << 3 | BYTES)
                chunks += [self._view[copied : field.start], tag, _varint(sum(map(len, inner))), *inner]
                copied = field.end
        return [*chunks, self._view[copied:end]] if chunks else None

    def _embedded_tensor(self, start: int, end: int, read: Reader) -> Chunks | None:
        fields = list(self.fields(start, end))
        if not any(map(self._is_external, fields)):
            return None
        stated = [field.varint for field in fields if field.number == DATA_LOCATION and field.wire == VARINT]
        dropped = {EXTERNAL_DATA, DATA_LOCATION}
        content = b""
        if stated and stated[-1]:  # the last value of a field is the one that counts
            content = read(self._entries(start, end))
            dropped |= set(TYPED_DATA)
        chunks: Chunks = [
            self._view[field.start : field.end] for field in fields if field.number not in dropped
        ]
        if content:
            chunks += [_varint(RAW_DATA << 3 | BYTES), _varint(len(content)), content]
        return chunks

    def fields(self, start: int, end: int) -> Iterator[_Field]:
        """Yield the fields of the message from ``start`` to ``end``."""
        view, at = self._view, start
        while at < end:
            self._left -= 1
            if self._left < 0:
                raise _NotProtobuf("too many fields")
            begin = at
            # Nearly all tags and most lengths are of one byte.
            tag, at = view[at], at + 1
            if tag > 0x7F:
                tag, at = self._read_varint(begin, end)
            number, wire = tag >> 3, tag & 7
            value, varint = at, 0
            if wire == BYTES:
                length, value = self._read_varint(at, end)
                at = value + length
            elif wire == VARINT:
                varint, at = self._read_varint(at, end)
            elif wire in (FIXED64, FIXED32):
                at += 8 if wire == FIXED64 else 4
            if at > end or not 0 < number < 1 << 29 or wire not in (VARINT, FIXED64, BYTES, FIXED32):
                raise _NotProtobuf("not a protobuf message")
            yield _Field(number, wire, begin, value, at, varint)

    def _read_varint(self, at: int, end: int) -> tuple[int, int]:
        if at < end and self._view[at] < 0x80:
            return self._view[at], at + 1
        value = 0
        for shift in range(0, 70, 7):
            if at >= end:
                raise _NotProtobuf("cut off")
            byte = self._view[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, at
        raise _NotProtobuf("a number without end")

    @staticmethod
    def _is_external(field: _Field) -> bool:
        """Return whether a field marks a tensor as external, in any way that a parser may accept."""
        if field.number == DATA_LOCATION and field.wire == VARINT:
            return field.varint != 0
        return field.number == EXTERNAL_DATA and field.wire == BYTES

    def _entries(self, start: int, end: int) -> dict[str, str]:
        """Return the entries of a tensor's external data: location, offset, length, checksum."""
        entries: dict[str, str] = {}
        for field in self.fields(start, end):
            if field.number == EXTERNAL_DATA and field.wire == BYTES:
                pair = {
                    part.number: bytes(self._view[part.value : part.end]).decode("utf-8", "replace")
                    for part in self.fields(field.value, field.end)
                    if part.wire == BYTES
                }
                entries[pair.get(KEY, "")] = pair.get(VALUE, "")
        return entries


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _external_bytes(entries: dict[str, str], folder: Path, room: int, limit: int) -> bytes:
    """Return the bytes of one tensor from its stated file, which must lie in ``folder``."""
    location = entries.get("location", "")
    file = _inside(location, folder)
    try:
        offset = int(entries.get("offset") or 0)
        size = file.stat().st_size
        length = int(entries["length"]) if entries.get("length") else size - offset
        if offset < 0 or length < 0 or offset + length > size:
            raise ValueError
        if length > room:
            raise ModelError(
                f"with its weights in {location[:60]!r} the network has more than {limit:,} bytes; use a "
                "smaller one"
            )
        with file.open("rb") as stream:
            stream.seek(offset)
            content = stream.read(length)
    except (OSError, ValueError, OverflowError):
        raise ModelError(
            f"its weights in {location[:60]!r} are not as long as the graph states; copy both files again"
        ) from None
    if len(content) != length:
        raise ModelError(f"its weights in {location[:60]!r} changed while they were read; try again")
    return content


def _inside(location: str, folder: Path) -> Path:
    """Return the file at ``location``, if that is a plain path to a file below ``folder``."""
    posix, windows = PurePosixPath(location), PureWindowsPath(location)
    plain = not (posix.is_absolute() or windows.drive or windows.root or "\\" in location or "\0" in location)
    try:
        if plain and posix.parts and ".." not in posix.parts:
            home = folder.resolve()
            file = (home / location).resolve()
            if file.is_relative_to(home):
                if file.is_file():
                    return file
                raise ModelError(
                    f"its weights are in a second file, {location[:60]!r}, which is not there; put it beside "
                    "the ONNX file"
                )
    except (OSError, ValueError, RuntimeError):
        pass
    raise ModelError(
        f"its weights are in {location[:60]!r}, which is outside the folder of the ONNX file; put "
        "both files into one folder and save the network again"
    )
