"""The benchmark of several templates a person, where it is known who is who."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from facealike.gallery.aggregation import person_score
from facealike.gallery.template import Template
from support.known_scores import known_calibration
from support.load_benchmark import load, needs_benchmarks

pytestmark = needs_benchmarks


@pytest.fixture(scope="module")
def module() -> Any:
    return load("accuracy.templates_per_person")


def test_scores_are_those_of_a_search(module: Any) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(9, 12)).astype(np.float32) + 1
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    quality = rng.uniform(0.2, 1, 9)
    groups = [np.arange(0, 1), np.arange(1, 4), np.arange(4, 7)]
    for how in ("best-or-mean", "best", "mean", "weighted"):
        scores = module.score_matrix(vectors[7:], vectors, quality, groups, how, 0.3)
        for i, probe in enumerate(vectors[7:]):
            for j, group in enumerate(groups):
                held = [Template(vectors[row], "", float(quality[row]), "") for row in group]
                assert scores[i, j] == pytest.approx(person_score(probe, held, how, 0.3)[0], abs=1e-5)


def test_people_at_right_angles_are_all_found(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COUNTS", (2,))
    monkeypatch.setattr(module, "DRAWS", 2)
    vectors = np.eye(30, dtype=np.float32)[np.repeat(np.arange(30), 3)]
    groups = [np.arange(3 * i, 3 * i + 3) for i in range(30)]
    test = [*groups[:10], *(group[:1] for group in groups[10:20])]
    rows = list(module.measure(vectors, np.ones(90), test, groups[20:], known_calibration(), 0))
    assert [row["aggregation"] for row in rows[:4]] == ["best-or-mean", "best", "mean", "weighted"]
    assert {(row["filled_with"], row["people"], row["searched"], row["absent"]) for row in rows} == {
        ("any", 20, 10, 10), ("same", 20, 10, 10)
    }  # fmt: skip
    assert all(row["rank1"] == "1.0000" and row["fnir"] == row["gain"] == "0.0000" for row in rows)
