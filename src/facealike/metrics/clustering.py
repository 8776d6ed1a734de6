"""Compare a clustering of faces with the people they show: pairwise and B-cubed precision, recall and F1."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import UsageError
from ..utils.result import Result
from .bootstrap import Interval


@dataclass(frozen=True, repr=False)
class ClusterAgreement(Result):
    """How well groups of faces agree with the people on them.

    Pairwise: of all pairs of faces, precision is the share of pairs within one cluster that show one person,
    recall the share of pairs of one person that are in one cluster.  A person of many faces dominates both,
    as their number of pairs grows with the square.  B-cubed averages over faces instead: the precision of a
    face is the share of its cluster that shows its person, its recall the share of its person's faces that
    are in its cluster.  A rate without pairs, such as the precision where every cluster has one face, is 1.

    Source: Bagga and Baldwin, COLING-ACL 1998; Amigó et al., Information Retrieval 12, 2009.

    Attributes:
        faces: Number of faces.
        people: Number of people.
        clusters: Number of clusters.
        precision: Pairwise precision.
        recall: Pairwise recall.
        bcubed_precision: B-cubed precision.
        bcubed_recall: B-cubed recall.

    Examples:
        >>> cluster_agreement([0, 0, 1], ["Ann", "Ann", "Ann"]).recall
        0.3333333333333333
    """

    faces: int
    people: int
    clusters: int
    precision: float
    recall: float
    bcubed_precision: float
    bcubed_recall: float

    @property
    def f1(self) -> float:
        """The harmonic mean of pairwise precision and recall."""
        return _f1(self.precision, self.recall)

    @property
    def bcubed_f1(self) -> float:
        """The harmonic mean of B-cubed precision and recall."""
        return _f1(self.bcubed_precision, self.bcubed_recall)

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "f1": self.f1, "bcubed_f1": self.bcubed_f1}

    def __str__(self) -> str:
        return (
            f"{self.clusters:,} clusters of {self.faces:,} faces of {self.people:,} people; B-cubed F1 "
            f"{self.bcubed_f1:.3f} (precision {self.bcubed_precision:.3f}, recall {self.bcubed_recall:.3f}); "
            f"pairwise F1 {self.f1:.3f} (precision {self.precision:.3f}, recall {self.recall:.3f})"
        )


def cluster_agreement(clusters: ArrayLike, people: ArrayLike) -> ClusterAgreement:
    """Return how well clusters agree with people.

    Args:
        clusters: The cluster of each face, (n,).
        people: The person of each face, (n,).

    Raises:
        UsageError: There is no face, or the lengths differ.
    """
    found, true = np.asarray(clusters), np.asarray(people)
    if found.ndim != 1 or found.shape != true.shape or not len(found):
        raise UsageError(
            f"one cluster and one person for each of n faces are needed, not {found.shape} and {true.shape}"
        )
    rows, cluster_sizes = _numbered(found)
    columns, people_sizes = _numbered(true)
    # Only cells with faces are kept: a table of all clusters and people could be very large.
    cells, shared = np.unique(rows * len(people_sizes) + columns, return_counts=True)
    in_cluster = cluster_sizes[cells // len(people_sizes)]
    of_person = people_sizes[cells % len(people_sizes)]
    both = _pairs(shared)
    return ClusterAgreement(
        len(found),
        len(people_sizes),
        len(cluster_sizes),
        _share(both, _pairs(cluster_sizes)),
        _share(both, _pairs(people_sizes)),
        float(np.sum(shared * shared / in_cluster) / len(found)),
        float(np.sum(shared * shared / of_person) / len(found)),
    )


def bcubed_f1_interval(
    clusters: ArrayLike, people: ArrayLike, resamples: int = 1000, seed: int = 0
) -> Interval:
    """Return B-cubed F1 with its 95 % percentile interval by resampling people.

    The precision and recall of each face stay as they are, and the faces of a person count as often as the
    person was drawn.  What clusters would become without some people is not part of the interval.

    Args:
        clusters: The cluster of each face, (n,).
        people: The person of each face, (n,).
        resamples: Number of resamples.
        seed: Seed of the draw.
    """
    estimate = cluster_agreement(clusters, people).bcubed_f1
    rows, cluster_sizes = _numbered(np.asarray(clusters))
    columns, people_sizes = _numbered(np.asarray(people))
    _, cell, shared = np.unique(rows * len(people_sizes) + columns, return_inverse=True, return_counts=True)
    own = shared[cell.reshape(-1)]
    precision = np.bincount(columns, own / cluster_sizes[rows])
    recall = np.bincount(columns, own / people_sizes[columns])
    rng = np.random.default_rng(seed)
    count = len(people_sizes)
    drawn = []
    for _ in range(resamples):
        times = np.bincount(rng.integers(0, count, count), minlength=count)
        faces = float(times @ people_sizes)
        drawn.append(_f1(float(times @ precision) / faces, float(times @ recall) / faces))
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Interval(estimate, min(float(low), estimate), max(float(high), estimate), resamples=resamples)


def _numbered(values: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the values as numbers from 0, and how often each occurs."""
    _, numbers, counts = np.unique(values, return_inverse=True, return_counts=True)
    return numbers.reshape(-1).astype(np.int64), counts.astype(np.int64)


def _pairs(sizes: NDArray[np.int64]) -> int:
    return int(np.sum(sizes * (sizes - 1) // 2))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
