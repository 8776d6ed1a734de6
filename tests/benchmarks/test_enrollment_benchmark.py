"""The benchmark of enrollments, where it is known who is who."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from facealike.gallery.template import Template
from support.known_scores import known_calibration
from support.load_benchmark import load, needs_benchmarks

pytestmark = needs_benchmarks


def test_duplicates_and_outliers_of_people_at_right_angles(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = load("accuracy.enrollment")
    for name, value in (("SIZES", (12, 99)), ("COUNTS", (1,)), ("OUTLIER_COUNTS", (2,)), ("DRAWS", 2)):
        monkeypatch.setattr(module, name, value)
    vectors = np.eye(30, dtype=np.float32)[np.repeat(np.arange(30), 2)]

    def template(number: int) -> Template:
        return Template(vectors[number], f"{number:064x}", None, str(number))

    groups = [np.arange(2 * i, 2 * i + 2) for i in range(30)]
    rows = list(module.measure(template, groups[:10], groups[10:], known_calibration(), 0))
    assert {(row["what"], row["share"], row["trials"]) for row in rows} == {
        ("duplicate found", "1.0000", 10), ("duplicate reported falsely", "0.0000", 10),
        ("lookalike reported", "0.0000", 10), ("photo of another reported", "1.0000", 20),
        ("photo of the person reported", "0.0000", 40),
    }  # fmt: skip
