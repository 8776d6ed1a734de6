"""Add templates to the SQLite file of a gallery, within one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence

from .name_index import NameIndex
from .row_file import WORD, mixed_one
from .template import Template, now

INSERT = (
    "INSERT INTO templates (id, person, vector, digest, quality, time, source, origin) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)


class Adding:
    """A transaction that adds people and templates, after the last rows of their tables.

    Args:
        db: The store, in a transaction.
        names: Who is enrolled.

    Attributes:
        keys: The id of each person that ``find`` has been asked for, by name.
    """

    def __init__(self, db: sqlite3.Connection, names: NameIndex) -> None:
        self._db, self._names = db, names
        self.keys: dict[str, int] = {}
        self._digests: dict[int, set[str]] = {}
        self._next = {
            table: 1 + int(db.execute(f"SELECT coalesce(max(id), 0) FROM {table}").fetchone()[0])
            for table in ("people", "templates")
        }
        self._changes = {"templates": 0, "people": 0, "vector marks": 0, "name marks": 0}
        self._time, self._length = now(), 0

    def find(self, names: Iterable[str]) -> None:
        """Look people up, and add those who are not enrolled."""
        wanted = [name for name in dict.fromkeys(names) if name not in self.keys]
        if not wanted:
            return
        found = self._names.find(self._db, wanted)
        added: list[tuple[int, str]] = []
        for name in wanted:
            if name not in found:
                found[name] = self._next["people"]
                self._next["people"] += 1
                self._digests[found[name]] = set()
                added.append((found[name], name))
                self._changes["name marks"] += mixed_one(found[name], self._names.mark(name.encode()))
        self._db.executemany("INSERT INTO people (id, name) VALUES (?, ?)", added)
        self.keys |= found

    def add(self, batch: Sequence[tuple[str, Template]]) -> list[bool]:
        """Add templates; return which are new: a photo counts once a person."""
        self.find(person for person, _ in batch)
        new: list[bool] = []
        rows: list[tuple[object, ...]] = []
        for person, one in batch:
            key = self.keys[person]
            held = self._of_person(key)
            new.append(one.digest not in held)
            if not new[-1]:
                continue
            self._changes["people"] += not held
            held.add(one.digest)
            vector = one.vector.astype("<f4").tobytes()
            row = self._next["templates"] + len(rows)
            time = one.time or self._time
            rows.append((row, key, vector, one.digest, one.quality, time, one.source, one.origin))
            self._changes["vector marks"] += mixed_one(row, self._names.mark(vector))
            self._length = self._length or len(vector)
        self._db.executemany(INSERT, rows)
        self._next["templates"] += len(rows)
        self._changes["templates"] += len(rows)
        return new

    def _of_person(self, key: int) -> set[str]:
        if key not in self._digests:
            rows = self._db.execute("SELECT digest FROM templates WHERE person = ?", (key,))
            self._digests[key] = {digest for (digest,) in rows}
        return self._digests[key]

    def finish(self) -> None:
        """State the new totals."""
        change_totals(self._db, self._changes)
        if self._length:
            self._db.execute(
                "UPDATE about SET value = ? WHERE key = 'dimensions' AND value = '0'",
                (str(self._length // 4),),
            )


def change_totals(db: sqlite3.Connection, changes: Mapping[str, int]) -> None:
    """Add to the totals that ``about`` states, modulo 2**64."""
    for key, change in changes.items():
        if change:
            held = int(db.execute("SELECT value FROM about WHERE key = ?", (key,)).fetchone()[0])
            db.execute("UPDATE about SET value = ? WHERE key = ?", (str((held + change) & WORD), key))
