"""Find people by name without an index of names in the database, which would keep parts of forgotten ones.

The index file holds a 64-bit hash of each name, which forgetting overwrites.  What it finds is compared with
the name in the database.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .indexed_table import IndexedTable
from .row_file import Column

LOOKED_UP = 500
"""People that one statement looks up."""


class NameIndex(IndexedTable):
    """The names of all people.

    Args:
        folder: The folder of the gallery's index files.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "names", "people", "name")

    def columns(self, db: sqlite3.Connection) -> Sequence[Column]:
        return ()

    def encoded(self, values: Sequence[str]) -> tuple[dict[str, NDArray[Any]], float]:
        return {}, 0.0

    def _drop_newer(self) -> None:
        super()._drop_newer()
        self._keys: dict[str, int] = {}

    def _drop(self, ids: Collection[int]) -> None:
        self._keys = {name: key for name, key in self._keys.items() if key not in ids}

    def _newer(self) -> int:
        return len(self._keys)

    def _hold(self, ids: list[int], values: list[str]) -> None:
        self._keys.update(zip(values, ids, strict=True))

    def catch_up(self, db: sqlite3.Connection) -> None:
        """Take note of what other processes have enrolled, unless within a transaction."""
        if not db.in_transaction:  # within one, memory would take up what may be undone
            self.refresh(db)
            self.read_newer(db)

    def holding(self, db: sqlite3.Connection, text: str, before: int) -> Iterator[tuple[int, str | None]]:
        """Yield the people in memory whose name holds a text, the newest first; ``catch_up`` first.

        Names are those of the database, None of a person whom another process has forgotten.  Of an encrypted
        gallery, which has all names in memory, only those that are drawn are decrypted.

        Args:
            db: The store.
            text: The text, in capital or small letters.
            before: Above the ids of all.
        """
        wanted = text.casefold()
        ids = [key for name, key in self._keys.items() if key < before and wanted in name.casefold()]
        for key in sorted(ids, reverse=True):
            yield from db.execute("SELECT id, name FROM people WHERE id = ?", (key,))

    def find(self, db: sqlite3.Connection, names: Collection[str]) -> dict[str, int]:
        """Return the id of each person who is enrolled, by name; ``load`` first."""
        self.catch_up(db)
        wanted = set(names)
        ids = [self._keys[name] for name in wanted if name in self._keys]
        if self.file is not None:
            hashes = np.array([self.mark(name.encode()) for name in wanted], np.uint64)
            for block in self.file.blocks():
                marks = self.file.column("mark", block)
                there = marks == hashes[0] if len(hashes) == 1 else np.isin(marks, hashes)
                ids += self.file.column("id", block)[np.flatnonzero(there)].tolist()
        found: dict[str, int] = {}
        for start in range(0, len(ids), LOOKED_UP):
            part = ids[start : start + LOOKED_UP]
            rows = db.execute(f"SELECT name, id FROM people WHERE id IN ({','.join('?' * len(part))})", part)
            found.update((name, key) for name, key in rows if name in wanted)
        return found
