"""Search templates exactly: the product of all vectors in memory with the query."""

from __future__ import annotations

from collections.abc import Set

import numpy as np
from numpy.typing import NDArray


class ExactIndex:
    """Unit vectors (n, d) float32 with the person of each; equal to the store it was filled from.

    Args:
        vectors: Shape (n, d).
        people: The person of each vector.
    """

    def __init__(self, vectors: NDArray[np.float32], people: list[str]) -> None:
        self._names, owner = np.unique(np.array(people, dtype=object), return_inverse=True)
        # The vectors of a person follow each other, so that one pass finds the maximum of each person.
        self._rows = np.argsort(owner, kind="stable")
        self._vectors = np.ascontiguousarray(vectors[self._rows], dtype=np.float32)
        self._starts = np.searchsorted(owner[self._rows], np.arange(len(self._names) + 1))

    def __len__(self) -> int:
        return len(self._vectors)

    @property
    def people(self) -> int:
        """How many people there are."""
        return len(self._names)

    @property
    def dimensions(self) -> int:
        """The length of a vector."""
        return int(self._vectors.shape[1])

    def search(
        self, query: NDArray[np.float32], top: int, without: Set[str] = frozenset()
    ) -> list[tuple[str, float, int]]:
        """Return (person, score, row of the best template) of the ``top`` people, highest score first.

        The score of a person is the maximum over the templates; equal scores are ordered by name.

        Args:
            query: A unit vector (d,).
            top: How many people.
            without: People who are left out.
        """
        if not len(self._vectors):
            return []
        scores = self._vectors @ query.astype(np.float32)
        best = np.maximum.reduceat(scores, self._starts[:-1])
        found: list[tuple[str, float, int]] = []
        for person in np.argsort(-best, kind="stable")[: top + len(without)]:  # names are sorted
            start, end = self._starts[person : person + 2]
            row = self._rows[start + int(np.argmax(scores[start:end]))]
            found.append((str(self._names[person]), float(best[person]), int(row)))
        return [one for one in found if one[0] not in without][:top]
