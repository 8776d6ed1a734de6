"""Two models on the same pairs."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from facealike.errors import UsageError
from facealike.evaluation.model_difference import model_difference
from facealike.evaluation.verification_result import FAILURE_SCORE, Evaluation
from facealike.metrics.bootstrap import difference_interval
from facealike.metrics.verification import confusion


def evaluated(noise: float, seed: int = 0, threshold: float = 0.5, **changes: Any) -> Evaluation:
    """40 people with three genuine pairs each, and as many impostor pairs; noise spoils the scores."""
    rng = np.random.default_rng(0)
    first = np.repeat(np.arange(40), 6)
    same = np.tile([True, False], 120)
    second = np.where(same, first, (first + 1 + rng.integers(0, 38, 240)) % 40)
    same = first == second
    clean = np.where(same, 0.8, 0.2) + rng.normal(0, 0.15, 240)
    scores = clean + noise * np.random.default_rng(seed).normal(0, 1, 240)
    fields = {"scores": scores, "same": same, "first": first, "second": second, **changes}
    return Evaluation("mine", threshold=threshold, threshold_from="x", **fields)


def test_each_figure_is_that_of_its_model_and_the_interval_is_paired() -> None:
    good, bad = evaluated(0.05), evaluated(0.6, 1, 0.4)
    found = model_difference(good, bad, "a", "b")
    f1 = found.figures["f1"]
    assert f1.ours == confusion(good.scores, good.same, 0.5).f1
    assert f1.other == confusion(bad.scores, bad.same, 0.4).f1
    assert f1.interval.estimate == pytest.approx(f1.ours - f1.other)
    assert f1.interval == difference_interval(
        good.scores, 0.5, bad.scores, 0.4, good.same, good.first, good.second, "f1"
    )
    assert {"auc", "fmr", "fnmr", "eer", "fnmr@0.1"} <= set(found.figures)
    assert f1.clear and "differ clearly in F1" in str(found)


def test_a_model_does_not_differ_from_itself() -> None:
    found = model_difference(evaluated(0.3), evaluated(0.3), "a", "a2")
    assert all((one.interval.low, one.interval.high) == (0, 0) for one in found.figures.values())
    assert "do not differ clearly in any figure" in str(found)


def test_pairs_that_one_model_could_not_compare_are_left_out() -> None:
    scores = evaluated(0.1).scores.copy()
    scores[[0, 5]] = FAILURE_SCORE
    found = model_difference(evaluated(0.1, scores=scores, failures=2), evaluated(0.2, 1), "a", "b")
    assert (found.pairs, found.left_out) == (238, 2) and "2 more pairs left out" in str(found)


def test_other_pairs_and_unknown_people_are_refused() -> None:
    turned = {
        "first": evaluated(0).first[::-1],
        "second": evaluated(0).second[::-1],
        "same": evaluated(0).same[::-1],
    }  # type: ignore[index]
    with pytest.raises(UsageError, match="the same pairs"):
        model_difference(evaluated(0), evaluated(0, **turned), "a", "b")
    with pytest.raises(UsageError, match="do not tell the people"):
        model_difference(evaluated(0), evaluated(0, first=None, second=None), "a", "b")


def test_the_difference_speaks_json_and_markdown() -> None:
    found = model_difference(evaluated(0.05), evaluated(0.6, 1), "a", "b")
    told = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert told["figures"]["auc"]["difference"]["low"] > 0
    assert found.to_markdown().startswith("| Figure | a | b | Difference | 95 % interval |")
    assert "| FNMR at FMR 10 % |" in found.to_markdown()
