"""Writes of several rows to Milvus, all or none, by a row that says what is under way.

Milvus has no transactions; one row is written as a whole.  So a batch begins with a ``pending`` record, under
which its rows are written.  Readers leave out rows of a batch that is ``adding``.  It counts from the moment
when its record changes to ``applying``: what it replaces is deleted then, and the record last.  To forget
begins with a record ``forgetting``, and whoever reads next deletes what is left.  So nothing that was
acknowledged is lost and nothing that was forgotten comes back, whenever a process is killed.

Batches are numbered by the clock, and deletions reach only rows of earlier batches.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from ...errors import DataError
from ..template import now
from .milvus_connection import MilvusConnection, among, both, digest, other_than

LEASE = 600
"""Seconds after which a batch whose writer has not been heard of is undone."""

ADDING, APPLYING, FORGETTING = "adding", "applying", "forgetting"


def record(kind: str, key: str, **values: Any) -> dict[str, Any]:
    """Return a record with its empty fields filled."""
    empty = {"person": "", "batch": 0, "number": 0, "time": "", "text": "", "name": ""}
    return {"id": key, "kind": kind, "vector": [0.0, 0.0], **empty, **values}


class Journal:
    """The pending records of a gallery.

    Attributes:
        state: What ``settle`` has found last; equal as long as nothing has changed.
    """

    def __init__(self, milvus: MilvusConnection) -> None:
        self._milvus = milvus
        self._last = 0
        self.state: tuple[int, str] = (0, "")

    def batch(self) -> int:
        """Return the number of a new batch: nanoseconds, and more than the last one."""
        self._last = max(time.time_ns(), self._last + 1)
        return self._last

    def settle(self) -> str:
        """Finish or undo what other processes left, and return the filter of the rows that count."""
        rows = self._pending(among("kind", ["pending", "version"]))
        versions = [row["number"] for row in rows if row["kind"] == "version"]
        hidden: list[int] = []
        for row in rows:
            if row["kind"] == "version":
                continue
            if row["text"] != ADDING:
                self.finish(row)
                versions = [-self.batch()]  # unlike every other: the next reading finds the right one
            elif time.time_ns() - row["number"] > LEASE * 1_000_000_000:
                self._undo(row["batch"])
            else:
                hidden.append(row["batch"])
        seen = other_than("batch", hidden)
        self.state = max(versions, default=0), seen
        return seen

    def _pending(self, where: str = 'kind == "pending"') -> list[dict[str, Any]]:
        fields = ["kind", "person", "name", "batch", "number", "text"]
        return sorted(
            self._milvus.query(self._milvus.records, where, fields), key=lambda row: int(row["batch"])
        )

    def changed(self) -> None:
        """Let every reader notice that something has changed."""
        row = record("version", digest("version"), number=time.time_ns())
        self._milvus.upsert(self._milvus.records, [row])

    def write(self, batch: int, state: str, **values: Any) -> dict[str, Any]:
        """Write the pending record of a batch, with the time as its ``number``.

        Args:
            batch: Its number.
            state: What is under way.
            values: The ``person`` to forget, and as ``name`` how many templates that are.
        """
        row = record(
            "pending", digest("pending", batch), batch=batch, text=state, number=time.time_ns(), **values
        )
        self._milvus.upsert(self._milvus.records, [row])
        return row

    @contextlib.contextmanager
    def adding(self) -> Iterator[int]:
        """Yield the number of a batch; its rows count after the block, and are gone after an error in it."""
        batch = self.batch()
        self.write(batch, ADDING)
        try:
            yield batch
            self.keep(batch)
            row = self.write(batch, APPLYING)
        except BaseException:
            with contextlib.suppress(DataError):  # else it is undone after the lease
                self._undo(batch)
            raise
        self.finish(row)

    def keep(self, batch: int) -> None:
        """Give a sign of life of a batch that takes long.

        Raises:
            DataError: Another process took it for dead and has undone it.
        """
        if not self._pending(f'kind == "pending" and batch == {batch}'):
            raise DataError(f"{self._milvus.url.shown}: adding took too long and was undone; try again")
        self.write(batch, ADDING)

    def _undo(self, batch: int) -> None:
        if self._milvus.has(self._milvus.templates):
            self._milvus.delete(self._milvus.templates, f"batch == {batch}")
        self._milvus.delete(self._milvus.records, f'batch == {batch} and kind != "pending"')
        self._milvus.delete(self._milvus.records, f"batch == {batch}")

    def finish(self, pending: dict[str, Any]) -> None:
        """Delete what a batch replaces or forgets, and then its record; again, if it was done in part."""
        milvus, batch = self._milvus, int(pending["batch"])
        earlier = f"batch < {batch}"
        with_templates = milvus.has(milvus.templates)
        if pending["text"] == FORGETTING:
            whose = f'person == "{pending["person"]}"'
            if with_templates:
                milvus.delete(milvus.templates, both(whose, earlier))
            milvus.delete(milvus.records, both(whose, earlier, 'kind != "pending"'))
            self.log("forget", int(pending["name"]), batch)
        else:
            new = milvus.query(milvus.records, f"batch == {batch}", ["kind", "person", "text"])
            people = [row["person"] for row in new if row["kind"] == "person"]
            wrong = [digest(row["person"], row["text"]) for row in new if row["kind"] == "correction"]
            for some in _parts(people):
                milvus.delete(milvus.records, both('kind == "person"', among("person", some), earlier))
            for some in _parts(wrong) if with_templates else ():
                milvus.delete(milvus.templates, both(among("id", some), earlier))
        self.changed()
        milvus.delete(milvus.records, f'kind == "pending" and batch == {batch}')

    def log(self, action: str, templates: int, batch: int) -> None:
        """Keep an audit line: when and how many, and not who."""
        row = record("audit", digest("audit", batch), batch=batch, number=templates, time=now(), text=action)
        self._milvus.upsert(self._milvus.records, [row])


def _parts(values: list[str], size: int = 1000) -> Iterator[list[str]]:
    yield from (values[i : i + size] for i in range(0, len(values), size))
