"""What can be read from the SQLite file of a gallery."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np

from ..errors import DataError, UsageError
from ..utils.escape import shown
from .base import NoSuchPerson
from .device_matrix import open_matrix
from .encrypted_tables import attach, unlock, unreadable_rows
from .gallery_key import GalleryKey
from .index import TemplateIndex
from .index_check import index_problems
from .indexed_table import about
from .name_index import NameIndex
from .people_page import PeoplePage, first_matches, place_of
from .record_cipher import NotAuthentic, RecordCipher
from .scan import Precision
from .schema import BUSY_TIMEOUT, MIGRATIONS, failure, prepare, reading, transaction
from .template import MAPPED, Correction, Template, vector_problems
from .unusable import UnusableGallery

P = ParamSpec("P")
R = TypeVar("R")
Self = TypeVar("Self", bound="SQLiteReader")

CHUNK = 10_000
"""Vectors that are read at a time to be checked."""

SELECT = (
    "SELECT name, vector, digest, quality, source, templates.time, origin FROM templates "
    "JOIN people ON people.id = person"
)

FEW = 500
"""So many people are looked up one by one; of more, all people are read."""


SQL_ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""Errors of SQLite; the second where the message quotes a damaged file."""


def guarded(run: Callable[Concatenate[Self, P], R]) -> Callable[Concatenate[Self, P], R]:
    """Let errors of SQLite leave as a DataError that names the file."""

    @functools.wraps(run)
    def wrapped(self: Self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return run(self, *args, **kwargs)
        except (*SQL_ERRORS, NotAuthentic) as error:
            raise self._failure(error) from error

    return wrapped


class SQLiteReader:
    """The file of a gallery, open.

    Args:
        path: The file; created if it does not exist.
        model_id: The id of the model whose embeddings the file holds; None opens an existing gallery of any
            model.
        precision: How the index file holds vectors; it does not change what a search returns.
        key: The key of an encrypted gallery; a new one becomes encrypted.
        search_device: Where the index is searched: ``cpu``, or ``cuda:N`` by torch.

    Attributes:
        key: The key; None of a plain gallery.

    Raises:
        DataError: The file is no gallery, is of a newer version, or cannot be opened; or its key is missing
            or another one.
        MixedModels: The file holds templates of another model.
        UsageError: The search device is none, or the gallery is encrypted and it is no CPU.
        DeviceError: The search device is not there.
        MissingExtra: torch is not installed, for a search device that is no CPU.
    """

    def __init__(
        self, path: str | os.PathLike[str], model_id: str | None = None, precision: Precision = "int8",
        key: GalleryKey | None = None, search_device: str = "cpu",
    ) -> None:  # fmt: skip
        self.path = Path(path)
        self._file = self.path.absolute()  # the process may change its folder later
        if self.path.is_dir():
            raise DataError(f"{self.name}: a folder; give the file of a gallery")
        if model_id is None and not self.path.is_file():
            raise DataError(f"{self.name}: no such gallery; facealike gallery enroll makes one")
        self._blanked: set[tuple[str, int]] = set()  # erased from the index files, and flushed
        self._removed: set[tuple[str, int]] = set()  # removed from the tables, and not yet from the index
        folder = index_folder(self._file)
        self._index = TemplateIndex(folder, precision, open_matrix(search_device))
        self._names = NameIndex(folder)
        try:
            self._db = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT / 1000, isolation_level=None)
        except sqlite3.Error as error:
            raise UnusableGallery(
                f"{self.name}: cannot be opened as a gallery ({error})", "unreachable"
            ) from error
        try:
            self.model_id = prepare(self._db, self.path, model_id)
            cipher = unlock(self._db, self.path, self.model_id, key)
            if cipher is not None and search_device != "cpu":
                raise UsageError(f"{self.name}: encrypted galleries are searched on the cpu only")
            self._use(cipher, key)
            with contextlib.suppress(sqlite3.OperationalError, OSError):
                if self._db.execute("SELECT 1 FROM erasures LIMIT 1").fetchone():
                    with transaction(self._db):
                        self._finish_erasures()
        except SQL_ERRORS as error:
            self.close()
            raise failure(self.path, error, "not a usable gallery", "name another file") from error
        except BaseException:
            self.close()
            raise

    def _use(self, cipher: RecordCipher | None, key: GalleryKey | None) -> None:
        self._cipher, self.key = cipher, key
        if cipher is not None:
            attach(self._db, cipher)
        self._index.use(cipher)
        self._names.use(cipher)

    def _failure(self, error: Exception) -> UnusableGallery:
        """Return an error of SQLite, or of the cipher within it, as one sentence."""
        if self._cipher is not None and self._cipher.failed:
            where, self._cipher.failed = self._cipher.failed, ""
            return UnusableGallery(
                f"{self.name}: {where} cannot be decrypted: the file is damaged or was changed by another "
                "program; restore a copy",
                "damaged",
            )
        return failure(self.path, error)

    @property
    def location(self) -> str:
        """The path."""
        return str(self.path)

    @property
    def name(self) -> str:
        """The path for messages."""
        return shown(self.path)

    def snapshot(self) -> AbstractContextManager[None]:
        """Let all reads of the block see one state of the gallery."""
        return reading(self._db)

    def _finish_erasures(self) -> None:
        """Erase in the index files what killed processes may have left there, in a transaction."""
        self._removed = set()
        rows = self._blank_removed(set())
        if rows - self._blanked:
            self._index.flush()
            self._names.flush()
        if rows:
            self._db.execute("DELETE FROM erasures")

    def _blank_removed(self, own: set[tuple[str, int]]) -> set[tuple[str, int]]:
        """Overwrite in the index files what was removed from the tables, in a transaction; return the rows.

        Args:
            own: Those that this process has removed; others may be blanked in part.
        """
        rows = set(self._db.execute("SELECT kind, row FROM erasures").fetchall())
        again = bool(rows - self._blanked - own)
        for kind, index in (("templates", self._index), ("people", self._names)):
            ids = [row for of_kind, row in rows - self._blanked if of_kind == kind]
            if ids:
                index.blank(self._db, ids, again)
        return rows

    def _existing(self, person: str) -> int:
        found = self._names.find(self._db, [person])
        if person not in found:
            raise NoSuchPerson(self.name, person)
        return found[person]

    @guarded
    def count(self) -> int:
        """Return the number of templates."""
        return int(about(self._db, "templates"))

    @guarded
    def count_people(self) -> int:
        """Return the number of people with a template."""
        return int(about(self._db, "people"))

    @guarded
    def dimensions(self) -> int:
        """Return the width of the vectors; 0 without one."""
        return int(about(self._db, "dimensions"))

    @guarded
    def people(self) -> dict[str, int]:
        """Return the number of templates of each person, by name."""
        rows = self._db.execute(
            "SELECT name, (SELECT count(*) FROM templates WHERE person = people.id) FROM people "
            "WHERE name IS NOT NULL ORDER BY name"
        )
        return dict(rows.fetchall())

    @guarded
    def people_page(self, limit: int, after: str | None = None, search: str = "") -> PeoplePage:
        """Return the next people, the newest first; see ``GalleryStore``.

        Raises:
            UsageError: ``after`` is not the ``next`` of a page.
        """
        before = place_of(after)
        # An encrypted gallery has its names in memory; all others would have to be decrypted.
        in_memory = bool(search) and self._cipher is not None and not self._db.in_transaction
        if in_memory:
            self._names.catch_up(self._db)
        with self.snapshot():
            rows: Iterable[tuple[int, str | None]] = (
                self._names.holding(self._db, search, before)
                if in_memory
                else self._db.execute("SELECT id, name FROM people WHERE id < ? ORDER BY id DESC", (before,))
            )
            found, following = first_matches(rows, limit, search)
            count = "SELECT count(*) FROM templates WHERE person = ?"
            people = {name: self._db.execute(count, (key,)).fetchone()[0] for key, name in found.items()}
        return PeoplePage(people, following)

    @guarded
    def metadata(self) -> dict[str, dict[str, Any]]:
        """Return the metadata of each person who has some, by name."""
        rows = self._db.execute(
            "SELECT name, metadata FROM descriptions JOIN people ON people.id = person ORDER BY name"
        )
        return {name: json.loads(text) for name, text in rows}

    def templates(self, person: str | None = None) -> list[tuple[str, Template]]:
        """Return all templates, or those of a person, with the name of their person, in order of enrollment.

        Raises:
            DataError: No such person.
        """
        return list(self.each_template(person))

    @guarded
    def each_template(self, person: str | None = None) -> Iterator[tuple[str, Template]]:
        """Return what ``templates`` does, one after the other; all are of one state of the gallery.

        Raises:
            DataError: No such person.
        """
        if person is None:
            return self._selected("1", ())
        return self._selected("person = ?", (self._existing(person),))

    @guarded
    def templates_of(self, people: Sequence[str]) -> dict[str, list[Template]]:
        """Return the templates of some people, by name; a person without one is left out."""
        found: dict[str, list[Template]] = {}
        for name, key in self._names.find(self._db, people).items():
            if held := [one for _, one in self._selected("person = ?", (key,))]:
                found[name] = held
        return found

    def _selected(self, where: str, values: Sequence[object]) -> Iterator[tuple[str, Template]]:
        rows = self._db.execute(f"{SELECT} WHERE {where} ORDER BY templates.id", values)
        return self._made(rows)

    def _made(self, rows: sqlite3.Cursor) -> Iterator[tuple[str, Template]]:
        try:
            for name, vector, *rest in rows:
                yield name, Template(np.frombuffer(vector, "<f4"), *rest)
        except SQL_ERRORS as error:  # the rows are read after the method that asked for them
            raise self._failure(error) from error

    @guarded
    def digests(self, people: Iterable[str] | None = None) -> dict[str, set[str]]:
        """Return the digests of the enrolled photos of each person, or of some people."""
        query = "SELECT name, digest FROM templates JOIN people ON people.id = person"
        wanted = None if people is None else set(people)
        if wanted is None or len(wanted) > FEW:
            found = _sets(self._db.execute(query))
            return found if wanted is None else {name: found[name] for name in wanted if name in found}
        found = {}
        for name, key in self._names.find(self._db, wanted).items():
            found |= _sets(self._db.execute(f"{query} WHERE person = ?", (key,)))
            found.setdefault(name, set())
        return found

    @guarded
    def corrections(self) -> list[Correction]:
        """Return all corrections, in the order in which they were made."""
        rows = self._db.execute(
            "SELECT name, digest, corrections.time FROM corrections JOIN people ON people.id = person "
            "ORDER BY corrections.id"
        )
        return [Correction(*row) for row in rows]

    @guarded
    def about(self) -> dict[str, Any]:
        """Return the counts, the dates, the versions and the size of the file."""
        value = self._db.execute
        query = "SELECT min(time), max(time), count(CASE WHEN origin = ? THEN 1 END) FROM templates"
        first, last, mapped = value(query, (MAPPED,)).fetchone()
        created = value("SELECT value FROM about WHERE key = 'created'").fetchone()
        files = [self._file, self._file.with_name(self._file.name + "-wal")]
        folder = index_folder(self._file)
        files += folder.iterdir() if folder.is_dir() else ()
        return {
            "gallery": self.location, "model": self.model_id, "schema": len(MIGRATIONS),
            "people": value("SELECT count(name) FROM people").fetchone()[0],
            "templates": int(about(self._db, "templates")), "mapped": mapped,
            "corrections": value("SELECT count(person) FROM corrections").fetchone()[0],
            "forgotten": value("SELECT count(*) FROM audit WHERE action = 'forget'").fetchone()[0],
            "bytes": sum(file.stat().st_size for file in files if file.exists()),
            "created": first if created is None else created[0], "first": first, "last": last,
            "encrypted": self.key is not None,
        }  # fmt: skip

    @guarded
    def note(self, key: str) -> str | None:
        """Return the note that ``set_note`` keeps under ``key``, None without one."""
        found = self._db.execute("SELECT value FROM about WHERE key = ?", (f"note {key}",)).fetchone()
        return None if found is None else str(found[0])

    @guarded
    def damaged_templates(self, unchecked: bool = False) -> list[tuple[str, str, str]]:
        """Return (person, source, what is wrong) of each template whose vector cannot be one of the model.

        Args:
            unchecked: Leave out those that an index file was made from, which were checked then.
        """
        if unchecked:
            self._index.load(self._db)
            if not self._index.damaged:
                return []
        length = 4 * self.dimensions()
        rows = self._db.execute(
            "SELECT name, source, CAST(vector AS BLOB) FROM templates JOIN people ON people.id = person"
        )
        found: list[tuple[str, str, str]] = []
        while chunk := rows.fetchmany(CHUNK):
            wrong = vector_problems([vector for _, _, vector in chunk], length)
            found += [(chunk[i][0], chunk[i][1], why) for i, why in wrong.items()]
        return found

    @guarded
    def file_problems(self) -> list[str]:
        """Return what SQLite's own checks report, and rows that refer to no person."""
        found = [str(row[0]) for row in self._db.execute("PRAGMA integrity_check") if row[0] != "ok"]
        if self._cipher is not None and (found := found or unreadable_rows(self._db, self._cipher)):
            return found
        for table in ("templates", "descriptions", "corrections"):
            lost = self._db.execute(
                f"SELECT {table}.id FROM {table} LEFT JOIN people ON people.id = person "
                "WHERE person IS NOT NULL AND name IS NULL"
            )
            found += [f"row {key} of {table} refers to no person" for (key,) in lost]
        return found

    @guarded
    def index_problems(self) -> list[str]:
        """Return where the index files differ from the tables."""
        return index_problems(self._db, (self._index, self._names))

    def close(self) -> None:
        """Close the files."""
        self._index.close()
        self._names.close()
        if hasattr(self, "_db"):
            # SQLite itself leaves the write-ahead log of a file that was moved or replaced, and would apply
            # it to the file that has the name now.
            with contextlib.suppress(*SQL_ERRORS):
                self._db.execute("PRAGMA busy_timeout = 0")
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._db.close()


def index_folder(path: Path) -> Path:
    """Return the folder of the index files of a gallery, which can be deleted at any time.

    It is beside the file itself, also for a link to it: what is forgotten by one name is in no other index.
    """
    file = path.resolve() if path.is_symlink() else path
    return file.with_name(file.name + "-index")


def _sets(rows: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, value in rows:
        found.setdefault(name, set()).add(value)
    return found
