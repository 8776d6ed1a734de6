"""All pairs of a set of photos, counted in tiles: never more than one tile of scores in memory.

The scores of impostor pairs go into histograms: a fine one of them all, and a coarse one of each
person's.  Both have edges that are multiples of a power of two, which single precision tells exactly, so a
count at an edge is that of ``score >= edge`` and nothing is lost there.  The genuine pairs are few
and kept as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import UsageError
from .similarity import Counts, Floats, unit_rows

FINE_BINS = 1 << 16  # over [-1, 1], and one more for a score of exactly 1
COARSE_BINS = 1 << 9
SHIFT = 7  # fine bins in a coarse one, as a power of two
NOWHERE = FINE_BINS + (1 << SHIFT)  # the bin of what is no impostor pair

FINE_EDGES = np.arange(FINE_BINS + 1) * (2.0 / FINE_BINS) - 1.0
COARSE_EDGES = np.arange(COARSE_BINS + 1) * (2.0 / COARSE_BINS) - 1.0


@dataclass(frozen=True, eq=False)
class Tally:
    """Every pair of n photos of P people.

    ``genuine`` float32 (g,) are the scores of the genuine pairs, rising, and ``genuine_person`` (g,) whose
    they are, by number from 0.  ``impostor`` (FINE_BINS + 1,) counts impostor pairs by score, and
    ``impostor_of`` (P, COARSE_BINS + 1) those of each person: every pair is there twice, once for either.
    """

    genuine: Floats
    genuine_person: Counts
    impostor: Counts
    impostor_of: NDArray[np.int32]
    images: int

    @property
    def people(self) -> int:
        return len(self.impostor_of)


def tally(
    embeddings: ArrayLike, labels: ArrayLike, block: int = 1024,
    progress: Callable[[int, int], None] | None = None, strangers: bool = False,
) -> Tally:  # fmt: skip
    """Count all pairs of photos with these ``embeddings`` (n, d) and people ``labels`` (n,).

    ``progress(done, total)`` counts tiles of ``block`` times ``block`` scores.  Raises UsageError for
    arrays that do not fit, for rows without direction, and where a kind of pairs is missing; with
    ``strangers`` genuine pairs may be missing.
    """
    rows, person = unit_rows(embeddings, labels)
    order = np.argsort(person, kind="stable")
    rows, person = rows[order], person[order]
    starts = np.searchsorted(person, np.arange(person[-1] + 2))
    if len(starts) == 2 or (len(starts) == len(rows) + 1 and not strangers):
        missing = "two people" if len(starts) == 2 else "one person with two photos"
        raise UsageError(f"all pairs of a set need both kinds: it must have at least {missing}")
    counter = _Counter(rows, person, starts)
    edges = range(0, len(rows), max(1, block))
    tiles = [(top, left) for top in edges for left in edges if left >= top]
    for done, (top, left) in enumerate(tiles, start=1):
        counter.add(top, left, max(1, block))
        if progress is not None:
            progress(done, len(tiles))
    return counter.result()


def with_missing(made: Tally, labels: ArrayLike, found: ArrayLike) -> Tally:
    """Return the tally of all photos, found or not: a pair that was not compared scores -1, and is rejected.

    ``made`` is of the photos in which a face was ``found`` (n,), and ``labels`` (n,) say whose each photo is.
    """
    names, person = np.unique(np.asarray(labels), return_inverse=True)
    seen = np.asarray(found, dtype=np.bool_)
    photos, faces = np.bincount(person), np.bincount(person[seen], minlength=len(names))
    genuine = photos * (photos - 1) // 2 - faces * (faces - 1) // 2
    impostor = photos * (len(seen) - photos) - faces * (int(seen.sum()) - faces)
    row = np.flatnonzero(faces)  # in ``names``, of each person in ``made``
    of_person = np.zeros((len(names), COARSE_BINS + 1), dtype=np.int32)
    of_person[row] = made.impostor_of
    of_person[:, 0] += impostor.astype(np.int32)
    counts = made.impostor.copy()
    counts[0] += int(impostor.sum()) // 2
    rejected = np.repeat(np.arange(len(names)), genuine)
    return Tally(
        genuine=np.concatenate([np.full(len(rejected), -1.0, dtype=np.float32), made.genuine]),
        genuine_person=np.concatenate([rejected, row[made.genuine_person]]),
        impostor=counts,
        impostor_of=of_person,
        images=len(seen),
    )


def fine_bin(scores: Floats) -> NDArray[np.int32]:
    """The fine bin of each score, which is scaled by a power of two and so without rounding."""
    scaled = np.floor(np.clip(scores, -1.0, 1.0) * np.float32(FINE_BINS // 2))
    bins: NDArray[np.int32] = scaled.astype(np.int32) + FINE_BINS // 2
    return bins


class _Counter:
    def __init__(self, rows: Floats, person: Counts, starts: Counts) -> None:
        self._rows, self._person, self._starts = rows, person, starts
        self._genuine: list[Floats] = []
        self._genuine_person: list[Counts] = []
        self._impostor = np.zeros(NOWHERE + 1, dtype=np.int64)
        self._of = np.zeros((len(starts) - 1, (NOWHERE >> SHIFT) + 1), dtype=np.int32)

    def add(self, top: int, left: int, block: int) -> None:
        """Count the tile whose first pair is (top, left), with left >= top."""
        down, across = self._rows[top : top + block], self._rows[left : left + block]
        scores = down @ across.T
        bins = fine_bin(scores)
        if top == left:
            bins[np.tril_indices(len(bins))] = NOWHERE
        # Photos of one person lie together, so a genuine pair is in a rectangle of the tile.
        bottom, right = top + len(down), left + len(across)
        for one in range(self._person[left], self._person[bottom - 1] + 1):
            first, last = self._starts[one], self._starts[one + 1]
            span = slice(max(first, top) - top, min(last, bottom) - top)
            width = slice(max(first, left) - left, min(last, right) - left)
            part = bins[span, width]
            found = scores[span, width][part != NOWHERE]
            self._genuine.append(found)
            self._genuine_person.append(np.full(len(found), one, dtype=np.int64))
            part[...] = NOWHERE
        self._impostor += np.bincount(bins.ravel(), minlength=NOWHERE + 1)
        bins >>= SHIFT
        self._add_people(bins, top)
        self._add_people(bins.T, left)

    def _add_people(self, coarse: NDArray[np.int32], start: int) -> None:
        person = self._person[start : start + len(coarse)]
        lowest, width = person[0], self._of.shape[1]
        cell = coarse + ((person - lowest) * width).astype(np.int32)[:, np.newaxis]
        people = int(person[-1] - lowest) + 1
        counts = np.bincount(cell.ravel(), minlength=people * width)
        self._of[lowest : lowest + people] += counts.reshape(people, width).astype(np.int32)

    def result(self) -> Tally:
        genuine, person = np.concatenate(self._genuine), np.concatenate(self._genuine_person)
        order = np.argsort(genuine, kind="stable")
        return Tally(
            genuine=np.clip(genuine[order], -1.0, 1.0),
            genuine_person=person[order],
            impostor=self._impostor[: FINE_BINS + 1].copy(),
            impostor_of=self._of[:, : COARSE_BINS + 1].copy(),
            images=len(self._rows),
        )
