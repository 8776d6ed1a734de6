"""Keep people and their templates in PostgreSQL, with vectors of the extension pgvector.

A write is acknowledged when its transaction is on the server's disk.  Writers of a gallery follow each other;
readers wait for none but ``forget``.  Searches are exact, unless the URL says ``index=hnsw``: that builds
an index at opening, which ``forget`` drops.

``forget`` and ``correct`` write the tables anew in the transaction that deletes rows, since a deleted row
would stay in its page.  Not reached: the write-ahead log, until the server overwrites it, replicas, backups.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base import GalleryStore, Hit, NoSuchPerson
from ..people_page import PeoplePage, first_matches, place_of
from ..store_url import StoreURL
from ..template import MAPPED, NORM_TOLERANCE, Correction, Template, metadata_text, now
from .postgres_connection import PostgresConnection, reads
from .postgres_schema import LOCK_ORDER, prepare, rewrite
from .postgres_search import make_index, search_exactly, search_near
from .search_check import evenly_spread, not_found

CHUNK = 1000
"""Rows that go to the server, or come from it, at a time."""

COLUMNS = "templates.id, name, vector, digest, quality, source, templates.time, origin"
INSERT = (
    "INSERT INTO templates (person, vector, digest, quality, time, source, origin) "
    "VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"
)


class PostgresStore(GalleryStore):
    """A store in a PostgreSQL database.

    Args:
        url: ``postgresql://user@host/database?gallery=name``; further options are those of libpq, which also
            reads PGPASSWORD and ~/.pgpass.
        model_id: The id of the model whose embeddings it holds; None opens an existing gallery of any model.

    Raises:
        DataError: The server cannot be used, or holds no such gallery.
        MissingExtra: psycopg is not installed.
        MixedModels: The gallery holds templates of another model.
        UsageError: The URL is impossible.
    """

    def __init__(self, url: StoreURL, model_id: str | None = None) -> None:
        self._db = PostgresConnection(url)
        try:
            with self._db.sentences():
                self.model_id = prepare(self._db, model_id)
                if url.index == "hnsw" and (width := self.dimensions()):
                    make_index(self._db, width)
        except BaseException:
            self.close()
            raise

    @property
    def location(self) -> str:
        """The URL without a password."""
        return self._db.url.shown

    @property
    def name(self) -> str:
        """The URL without a password."""
        return self._db.url.shown

    def add_many(
        self, rows: Iterable[tuple[str, Template]], metadata: Mapping[str, Mapping[str, Any]] | None = None,
        corrections: Iterable[Correction] = (), replace: bool = True,
    ) -> list[bool]:  # fmt: skip
        """Add templates of any people in one transaction; return which are new."""
        described = {name: metadata_text(values) for name, values in (metadata or {}).items()}
        only = "" if replace else " AND metadata = '{}'"
        rows, new = iter(rows), []
        with self._db.writing():
            self._make(described)
            with self._db.db.cursor() as cursor:
                cursor.executemany(
                    f"UPDATE people SET metadata = %s WHERE name = %s{only}",
                    [(text, name) for name, text in described.items()],
                )
            for one in corrections:
                self._correct(self._make([one.person])[one.person], one)
            while chunk := list(islice(rows, CHUNK)):
                new += self._insert(chunk)
        return new

    def _make(self, names: Iterable[str]) -> dict[str, int]:
        """Return the keys of people, made where they are missing."""
        listed = sorted(set(names))
        make = "INSERT INTO people (name) SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING"
        self._db.run(make, (listed,))
        return dict(self._db.run("SELECT name, id FROM people WHERE name = ANY(%s)", (listed,)).fetchall())

    def _insert(self, rows: Sequence[tuple[str, Template]]) -> list[bool]:
        keys = self._make(person for person, _ in rows)
        values = [
            (keys[who], one.vector, one.digest, one.quality, one.time or now(), one.source, one.origin)
            for who, one in rows
        ]
        new: list[bool] = []
        with self._db.db.cursor() as cursor:
            cursor.executemany(INSERT, values, returning=True)
            while True:
                new.append(cursor.rowcount == 1)
                if not cursor.nextset():
                    return new

    def _correct(self, key: int, one: Correction) -> int:
        """Store a correction and remove the template that it contradicts; return how many that were."""
        self._db.run(
            "INSERT INTO corrections (person, digest, time) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            (key, one.digest, one.time or now()),
        )
        delete = "DELETE FROM templates WHERE person = %s AND digest = %s"
        return int(self._db.run(delete, (key, one.digest)).rowcount)

    def _existing(self, person: str) -> int:
        found = self._db.run("SELECT id FROM people WHERE name = %s", (person,)).fetchone()
        if found is None:
            raise NoSuchPerson(self.name, person)
        return int(found[0])

    def forget(self, person: str) -> int:
        """Remove a person for good; return how many templates were removed.

        Raises:
            DataError: No such person; or another process reads the gallery for long: nothing is removed then.
        """
        with self._db.writing():
            key = self._existing(person)
            count = int(self._db.run("DELETE FROM templates WHERE person = %s", (key,)).rowcount)
            self._db.run("DELETE FROM people WHERE id = %s", (key,))
            self._log("forget", count)
            rewrite(self._db)
        return count

    def correct(self, person: str, digest: str) -> int:
        """Store that a photo does not show a person; return how many templates were removed for it.

        Raises:
            DataError: No such person; or another process reads the gallery for long: nothing is changed then.
        """
        with self._db.writing():
            removed = self._correct(self._existing(person), Correction(person, digest))
            self._log("correct", removed)
            if removed:
                rewrite(self._db)
        return removed

    def _log(self, action: str, templates: int) -> None:
        self._db.run(
            "INSERT INTO audit (time, action, templates) VALUES (%s, %s, %s)", (now(), action, templates)
        )

    @reads
    def search(self, query: NDArray[np.float32], top: int, without: Set[str] = frozenset()) -> list[Hit]:
        """Return the ``top`` people with the highest scores, the highest first, equal ones by name."""
        run = search_near if self._db.url.index == "hnsw" else search_exactly
        return run(self._db, np.asarray(query, np.float32), top, without)

    def search_many(
        self, queries: NDArray[np.float32], top: int, without: Set[str] = frozenset()
    ) -> list[list[Hit]]:
        """Return what ``search`` does for each of the queries (q, d)."""
        return [self.search(query, top, without) for query in queries]

    @reads
    def count(self) -> int:
        """Return the number of templates."""
        return int(self._db.value("SELECT count(*) FROM templates"))

    @reads
    def count_people(self) -> int:
        """Return the number of people with a template."""
        return int(self._db.value("SELECT count(DISTINCT person) FROM templates"))

    @reads
    def people(self) -> dict[str, int]:
        """Return the number of templates of each person, by name."""
        rows = self._db.run(
            "SELECT name, count(templates.id) FROM templates RIGHT JOIN people ON people.id = person "
            "GROUP BY people.id ORDER BY name"
        )
        return dict(rows.fetchall())

    @reads
    def people_page(self, limit: int, after: str | None = None, search: str = "") -> PeoplePage:
        """Return the next people, the newest first; see ``GalleryStore``."""
        rows = self._db.rows(
            "SELECT id, name, (SELECT count(*) FROM templates WHERE person = people.id) FROM people "
            "WHERE id < %s AND strpos(lower(name), lower(%s)) > 0 ORDER BY id DESC LIMIT %s",
            (place_of(after), search, max(limit, 0) + 1),
        )
        found, following = first_matches([(key, name) for key, name, _ in rows], limit)
        counts = {key: count for key, _, count in rows}
        return PeoplePage({name: counts[key] for key, name in found.items()}, following)

    @reads
    def metadata(self) -> dict[str, dict[str, Any]]:
        """Return the metadata of each person who has some, by name."""
        rows = self._db.run("SELECT name, metadata FROM people WHERE metadata <> '{}' ORDER BY name")
        return {name: json.loads(text) for name, text in rows}

    @reads
    def templates(self, person: str | None = None) -> list[tuple[str, Template]]:
        """Return all templates, or those of a person, with the name of their person, in order of enrollment.

        Raises:
            DataError: No such person.
        """
        if person is None:
            return list(self.each_template())
        key = self._existing(person)
        return [(name, one) for _, name, one in self._selected("person = %s", (key,))]

    @reads
    def templates_of(self, people: Sequence[str]) -> dict[str, list[Template]]:
        """Return the templates of some people, by name; a person without one is left out."""
        found: dict[str, list[Template]] = {}
        for _, name, one in self._selected("name = ANY(%s)", (list(people),)):
            found.setdefault(name, []).append(one)
        return found

    def each_template(self) -> Iterator[tuple[str, Template]]:
        """Return all templates as ``templates`` does, some thousands at a time."""
        last = 0
        while chunk := self._after(last):
            yield from ((name, one) for _, name, one in chunk)
            last = chunk[-1][0]

    @reads
    def _after(self, last: int) -> list[tuple[int, str, Template]]:
        return self._selected("templates.id > %s", (last,), f"LIMIT {10 * CHUNK}")

    def _selected(
        self, where: str, values: Sequence[object], end: str = ""
    ) -> list[tuple[int, str, Template]]:
        text = f"SELECT {COLUMNS} FROM templates JOIN people ON people.id = person WHERE {where}"
        rows = self._db.run(f"{text} ORDER BY templates.id {end}", values)
        return [(number, name, Template(*rest)) for number, name, *rest in rows]

    @reads
    def digests(self, people: Iterable[str] | None = None) -> dict[str, set[str]]:
        """Return the digests of the enrolled photos of each person, or of some people."""
        some = None if people is None else list(people)
        found: dict[str, set[str]] = {}
        for name, digest in self._db.run(
            "SELECT name, digest FROM templates JOIN people ON people.id = person "
            "WHERE %(some)s::text[] IS NULL OR name = ANY(%(some)s)",
            {"some": some},
        ):
            found.setdefault(name, set()).add(digest)
        return found

    @reads
    def corrections(self) -> list[Correction]:
        """Return all corrections, in the order in which they were made."""
        rows = self._db.run(
            "SELECT name, digest, corrections.time FROM people JOIN corrections ON people.id = person "
            "ORDER BY corrections.id"
        )
        return [Correction(*row) for row in rows]

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let all reads of the block see one state of the store."""
        with self._db.snapshot(LOCK_ORDER):
            yield

    @reads
    def about(self) -> dict[str, Any]:
        """Return the counts, the dates, the versions and the size on the server."""
        query = "SELECT min(time), max(time), count(*), count(*) FILTER (WHERE origin = %s) FROM templates"
        first, last, templates, mapped = self._db.rows(query, (MAPPED,))[0]
        sizes = (
            "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND relnamespace = "
        )
        about = dict(self._db.rows("SELECT key, value FROM about"))
        return {
            "gallery": self.location, "model": self.model_id, "schema": int(about["schema"]),
            "people": self._db.value("SELECT count(*) FROM people"), "templates": templates,
            "mapped": mapped,
            "corrections": self._db.value("SELECT count(*) FROM corrections"),
            "forgotten": self._db.value("SELECT count(*) FROM audit WHERE action = 'forget'"),
            "bytes": int(self._db.value(f"{sizes} current_schema()::regnamespace")),
            "created": about["created"], "first": first, "last": last,
        }  # fmt: skip

    @reads
    def dimensions(self) -> int:
        """Return the width of most vectors; 0 without one."""
        width = "SELECT vector_dims(vector) FROM templates"
        return int(self._db.value(f"{width} GROUP BY 1 ORDER BY count(*) DESC LIMIT 1") or 0)

    @reads
    def damaged_templates(self, unchecked: bool = False) -> list[tuple[str, str, str]]:
        """Return (person, source, what is wrong) of each template whose vector cannot be one of the model."""
        width = self.dimensions()
        rows = self._db.run(
            "SELECT name, source, vector_dims(vector), vector_norm(vector) FROM templates "
            "JOIN people ON people.id = person "
            "WHERE vector_dims(vector) <> %s OR NOT abs(vector_norm(vector) - 1) <= %s ORDER BY templates.id",
            (width, NORM_TOLERANCE),
        )
        return [
            (name, source, f"{4 * held} bytes in place of {4 * width}" if held != width
             else f"a norm of {norm:.4g} in place of 1")
            for name, source, held, norm in rows
        ]  # fmt: skip

    @reads
    def file_problems(self) -> list[str]:
        """Return what the server knows of damage, and whether it flushes what it acknowledges."""
        found = []
        if self._db.value("SHOW fsync") != "on":
            found.append("the server runs with fsync off: a power failure may lose acknowledged writes")
        failures = self._db.value(
            "SELECT checksum_failures FROM pg_stat_database WHERE datname = current_database()"
        )
        if failures:
            found.append(f"the server has found {failures:,} damaged pages in this database")
        broken = "SELECT indexrelid::regclass::text FROM pg_index JOIN pg_class ON pg_class.oid = indrelid "
        broken += "WHERE relnamespace = current_schema()::regnamespace AND NOT (indisvalid AND indisready)"
        found += [f"the index {name} is not valid" for (name,) in self._db.rows(broken)]
        return found

    def index_problems(self) -> list[str]:
        """Search templates, evenly spread: each must be found, with a score of 1."""
        ids = [i for (i,) in self._db.rows("SELECT id FROM templates ORDER BY id")]
        rows = self._selected("templates.id = ANY(%s)", (evenly_spread(ids),))
        return not_found(self, [(name, one) for _, name, one in rows])

    def close(self) -> None:
        """Close the connection."""
        self._db.close()
