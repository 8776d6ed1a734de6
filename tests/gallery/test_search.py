"""A search of a store: how the templates of a person decide."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from facealike.calibration.calibration import Calibration
from facealike.errors import UsageError
from facealike.gallery.aggregation import Aggregation
from facealike.gallery.search import SearchOptions, search
from facealike.gallery.sqlite_store import SQLiteStore
from facealike.gallery.template import Template
from support.known_scores import known_calibration


def at(angle: float, aside: float = 0.0) -> NDArray[np.float32]:
    """A unit vector at an angle, in radians, from the query, which is at 0."""
    vector = [math.cos(angle), math.sin(angle) * math.cos(aside), math.sin(angle) * math.sin(aside)]
    return np.array(vector, np.float32)


QUERY = at(0)


@pytest.fixture
def store(tmp_path: Path) -> SQLiteStore:
    """Ann on two sides of the query, Bob once and a little nearer, Eve far away."""
    store = SQLiteStore(tmp_path / "g.db", "m")
    faces = {"Ann": [at(0.5), at(0.5, math.pi)], "Bob": [at(0.48)], "Eve": [at(1.5)]}
    for person, vectors in faces.items():
        digests = [f"{ord(person[0]):032x}{number:032x}" for number in range(len(vectors))]
        store.add(
            person, [Template(v, d, 1.0, f"{person}.jpg") for v, d in zip(vectors, digests, strict=True)]
        )
    return store


@pytest.mark.parametrize(
    ("how", "first"), [("best", "Bob"), ("mean", "Ann"), ("weighted", "Ann"), ("best-or-mean", "Ann")]
)
def test_a_mean_can_be_nearer_than_any_template(store: SQLiteStore, how: Aggregation, first: str) -> None:
    options = SearchOptions(aggregation=how)
    found = search(store, known_calibration(), QUERY, options, set(), "face")
    scores = [one.score for one in found.candidates]
    assert scores == sorted(scores, reverse=True) and found.candidates[0].person == first
    assert found.threshold is not None and found.threshold.templates == 4
    total = sum(one.probability or 0 for one in found.candidates) + (found.not_enrolled or 0)
    assert total == pytest.approx(1)


def test_without_a_calibration_there_are_scores_and_no_more(store: SQLiteStore) -> None:
    found = search(store, Calibration.none(), QUERY, SearchOptions(top=2), {"Ann"}, "face")
    assert [one.person for one in found.candidates] == ["Bob", "Eve"]
    assert (found.decision, found.threshold, found.not_enrolled) == (None, None, None)
    assert found.candidates[0].probability is None
    (ann,) = search(store, Calibration.none(), QUERY, SearchOptions(top=1), set(), "face").candidates
    assert ann.person == "Ann" and ann.score == pytest.approx(1, abs=1e-6), "the cosine with the mean"
    with pytest.raises(UsageError, match="an embedding of 2 numbers"):
        search(store, Calibration.none(), QUERY[:2], SearchOptions(), set(), "face")
    with pytest.raises(UsageError, match="aggregated as"):
        SearchOptions(aggregation="median")  # type: ignore[arg-type]
