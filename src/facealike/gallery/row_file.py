"""Rows of fixed width in one memory-mapped file, which grow at the end and are blanked in place.

The file is a header of one page and then blocks of ``BLOCK`` rows.  A block is its check sum and one array a
column, so that each column of a block is contiguous.  How many rows there are, and the check sum of a last
block that is not full, stand in the header, which is written last and at once: a process that is killed while
it appends leaves the file as it was.  Any number of processes may map the file and read rows
while one process appends or blanks; who writes must hold the lock of the gallery.  A file is replaced by
renaming a new one over it: who has mapped the old one goes on reading that.

Every row has an ``id``, which rises with the row, and a ``mark``, a hash of what the row stands for; the mark
of a blanked row is 0.  The sum of all marks, each mixed with its id, ties the file to the database that it
was made from.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import mmap
import os
import secrets
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..utils.atomic_write import flush_folder

BLOCK = 16_384
"""Rows of a block: of 219 bytes they fill the second-level cache of a core."""

PAGE = 4096
CHECK = 64  # bytes of a block's check sum, of which 8 are used: columns stay aligned
COUNTERS = struct.Struct("<8sQQQd")  # magic, rows, sum of marks, check sum of the last block, error
MAGIC = b"FALGROW1"
WORD = (1 << 64) - 1


class Column(NamedTuple):
    """A column: its name, the type of its numbers, and how many a row has."""

    name: str
    dtype: str
    width: int = 1

    @property
    def bytes(self) -> int:
        """Bytes of a row."""
        return np.dtype(self.dtype).itemsize * self.width


KEYS = (Column("id", "<i8"), Column("mark", "<u8"))
"""The columns that every file begins with."""


class DamagedRows(Exception):
    """The file is not one of these rows, or not whole; the caller makes it again."""


def mark_of(data: bytes) -> int:
    """Return the mark of a row that stands for these bytes: 64 bits of their hash, never 0."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little") or 1


def mixed_one(key: int, mark: int) -> int:
    """Return what a row adds to the sum of marks."""
    return mark * (2 * key + 1) & WORD


def mixed(ids: NDArray[np.int64], marks: NDArray[np.uint64]) -> int:
    """Return the sum of marks, each mixed with its id, modulo 2**64."""
    odd = ids.astype(np.uint64) * np.uint64(2) + np.uint64(1)
    return int(np.sum(marks * odd, dtype=np.uint64))


