"""Searches of the same people in galleries of several sizes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..metrics.bootstrap import Interval
from ..metrics.gallery_split import draw_identification, smaller_gallery
from ..metrics.identification import Identification, OpenSet, closed_set, open_set
from ..metrics.verification import supported_fmrs
from ..types import Embeddings
from ..utils.result import Shown
from ..utils.wording import rate_text

SIZES = (100, 300, 1000, 3000, 10_000, 30_000, 100_000)
"""People in a gallery; the largest one has all that there are."""

RANKS = (1, 50)
"""Of an investigation: a person who is not among the first so many candidates is missed."""

FPIRS = (0.003, 0.01, 0.1)
"""False positive identification rates; the first is FRTE's."""


@dataclass(frozen=True, eq=False, repr=False)
class GallerySearches(Shown):
    """Searches in a gallery of one photo a person.

    Args:
        closed: The ranks at which enrolled people were found.
        open: The scores of mated and non-mated searches.
        seed: Of the resamples.
    """

    closed: Identification
    open: OpenSet
    seed: int = 0

    @property
    def people(self) -> int:
        """The number of enrolled people."""
        return self.closed.gallery_people

    @cached_property
    def misses(self) -> dict[int, Interval]:
        """The share of mated searches whose person is not among the first candidates, by rank."""
        ranks = [rank for rank in RANKS if rank < self.people]
        found = self.closed.intervals(ranks, seed=self.seed)
        return {
            rank: Interval(1 - hit.estimate, 1 - hit.high, 1 - hit.low, hit.level, hit.method, hit.resamples)
            for rank, hit in zip(ranks, found.values(), strict=True)
        }

    @cached_property
    def fnir(self) -> dict[float, Interval]:
        """The FNIR at each of ``FPIRS`` that the non-mated searches can count."""
        fpirs = supported_fmrs(len(self.open.non_mated), FPIRS)
        return dict(zip(fpirs, self.open.intervals(fpirs, seed=self.seed).values(), strict=True))

    def to_dict(self) -> dict[str, Any]:
        return {
            "gallery_people": self.people,
            "mated_probes": len(self.open.mated),
            "mated_people": len(np.unique(self.open.mated_people)),
            "non_mated_probes": len(self.open.non_mated),
            "misses": {str(rank): miss.to_dict() for rank, miss in self.misses.items()},
            "fnir_at_fpir": {f"{fpir:g}": rate.to_dict() for fpir, rate in self.fnir.items()},
        }

    def __str__(self) -> str:
        misses = [f"{rate_text(miss.estimate)} missed at rank {rank}" for rank, miss in self.misses.items()]
        rates = [f"FNIR {rate_text(rate.estimate)} at FPIR {rate_text(f)}" for f, rate in self.fnir.items()]
        return f"{self.people:,} enrolled people: {', '.join([*misses, *rates])}"


def gallery_searches(
    vectors: Embeddings, labels: NDArray[np.int64], seed: int
) -> tuple[GallerySearches, ...]:
    """Search the same non-mated probes in galleries of rising size.

    Half of the people are enrolled, as in ``draw_identification``; smaller galleries hold part of them
    (``smaller_gallery``).

    Args:
        vectors: One row a photo, (n, d).
        labels: The person of each, (n,).
        seed: Of the draws and resamples.

    Raises:
        UsageError: Too few people have several photos.
    """
    whole = draw_identification(labels, seed)
    found = []
    for size in [*(size for size in SIZES if size < len(whole.gallery)), len(whole.gallery)]:
        sets = smaller_gallery(labels, whole, size, seed)
        gallery, mated, non_mated = ((vectors[rows], labels[rows]) for rows in sets)
        found.append(
            GallerySearches(closed_set(*gallery, *mated), open_set(*gallery, *mated, *non_mated), seed)
        )
    return tuple(found)
