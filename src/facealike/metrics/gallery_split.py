"""Divide photos into a gallery of enrolled people, mated and non-mated probes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import UsageError

Indices = NDArray[np.int64]


class IdentificationSets(NamedTuple):
    """Photos by index: one of each enrolled person, their other photos, and those of people not enrolled."""

    gallery: Indices
    mated: Indices
    non_mated: Indices


def draw_identification(labels: ArrayLike, seed: int, enrolled: float = 0.5) -> IdentificationSets:
    """Divide photos into a gallery, mated and non-mated probes.

    A share ``enrolled`` of the people is enrolled with one photo each; their other photos are the mated
    probes, and all photos of the others the non-mated ones.  People with several photos and people with one
    are drawn separately, so that the gallery holds both.

    Args:
        labels: The person of each photo, (n,).
        seed: Of the random draw.
        enrolled: The share of people in the gallery, between 0 and 1.

    Raises:
        UsageError: One of the three would be empty.
    """
    names = np.asarray(labels)
    if names.ndim != 1 or not 0 < enrolled < 1:
        raise UsageError(
            f"identification needs labels of one dimension and a share of enrolled people between 0 and 1, "
            f"not {enrolled}"
        )
    rng = np.random.default_rng(seed)
    person = np.unique(names, return_inverse=True)[1].reshape(-1)
    counts = np.bincount(person)
    known = np.zeros(len(counts), dtype=np.bool_)
    for sort in (np.flatnonzero(counts > 1), np.flatnonzero(counts == 1)):
        known[rng.permutation(sort)[: round(enrolled * len(sort))]] = True
    shuffled = rng.permutation(len(names))
    first = shuffled[np.unique(person[shuffled], return_index=True)[1]]  # a random photo of each person
    in_gallery = np.zeros(len(names), dtype=np.bool_)
    in_gallery[first[known]] = True
    sets = IdentificationSets(
        np.flatnonzero(in_gallery),
        np.flatnonzero(known[person] & ~in_gallery),
        np.flatnonzero(~known[person]),
    )
    if min(len(each) for each in sets) == 0:
        raise UsageError(
            "identification needs enrolled people with a second photo, and people who are not enrolled: give "
            "at least four people, two of them with two photos"
        )
    return sets


def smaller_gallery(
    labels: ArrayLike, sets: IdentificationSets, people: int, seed: int
) -> IdentificationSets:
    """Return the same searches in a gallery of fewer people.

    People with mated probes stay before all others, so that only the number of the others changes while there
    are enough of them; of equal seeds the smaller gallery is part of the larger one.

    Args:
        labels: The person of each photo, (n,).
        sets: What ``draw_identification`` returned.
        people: The number of people to enroll.
        seed: Of the random draw.

    Raises:
        UsageError: The gallery does not have so many people.
    """
    names = np.asarray(labels)
    if not 1 <= people <= len(sets.gallery):
        raise UsageError(f"a gallery of {len(sets.gallery):,} people cannot be reduced to {people:,}")
    order = np.random.default_rng(seed).permutation(sets.gallery)
    searched = np.isin(names[order], names[sets.mated])
    kept = np.concatenate([order[searched], order[~searched]])[:people]
    mated = sets.mated[np.isin(names[sets.mated], names[kept])]
    return IdentificationSets(np.sort(kept), mated, sets.non_mated)