class RowFile:
    """An open file of rows.

    Args:
        path: The file.
        columns: After ``KEYS``.
        stamp: What else the file must state, such as the id of its gallery.

    Raises:
        DamagedRows: There is none, or it has other columns or another stamp, or is not whole.
        OSError: It cannot be read.
    """

    def __init__(self, path: Path, columns: Sequence[Column], stamp: Mapping[str, Any]) -> None:
        self.path, self.columns = path, (*KEYS, *columns)
        self._offsets, self._types, at = {}, {}, CHECK
        for one in self.columns:
            self._offsets[one.name] = at
            self._types[one.name] = np.dtype((one.dtype, one.width)) if one.width > 1 else np.dtype(one.dtype)
            at += one.bytes * BLOCK
        self._block_bytes = at
        self._described = _described(self.columns, stamp)
        try:
            self._file = path.open("rb")
        except FileNotFoundError:
            raise DamagedRows(f"{path.name}: no such file") from None
        try:
            self.inode = os.fstat(self._file.fileno()).st_ino
            self._map()
            if bytes(self._bytes[64 : 64 + len(self._described)]) != self._described:
                raise DamagedRows(f"{path.name}: of another gallery or another kind")
        except BaseException:
            self.close()
            raise

    @classmethod
    def create(cls, path: Path, columns: Sequence[Column], stamp: Mapping[str, Any]) -> RowFile:
        """Create an empty file in place of any other."""
        beside = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
        try:
            with beside.open("xb") as stream:
                stream.write(_header(_described((*KEYS, *columns), stamp)))
                stream.flush()
                os.fsync(stream.fileno())
            made = cls(beside, columns, stamp)
        except BaseException:
            with contextlib.suppress(OSError):
                beside.unlink()
            raise
        made.final = path
        return made

    final: Path | None = None
    """The name that a file being made gets from ``finish``."""

    def finish(self) -> None:
        """Flush a file that was created, and give it its name."""
        assert self.final is not None
        with self.path.open("rb") as file:
            os.fsync(file.fileno())
        self.path.replace(self.final)
        self.path = self.final
        flush_folder(self.path.parent)

    def _map(self) -> None:
        size = os.fstat(self._file.fileno()).st_size
        if size < PAGE:
            raise DamagedRows(f"{self.path.name}: too short")
        self._mapped = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        self._bytes = np.frombuffer(self._mapped, np.uint8)
        magic, rows, self.sum, self._last_check, self.error = self._counters()
        if magic != MAGIC or size < PAGE + -(-rows // BLOCK) * self._block_bytes:
            raise DamagedRows(f"{self.path.name}: not a whole file of rows")
        self.rows = rows

    def _counters(self) -> tuple[bytes, int, int, int, float]:
        """Return what the header states, read until a write of another process is not half seen."""
        seen = bytes(self._mapped[: COUNTERS.size])
        while seen != (again := bytes(self._mapped[: COUNTERS.size])):
            seen = again
        magic, rows, total, last_check, error = COUNTERS.unpack(seen)
        return magic, rows, total, last_check, error

    def refresh(self) -> bool:
        """Take note of rows that another process has appended; return False where the file was replaced."""
        try:
            if self.path.stat().st_ino != self.inode:
                return False
        except OSError:
            return False
        _, rows, self.sum, self._last_check, self.error = self._counters()
        if rows != self.rows:
            self._map()
        return True

    def column(self, name: str, block: int) -> NDArray[Any]:
        """Return a column of the rows of a block, shape (rows,) or (rows, width); it cannot be written."""
        rows = min(BLOCK, self.rows - block * BLOCK)
        start = PAGE + block * self._block_bytes + self._offsets[name]
        return np.frombuffer(self._mapped, self._types[name], rows, start)

    def blocks(self) -> range:
        """Return the numbers of the blocks."""
        return range(-(-self.rows // BLOCK))

    @property
    def last(self) -> int:
        """The id of the last row; 0 without one."""
        return int(self.column("id", (self.rows - 1) // BLOCK)[-1]) if self.rows else 0

    def ids(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the ids of rows."""
        found = np.empty(len(rows), np.int64)
        for block in np.unique(rows // BLOCK):
            there = rows // BLOCK == block
            found[there] = self.column("id", int(block))[rows[there] % BLOCK]
        return found

    def whole(self) -> bool:
        """Return whether every block has its check sum, and the marks their sum."""
        _, rows, total, last_check, _ = self._counters()
        for block in self.blocks():
            start = PAGE + block * self._block_bytes
            stored = int(self._bytes[start : start + 8].view("<u8")[0])
            if self._check(block) != (stored if (block + 1) * BLOCK <= rows else last_check):
                return False
        return self._marks() == total

    def _marks(self) -> int:
        """Return the sum of the marks of all rows."""
        return sum(mixed(self.column("id", i), self.column("mark", i)) for i in self.blocks()) & WORD

    def _check(self, block: int) -> int:
        """Return the check sum of the rows of a block."""
        total = 0
        for one in self.columns:
            content = self.column(one.name, block).reshape(-1).view(np.uint8)
            whole = len(content) // 8 * 8
            total += int(np.sum(content[:whole].view("<u8"), dtype=np.uint64))
            total += int.from_bytes(content[whole:].tobytes(), "little")
        return total & WORD

    def append(self, columns: Mapping[str, NDArray[Any]], error: float = 0.0) -> None:
        """Append rows, each column (n,) or (n, width); ids rise."""
        count, done = len(columns["id"]), 0
        total = (self.sum + mixed(columns["id"], columns["mark"])) & WORD
        start = self.rows
        with self.path.open("r+b", buffering=0) as file:
            need = PAGE + -(-(start + count) // BLOCK) * self._block_bytes
            if file.seek(0, os.SEEK_END) < need:
                file.truncate(need)
            while done < count:
                block, at = divmod(start + done, BLOCK)
                part = slice(done, done + min(BLOCK - at, count - done))
                for one in self.columns:
                    values = np.ascontiguousarray(columns[one.name][part], dtype=one.dtype)
                    place = PAGE + block * self._block_bytes + self._offsets[one.name] + at * one.bytes
                    _write(file, place, values.tobytes())
                done = part.stop
            self._map()
            self.rows, self.error = start + count, max(error, self.error)
            for block in range(start // BLOCK, self.rows // BLOCK):
                self._write_check(file, block)
            self._write_counters(file, total)
            if self.final is None or self.path == self.final:
                os.fsync(file.fileno())
        self._map()

    def flush(self) -> None:
        """Flush what this process or another has written, so that it survives a power cut."""
        with self.path.open("rb") as file:
            os.fsync(file.fileno())

    def blank(self, ids: Sequence[int], again: bool = False) -> None:
        """Overwrite rows with zeros, all but their id.  Does not flush.

        Args:
            ids: Those of the rows; others are left out.
            again: Another process may have been killed while it blanked these rows.
        """
        rows = [row for row in map(self._row, sorted(ids)) if row is not None]
        if not rows:
            return
        with self.path.open("r+b", buffering=0) as file:
            total = self.sum
            for row in rows:
                block, at = divmod(row, BLOCK)
                key, mark = self.column("id", block)[at : at + 1], self.column("mark", block)[at : at + 1]
                total = (total - mixed(key, mark)) & WORD
                for one in self.columns[1:]:
                    place = PAGE + block * self._block_bytes + self._offsets[one.name] + at * one.bytes
                    _write(file, place, bytes(one.bytes))
            for block in {row // BLOCK for row in rows}:
                if (block + 1) * BLOCK <= self.rows:
                    self._write_check(file, block)
            self._write_counters(file, self._marks() if again else total)

    def _row(self, key: int) -> int | None:
        """Return the row of an id; ids rise."""
        low, high = 0, self.rows
        while low < high:
            middle = (low + high) // 2
            block, at = divmod(middle, BLOCK)
            if int(self.column("id", block)[at]) < key:
                low = middle + 1
            else:
                high = middle
        block, at = divmod(low, BLOCK)
        return low if low < self.rows and int(self.column("id", block)[at]) == key else None

    def _write_check(self, file: Any, block: int) -> None:
        _write(file, PAGE + block * self._block_bytes, struct.pack("<Q", self._check(block)))

    def _write_counters(self, file: Any, total: int) -> None:
        self.sum, self._last_check = total, self._check(self.rows // BLOCK) if self.rows % BLOCK else 0
        _write(file, 0, COUNTERS.pack(MAGIC, self.rows, total, self._last_check, self.error))

    def close(self) -> None:
        """Close the file; arrays that were taken from it keep it mapped."""
        self._file.close()


def _described(columns: Sequence[Column], stamp: Mapping[str, Any]) -> bytes:
    text = json.dumps({"columns": columns, "block": BLOCK, **stamp}, sort_keys=True).encode("ascii")
    return struct.pack("<II", len(text), zlib.crc32(text)) + text


def _header(described: bytes) -> bytes:
    if len(described) > PAGE - 64:
        raise ValueError("the stamp does not fit into the header")
    return (COUNTERS.pack(MAGIC, 0, 0, 0, 0.0).ljust(64, b"\0") + described).ljust(PAGE, b"\0")


def _write(file: Any, place: int, data: bytes) -> None:
    file.seek(place)
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
