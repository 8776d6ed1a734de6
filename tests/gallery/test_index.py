"""Issue 22: the exact index against a slow twin."""

from __future__ import annotations

import numpy as np

from facealike.gallery.index import ExactIndex


def test_equals_slow_twin() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(60, 16)).astype(np.float32)
    people = [f"p{n}" for n in rng.integers(0, 12, 60)]
    query = rng.normal(size=16).astype(np.float32)
    best: dict[str, float] = {}
    for vector, person in zip(vectors, people, strict=True):
        best[person] = max(best.get(person, -9.0), float(vector @ query))
    slow = sorted(best.items(), key=lambda item: -item[1])[:5]
    found = ExactIndex(vectors, people).search(query, 5)
    assert [name for name, _, _ in found] == [name for name, _ in slow]
    assert np.allclose([score for _, score, _ in found], [score for _, score in slow], atol=1e-5)
    assert all(people[row] == name for name, _, row in found)


def test_people_are_left_out_and_equal_scores_are_ordered_by_name() -> None:
    vectors = np.eye(4, dtype=np.float32)[[0, 0, 1, 0]]
    index = ExactIndex(vectors, ["b", "a", "c", "a"])
    query = np.eye(4, dtype=np.float32)[0]
    assert index.search(query, 5) == [("a", 1.0, 1), ("b", 1.0, 0), ("c", 0.0, 2)]
    assert index.search(query, 1, {"a"}) == [("b", 1.0, 0)]
    assert index.search(query, 2, {"a", "nobody"}) == [("b", 1.0, 0), ("c", 0.0, 2)]
    assert (len(index), index.people) == (4, 3)


def test_empty_index_finds_nobody() -> None:
    assert ExactIndex(np.zeros((0, 4), np.float32), []).search(np.ones(4, np.float32), 5) == []
