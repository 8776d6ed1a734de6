"""Search templates exactly, from an 8-bit or a float32 copy of their vectors.

A search has three steps.  A pass over the file collects, for each query, the rows whose approximate scores
come near the best.  Then, in one state of the store, the newer templates are read, and the collected ones are
looked up, best first, and scored again with their float32 vectors; those that are gone drop out.  That ends
where no other row can, within the error of its approximate score, change the answer.  Where too few rows were
collected for that, the search begins again with more.  So the answer is that of scoring every template of
that state in float32.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .base import Hit
from .device_matrix import DeviceMatrix
from .indexed_table import IndexedTable, about
from .row_file import Column, DamagedRows, RowFile
from .scan import ROUNDING, Collected, Precision, collect, columns, encode
from .schema import reading
from .template import vector_problems

FIRST, MOST = 32, 512
"""Templates that are looked up together: at first, and at most."""

PER_PERSON = 4
"""Rows to collect for each person that is wanted, at first."""


class TemplateIndex(IndexedTable):
    """The vectors of all templates, searchable.

    Args:
        folder: The folder of the gallery's index files.
        precision: How the file holds vectors.
        matrix: A copy of an 8-bit file on a GPU, which is searched in its place; None without one.

    Attributes:
        damaged: Ids of templates whose vector is none; they are not searched.
    """

    def __init__(
        self, folder: Path, precision: Precision = "int8", matrix: DeviceMatrix | None = None
    ) -> None:
        self.precision: Precision = precision
        self._matrix = matrix
        self._dimensions = 0
        super().__init__(folder / f"templates-{precision}", "templates", "vector")

    def columns(self, db: sqlite3.Connection) -> Sequence[Column]:
        self._dimensions = int(about(db, "dimensions"))
        return columns(self.precision, self._dimensions)

    def encoded(self, values: Sequence[bytes]) -> tuple[dict[str, NDArray[Any]], float]:
        if vector_problems(values, 4 * self._dimensions):
            raise DamagedRows("a template is damaged")
        return encode(_stacked(values), self.precision)

    def read_newer(self, db: sqlite3.Connection) -> None:
        self._dimensions = self._dimensions or int(about(db, "dimensions"))
        super().read_newer(db)

    def _drop_newer(self) -> None:
        super()._drop_newer()
        self._ids: list[NDArray[np.int64]] = []
        self._vectors: list[NDArray[np.float32]] = []
        self.damaged: list[int] = []

    def _drop(self, ids: Collection[int]) -> None:
        gone = np.fromiter(ids, np.int64, len(ids))
        for i, held in enumerate(self._ids):
            left = ~np.isin(held, gone)
            if not left.all():
                self._ids[i], self._vectors[i] = held[left], self._vectors[i][left]
        self.damaged = [one for one in self.damaged if one not in ids]

    def _newer(self) -> int:
        return sum(map(len, self._ids))

    def _hold(self, ids: list[int], values: list[bytes]) -> None:
        wrong = vector_problems(values, 4 * self._dimensions)
        self.damaged += [ids[i] for i in wrong]
        right = [i for i in range(len(ids)) if i not in wrong]
        if right:
            self._ids.append(np.array([ids[i] for i in right]))
            self._vectors.append(_stacked([values[i] for i in right]))

    def blank(self, db: sqlite3.Connection, ids: Sequence[int], again: bool) -> None:
        super().blank(db, ids, again)
        if self._matrix is not None and self.file is not None:
            self._matrix.follow(self.file)

    def close(self) -> None:
        super().close()
        if self._matrix is not None:
            self._matrix.clear()

    def search(
        self, db: sqlite3.Connection, queries: NDArray[np.float32], top: int, without: Set[str] = frozenset()
    ) -> list[list[Hit]]:
        """Return, for each query, the ``top`` people with the highest scores, equal ones by name.

        Args:
            db: The store.
            queries: Unit vectors (q, d).
            top: How many people.
            without: People who are left out.
        """
        found: dict[int, list[Hit]] = {}
        best = PER_PERSON * (top + len(without))
        while missing := [i for i in range(len(queries)) if i not in found]:
            self.refresh(db)
            file = self.file
            near = [Collected.none()] * len(missing)
            if file is not None and self._matrix is not None:
                near = self._matrix.collect(file, queries[missing], best)
            elif file is not None:
                near = collect(file, self.precision, queries[missing], best)
            with reading(db):
                self.read_newer(db)
                for i, one in zip(missing, near, strict=True):
                    hits = self._exact(db, queries[i], one, file, top, without)
                    if hits is not None:
                        found[i] = hits
            best *= 8
        self.grow(db)
        return [found[i] for i in range(len(queries))]

    def _exact(
        self, db: sqlite3.Connection, query: NDArray[np.float32], near: Collected, file: RowFile | None,
        top: int, without: Set[str],
    ) -> list[Hit] | None:  # fmt: skip
        """Return the answer for a query, None where too few rows were collected for it."""
        newer = np.concatenate([np.zeros(0, np.int64), *self._ids])
        scores = np.concatenate([near.scores, *(vectors @ query for vectors in self._vectors)])
        error = max(near.error, ROUNDING)
        best: dict[str, tuple[float, int, str]] = {}
        order, at, size, least = np.argsort(-scores, kind="stable"), 0, FIRST, -np.inf
        while at < len(order) and scores[order[at]] >= least - error:
            part = order[at : at + size]
            stored, held = part[part < len(near.rows)], part[part >= len(near.rows)] - len(near.rows)
            ids = newer[held]
            if file is not None:
                ids = np.concatenate([file.ids(near.rows[stored]), ids])
            for one in _looked_up(db, query, ids):
                person, score, key, source = one
                if person not in without:
                    best[person] = max(best.get(person, (-np.inf, 0, "")), (score, -key, source))
            at, size = at + size, min(2 * size, MOST)
            if len(best) >= top:
                least = sorted((score for score, _, _ in best.values()), reverse=True)[top - 1]
        if near.floor > -np.inf and least - error <= near.floor:
            return None
        ranked = sorted(best.items(), key=lambda item: (-item[1][0], item[0]))[:top]
        return [Hit(person, score, source) for person, (score, _, source) in ranked]


def _looked_up(
    db: sqlite3.Connection, query: NDArray[np.float32], ids: NDArray[np.int64]
) -> list[tuple[str, float, int, str]]:
    """Return (person, score, id, source) of the templates that there are."""
    rows = db.execute(
        "SELECT name, vector, templates.id, source FROM templates JOIN people ON people.id = person "
        f"WHERE templates.id IN ({','.join('?' * len(ids))})",
        ids.tolist(),
    ).fetchall()
    if not rows:
        return []
    vectors = _stacked([vector for _, vector, _, _ in rows])
    # In float64, so that a score does not depend on what else is looked up.
    scores = (vectors.astype(np.float64) @ query.astype(np.float64)).astype(np.float32)
    return [
        (name, float(score), key, source) for (name, _, key, source), score in zip(rows, scores, strict=True)
    ]


def _stacked(values: Sequence[bytes]) -> NDArray[np.float32]:
    return np.frombuffer(b"".join(values), "<f4").reshape(len(values), -1).astype(np.float32, copy=False)
