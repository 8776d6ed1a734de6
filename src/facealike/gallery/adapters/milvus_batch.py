"""The rows of one batch: people, corrections and templates that Milvus does not hold yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...errors import DataError
from ..template import Correction, Template, now
from .milvus_connection import PAGE, MilvusConnection, among, both, digest
from .milvus_journal import record


class Batch:
    """What is added under one pending record.

    Args:
        milvus: The collections.
        batch: The number of the batch.
        seen: The filter of the rows that count already.
    """

    def __init__(self, milvus: MilvusConnection, batch: int, seen: str) -> None:
        self._milvus, self._batch, self._seen = milvus, batch, seen
        self._number = 0
        self._people: set[str] = set()
        self._templates: set[str] = set()
        self._contradicted: set[str] = set()

    def describe(self, described: Mapping[str, str], replace: bool) -> None:
        """Write people with their metadata, as JSON; a person's newest row counts."""
        keys = {digest(name): name for name in described}
        held = self._held(self._milvus.records, "person", list(keys), ["text"], 'kind == "person"')
        rows = [
            self._person(key, name, described[name])
            for key, name in keys.items()
            if key not in held
            or (held[key]["text"] != described[name] and (replace or held[key]["text"] == "{}"))
        ]
        self._milvus.upsert(self._milvus.records, rows)
        self._people.update(keys)

    def correct(self, corrections: Sequence[Correction]) -> None:
        """Write corrections that are not there; the templates that they contradict go with the batch."""
        self._make(one.person for one in corrections)
        ids = {digest("correction", digest(one.person), one.digest): one for one in corrections}
        held = self._held(self._milvus.records, "id", list(ids), [])
        rows = []
        for key, one in ids.items():
            if key not in held:
                person = digest(one.person)
                self._contradicted.add(digest(person, one.digest))
                values = {"person": person, "name": one.person, "text": one.digest, "time": one.time or now()}
                rows.append(record("correction", key, **values, **self._place()))
        self._milvus.upsert(self._milvus.records, rows)

    def insert(self, rows: Sequence[tuple[str, Template]]) -> list[bool]:
        """Write templates; return which are new."""
        if not rows:
            return []
        self._make(person for person, _ in rows)
        self._milvus.make_templates(rows[0][1].vector.size)
        ids = [digest(digest(person), one.digest) for person, one in rows]
        held = set(self._held(self._milvus.templates, "id", list(set(ids)), [])) - self._contradicted
        new, wanted = [], []
        for key, (person, one) in zip(ids, rows, strict=True):
            new.append(key not in held and key not in self._templates)
            if new[-1]:
                self._templates.add(key)
                wanted.append(
                    {
                        "id": key, "person": digest(person), "vector": one.vector, "digest": one.digest,
                        "quality": one.quality, "time": one.time or now(), "source": one.source,
                        "origin": one.origin, **self._place(),
                    }
                )  # fmt: skip
        self._milvus.upsert(self._milvus.templates, wanted)
        return new

    def check_people(self) -> None:
        """Check that no person of the batch was forgotten while it was written.

        Raises:
            DataError: Somebody was.
        """
        own = f"batch == {self._batch}"
        seen = f"({self._seen or 'batch >= 0'}) or {own}"
        held = self._held(self._milvus.records, "person", list(self._people), [], 'kind == "person"', seen)
        if len(held) < len(self._people):
            raise DataError(f"{self._milvus.url.shown}: a person was forgotten meanwhile; try again")

    def _make(self, names: Iterable[str]) -> None:
        """Write the people who are not there."""
        keys = {key: name for name in dict.fromkeys(names) if (key := digest(name)) not in self._people}
        held = self._held(self._milvus.records, "person", list(keys), [], 'kind == "person"')
        rows = [self._person(key, name, "{}") for key, name in keys.items() if key not in held]
        self._milvus.upsert(self._milvus.records, rows)
        self._people.update(keys)

    def _person(self, key: str, name: str, text: str) -> dict[str, Any]:
        values = {"person": key, "name": name, "text": text}
        return record("person", digest("person", key, self._batch), **values, **self._place())

    def _place(self) -> dict[str, int]:
        """Return the batch and the next number in it."""
        self._number += 1
        return {"batch": self._batch, "number": self._number}

    def _held(
        self, collection: str, field: str, values: list[str], fields: list[str], kind: str = "",
        seen: str | None = None,
    ) -> dict[str, dict[str, Any]]:  # fmt: skip
        """Return the newest rows that count and have one of some values in a field, by that value."""
        found: dict[str, dict[str, Any]] = {}
        for start in range(0, len(values), PAGE // 10):
            where = both(
                kind, among(field, values[start : start + PAGE // 10]), self._seen if seen is None else seen
            )
            for row in self._milvus.query(collection, where, [field, "batch", *fields]):
                if row[field] not in found or row["batch"] > found[row[field]]["batch"]:
                    found[row[field]] = row
        return found
