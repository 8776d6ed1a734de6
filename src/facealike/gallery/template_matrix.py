"""The templates of a gallery in one growing matrix, for the many searches of a bulk enrollment.

A store may have to read its templates again after each batch that it stores.  Here they are read once, and
each batch of new ones is appended; a batch is compared with all of them in one matrix product.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .base import GalleryStore, Hit
from .template import Template

FIRST_ROWS = 1024


class Near(NamedTuple):
    """The best template of another person for a new one, and the scores with its own person's."""

    other: Hit | None
    own: list[float]


class TemplateMatrix:
    """Unit vectors with the person and the source of each.

    Args:
        store: Whose templates are read.
    """

    def __init__(self, store: GalleryStore) -> None:
        self._vectors: NDArray[np.float32] = np.zeros((0, 0), np.float32)
        self._owner: NDArray[np.int64] = np.zeros(0, np.int64)
        self._sources: list[str] = []
        self._names: list[str] = []
        self._numbers: dict[str, int] = {}
        self.add(store.templates())

    def __len__(self) -> int:
        return len(self._sources)

    @property
    def people(self) -> int:
        """How many people there are."""
        return len(self._names)

    def add(self, rows: Sequence[tuple[str, Template]]) -> None:
        """Append templates with the name of their person."""
        if not rows:
            return
        start, end = len(self), len(self) + len(rows)
        if end > len(self._vectors):
            size = max(FIRST_ROWS, 2 * end)
            vectors = np.zeros((size, rows[0][1].vector.size), np.float32)
            owner = np.full(size, -1)
            if start:
                vectors[:start], owner[:start] = self._vectors[:start], self._owner[:start]
            self._vectors, self._owner = vectors, owner
        for row, (person, one) in enumerate(rows, start):
            if person not in self._numbers:
                self._numbers[person] = len(self._names)
                self._names.append(person)
            self._vectors[row], self._owner[row] = one.vector, self._numbers[person]
            self._sources.append(one.source)

    def compare(self, new: Sequence[tuple[str, Template]]) -> list[Near]:
        """Return what is near each of some new templates, in one matrix product."""
        count = len(self)
        if not count:
            return [Near(None, []) for _ in new]
        scores = np.stack([one.vector for _, one in new]) @ self._vectors[:count].T
        found = []
        for row, (person, _) in enumerate(new):
            own = np.flatnonzero(self._owner[:count] == self._numbers.get(person, -1))
            own_scores = scores[row, own].tolist()
            scores[row, own] = -np.inf
            at = int(np.argmax(scores[row]))
            hit = Hit(self._names[self._owner[at]], float(scores[row, at]), self._sources[at])
            found.append(Near(hit if len(own) < count else None, own_scores))
        return found


def compare_in_store(store: GalleryStore, new: Sequence[tuple[str, Template]]) -> list[Near]:
    """Return what is near each of a few new templates, by searches of a store."""
    hits: list[list[Hit]] = [[] for _ in new]
    if store.count():
        hits = store.search_many(np.stack([one.vector for _, one in new]), 2)
    held = store.templates_of(sorted({person for person, _ in new}))
    return [
        Near(
            next((hit for hit in of if hit.person != person), None),
            [float(each.vector @ one.vector) for each in held.get(person, ())],
        )
        for of, (person, one) in zip(hits, new, strict=True)
    ]
