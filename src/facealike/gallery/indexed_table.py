"""A table of the gallery as rows of an index file, and in memory the rows that the file lacks.

The index is a copy.  Rows of the table are only added at the end, and emptied where they stand.  So whatever
state the file is in, the rows up to its last one, less those that are empty in the table now, and the newer
rows, which are read from the table, are what the table holds.  A file that is missing, damaged, of another
gallery or of another state of it is made again.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .record_cipher import RecordCipher
from .row_file import WORD, Column, DamagedRows, RowFile, mark_of, mixed_one
from .schema import reading, transaction

FILE_FROM = 10_000
"""From so many rows on there is a file; fewer are read from the table at each opening."""

NEWER = 1_000
"""So many rows that the file lacks are appended to it."""

CHUNK = 10_000
"""Rows that are read at a time."""


class IndexedTable:
    """The index of a table.

    Args:
        path: Its file.
        table: The name of the table; its rows are those with a value.
        value: The column that is indexed.

    Attributes:
        file: The file; None without one.
        mark: Hashes the bytes of a value.
        on_disk: Whether there may be a file.
    """

    def __init__(self, path: Path, table: str, value: str) -> None:
        self.path, self._table, self._value = path, table, value
        # In a damaged file a cell may have any type.
        self._cell = f"CAST({value} AS {'BLOB' if value == 'vector' else 'TEXT'})"
        self.file: RowFile | None = None
        self.mark: Callable[[bytes], int] = mark_of
        self._loaded, self._trusted, self.on_disk = False, True, True
        self._drop_newer()

    def use(self, cipher: RecordCipher | None) -> None:
        """Keep all rows in memory and none in a file, if the table is encrypted; drop what is held so far."""
        self.mark = mark_of if cipher is None else cipher.mark
        self.on_disk, self._loaded, self._trusted = cipher is None, False, True
        self.close()
        self.file = None
        self._drop_newer()

    def columns(self, db: sqlite3.Connection) -> Sequence[Column]:
        """Return the columns of the file, after its keys."""
        raise NotImplementedError

    def encoded(self, values: Sequence[Any]) -> tuple[dict[str, NDArray[Any]], float]:
        """Return the columns of values, and the error that they have.

        Raises:
            DamagedRows: A value cannot be one.
        """
        raise NotImplementedError

    @staticmethod
    def bytes_of(value: Any) -> bytes:
        """Return the bytes that a value is marked by."""
        return value.encode() if isinstance(value, str) else bytes(value)

    def _drop_newer(self) -> None:
        """Drop all rows in memory."""
        self._newest = 0

    def _drop(self, ids: Collection[int]) -> None:
        """Drop some rows in memory."""
        raise NotImplementedError

    def _hold(self, ids: list[int], values: list[Any]) -> None:
        """Add rows in memory."""
        raise NotImplementedError

    def _newer(self) -> int:
        """Return how many rows there are in memory."""
        raise NotImplementedError

    def load(self, db: sqlite3.Connection) -> None:
        """Open the file, or make it where it does not hold what the table does; read the newer rows."""
        if self._loaded:
            return
        self._open(db)
        if not self._sound(db):
            self.file, self._trusted = None, False
            # Another process may have been writing in it: only who holds the lock can tell.
            with contextlib.suppress(sqlite3.OperationalError, OSError), transaction(db):
                self._open(db)
                if not self._sound(db):
                    self.file = None
                    self.path.unlink()
                self._trusted = True
        if self.on_disk and self.file is None and self._last(db) >= FILE_FROM:
            self._extend(db)
        self.read_newer(db)
        self._loaded = True

    def _sound(self, db: sqlite3.Connection) -> bool:
        with reading(db):
            return self.file is None or (self.file.whole() and self.agrees(db, self.file))

    def refresh(self, db: sqlite3.Connection) -> None:
        """Take note of what other processes have done to the file."""
        self.load(db)
        if self.file is not None and not self.file.refresh():
            self._open(db)
        elif self.file is None and self._newer() >= FILE_FROM and self._trusted:
            self._open(db)  # another process may have made it
        if self.file is not None and self._newest and self.file.last >= self._newest:
            self._drop_newer()

    def opened(self, db: sqlite3.Connection) -> RowFile:
        """Return the file, opened.

        Raises:
            DamagedRows: There is none, or it is not this index.
            OSError: It cannot be read.
        """
        stamp = {"gallery": about(db, "store"), "table": self._table}
        return RowFile(self.path, self.columns(db), stamp)

    def _open(self, db: sqlite3.Connection) -> None:
        """Take the file as it is now."""
        last = 0 if self.file is None else self.file.last
        try:
            self.file = self.opened(db) if self.on_disk else None
        except (DamagedRows, OSError):
            self.file = None
        if (0 if self.file is None else self.file.last) < last:
            self._drop_newer()  # they began after the old last row

    def agrees(self, db: sqlite3.Connection, file: RowFile | None) -> bool:
        """Return whether the marks of a file, and those of newer rows, add up to what the store states."""
        total, last = (0, 0) if file is None else (file.sum, file.last)
        stated = int(about(db, f"{self._value} marks"))
        for ids, values in self._rows(db, last):
            for key, value in zip(ids, values, strict=True):
                total += mixed_one(key, self.mark(self.bytes_of(value)))
        return total & WORD == stated

    def between(self, db: sqlite3.Connection, first: int, last: int) -> dict[int, Any]:
        """Return the values of rows of the table, by id, which rises."""
        rows = db.execute(
            f"SELECT id, {self._cell} FROM {self._table} WHERE id BETWEEN ? AND ? "
            f"AND {self._value} IS NOT NULL ORDER BY id",
            (first, last),
        )
        return dict(rows.fetchall())

    def read_newer(self, db: sqlite3.Connection) -> None:
        """Read the rows into memory that neither the file nor memory holds."""
        last = 0 if self.file is None else self.file.last
        for ids, values in self._rows(db, max(last, self._newest)):
            self._hold(ids, values)
            self._newest = ids[-1]

    def _rows(self, db: sqlite3.Connection, after: int) -> Iterator[tuple[list[int], list[Any]]]:
        rows = db.execute(
            f"SELECT id, {self._cell} FROM {self._table} WHERE id > ? AND {self._value} IS NOT NULL "
            "ORDER BY id",
            (after,),
        )
        while chunk := rows.fetchmany(CHUNK):
            ids, values = zip(*chunk, strict=True)
            yield list(ids), list(values)

    def _last(self, db: sqlite3.Connection) -> int:
        """Return the id of the last row of the table, which is at least the number of its rows."""
        return int(db.execute(f"SELECT coalesce(max(id), 0) FROM {self._table}").fetchone()[0])

    def grow(self, db: sqlite3.Connection) -> None:
        """Move the rows in memory to the file, where they are many."""
        if self.on_disk and self._newer() >= (FILE_FROM if self.file is None else NEWER):
            self._extend(db)

    def _extend(self, db: sqlite3.Connection) -> None:
        """Append what the file lacks, or make it; where the folder cannot be written, all stays as it is."""
        with contextlib.suppress(sqlite3.OperationalError, OSError, DamagedRows), transaction(db):
            if self._trusted:
                self._open(db)
            if self.file is not None:
                self._append(db, self.file)
            else:
                self.path.parent.mkdir(exist_ok=True)
                self.file = self._made(db)
            self._drop_newer()

    def _made(self, db: sqlite3.Connection) -> RowFile:
        stamp = {"gallery": about(db, "store"), "table": self._table}
        made = RowFile.create(self.path, self.columns(db), stamp)
        try:
            self._append(db, made)
            made.finish()
        except BaseException:
            made.path.unlink(missing_ok=True)
            raise
        return made

    def _append(self, db: sqlite3.Connection, file: RowFile) -> None:
        for ids, values in self._rows(db, file.last):
            marks = np.array([self.mark(self.bytes_of(value)) for value in values], np.uint64)
            columns, error = self.encoded(values)
            file.append({"id": np.array(ids), "mark": marks, **columns}, error)

    def flush(self) -> None:
        """Flush the file, so that what was blanked stays so after a power cut."""
        if self.file is not None:
            with contextlib.suppress(FileNotFoundError):  # made again by another process, without those rows
                self.file.flush()

    def blank(self, db: sqlite3.Connection, ids: Sequence[int], again: bool) -> None:
        """Overwrite rows in the file, within a transaction; drop what memory holds of them.

        Args:
            db: The store.
            ids: Those of the rows.
            again: A process that was killed may have begun with it.
        """
        self._open(db)
        if self.file is not None:
            self.file.blank(ids, again)
        if ids and max(ids) > (0 if self.file is None else self.file.last):
            self._drop(set(ids))

    def delete(self) -> None:
        """Delete the file, within a transaction; it is made again when it is needed."""
        self.path.unlink(missing_ok=True)
        self.file, self._loaded = None, False
        self._drop_newer()

    def close(self) -> None:
        """Close the file."""
        if self.file is not None:
            self.file.close()


def about(db: sqlite3.Connection, key: str) -> str:
    """Return what the store states about itself under a key."""
    return str(db.execute("SELECT value FROM about WHERE key = ?", (key,)).fetchone()[0])
