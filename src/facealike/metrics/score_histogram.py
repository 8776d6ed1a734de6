"""Histograms of all pair scores of a set of photos, computed in tiles to bound memory.

The scores of impostor pairs go into histograms: a fine one of them all, and a coarse one of each person's.
Both have edges that are multiples of a power of two, which single precision represents exactly, so a count at
an edge is that of ``score >= edge``.  The genuine pairs are few and kept as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import UsageError
from .similarity import Counts, Floats, labeled_unit_rows

FINE_BINS = 1 << 16  # over [-1, 1], and one more for a score of exactly 1
COARSE_BINS = 1 << 9
SHIFT = 7  # fine bins in a coarse one, as a power of two
NO_BIN = FINE_BINS + (1 << SHIFT)  # for pairs that are not impostor pairs

FINE_EDGES = np.arange(FINE_BINS + 1) * (2.0 / FINE_BINS) - 1.0
COARSE_EDGES = np.arange(COARSE_BINS + 1) * (2.0 / COARSE_BINS) - 1.0


@dataclass(frozen=True, eq=False)
class PairScores:
    """The scores of all pairs of n photos of P people.

    Args:
        genuine: The scores of the genuine pairs, ascending, float32 (g,).
        genuine_person: The person of each, numbered from 0, (g,).
        impostor: The number of impostor pairs in each fine bin, (FINE_BINS + 1,).
        impostor_of: The same for each person in coarse bins, (P, COARSE_BINS + 1); every pair is counted for
            both its people.
        images: The number of photos.
    """

    genuine: Floats
    genuine_person: Counts
    impostor: Counts
    impostor_of: NDArray[np.int32]
    images: int

    @property
    def people(self) -> int:
        return len(self.impostor_of)


def count_pairs(
    embeddings: ArrayLike, labels: ArrayLike, block: int = 1024,
    progress: Callable[[int, int], None] | None = None, impostor_only: bool = False,
) -> PairScores:  # fmt: skip
    """Count all pairs of photos by score.

    Args:
        embeddings: One row a photo, (n, d).
        labels: The person of each photo, (n,).
        block: Tiles have ``block`` times ``block`` scores.
        progress: Called with (done, total) tiles.
        impostor_only: Whether genuine pairs may be missing.

    Raises:
        UsageError: The arrays do not fit, a row has no direction, or a kind of pairs is missing.
    """
    rows, person = labeled_unit_rows(embeddings, labels)
    order = np.argsort(person, kind="stable")
    rows, person = rows[order], person[order]
    starts = np.searchsorted(person, np.arange(person[-1] + 2))
    if len(starts) == 2 or (len(starts) == len(rows) + 1 and not impostor_only):
        missing = "two people" if len(starts) == 2 else "one person with two photos"
        raise UsageError(f"all pairs of a set need both kinds: it must have at least {missing}")
    counter = _TileCounter(rows, person, starts)
    edges = range(0, len(rows), max(1, block))
    tiles = [(top, left) for top in edges for left in edges if left >= top]
    for done, (top, left) in enumerate(tiles, start=1):
        counter.add(top, left, max(1, block))
        if progress is not None:
            progress(done, len(tiles))
    return counter.result()


def with_missing(made: PairScores, labels: ArrayLike, found: ArrayLike) -> PairScores:
    """Return the scores of all photos, with a face or not: a pair that was not compared scores -1.

    Args:
        made: The scores of the photos with a face.
        labels: The person of each photo, (n,).
        found: Whether each photo has a face, (n,).
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
    return PairScores(
        genuine=np.concatenate([np.full(len(rejected), -1.0, dtype=np.float32), made.genuine]),
        genuine_person=np.concatenate([rejected, row[made.genuine_person]]),
        impostor=counts,
        impostor_of=of_person,
        images=len(seen),
    )


def fine_bin(scores: Floats) -> NDArray[np.int32]:
    """Return the fine bin of each score; scaling by a power of two does not round."""
    scaled = np.floor(np.clip(scores, -1.0, 1.0) * np.float32(FINE_BINS // 2))
    bins: NDArray[np.int32] = scaled.astype(np.int32) + FINE_BINS // 2
    return bins


class _TileCounter:
    def __init__(self, rows: Floats, person: Counts, starts: Counts) -> None:
        self._rows, self._person, self._starts = rows, person, starts
        self._genuine: list[Floats] = []
        self._genuine_person: list[Counts] = []
        self._impostor = np.zeros(NO_BIN + 1, dtype=np.int64)
        self._of = np.zeros((len(starts) - 1, (NO_BIN >> SHIFT) + 1), dtype=np.int32)

    def add(self, top: int, left: int, block: int) -> None:
        """Count the tile whose first pair is (top, left), with left >= top."""
        down, across = self._rows[top : top + block], self._rows[left : left + block]
        scores = down @ across.T
        bins = fine_bin(scores)
        if top == left:
            bins[np.tril_indices(len(bins))] = NO_BIN
        # Photos of one person lie together, so a genuine pair is in a rectangle of the tile.
        bottom, right = top + len(down), left + len(across)
        for one in range(self._person[left], self._person[bottom - 1] + 1):
            first, last = self._starts[one], self._starts[one + 1]
            span = slice(max(first, top) - top, min(last, bottom) - top)
            width = slice(max(first, left) - left, min(last, right) - left)
            part = bins[span, width]
            found = scores[span, width][part != NO_BIN]
            self._genuine.append(found)
            self._genuine_person.append(np.full(len(found), one, dtype=np.int64))
            part[...] = NO_BIN
        self._impostor += np.bincount(bins.ravel(), minlength=NO_BIN + 1)
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

    def result(self) -> PairScores:
        genuine, person = np.concatenate(self._genuine), np.concatenate(self._genuine_person)
        order = np.argsort(genuine, kind="stable")
        return PairScores(
            genuine=np.clip(genuine[order], -1.0, 1.0),
            genuine_person=person[order],
            impostor=self._impostor[: FINE_BINS + 1].copy(),
            impostor_of=self._of[:, : COARSE_BINS + 1].copy(),
            images=len(self._rows),
        )
