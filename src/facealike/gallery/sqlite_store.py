"""Keep people and their templates in one SQLite file.

The file is the only truth; the index files beside it are made from it.  A write is acknowledged when its
transaction is on the disk (WAL, ``synchronous=FULL``).  ``forget`` empties the rows of the person where they
stand (see ``schema``), overwrites those of the index files, and truncates the WAL.  The audit table holds
times and counts, and neither names nor digests: a digest of a name can be found again by trying names.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .base import GalleryStore, Hit
from .encrypted_tables import change_cipher
from .gallery_key import GalleryKey
from .row_file import mixed_one
from .schema import erase, mark_deleted, transaction
from .sqlite_adding import Adding, change_totals
from .sqlite_reading import SQLiteReader, guarded, index_folder
from .template import Correction, Template, metadata_text, now
from .unusable import NotErased, UnusableGallery

BATCH = 5_000
"""Templates that are added together."""


class SQLiteStore(SQLiteReader, GalleryStore):
    """A store in one SQLite file; see ``SQLiteReader`` for how it is opened."""

    @guarded
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
        stated, described = list(corrections), metadata or {}
        new: list[bool] = []
        emptied, self._removed = 0, set()
        self._names.refresh(self._db)
        with transaction(self._db):
            self._names.read_newer(self._db)
            adding = Adding(self._db, self._names)
            adding.find([*described, *(one.person for one in stated)])
            for person, values in described.items():
                emptied += self._describe(adding.keys[person], values, replace)
            for one in stated:
                emptied += self._correct(adding.keys[one.person], one)
            drawn = iter(rows)
            while batch := list(itertools.islice(drawn, BATCH)):
                new += adding.add(batch)
            adding.finish()
        if emptied:
            self._erase("the templates are stored")
        self._index.load(self._db)
        self._index.read_newer(self._db)
        self._index.grow(self._db)
        self._names.read_newer(self._db)
        self._names.grow(self._db)
        return new

    def _describe(self, key: int, values: Mapping[str, Any], replace: bool) -> int:
        """Store the metadata of a person; return how many rows were emptied for it."""
        text = metadata_text(values)
        held = self._db.execute("SELECT id, metadata FROM descriptions WHERE person = ?", (key,)).fetchone()
        if held is not None and (held[1] == text or not replace):
            return 0
        emptied = self._empty_of_person("descriptions", "metadata", key)
        if values:
            self._db.execute("INSERT INTO descriptions (person, metadata) VALUES (?, ?)", (key, text))
        return emptied

    def _correct(self, key: int, one: Correction) -> int:
        """Store a correction and empty the template that it contradicts; return how many that were."""
        if not self._db.execute(
            "SELECT 1 FROM corrections WHERE person = ? AND digest = ?", (key, one.digest)
        ).fetchone():
            self._db.execute(
                "INSERT INTO corrections (person, digest, time) VALUES (?, ?, ?)",
                (key, one.digest, one.time or now()),
            )
        return self._empty_templates(key, one.digest)

    def _empty_templates(self, key: int, digest: str | None = None) -> int:
        """Empty the templates of a person, or the one of a photo; return how many that were."""
        query = "SELECT id, CAST(vector AS BLOB) FROM templates WHERE person = ?"
        if digest is None:
            held = self._db.execute(query, (key,)).fetchall()
        else:
            held = self._db.execute(f"{query} AND digest = ?", (key, digest)).fetchall()
        for row, _ in held:
            self._db.execute(
                "UPDATE templates SET person = NULL, vector = NULL, digest = NULL, quality = NULL, "
                "time = NULL, source = NULL, origin = NULL WHERE id = ?",
                (row,),
            )
            self._erase_later("templates", row)
        marks = sum(mixed_one(row, self._names.mark(vector)) for row, vector in held)
        left = self._db.execute("SELECT 1 FROM templates WHERE person = ? LIMIT 1", (key,)).fetchone()
        people = -1 if held and left is None else 0
        change_totals(self._db, {"templates": -len(held), "people": people, "vector marks": -marks})
        return len(held)

    def _erase_later(self, kind: str, row: int) -> None:
        self._db.execute("INSERT INTO erasures VALUES (?, ?)", (kind, row))
        self._removed.add((kind, row))

    def _empty_of_person(self, table: str, column: str, key: int) -> int:
        # Of a view, such as an encrypted gallery has, ``rowcount`` is 0.
        count = self._db.execute(f"SELECT count(*) FROM {table} WHERE person = ?", (key,)).fetchone()[0]
        self._db.execute(f"UPDATE {table} SET person = NULL, {column} = NULL WHERE person = ?", (key,))
        return int(count)

    @contextlib.contextmanager
    def _removing(self) -> Iterator[None]:
        """Run a block that removes something in a transaction that knows all names."""
        self._names.refresh(self._db)
        with transaction(self._db):
            self._finish_erasures()
            self._names.read_newer(self._db)
            yield

    @guarded
    def forget(self, person: str) -> int:
        """Remove a person for good; return how many templates were removed.

        Raises:
            DataError: No such person, or another process kept the old bytes from being erased.
        """
        with self._removing():
            key = self._existing(person)
            count = self._empty_templates(key)
            self._empty_of_person("descriptions", "metadata", key)
            self._empty_of_person("corrections", "digest", key)
            self._db.execute("UPDATE people SET name = NULL WHERE id = ?", (key,))
            self._erase_later("people", key)
            change_totals(self._db, {"name marks": -mixed_one(key, self._names.mark(person.encode()))})
            self._log("forget", count)
        self._erase("the person is removed")
        return count

    @guarded
    def correct(self, person: str, digest: str) -> int:
        """Store that a photo does not show a person; return how many templates were removed for it.

        Raises:
            DataError: No such person, or another process kept the old bytes from being erased.
        """
        with self._removing():
            removed = self._correct(self._existing(person), Correction(person, digest))
            self._log("correct", removed)
        if removed:
            self._erase("the template is removed")
        return removed

    @guarded
    def compact(self) -> int:
        """Return the space of what was removed to the disk; return how many bytes that were.

        The file is rewritten, and the index files are made again when they are used: this takes time in
        proportion to their size, and the free space of another copy meanwhile.

        Raises:
            DataError: Another process reads the gallery.
        """
        before = self.about()["bytes"]
        with transaction(self._db):
            for table in ("people", "templates", "descriptions", "corrections"):
                value = "name" if table == "people" else "person"
                self._db.execute(  # not the last row: its id must not be given again
                    f"DELETE FROM {table} WHERE {value} IS NULL AND id < (SELECT max(id) FROM {table})"
                )
            mark_deleted(self._db)
            self._index.delete()
            self._names.delete()
        self._erase("nothing is lost")
        self._index.load(self._db)
        return max(0, int(before - self.about()["bytes"]))

    @guarded
    def change_key(self, key: GalleryKey | None) -> None:
        """Encrypt the gallery, or encrypt it anew with another key, in one transaction; None decrypts it.

        Raises:
            DataError: Rows cannot be decrypted, or another process kept the old bytes from being erased.
        """
        with transaction(self._db):
            made = change_cipher(self._db, self.model_id, self._cipher, key)
            mark_deleted(self._db)
            if index_folder(self._file).is_dir():  # also what a killed process has left in it
                shutil.rmtree(index_folder(self._file))
        self._use(made, key)
        self._erase("the key is changed")

    def _log(self, action: str, templates: int) -> None:
        self._db.execute(
            "INSERT INTO audit (time, action, templates) VALUES (?, ?, ?)", (now(), action, templates)
        )

    def _erase(self, done: str) -> None:
        again = "open the gallery once more to erase old bytes from the file"
        try:
            with transaction(self._db):
                removed = self._blank_removed(self._removed)
            with ThreadPoolExecutor(2) as flushing:  # at once: each waits for the disk
                flushes = [flushing.submit(one.flush) for one in (self._index, self._names)]
                erased = erase(self._db)
                for one in flushes:
                    one.result()
            self._blanked, self._removed = removed, set()
        except (sqlite3.Error, OSError) as error:
            raise NotErased(f"{self.name}: {done}, but not erased yet ({error}); {again}") from error
        if not erased:
            raise NotErased(
                f"{self.name}: {done}, but another process still reads it; close that, and {again}"
            )

    @guarded
    def set_note(self, key: str, value: str) -> None:
        """Keep a text with the gallery."""
        self._db.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (f"note {key}", value))

    def search(self, query: NDArray[np.float32], top: int, without: Set[str] = frozenset()) -> list[Hit]:
        """Return the ``top`` people with the highest scores, the highest first, equal ones by name.

        Args:
            query: A unit vector (d,).
            top: How many people.
            without: People who are left out.

        Raises:
            DataError: Templates are damaged.
        """
        return self.search_many(query[None], top, without)[0]

    @guarded
    def search_many(
        self, queries: NDArray[np.float32], top: int, without: Set[str] = frozenset()
    ) -> list[list[Hit]]:
        """Return what ``search`` does for each of the queries (q, d), in one pass over the vectors."""
        self._index.load(self._db)
        if self._index.damaged and self.damaged_templates():
            raise UnusableGallery(
                f"{self.name}: some templates are damaged; facealike gallery check lists them", "damaged"
            )
        return self._index.search(self._db, np.asarray(queries, np.float32), top, without)
