"""Issue 19 A15: a model at chance level, or one that calls everybody the same, is named as what it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from facealike import compare
from facealike.embedding.face_model import Model
from facealike.model_file.alarms import alarms, always_same, model_alarms, unfit
from facealike.model_file.model_file import ModelFile
from support.tiny_model import hopper_path, tiny_card, tiny_model_file

# The model of the issue: 150 people, cosface, 6 epochs.
TRAP = {"f1": 0.667, "auc": 0.60, "fmr": 0.83, "fnmr": 0.05, "genuine": 500, "pairs": 1000}
GOOD = {"f1": 0.97, "auc": 0.99, "fmr": 0.02, "fnmr": 0.03, "genuine": 500, "pairs": 1000}


def test_the_trap_raises_all_three() -> None:
    assert alarms(TRAP, "test people") == (
        "it is at chance level (AUC 0.600 on test people, where guessing has 0.5)",
        "at its threshold 83% of different people pass for the same (FMR on test people)",
        "its F1 of 0.667 on test people is that of calling every pair the same person",
    )
    assert alarms(GOOD) == ()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"auc": 0.699}, "chance level"),
        ({"auc": 0.701}, ""),
        ({"fmr": 0.201}, "different people pass"),
        ({"fmr": 0.2}, ""),
        ({"f1": 0.671, "fmr": None}, "calling every pair the same"),
        ({"f1": 0.672, "fmr": None}, ""),
        ({"f1": 0.661, "fmr": None}, ""),
        ({"f1": 0.86, "fmr": None, "genuine": 750}, "calling every pair the same"),  # the baseline is 0.857
        ({"f1": 0.667}, ""),  # a strict threshold: it misses every second person, and accepts nobody else
        ({"auc": None, "f1": float("nan"), "fmr": "0.9"}, ""),
    ],
)
def test_each_at_its_limit(change: dict[str, Any], said: str) -> None:
    found = alarms({**GOOD, **change})
    assert [said in each for each in found] == [True] * bool(said)


def test_the_baseline_is_that_of_always_saying_same() -> None:
    for genuine, pairs in ((1, 2), (1, 10), (9, 10), (10, 10)):
        precision, recall = genuine / pairs, 1.0
        f1 = 2 * precision * recall / (precision + recall)
        assert always_same({"genuine": genuine, "pairs": pairs}) == pytest.approx(f1)
    assert always_same({}) == pytest.approx(2 / 3)


def with_metrics(metrics: dict[str, Any], calibration: dict[str, float] | None = None) -> ModelFile:
    file = tiny_model_file(card=tiny_card(metrics=metrics))
    return replace(file, calibration=replace(file.calibration, metrics=calibration or {}))


def test_what_a_model_file_says_of_itself() -> None:
    at = {"threshold": 0.9}
    assert len(model_alarms(with_metrics({"test": {**TRAP, **at}}))) == 3
    assert model_alarms(with_metrics({"test": {**GOOD, **at}, "validation": {**TRAP, **at}})) == ()
    assert len(model_alarms(with_metrics({"validation": {**TRAP, **at}}))) == 3
    # Calibrated anew since: F1 and FMR were those of another threshold, AUC is what it was.
    assert [alarm[:25] for alarm in model_alarms(with_metrics({"test": TRAP}))] == [
        "it is at chance level (AU"
    ]
    told = model_alarms(with_metrics({}, {"f1": 0.667, "auc": 0.6, "fmr": 0.83}))
    assert len(told) == 3 and all("its calibration people" in each for each in told)
    assert model_alarms(with_metrics({"groups": {"fmr": 0.9}, "test": {}})) == ()
    assert model_alarms(Model.load().file) == ()


def test_compare_warns_with_such_a_model() -> None:
    """Issue 19 A15: that model called two strangers the same, without a word."""
    file = with_metrics({"test": {**TRAP, "threshold": 0.9}})
    photo = hopper_path()
    result = compare(photo, photo, Model(file, device="cpu"), aligned=True)
    assert result.warnings[0] == unfit(model_alarms(file))
    assert result.warnings[0].startswith(
        "this model must not be used: it is at chance level (AUC 0.600 on test"
    )
    assert compare(photo, photo, Model(tiny_model_file(), device="cpu"), aligned=True).warnings == ()
