"""Average linkage against SciPy's, and with pairs that must and must not be together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage

from facealike.clustering.average_linkage import average_linkage
from facealike.clustering.neighbors import neighbors_above
from facealike.errors import DataError
from facealike.metrics.clustering import cluster_agreement

Vectors = NDArray[np.float32]


def people(seed: int, count: int, faces: int = 4, spread: float = 0.5) -> Vectors:
    """Unit vectors around ``count`` directions, (count * faces, 8)."""
    rng = np.random.default_rng(seed)
    vectors = np.repeat(rng.normal(size=(count, 8)), faces, axis=0)
    vectors += rng.normal(0, spread, vectors.shape)
    return unit(vectors)


def unit(vectors: NDArray[np.float64]) -> Vectors:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def same_groups(one: NDArray[np.int64], other: NDArray[np.int64]) -> bool:
    found = cluster_agreement(one, other)
    return found.bcubed_precision == found.bcubed_recall == 1


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("seed", range(5))
def test_equals_scipy_on_the_full_matrix(seed: int, threshold: float) -> None:
    vectors = people(seed, 30)
    tree = linkage(vectors.astype(np.float64), "average", "cosine")
    assert same_groups(average_linkage(vectors, threshold), fcluster(tree, 1 - threshold, "distance"))


def test_clusters_are_numbered_by_size_then_by_the_first_vector() -> None:
    axes = np.eye(4, dtype=np.float32)
    assert average_linkage(axes[[3, 0, 1, 1, 0, 1]], 0.5).tolist() == [2, 1, 0, 0, 1, 0]
    assert average_linkage(axes, 0.5).tolist() == [0, 1, 2, 3]
    assert average_linkage(np.zeros((0, 4), np.float32), 0.5).tolist() == []
    assert average_linkage(axes[:1], 0.5).tolist() == [0]


def test_two_that_must_not_be_together_are_not_whatever_they_are_merged_with() -> None:
    vectors = people(1, 3, 20, 0.1)
    apart = [(0, 1), (2, 3), (0, 7)]
    labels = average_linkage(vectors, 0.5, apart=apart)
    assert all(labels[a] != labels[b] for a, b in apart)
    assert len(set(labels[20:40])) == len(set(labels[40:])) == 1, "other people are not affected"


def test_two_that_must_be_together_are_whatever_their_score() -> None:
    vectors = np.eye(4, dtype=np.float32)
    labels = average_linkage(vectors, 0.9, [(0, 1), (1, 2)])
    assert labels.tolist() == [0, 0, 0, 1]
    labels = average_linkage(vectors, 0.9, [(0, 1)], alone=[(0, 1)])
    assert labels.tolist() == [0, 0, 1, 2], "what must be together overrides what is only alone by rule"


def test_joining_two_people_takes_their_other_faces_along() -> None:
    """Two photos that are not alike leave the mean cosine of each group as it is."""
    vectors = unit(np.repeat(np.eye(4)[:3], 3, axis=0) + np.tile(np.eye(4)[3] * 0.1, (9, 1)))
    assert average_linkage(vectors, 0.9).tolist() == [0] * 3 + [1] * 3 + [2] * 3
    assert average_linkage(vectors, 0.9, [(0, 3)]).tolist() == [0] * 6 + [1] * 3
    labels = average_linkage(vectors, 0.9, [(0, 3)], [(1, 4)])
    assert labels[0] == labels[3] and labels[1] != labels[4]


def test_contradicting_pairs_are_refused() -> None:
    with pytest.raises(DataError, match="contradict each other"):
        average_linkage(np.eye(3, dtype=np.float32), 0.5, [(0, 1), (1, 2)], [(2, 0)])


@given(st.integers(0, 1000), st.integers(2, 8), st.floats(0.1, 0.95))
def test_no_pair_that_must_not_be_together_is(seed: int, count: int, threshold: float) -> None:
    vectors = people(seed, count, 3)
    rng = np.random.default_rng(seed)
    apart = [tuple(pair) for pair in rng.integers(0, len(vectors), (10, 2)).tolist() if pair[0] != pair[1]]
    labels = average_linkage(vectors, threshold, apart=apart)
    assert all(labels[a] != labels[b] for a, b in apart)


@given(st.integers(0, 1000), st.integers(1, 6), st.floats(0.3, 0.95))
def test_duplicates_always_fall_together(seed: int, count: int, threshold: float) -> None:
    vectors = people(seed, count, 3)
    twice = np.concatenate([vectors, vectors])
    labels = average_linkage(twice, threshold)
    assert np.array_equal(labels[: len(vectors)], labels[len(vectors) :])


def test_neighbors_against_a_loop_and_with_a_limit() -> None:
    vectors = people(3, 20)
    a, b = neighbors_above(vectors, 0.6, 1000)
    scores = vectors @ vectors.T
    wanted = [(i, j) for i in range(80) for j in range(i + 1, 80) if scores[i, j] >= 0.6]
    assert list(zip(a.tolist(), b.tolist(), strict=True)) == wanted
    a, b = neighbors_above(vectors, -1, 3)
    np.fill_diagonal(scores, -2)
    nearest = np.argsort(-scores, axis=1)[:, :3]
    pairs = {(min(i, int(j)), max(i, int(j))) for i in range(80) for j in nearest[i]}
    assert set(zip(a.tolist(), b.tolist(), strict=True)) == pairs


def test_a_large_set_is_grouped_through_its_nearest_neighbors_alone() -> None:
    vectors = people(0, 3, 600, 0.05)
    labels = average_linkage(vectors, 0.6)
    assert same_groups(labels, np.repeat(np.arange(3), 600))
