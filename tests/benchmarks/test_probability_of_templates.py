"""The benchmark of probabilities with several templates, on random vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from facealike.embedding.face_model import Model
from support.load_benchmark import load, needs_benchmarks

pytestmark = needs_benchmarks


def test_half_of_the_searches_are_of_enrolled_people(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = load("accuracy.probability_of_templates")
    monkeypatch.setattr(module, "DRAWS", 2)
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(60, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    test = [np.arange(4 * i, 4 * i + 4) for i in range(5)]
    others = [np.arange(20 + 2 * i, 22 + 2 * i) for i in range(20)]
    rows = list(module.measure(vectors, test, others, Model.load().calibration, 0))
    assert [row["templates"] for row in rows] == [1, 1, 2, 2, 3, 3]
    # Of five people four are searched: two are enrolled.
    assert {row["searches"] for row in rows} == {8}
    assert {row["true"] for row in rows if row["what"] == "not enrolled"} == {"0.5000"}
