"""Group unit vectors by average linkage, with pairs that must not and pairs that must be together.

Agglomerative clustering: each vector begins as a cluster; the two clusters with the highest mean cosine
between their members are merged, as long as that mean reaches the threshold.  The mean cosine of two
clusters is the product of their mean vectors, so a cluster needs no more than the sum of its vectors.
Clusters whose mean cosine reaches the threshold have a pair of members that does, so only clusters that such
a pair joins are compared: the result is that of the full matrix, without it.

Source: Sokal and Michener, University of Kansas Science Bulletin 38, 1958 (UPGMA); Wagstaff and Cardie, ICML
2000 (cannot-link and must-link).
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .neighbors import neighbors_above

Ints = NDArray[np.int64]
Pairs: TypeAlias = Sequence[tuple[int, int]]
"""Pairs of vectors, by their rows."""

MAX_NEIGHBORS = 256
"""Neighbors by which the clusters of a vector are found.  A vector with more of them above the threshold
keeps the nearest, and the result may differ from that of the full matrix."""

NONE: Ints = np.zeros(0, np.int64)


def average_linkage(
    vectors: NDArray[np.float32], threshold: float, together: Pairs = (), apart: Pairs = (),
    alone: Pairs = (), groups: Ints | None = None,
) -> Ints:  # fmt: skip
    """Return the cluster of each vector, int64 (n,): numbers from 0, the largest cluster first.

    Clusters of one size are in the order of their first vectors.

    Args:
        vectors: Unit vectors, float32 (n, d).
        threshold: Lowest mean cosine of two clusters that are merged.
        together: Pairs of vectors that are in one cluster (must-link).
        apart: Pairs that are never in one cluster (cannot-link).
        alone: Likewise, except where ``together`` or ``groups`` demands otherwise.
        groups: Clusters to begin with, int64 (n,): numbers from 0, or -1 for a vector in none.  They may
            grow, and no two of them are merged.

    Raises:
        DataError: ``together`` and ``apart`` contradict each other.
    """
    links = _Linkage(vectors, threshold, [*apart, *alone])
    if groups is not None:
        links.begin_with(groups)
    links.join(together, apart)
    links.run()
    return _by_size(links.people.roots(np.arange(len(vectors))))


class _Forest:
    """Disjoint sets of numbers; each is named by one of them, its root."""

    def __init__(self, count: int) -> None:
        self.parent = np.arange(count)

    def roots(self, members: Ints) -> Ints:
        """Return the set of each number."""
        at = members
        while not np.array_equal(above := self.parent[at], at):
            at = above
        self.parent[members] = at
        return at

    def root(self, member: int) -> int:
        """Return the set of one number."""
        while member != (above := int(self.parent[member])):
            member = above
        return member


class _Linkage:
    """Clusters during agglomeration, and the people that they belong to.

    A pair that must be together joins two people at once, but not their clusters: two photos of one person
    that are not alike would lower the mean cosine with all others.  What must not be together is a property
    of the person.
    """

    def __init__(self, vectors: NDArray[np.float32], threshold: float, apart: Pairs) -> None:
        count = len(vectors)
        self.threshold = threshold
        self.clusters, self.people = _Forest(count), _Forest(count)
        self.sums = vectors.astype(np.float64)
        self.sizes = np.ones(count)
        self.near = _lists(*neighbors_above(vectors, threshold, MAX_NEIGHBORS), count)
        self.apart = _lists(*_columns(apart), count)
        self.kept = np.zeros(count, dtype=bool)  # people who are not merged with each other, by their roots

    def begin_with(self, groups: Ints) -> None:
        """Merge vectors of one group, whatever their score."""
        order = np.argsort(groups, kind="stable")
        order = order[groups[order] >= 0]
        for first, second in itertools.pairwise(order.tolist()):
            if groups[first] == groups[second]:
                self.merge(self.clusters.root(first), second)
        self.kept[self.people.roots(order)] = True

    def join(self, together: Pairs, apart: Pairs) -> None:
        """Join people who must be together, and check them against those who must not."""
        for a, b in together:
            self.join_people(a, b)
        for a, b in apart:
            if self.people.root(a) == self.people.root(b):
                raise DataError(
                    "the corrections contradict each other: two faces that are different people are one "
                    "person by others; correct the file"
                )

    def join_people(self, a: int, b: int) -> None:
        """Make the people of two vectors one."""
        kept, gone = sorted((self.people.root(a), self.people.root(b)))
        if kept != gone:
            self.people.parent[gone] = kept
            self.apart[kept] = np.concatenate([self.apart[kept], self.apart[gone]])
            self.apart[gone] = NONE
            self.kept[kept] |= self.kept[gone]

    def best(self, cluster: int) -> tuple[float, int, int] | None:
        """Return (minus the mean cosine, cluster, the nearest other) of a cluster that may be merged.

        None where there is none.
        """
        near = np.unique(self.clusters.roots(self.near[cluster]))
        self.near[cluster] = near = near[near != cluster]
        apart = self.apart[self.people.root(cluster)]
        if self.kept[self.people.root(cluster)]:
            near = near[~self.kept[self.people.roots(near)]]
        if len(apart):
            near = near[~np.isin(self.people.roots(near), self.people.roots(apart))]
        if not len(near):
            return None
        means = self.sums[near] @ self.sums[cluster] / (self.sizes[near] * self.sizes[cluster])
        place = int(np.argmax(means))
        return (-float(means[place]), cluster, int(near[place])) if means[place] >= self.threshold else None

    def merge(self, kept: int, gone: int) -> None:
        """Add the cluster ``gone`` to ``kept``."""
        self.clusters.parent[gone] = kept
        self.sums[kept] += self.sums[gone]
        self.sizes[kept] += self.sizes[gone]
        self.near[kept] = np.concatenate([self.near[kept], self.near[gone]])
        self.near[gone] = NONE
        self.join_people(kept, gone)

    def run(self) -> None:
        """Merge until no two clusters reach the threshold.

        Each entry of the heap is an upper bound of what its cluster can reach: a merger never raises the mean
        cosine with a third cluster above the higher of the two before.  An entry whose partner is gone is
        therefore computed again when it comes first, and not before.
        """
        heap = [entry for entry in map(self.best, range(len(self.sums))) if entry is not None]
        heapq.heapify(heap)
        while heap:
            score, cluster, other = heapq.heappop(heap)
            if self.clusters.root(cluster) != cluster:
                continue
            current = self.best(cluster)
            if current is None:
                continue
            if current != (score, cluster, other):
                heapq.heappush(heap, current)
                continue
            kept, gone = min(cluster, other), max(cluster, other)
            self.merge(kept, gone)
            entry = self.best(kept)
            if entry is not None:
                heapq.heappush(heap, entry)


def _lists(a: Ints, b: Ints, count: int) -> list[Ints]:
    """Return the partners of each vector."""
    ends, partners = np.concatenate([a, b]), np.concatenate([b, a])
    order = np.argsort(ends, kind="stable")
    return np.split(partners[order], np.searchsorted(ends[order], np.arange(1, count)))


def _columns(pairs: Pairs) -> tuple[Ints, Ints]:
    both = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def _by_size(labels: Ints) -> Ints:
    """Return labels as numbers from 0, the largest cluster first, then by the first vector."""
    _, first, numbers, sizes = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    order = np.lexsort((first, -sizes))
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    return ranks[numbers.reshape(-1)]
