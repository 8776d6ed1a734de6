"""Keep people and their templates in one SQLite file.

The file is the only truth; an index is rebuilt from it.  A write is acknowledged when its transaction is
on the disk (WAL, ``synchronous=FULL``).  ``forget`` erases what it deletes: the file is rewritten and the
WAL truncated.  The audit table holds times and counts, and neither names nor digests: a digest of a name can
be found again by trying names.
"""

from __future__ import annotations

import functools
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..utils.escape import shown
from .base import Hit
from .index import ExactIndex
from .schema import BUSY_TIMEOUT, MIGRATIONS, cure, erase, failure, mark_deleted, prepare, transaction
from .template import Correction, Template, metadata_text, now, vector_problems

P = ParamSpec("P")
R = TypeVar("R")

CHUNK = 10_000
"""Vectors that are read at a time to be checked."""

MAX_SEARCHED = 100
"""Templates that a check searches for in the index, evenly spread."""

SCORE_TOLERANCE = 1e-2
"""How far the score of a template with itself may be from 1, for vectors whose norm is that far off."""

SELECT = (
    "SELECT name, vector, digest, quality, source, templates.time, origin FROM templates "
    "JOIN people ON people.id = person"
)
INSERT = (
    "INSERT OR IGNORE INTO templates (person, vector, digest, quality, time, source, origin) "
    "VALUES (?, ?, ?, ?, ?, ?, ?)"
)


