"""Keep people and their templates in Milvus, or in a file of Milvus Lite.

Milvus has no transactions; ``milvus_journal`` says by which order of writes nothing acknowledged is lost and
nothing forgotten comes back.  When the bytes of deleted rows leave the disk is up to the server.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError, MixedModels
from ..base import GalleryStore, Hit, NoSuchPerson
from ..people_page import PeoplePage
from ..store_url import StoreURL
from ..template import MAPPED, Correction, Template, metadata_text, now, vector_problems
from .milvus_batch import Batch
from .milvus_connection import MilvusConnection, among, both, digest, other_than
from .milvus_journal import FORGETTING, Journal, record
from .milvus_people import people_page
from .search_check import evenly_spread, not_found

SCHEMA_VERSION = 1
CHUNK = 1000
"""Rows that go to the server at a time."""

NEAR = 1000
"""Templates that a search looks at, at least; it searches on where they are of too few people."""

TIE = 1e-6
"""Scores of equal templates differ by less."""

_FIELDS = ("person", "vector", "digest", "quality", "source", "time", "origin")


class MilvusStore(GalleryStore):
    """A store in Milvus.

    Args:
        url: ``milvus://user:password@host:19530/name``, with ``secure=true`` for TLS and ``database=name``;
            or ``milvus:///path/to/file.db?gallery=name`` for Milvus Lite.
        model_id: The id of the model whose embeddings it holds; None opens an existing gallery of any model.

    Raises:
        DataError: The server or the file cannot be used, or holds no such gallery.
        MissingExtra: pymilvus is not installed.
        MixedModels: The gallery holds templates of another model.
        UsageError: The URL is impossible.
    """

    def __init__(self, url: StoreURL, model_id: str | None = None) -> None:
        if not url.host and model_id is None and not Path(url.path).exists():
            raise DataError(f"{url.shown}: no such gallery; facealike gallery enroll makes one")
        self._milvus = MilvusConnection(url)
        self._journal = Journal(self._milvus)
        self._counts: dict[str, int] = {}
        self._counted: tuple[int, str] | None = None
        try:
            self.model_id = self._prepare(model_id)
            self._journal.settle()
        except BaseException:
            self.close()
            raise

    def _prepare(self, model_id: str | None) -> str:
        milvus = self._milvus
        if not milvus.has(milvus.records):
            if model_id is None:
                raise DataError(f"{self.name}: no such gallery; facealike gallery enroll makes one")
            milvus.make_records()
        about = self._about()
        if not about and model_id is not None:
            stated = {"schema": str(SCHEMA_VERSION), "created": now(), "model": model_id}
            rows = [
                record("about", digest("about", key), name=key, text=text) for key, text in stated.items()
            ]
            milvus.upsert(milvus.records, rows)
            about = stated
        if int(about.get("schema", 0)) > SCHEMA_VERSION:
            raise DataError(f"{self.name}: a gallery of a newer facealike; update facealike")
        held = about.get("model", "")
        if model_id is not None and held != model_id:
            raise MixedModels(
                f"{self.name}: holds templates of the model {held}, not {model_id}; open it with that model, "
                "or enroll the photos again in a new gallery"
            )
        return held

    def _about(self) -> dict[str, str]:
        rows = self._milvus.query(self._milvus.records, 'kind == "about"', ["name", "text"])
        return {row["name"]: row["text"] for row in rows}

    @property
    def location(self) -> str:
        """The URL without a password."""
        return self._milvus.url.shown

    @property
    def name(self) -> str:
        """The URL without a password."""
        return self._milvus.url.shown

    def add_many(
        self, rows: Iterable[tuple[str, Template]], metadata: Mapping[str, Mapping[str, Any]] | None = None,
        corrections: Iterable[Correction] = (), replace: bool = True,
    ) -> list[bool]:  # fmt: skip
        """Add templates of any people, all or none; return which are new."""
        described = {name: metadata_text(values) for name, values in (metadata or {}).items()}
        corrections, rows, new = list(corrections), iter(rows), []
        with self._milvus.lock:
            seen = self._journal.settle()
            with self._journal.adding() as batch:
                added = Batch(self._milvus, batch, seen)
                added.describe(described, replace)
                added.correct(corrections)
                while chunk := list(islice(rows, CHUNK)):
                    self._journal.keep(batch)
                    new += added.insert(chunk)
                added.check_people()
        return new

    def _existing(self, person: str, seen: str) -> str:
        """Return the key of a person who is there."""
        key = digest(person)
        if not self._milvus.count(
            self._milvus.records, both(f'kind == "person" and person == "{key}"', seen)
        ):
            raise NoSuchPerson(self.name, person)
        return key

    def forget(self, person: str) -> int:
        """Remove a person for good; return how many templates were removed.

        Raises:
            DataError: No such person.
        """
        with self._milvus.lock:
            seen = self._journal.settle()
            key = self._existing(person, seen)
            count = self._count(both(f'person == "{key}"', seen))
            batch = self._journal.batch()
            self._journal.finish(self._journal.write(batch, FORGETTING, person=key, name=str(count)))
        self._milvus.compact()
        return count

    def correct(self, person: str, digest_: str) -> int:
        """Store that a photo does not show a person; return how many templates were removed for it.

        Raises:
            DataError: No such person.
        """
        with self._milvus.lock:
            seen = self._journal.settle()
            key = self._existing(person, seen)
            one = f'id == "{digest(key, digest_)}"'
            removed = self._count(both(one, seen))
            with self._journal.adding() as batch:
                Batch(self._milvus, batch, seen).correct([Correction(person, digest_)])
            if removed:
                self._milvus.delete(self._milvus.templates, one)  # where the correction was known before
                self._journal.changed()
            self._journal.log("correct", removed, self._journal.batch())
        if removed:
            self._milvus.compact()
        return removed

    def search(self, query: NDArray[np.float32], top: int, without: Set[str] = frozenset()) -> list[Hit]:
        """Return the ``top`` people with the highest scores, the highest first, equal ones by name."""
        seen = self._journal.settle()
        if not self._has_templates():
            return []
        left_out = [digest(name) for name in without]
        best: dict[str, tuple[float, str]] = {}
        while True:
            hits = self._milvus.call(
                "search", self._milvus.templates, data=[np.asarray(query, np.float32)], limit=NEAR,
                filter=both(seen, other_than("person", [*left_out, *best])),
                output_fields=["person", "source"], search_params={"params": {"ef": NEAR}},
            )[0]  # fmt: skip
            for hit in hits:
                row = hit["entity"]
                best.setdefault(row["person"], (float(hit["distance"]), row["source"]))
            ranked = sorted((score for score, _ in best.values()), reverse=True)[:top]
            if len(hits) < NEAR or (len(ranked) == top and hits[-1]["distance"] < ranked[-1] - TIE):
                break
        least = ranked[-1] - TIE if ranked else 0.0
        first = [key for key, (score, _) in best.items() if score >= least]
        names = self._names(first, seen)
        found = [Hit(names[key], *best[key]) for key in first if key in names]
        return sorted(found, key=lambda hit: (-hit.score, hit.person))[:top]

    def search_many(
        self, queries: NDArray[np.float32], top: int, without: Set[str] = frozenset()
    ) -> list[list[Hit]]:
        """Return what ``search`` does for each of the queries (q, d)."""
        return [self.search(query, top, without) for query in queries]

    def _names(self, keys: Sequence[str] | None, seen: str) -> dict[str, str]:
        """Return the names of people by their keys: of some, or of all."""
        if keys is not None and not keys:
            return {}
        some = "" if keys is None else among("person", keys)
        where = both('kind == "person"', some, seen)
        rows = self._milvus.query(self._milvus.records, where, ["person", "name"])
        return {row["person"]: row["name"] for row in rows}

    def _count(self, where: str) -> int:
        return self._milvus.count(self._milvus.templates, where) if self._has_templates() else 0

    def _has_templates(self) -> bool:
        return self._milvus.has(self._milvus.templates)

    def count(self) -> int:
        """Return the number of templates."""
        return self._cached("templates", self._count)

    def count_people(self) -> int:
        """Return the number of people with a template."""
        return self._cached(
            "people", lambda seen: len({row["person"] for row in self._rows(["person"], seen)})
        )

    def _cached(self, what: str, count: Callable[[str], int]) -> int:
        """Return a number, which is counted again where something has changed."""
        seen = self._journal.settle()
        if self._counted != self._journal.state:
            self._counts, self._counted = {}, self._journal.state
        if what not in self._counts:
            self._counts[what] = count(seen)
        return self._counts[what]

    def _rows(self, fields: Sequence[str], where: str) -> list[dict[str, Any]]:
        """Return fields of templates in order of enrollment."""
        if not self._has_templates():
            return []
        rows = self._milvus.query(self._milvus.templates, where, [*fields, "batch", "number"])
        return sorted(rows, key=lambda row: (row["batch"], row["number"]))

    def people(self) -> dict[str, int]:
        """Return the number of templates of each person, by name."""
        seen = self._journal.settle()
        counts = Counter(row["person"] for row in self._rows(["person"], seen))
        names = self._names(None, seen)
        return {name: counts[key] for key, name in sorted(names.items(), key=lambda item: item[1])}

    def people_page(self, limit: int, after: str | None = None, search: str = "") -> PeoplePage:
        """Return the next people, the newest first; see ``GalleryStore``."""
        return people_page(self._milvus, self._journal.settle(), limit, after, search)

    def metadata(self) -> dict[str, dict[str, Any]]:
        """Return the metadata of each person who has some, by name."""
        where = both('kind == "person"', self._journal.settle())
        rows = self._milvus.query(self._milvus.records, where, ["name", "text"])
        return {
            row["name"]: json.loads(row["text"])
            for row in sorted(rows, key=lambda row: str(row["name"]))
            if row["text"] != "{}"
        }

    def templates(self, person: str | None = None) -> list[tuple[str, Template]]:
        """Return all templates, or those of a person, with the name of their person, in order of enrollment.

        Raises:
            DataError: No such person.
        """
        if person is None:
            return list(self.each_template())
        seen = self._journal.settle()
        key = self._existing(person, seen)
        return [(person, _template(row)) for row in self._rows(_FIELDS, both(f'person == "{key}"', seen))]

    def templates_of(self, people: Sequence[str]) -> dict[str, list[Template]]:
        """Return the templates of some people, by name; a person without one is left out."""
        names = {digest(name): name for name in people}
        found: dict[str, list[Template]] = {}
        if names:
            where = both(among("person", names), self._journal.settle())
            for row in self._rows(_FIELDS, where):
                found.setdefault(names[row["person"]], []).append(_template(row))
        return found

    def each_template(self) -> Iterator[tuple[str, Template]]:
        """Return all templates as ``templates`` does, some thousands at a time."""
        seen = self._journal.settle()
        names = self._names(None, seen)
        for row in self._each(seen):
            if row["person"] in names:
                yield names[row["person"]], _template(row)

    def _each(self, where: str) -> Iterator[dict[str, Any]]:
        """Return rows with their vectors in order of enrollment."""
        ids = [row["id"] for row in self._rows([], where)]
        for start in range(0, len(ids), CHUNK):
            yield from self._rows(_FIELDS, both(among("id", ids[start : start + CHUNK]), where))

    def digests(self, people: Iterable[str] | None = None) -> dict[str, set[str]]:
        """Return the digests of the enrolled photos of each person, or of some people."""
        seen = self._journal.settle()
        names = self._names(None, seen) if people is None else {digest(name): name for name in people}
        found: dict[str, set[str]] = {}
        keys = list(names)
        for start in range(0, len(keys), CHUNK):
            where = both(among("person", keys[start : start + CHUNK]), seen)
            for row in self._rows(["person", "digest"], where):
                found.setdefault(names[row["person"]], set()).add(row["digest"])
        return found

    def corrections(self) -> list[Correction]:
        """Return all corrections, in the order in which they were made."""
        seen = self._journal.settle()
        where = both('kind == "correction"', seen)
        rows = self._milvus.query(self._milvus.records, where, ["name", "text", "time", "batch", "number"])
        rows.sort(key=lambda row: (row["batch"], row["number"]))
        return [Correction(row["name"], row["text"], row["time"]) for row in rows]

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Milvus has none: reads of the block see what is there, but no half of a batch."""
        yield

    def about(self) -> dict[str, Any]:
        """Return the counts, the dates, the versions and the size of the file, or of the vectors."""
        milvus, seen, about = self._milvus, self._journal.settle(), self._about()
        rows = self._rows(["time", "origin"], seen)
        times, mapped = [row["time"] for row in rows], sum(row["origin"] == MAPPED for row in rows)
        size = 4 * len(times) * milvus.width()
        if milvus.path is not None:
            size = sum(path.stat().st_size for path in milvus.path.rglob("*") if path.is_file())
        return {
            "gallery": self.location, "model": self.model_id, "schema": int(about["schema"]),
            "people": len(self._names(None, seen)), "templates": len(times), "mapped": mapped,
            "corrections": milvus.count(milvus.records, both('kind == "correction"', seen)),
            "forgotten": milvus.count(milvus.records, 'kind == "audit" and text == "forget"'),
            "bytes": size, "created": about["created"],
            "first": min(times, default=None), "last": max(times, default=None),
        }  # fmt: skip

    def dimensions(self) -> int:
        """Return the width of the vectors; 0 without one."""
        return self._milvus.width() if self.count() else 0

    def damaged_templates(self, unchecked: bool = False) -> list[tuple[str, str, str]]:
        """Return (person, source, what is wrong) of each template whose vector cannot be one of the model.

        Args:
            unchecked: Leave out those that have been checked since they were stored.
        """
        milvus, seen = self._milvus, self._journal.settle()
        after = int(self._about().get("checked", 0)) if unchecked else 0
        last, wrong = after, []
        each = self._each(both(seen, f"batch > {after}"))
        while chunk := list(islice(each, CHUNK)):
            found = vector_problems([np.asarray(row["vector"], "<f4").tobytes() for row in chunk])
            wrong += [(chunk[i]["person"], chunk[i]["source"], why) for i, why in found.items()]
            last = chunk[-1]["batch"]
        if last > after and not wrong and not seen:
            row = record("about", digest("about", "checked"), name="checked", text=str(last))
            milvus.upsert(milvus.records, [row])
        names = self._names(list({key for key, _, _ in wrong}), seen)
        return [(names.get(key, ""), source, why) for key, source, why in wrong]

    def file_problems(self) -> list[str]:
        """Return templates and corrections of people who are not there."""
        seen = self._journal.settle()
        names = self._names(None, seen)
        where = both('kind == "correction"', seen)
        corrected = self._milvus.query(self._milvus.records, where, ["person"])
        lost = {
            "templates": sum(row["person"] not in names for row in self._rows(["person"], seen)),
            "corrections": sum(row["person"] not in names for row in corrected),
        }
        return [f"{count:,} {what} are of no person" for what, count in lost.items() if count]

    def index_problems(self) -> list[str]:
        """Search templates, evenly spread: each must be found, with a score of 1."""
        seen = self._journal.settle()
        names = self._names(None, seen)
        ids = evenly_spread([row["id"] for row in self._rows([], seen)])
        rows = self._rows(_FIELDS, among("id", ids)) if ids else []
        return not_found(self, [(names.get(row["person"], ""), _template(row)) for row in rows])

    def close(self) -> None:
        """Close the connection."""
        self._milvus.close()


def _template(row: Mapping[str, Any]) -> Template:
    vector = np.asarray(row["vector"], np.float32)
    return Template(vector, row["digest"], row["quality"], row["source"], row["time"], row["origin"])
