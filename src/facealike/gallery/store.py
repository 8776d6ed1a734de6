"""Keep people and their templates in one SQLite file.

The file is the only truth; an index is rebuilt from it.  A write is acknowledged when its transaction is
on the disk (WAL, ``synchronous=FULL``).  ``forget`` overwrites what it deletes (``secure_delete``) and
truncates the WAL.  The audit table holds times and counts, and neither names nor digests: a digest of a name
can be found again by trying names.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, MixedModels
from ..utils.result import Shown

APPLICATION_ID = 0x46414C47  # "FALG", in the header of the file
MIGRATIONS = (
    """
    CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE people (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, metadata TEXT NOT NULL DEFAULT '{}');
    CREATE TABLE templates (
        id INTEGER PRIMARY KEY, person INTEGER NOT NULL REFERENCES people(id) ON DELETE CASCADE,
        vector BLOB NOT NULL, digest TEXT NOT NULL, quality REAL, time TEXT NOT NULL, source TEXT NOT NULL,
        UNIQUE (person, digest));
    CREATE TABLE audit (
        id INTEGER PRIMARY KEY, time TEXT NOT NULL, action TEXT NOT NULL, templates INTEGER NOT NULL);
    """,
)
"""SQL that leads from each schema version (``user_version``) to the next."""


@dataclass(frozen=True, repr=False, eq=False)
class Template(Shown):
    """One enrolled face: its unit vector (d,) float32, the photo's digest, its quality and its source."""

    vector: NDArray[np.float32]
    digest: str
    quality: float | None
    source: str


class GalleryStore(Protocol):
    """What a gallery needs of a store."""

    def add(
        self, person: str, templates: Sequence[Template], metadata: Mapping[str, Any] | None = None
    ) -> int:
        """Add templates of a person and return how many are new."""

    def forget(self, person: str) -> int:
        """Remove a person for good and return how many templates were removed."""

    def people(self) -> dict[str, int]:
        """Return the number of templates of each person."""

    def templates(self) -> list[tuple[str, Template]]:
        """Return all templates with the name of their person."""


class SQLiteStore:
    """A store in one SQLite file.

    Args:
        path: The file; created if it does not exist.
        model_id: The id of the model whose embeddings the file holds.

    Raises:
        DataError: The file is no gallery, is of a newer version, or cannot be opened.
        MixedModels: The file holds templates of another model.
    """

    def __init__(self, path: str | os.PathLike[str], model_id: str) -> None:
        self.path = Path(path)
        try:
            self._db = sqlite3.connect(self.path, timeout=30, isolation_level=None)
        except sqlite3.Error as error:
            raise DataError(f"{self.path}: cannot be opened as a gallery ({error})") from error
        try:
            self._prepare(model_id)
        except sqlite3.Error as error:
            self.close()
            raise DataError(f"{self.path}: not a usable gallery ({error}); name another file") from error
        except BaseException:
            self.close()
            raise

    def _prepare(self, model_id: str) -> None:
        db = self._db
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("PRAGMA secure_delete = ON")
        with self._transaction():
            owner = db.execute("PRAGMA application_id").fetchone()[0]
            tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if owner != APPLICATION_ID and (owner or tables):
                raise DataError(f"{self.path}: a database of another program; name another file")
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version > len(MIGRATIONS):
                raise DataError(f"{self.path}: a gallery of a newer facealike; update facealike")
            for script in MIGRATIONS[version:]:
                for statement in filter(str.strip, script.split(";")):
                    db.execute(statement)
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
            db.execute("INSERT OR IGNORE INTO about VALUES ('model', ?)", (model_id,))
            held = db.execute("SELECT value FROM about WHERE key = 'model'").fetchone()[0]
        if held != model_id:
            raise MixedModels(
                f"{self.path}: holds templates of the model {held}, not {model_id}; open it with that model, "
                "or enroll the photos again in a new gallery"
            )
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def add(
        self, person: str, templates: Sequence[Template], metadata: Mapping[str, Any] | None = None
    ) -> int:
        """Add templates in one transaction; return how many are new (a photo counts once a person)."""
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        new = 0
        with self._transaction():
            self._db.execute("INSERT OR IGNORE INTO people (name) VALUES (?)", (person,))
            key = self._db.execute("SELECT id FROM people WHERE name = ?", (person,)).fetchone()[0]
            if metadata is not None:
                self._db.execute(
                    "UPDATE people SET metadata = ? WHERE id = ?", (json.dumps(dict(metadata)), key)
                )
            for one in templates:
                new += self._db.execute(
                    "INSERT OR IGNORE INTO templates (person, vector, digest, quality, time, source) "
                    "VALUES (?, ?, ?, ?, ?, ?)",
                    (key, one.vector.astype("<f4").tobytes(), one.digest, one.quality, now, one.source),
                ).rowcount
        return new

    def forget(self, person: str) -> int:
        """Remove a person for good; return how many templates were removed.

        Raises:
            DataError: No such person, or another process kept the WAL from being truncated.
        """
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        with self._transaction():
            found = self._db.execute("SELECT id FROM people WHERE name = ?", (person,)).fetchone()
            if found is None:
                raise DataError(f"{self.path}: nobody enrolled as {person!r}; list the people of the gallery")
            count = self._db.execute("SELECT count(*) FROM templates WHERE person = ?", found).fetchone()[0]
            self._db.execute("DELETE FROM people WHERE id = ?", found)
            self._db.execute(
                "INSERT INTO audit (time, action, templates) VALUES (?, 'forget', ?)", (now, count)
            )
        if self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            raise DataError(
                f"{self.path}: the person is removed, but another process still reads the gallery and the "
                "write-ahead log keeps old bytes; close it and open the gallery once more"
            )
        return int(count)

    def people(self) -> dict[str, int]:
        """Return the number of templates of each person, by name."""
        rows = self._db.execute(
            "SELECT name, count(templates.id) FROM people LEFT JOIN templates ON person = people.id "
            "GROUP BY people.id ORDER BY name"
        )
        return dict(rows.fetchall())

    def templates(self) -> list[tuple[str, Template]]:
        """Return all templates with the name of their person, in order of enrollment."""
        rows = self._db.execute(
            "SELECT name, vector, digest, quality, source FROM templates JOIN people ON people.id = person "
            "ORDER BY templates.id"
        )
        return [(n, Template(np.frombuffer(v, "<f4"), d, q, s)) for n, v, d, q, s in rows]

    def close(self) -> None:
        """Close the file."""
        self._db.close()
