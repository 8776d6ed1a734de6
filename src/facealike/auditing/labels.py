"""Find photos with the wrong name: they disagree with their own person, or agree with another.

A photo shows its own person, one of the N others, or somebody who is not in the set.  Before anything is
known, a share ``MISLABELED_PRIOR`` of the photos has the wrong name, half of them that of another person of
the set.  With the likelihood ratio L of a photo and a person (``evidence``) the probabilities are, by Bayes,
proportional to

    own person  (1 - p) L_own        person k  p / (2 N) L_k        somebody else  p / 2

so the number of people it is compared with is taken into account.  The photo with the highest probability
goes first and is set aside; the others of the two people are examined again without it, since it speaks
against them.

Where a person has two photos and neither agrees with somebody else, it cannot be known which of the two has
the wrong name; ``people`` reports that the two disagree.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..clustering.neighbors import block_rows
from .evidence import Evidence

MISLABELED_PRIOR = 0.01
"""The share of photos with the wrong name, before anything is known of them."""

LISTED = 0.5
"""Lowest probability of a fault that is reported: more likely than not."""

Ints = NDArray[np.int64]
Vectors = NDArray[np.float32]


class Mislabeled(NamedTuple):
    """A photo that probably shows somebody else than its name says.

    ``row`` is the photo, ``probability`` that of a wrong name, ``other`` the person it fits best, and
    ``other_probability`` that it shows that person.
    """

    row: int
    probability: float
    other: int
    other_probability: float


class KnownPeople:
    """The embeddings of people, as sums a person, from which photos can be taken out.

    Args:
        vectors: Unit vectors (n, d).
        labels: The person of each, (n,).
        people: How many people there are.
        used: Which of the photos count, (n,).
    """

    def __init__(self, vectors: Vectors, labels: Ints, people: int, used: NDArray[np.bool_]) -> None:
        self.vectors, self.labels, self.used = vectors, labels, used.copy()
        self.counts = np.bincount(labels[used], minlength=people)
        self.sums = np.zeros((people, vectors.shape[1]), dtype=np.float32)
        np.add.at(self.sums, labels[used], vectors[used])

    def take_out(self, row: int) -> None:
        """Let a photo no longer count."""
        self.used[row] = False
        self.counts[self.labels[row]] -= 1
        self.sums[self.labels[row]] -= self.vectors[row]

    def means(self) -> Vectors:
        """Return the mean vector of each person, (people, d); zeros for one without photos."""
        return np.asarray(self.sums / np.maximum(self.counts, 1)[:, None], dtype=np.float32)


def find_mislabeled(known: KnownPeople, evidence: Evidence) -> list[Mislabeled]:
    """Return the photos with the wrong name, the surest first; they no longer count in ``known`` then."""
    found: list[Mislabeled] = []
    rows = np.flatnonzero(known.used)
    while len(rows):
        candidates = sorted(_suspects(known, evidence, rows), key=lambda one: (-one.probability, one.row))
        touched: set[int] = set()
        for one in candidates:
            people = {int(known.labels[one.row]), one.other}
            if not touched & people:
                known.take_out(one.row)
                found.append(one)
                touched |= people
        again = known.used & np.isin(known.labels, sorted(touched))
        again[[one.row for one in candidates if known.used[one.row]]] = True
        rows = np.flatnonzero(again) if touched else np.zeros(0, dtype=np.int64)
    return sorted(found, key=lambda one: (-one.probability, one.row))


def _suspects(known: KnownPeople, evidence: Evidence, rows: Ints) -> Iterator[Mislabeled]:
    others = max(int(np.sum(known.counts > 0)) - 1, 1)
    means = known.means()
    each = np.log(MISLABELED_PRIOR / 2 / others)
    at_once = block_rows(len(means))
    for start in range(0, len(rows), at_once):
        some = rows[start : start + at_once]
        own, place = known.labels[some], np.arange(len(some))
        cosines = known.vectors[some] @ means.T
        beside = known.counts[own] - 1
        mine = (cosines[place, own] * known.counts[own] - 1) / np.maximum(beside, 1)
        logs = np.asarray(evidence.log_ratios(cosines, known.counts) + each, dtype=np.float64)
        logs[:, known.counts == 0] = -np.inf
        logs[place, own] = evidence.log_ratios(mine, beside) + np.log(1 - MISLABELED_PRIOR)
        unknown = np.log(MISLABELED_PRIOR / 2)
        highest = np.maximum(logs.max(axis=1), unknown)
        odds = np.exp(logs - highest[:, None])
        total = odds.sum(axis=1) + np.exp(unknown - highest)
        wrong = 1 - odds[place, own] / total
        odds[place, own] = 0
        best = odds.argmax(axis=1)
        at_best = odds[place, best] / total
        # Of two photos neither is the right one, unless one agrees with somebody else.
        decided = (beside > 1) | ((beside == 1) & (at_best >= LISTED))
        for i in np.flatnonzero((wrong >= LISTED) & decided):
            yield Mislabeled(int(some[i]), float(wrong[i]), int(best[i]), float(at_best[i]))
