"""Issue 22: agreement of clusters and people, against counts pair by pair and face by face."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facealike.errors import UsageError
from facealike.metrics.clustering import bcubed_f1_interval, cluster_agreement

Labels = list[tuple[int, int]]
FACES = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=25)


def slow(faces: Labels) -> tuple[float, float, float, float]:
    """Pairwise precision and recall, B-cubed precision and recall."""
    together = same = both = 0
    for (a, x), (b, y) in combinations(faces, 2):
        together += a == b
        same += x == y
        both += a == b and x == y
    precision, recall = [], []
    for cluster, person in faces:
        right = sum(face == (cluster, person) for face in faces)
        precision.append(right / sum(one == cluster for one, _ in faces))
        recall.append(right / sum(one == person for _, one in faces))
    return (
        both / together if together else 1.0, both / same if same else 1.0,
        float(np.mean(precision)), float(np.mean(recall)),
    )  # fmt: skip


@given(FACES)
def test_equals_the_counts_of_a_loop(faces: Labels) -> None:
    clusters, people = zip(*faces, strict=True)
    found = cluster_agreement(clusters, people)
    rates = (found.precision, found.recall, found.bcubed_precision, found.bcubed_recall)
    assert rates == pytest.approx(slow(faces))
    assert (found.faces, found.clusters, found.people) == (len(faces), len(set(clusters)), len(set(people)))


@given(FACES)
def test_exchanging_clusters_and_people_exchanges_precision_and_recall(faces: Labels) -> None:
    clusters, people = zip(*faces, strict=True)
    one, other = cluster_agreement(clusters, people), cluster_agreement(people, clusters)
    assert (one.precision, one.bcubed_precision) == pytest.approx((other.recall, other.bcubed_recall))
    assert one.f1 == pytest.approx(other.f1) and one.bcubed_f1 == pytest.approx(other.bcubed_f1)


def test_the_example_of_amigo_and_a_perfect_clustering() -> None:
    perfect = cluster_agreement(["x", "x", "y"], ["Ann", "Ann", "Bob"])
    assert perfect.f1 == perfect.bcubed_f1 == 1
    one = cluster_agreement([0] * 4, [0, 0, 1, 1])
    assert (one.bcubed_precision, one.bcubed_recall, one.precision) == pytest.approx((0.5, 1, 1 / 3))
    assert "1 clusters of 4 faces of 2 people" in str(one) and one.to_dict()["f1"] == one.f1


def test_refuses_lengths_that_differ_and_no_face() -> None:
    for clusters, people in (([0, 1], [0]), ([], [])):
        with pytest.raises(UsageError, match="one cluster and one person"):
            cluster_agreement(clusters, people)


def test_the_interval_holds_the_estimate_and_shrinks_with_people() -> None:
    widths = []
    for people in (20, 2000):
        rng = np.random.default_rng(0)
        true = np.repeat(np.arange(people), 3)
        clusters = np.where(rng.random(len(true)) < 0.2, len(true) + np.arange(len(true)), true)
        interval = bcubed_f1_interval(clusters, true, 300)
        assert interval.low <= interval.estimate <= interval.high
        assert interval.estimate == cluster_agreement(clusters, true).bcubed_f1
        widths.append(interval.high - interval.low)
    assert widths[1] < widths[0] / 3
