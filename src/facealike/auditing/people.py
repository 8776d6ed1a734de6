"""Find two people who are probably one, and one person who is probably two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..clustering.average_linkage import average_linkage
from ..clustering.neighbors import block_rows
from .evidence import Evidence, posterior
from .labels import LISTED, KnownPeople, Vectors

SAME_PRIOR = 0.01
"""The share of people who are in the set under another name too, before anything is known."""

SEVERAL_PRIOR = 0.01
"""The share of folders with the photos of two people, before anything is known."""

Ints = NDArray[np.int64]


class SamePeople(NamedTuple):
    """Two people, ``first`` before ``second``, who are probably one."""

    first: int
    second: int
    probability: float
    score: float


class SeveralPeople(NamedTuple):
    """A person whose photos probably show two: those of the larger group, and those of the smaller one.

    Where both groups are one photo, it cannot be known which of them has the right name.
    """

    person: int
    larger: tuple[int, ...]
    smaller: tuple[int, ...]
    probability: float
    score: float


def find_several_people(vectors: Vectors, rows_of: Sequence[Ints], evidence: Evidence) -> list[SeveralPeople]:
    """Return the people whose photos fall into two groups that do not agree, the surest first.

    A second group has at least two photos, unless the person has only two; a single photo among several is
    rather a wrong name.

    Args:
        vectors: Unit vectors (n, d).
        rows_of: The photos of each person, as rows of ``vectors``.
        evidence: That of the model.
    """
    found = []
    for person, rows in enumerate(rows_of):
        if len(rows) < 2:
            continue
        groups = average_linkage(vectors[rows], evidence.even)
        larger, smaller = rows[groups == 0], rows[groups == 1]
        if len(smaller) < min(2, len(rows) - 1):
            continue
        score = float(vectors[larger].mean(axis=0) @ vectors[smaller].mean(axis=0))
        pairs = len(larger) * len(smaller)
        ratio = float(evidence.log_ratios(score, pairs))
        prior = SEVERAL_PRIOR if len(rows) > 2 else 2 * SEVERAL_PRIOR
        probability = float(posterior([0.0, ratio], [prior, 1 - prior])[0])
        if probability >= LISTED:
            found.append(
                SeveralPeople(person, tuple(larger.tolist()), tuple(smaller.tolist()), probability, score)
            )
    return sorted(found, key=lambda one: (-one.probability, one.person))


def find_same_people(known: KnownPeople, evidence: Evidence) -> list[SamePeople]:
    """Return the pairs of people who are probably one, the surest first."""
    means = known.means()
    there = known.counts > 0
    people = max(int(there.sum()), 1)
    each = np.log(SAME_PRIOR / people)
    best: dict[tuple[int, int], SamePeople] = {}
    at_once = block_rows(len(means))
    for start in range(0, len(means), at_once):
        some = np.arange(start, min(start + at_once, len(means)))
        scores = means[some] @ means.T
        pairs = np.minimum(known.counts[some, None], known.counts[None, :])
        logs = np.asarray(evidence.log_ratios(scores, pairs) + each, dtype=np.float64)
        logs[:, ~there], logs[np.arange(len(some)), some] = -np.inf, -np.inf
        none = np.log(1 - SAME_PRIOR)
        highest = np.maximum(logs.max(axis=1), none)
        odds = np.exp(logs - highest[:, None])
        sure = odds / (odds.sum(axis=1) + np.exp(none - highest))[:, None]
        for i, other in zip(*np.nonzero((sure >= LISTED) & there[some, None]), strict=True):
            pair = (min(int(some[i]), int(other)), max(int(some[i]), int(other)))
            one = SamePeople(*pair, float(sure[i, other]), float(scores[i, other]))
            if pair not in best or best[pair].probability < one.probability:
                best[pair] = one
    return sorted(best.values(), key=lambda one: (-one.probability, one.first, one.second))
