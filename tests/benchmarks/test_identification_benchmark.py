"""The benchmark of galleries, where it is known who is who."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from facealike.calibration.likelihood_ratio import likelihood_ratio
from support.known_scores import known_calibration
from support.load_benchmark import load, needs_benchmarks

pytestmark = needs_benchmarks


@pytest.fixture(scope="module")
def module() -> Any:
    return load("accuracy.identification")


def test_two_photos_are_of_one_person_and_differ(module: Any) -> None:
    labels = np.array([0, 0, 0, 1, 2, 2])
    for seed in range(10):
        first, second = module.two_photos(labels, np.random.default_rng(seed))
        assert labels[first].tolist() == [0, 1, 2] and second[1] == -1
        assert all(labels[second[i]] == i and second[i] != first[i] for i in (0, 2))


def test_rates_are_those_of_known_vectors(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three people along three axes; of two strangers one is Ann's double, so half of them are false."""
    monkeypatch.setattr(module, "SIZES", (3, 100))
    labels = np.repeat(np.arange(3), 2)
    vectors = np.eye(4, dtype=np.float32)[labels]
    vectors[5] = vectors[0]  # a photo of the third person that shows the first
    strangers = np.eye(4, dtype=np.float32)[[0, 3]]
    rows = list(module.measure(vectors, labels, strangers, [(0.2, 0.1), (0.9, 0.001)], 0))
    assert [row["people"] for row in rows] == [3] * len(module.TARGETS)  # there are no hundred people
    assert all(row["fpir"] == "0.5000" for row in rows)
    assert all(0.4 <= float(row["found"]) <= float(row["first"]) < 0.67 for row in rows)


def test_stated_probabilities_are_compared_with_what_is_true(
    module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Photos of a person are equal, those of others at right angles: each search is right, and certain."""
    monkeypatch.setattr(module, "SIZES", (20, 1000))
    monkeypatch.setattr(module, "RESAMPLES", 20)
    axes = np.eye(60, dtype=np.float32)
    labels = np.repeat(np.arange(30), 2)
    ratio = likelihood_ratio(known_calibration())
    rows = list(module.measure_probability(axes[labels], labels, axes[30:], ratio, 0))
    assert [(row["people"], row["what"], row["true"]) for row in rows] == [
        (20, "first candidate", "0.5000"), (20, "not enrolled", "0.5000")
    ]  # fmt: skip
    assert all(float(row["ece"]) < 0.02 and row["true_of_sure"] == "1.0000" for row in rows)
    stated, true = np.array([0.25, 0.25, 0.95, 0.95]), np.array([False, True, True, True])
    assert module.calibration_error(stated, true, np.ones(4)) == pytest.approx((0.5 + 0.1) / 4)
    assert module.calibration_error(stated, true, np.array([0, 0, 1, 0])) == pytest.approx(0.05)