def _guarded(
    run: Callable[Concatenate[SQLiteStore, P], R],
) -> Callable[Concatenate[SQLiteStore, P], R]:
    """Let errors of SQLite leave as a DataError that names the file."""

    @functools.wraps(run)
    def guarded(self: SQLiteStore, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return run(self, *args, **kwargs)
        except sqlite3.Error as error:
            raise failure(self.path, error) from error

    return guarded


class SQLiteStore:
    """A store in one SQLite file.

    Args:
        path: The file; created if it does not exist.
        model_id: The id of the model whose embeddings the file holds; None opens an existing gallery of any
            model.

    Raises:
        DataError: The file is no gallery, is of a newer version, or cannot be opened.
        MixedModels: The file holds templates of another model.
    """

    def __init__(self, path: str | os.PathLike[str], model_id: str | None = None) -> None:
        self.path = Path(path)
        self._index: ExactIndex | None = None
        self._sources: list[str] = []
        self._state: tuple[int, ...] = ()
        if model_id is None and not self.path.is_file():
            raise DataError(f"{self.name}: no such gallery; facealike gallery enroll makes one")
        try:
            self._db = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT / 1000, isolation_level=None)
        except sqlite3.Error as error:
            raise DataError(f"{self.name}: cannot be opened as a gallery ({error})") from error
        try:
            self.model_id = prepare(self._db, self.path, model_id)
        except sqlite3.Error as error:
            self.close()
            todo = cure(error, "name another file")
            raise DataError(f"{self.name}: not a usable gallery ({error}); {todo}") from error
        except BaseException:
            self.close()
            raise

    @property
    def location(self) -> str:
        """The path."""
        return str(self.path)

    @property
    def name(self) -> str:
        """The path for messages."""
        return shown(self.path)

    def add(
        self, person: str, templates: Sequence[Template], metadata: Mapping[str, Any] | None = None
    ) -> int:
        """Add templates in one transaction; return how many are new (a photo counts once a person)."""
        stated = None if metadata is None else {person: metadata}
        return sum(self.add_many([(person, one) for one in templates], stated))

    @_guarded
    def add_many(
        self, rows: Iterable[tuple[str, Template]], metadata: Mapping[str, Mapping[str, Any]] | None = None,
        corrections: Iterable[Correction] = (), replace: bool = True,
    ) -> list[bool]:  # fmt: skip
        """Add templates of any people in one transaction; return which are new.

        Args:
            rows: Templates with the name of their person.  An error while they are drawn adds none.
            metadata: By person; also people without a template are added.
            corrections: Added before the templates.
            replace: Replace the metadata of people who have some.
        """
        keys: dict[str, int] = {}
        new: list[bool] = []
        with transaction(self._db):
            for person, values in (metadata or {}).items():
                self._describe(self._key(person, keys), values, replace)
            for one in corrections:
                self._correct(self._key(one.person, keys), one)
            for person, template in rows:
                key = self._key(person, keys)
                vector = template.vector.astype("<f4").tobytes()
                row = (
                    key, vector, template.digest, template.quality, template.time or now(), template.source,
                    template.origin,
                )  # fmt: skip
                new.append(bool(self._db.execute(INSERT, row).rowcount))
        return new

    def _key(self, person: str, keys: dict[str, int]) -> int:
        if person not in keys:
            self._db.execute("INSERT OR IGNORE INTO people (name) VALUES (?)", (person,))
            found = self._db.execute("SELECT id FROM people WHERE name = ?", (person,)).fetchone()
            keys[person] = int(found[0])
        return keys[person]

    def _describe(self, key: int, values: Mapping[str, Any], replace: bool) -> None:
        only = "" if replace else " AND metadata = '{}'"
        self._db.execute(f"UPDATE people SET metadata = ? WHERE id = ?{only}", (metadata_text(values), key))

    def _correct(self, key: int, one: Correction) -> int:
        """Store a correction and remove the template that it contradicts; return how many that were."""
        self._db.execute(
            "INSERT OR IGNORE INTO corrections (person, digest, time) VALUES (?, ?, ?)",
            (key, one.digest, one.time or now()),
        )
        return self._db.execute(
            "DELETE FROM templates WHERE person = ? AND digest = ?", (key, one.digest)
        ).rowcount

    def _existing(self, person: str) -> int:
        found = self._db.execute("SELECT id FROM people WHERE name = ?", (person,)).fetchone()
        if found is None:
            raise DataError(
                f"{self.name}: no person {shown(person)!r} is enrolled; facealike gallery list shows who is"
            )
        return int(found[0])

    @_guarded
    def forget(self, person: str) -> int:
        """Remove a person for good; return how many templates were removed.

        Raises:
            DataError: No such person, or another process kept the old bytes from being erased.
        """
        with transaction(self._db):
            key = self._existing(person)
            count = self._db.execute("SELECT count(*) FROM templates WHERE person = ?", (key,)).fetchone()[0]
            self._db.execute("DELETE FROM people WHERE id = ?", (key,))
            self._log("forget", count)
            mark_deleted(self._db)
        self._erase("the person is removed")
        return int(count)

    @_guarded
    def correct(self, person: str, digest: str) -> int:
        """Store that a photo does not show a person; return how many templates were removed for it.

        Raises:
            DataError: No such person, or another process kept the old bytes from being erased.
        """
        with transaction(self._db):
            removed = self._correct(self._existing(person), Correction(person, digest))
            self._log("correct", removed)
            if removed:
                mark_deleted(self._db)
        if removed:
            self._erase("the template is removed")
        return removed

    def _log(self, action: str, templates: int) -> None:
        self._db.execute(
            "INSERT INTO audit (time, action, templates) VALUES (?, ?, ?)", (now(), action, templates)
        )

    def _erase(self, done: str) -> None:
        again = "open the gallery once more to erase old bytes from the file"
        try:
            erased = erase(self._db)
        except sqlite3.Error as error:
            raise DataError(f"{self.name}: {done}, but not erased yet ({error}); {again}") from error
        if not erased:
            raise DataError(
                f"{self.name}: {done}, but another process still reads it; close that, and {again}"
            )

    def search(self, query: NDArray[np.float32], top: int, without: Set[str] = frozenset()) -> list[Hit]:
        """Return the ``top`` people with the highest scores, the highest first, equal ones by name."""
        found = self._searchable().search(query, top, without)
        return [Hit(person, score, self._sources[row]) for person, score, row in found]

    def search_many(
        self, queries: NDArray[np.float32], top: int, without: Set[str] = frozenset()
    ) -> list[list[Hit]]:
        """Return what ``search`` does for each of the queries (q, d)."""
        return [self.search(query, top, without) for query in queries]

    def count(self) -> int:
        """Return the number of templates."""
        return len(self._searchable())

    def count_people(self) -> int:
        """Return the number of people with a template."""
        return self._searchable().people

    def _searchable(self) -> ExactIndex:
        """Return the index of all templates, read again where the store has changed."""
        state = self.state()
        if self._index is None or state != self._state:
            held = self.templates()
            vectors = [template.vector for _, template in held]
            stacked = np.stack(vectors) if vectors else np.zeros((0, 1), np.float32)
            self._index = ExactIndex(stacked, [person for person, _ in held])
            self._sources = [template.source for _, template in held]
            self._state = state
        return self._index

    @_guarded
    def people(self) -> dict[str, int]:
        """Return the number of templates of each person, by name."""
        rows = self._db.execute(
            "SELECT name, count(templates.id) FROM people LEFT JOIN templates ON person = people.id "
            "GROUP BY people.id ORDER BY name"
        )
        return dict(rows.fetchall())

    @_guarded
    def metadata(self) -> dict[str, dict[str, Any]]:
        """Return the metadata of each person who has some, by name."""
        rows = self._db.execute("SELECT name, metadata FROM people WHERE metadata != '{}' ORDER BY name")
        return {name: json.loads(text) for name, text in rows}

    @_guarded
    def templates(self, person: str | None = None) -> list[tuple[str, Template]]:
        """Return all templates, or those of a person, with the name of their person, in order of enrollment.

        Raises:
            DataError: No such person.
        """
        return self._selected() if person is None else self._selected("person = ?", (self._existing(person),))

    @_guarded
    def templates_of(self, people: Sequence[str]) -> dict[str, list[Template]]:
        """Return the templates of some people, by name; a person without one is left out."""
        found: dict[str, list[Template]] = {}
        marks = ", ".join("?" * len(people))
        for name, one in self._selected(f"name IN ({marks})", people):
            found.setdefault(name, []).append(one)
        return found

    def _selected(self, where: str = "1", values: Sequence[object] = ()) -> list[tuple[str, Template]]:
        rows = self._db.execute(f"{SELECT} WHERE {where} ORDER BY templates.id", values)
        return [(name, Template(np.frombuffer(vector, "<f4"), *rest)) for name, vector, *rest in rows]

    @_guarded
    def digests(self) -> dict[str, set[str]]:
        """Return the digests of the enrolled photos of each person."""
        return _sets(self._db.execute("SELECT name, digest FROM templates JOIN people ON people.id = person"))

    @_guarded
    def corrections(self) -> list[Correction]:
        """Return all corrections, in the order in which they were made."""
        rows = self._db.execute(
            "SELECT name, digest, corrections.time FROM corrections JOIN people ON people.id = person "
            "ORDER BY corrections.id"
        )
        return [Correction(*row) for row in rows]

    @_guarded
    def state(self) -> tuple[int, ...]:
        """Return two numbers of which one changes when this or another connection has written."""
        version = self._db.execute("PRAGMA data_version").fetchone()[0]
        return int(version), self._db.total_changes

    @_guarded
    def about(self) -> dict[str, Any]:
        """Return the counts, the dates, the versions and the size of the file."""
        value = self._db.execute
        first, last, templates = value("SELECT min(time), max(time), count(*) FROM templates").fetchone()
        created = value("SELECT value FROM about WHERE key = 'created'").fetchone()
        log = self.path.with_name(self.path.name + "-wal")
        return {
            "gallery": self.location, "model": self.model_id, "schema": len(MIGRATIONS),
            "people": value("SELECT count(*) FROM people").fetchone()[0], "templates": templates,
            "corrections": value("SELECT count(*) FROM corrections").fetchone()[0],
            "forgotten": value("SELECT count(*) FROM audit WHERE action = 'forget'").fetchone()[0],
            "bytes": sum(file.stat().st_size for file in (self.path, log) if file.exists()),
            "created": first if created is None else created[0], "first": first, "last": last,
        }  # fmt: skip

    @_guarded
    def note(self, key: str) -> str | None:
        """Return the note that ``set_note`` keeps under ``key``, None without one."""
        found = self._db.execute("SELECT value FROM about WHERE key = ?", (f"note {key}",)).fetchone()
        return None if found is None else str(found[0])

    @_guarded
    def set_note(self, key: str, value: str) -> None:
        """Keep a text with the gallery."""
        self._db.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (f"note {key}", value))

    @_guarded
    def dimensions(self) -> int:
        """Return the width of most vectors; 0 without one."""
        lengths = "SELECT length(vector) FROM templates GROUP BY 1 ORDER BY count(*) DESC LIMIT 1"
        usual = self._db.execute(lengths).fetchone()
        return 0 if usual is None else int(usual[0]) // 4

    @_guarded
    def damaged_templates(self) -> list[tuple[str, str, str]]:
        """Return (person, source, what is wrong) of each template whose vector cannot be one of the model."""
        length = 4 * self.dimensions()
        rows = self._db.execute(
            "SELECT name, source, CAST(vector AS BLOB) FROM templates JOIN people ON people.id = person"
        )
        found: list[tuple[str, str, str]] = []
        while chunk := rows.fetchmany(CHUNK):
            wrong = vector_problems([vector for _, _, vector in chunk], length)
            found += [(chunk[i][0], chunk[i][1], why) for i, why in wrong.items()]
        return found

    @_guarded
    def file_problems(self) -> list[str]:
        """Return what SQLite's own checks of pages, indices and references report."""
        found = [str(row[0]) for row in self._db.execute("PRAGMA integrity_check") if row[0] != "ok"]
        lost = [
            f"{row[0]} {row[1]} refers to no row of {row[2]}"
            for row in self._db.execute("PRAGMA foreign_key_check")
        ]
        return found + lost

    def index_problems(self) -> list[str]:
        """Search templates in an index of all: each must be found, with a score of 1."""
        held = self.templates()
        if not held:
            return []
        index = ExactIndex(np.stack([one.vector for _, one in held]), [who for who, _ in held])
        if len(index) != len(held):
            return [f"the index holds {len(index)} templates and the file {len(held)}"]
        found: list[str] = []
        for row in np.unique(np.linspace(0, len(held) - 1, min(len(held), MAX_SEARCHED)).astype(int)):
            who, one = held[row]
            ((person, score, at),) = index.search(one.vector, 1)
            stored = float(held[at][1].vector @ one.vector)
            if held[at][0] != person or max(abs(score - 1), abs(stored - 1)) > SCORE_TOLERANCE:
                found.append(f"{shown(who)}: {shown(one.source)}: not found in the index")
        return found

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def _sets(rows: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, value in rows:
        found.setdefault(name, set()).add(value)
    return found
