"""``facealike model info`` is a page that a person reads (issue 19 D5)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from facealike.calibration.calibration import Calibration
from facealike.calibration.operating_points import OperatingPoint
from facealike.cli import app
from facealike.model_file.locate import read_model_file
from facealike.model_file.model_file import ModelFile
from facealike.model_file.page import model_page
from support.tiny_model import tiny_card, tiny_model_file


def with_metrics(metrics: dict[str, Any]) -> ModelFile:
    return tiny_model_file(card=tiny_card(metrics=metrics))


def test_the_page_of_the_default_model_fits_a_screen_or_two() -> None:
    """Before, they were 200 lines of flattened JSON, up to 1,400 characters wide."""
    file = read_model_file()
    lines = model_page(file, 80)
    assert len(lines) <= 64 and max(map(len, lines)) <= 80
    text = " ".join(" ".join(lines).split())
    point = file.calibration.threshold_for(0.001)
    worst = file.card.metrics["groups"]["spread"]["age"]["worst"]
    assert f"0.001 {point.threshold:.3f}" in text and file.card.limits in text
    assert file.card.intended_use in text and f"worst age: {worst}" in text and file.id in text
    everything = json.loads(CliRunner().invoke(app, ["model", "info", "--json"]).stdout)
    assert everything["card"]["metrics"] == file.card.metrics and everything["card"]["recipe"]


def test_rates_and_their_intervals() -> None:
    table = {
        "f1": 0.9, "fnmr": 0.057, "pairs": 1200, "people": 84, "accuracy": 0.95,
        "intervals": {"f1": {"low": 0.85, "high": 0.93}, "fnmr": {"low": 0.028, "high": 0.097}},
    }  # fmt: skip
    page = "\n".join(
        model_page(with_metrics({"test": table, "view2": {"accuracy": 0.97, "standard_error": 0.002}}), 200)
    )
    assert (
        "accuracy 0.950, F1 0.900 [0.850, 0.930], FNMR 5.7 % [2.8 %, 9.7 %]; 1,200 pairs of 84 people" in page
    )
    assert "accuracy 0.970 ± 0.002" in page


def test_the_operating_points_are_a_table() -> None:
    points = (
        OperatingPoint(0.01, 0.5, 0.005, 0.02, 0.1, 1000), OperatingPoint(0.1, 0.3, 1e-9, 0.2, 0.04, 1000),
    )  # fmt: skip
    file = replace(
        tiny_model_file(), calibration=Calibration(0.4, "FMR 0.1", "us", 10, operating_points=points)
    )
    table = [line.split() for line in model_page(file) if line.endswith("%")]
    assert table == [["0.1", "0.300", "4", "%", "0-20", "%"], ["0.01", "0.500", "10", "%", "0.5-2", "%"]]


def test_a_model_without_a_threshold_says_so() -> None:
    page = "\n".join(model_page(replace(tiny_model_file(), calibration=Calibration.none())))
    assert "none: not calibrated; learn one with facealike calibrate" in page


ODD: list[Any] = [
    {}, {"a": 1}, {"a": None}, {"a": []}, {"a": {"intervals": 3, "f1": 0.5}},
    {"a": {"f1": "x", "pairs": "y"}},
    {"groups": {"spread": 3}}, {"groups": {"spread": {"age": {"worst_fmr": []}}}},
    {"groups": {"spread": {"age": {"worst_fmr": ["x"]}, "x": 3}}}, {f"m{i}": {"f1": 0.5} for i in range(99)},
    {"a" * 300: {"f1": 0.5}}, {"a": {"f1": 0.5, "intervals": {"f1": {"low": None, "high": 1}}}},
    {"esc\x1b[31m": {"spread": {"\x1b": {"worst_fmr": [0.5], "worst": {"\n": "\x1b"}}}}},
]  # fmt: skip


@pytest.mark.parametrize("metrics", ODD, ids=range(len(ODD)))
def test_what_a_file_of_others_may_hold_is_no_fault(metrics: dict[str, Any], tmp_path: Path) -> None:
    file = with_metrics(metrics)
    assert len(model_page(file)) < 60
    file.write(tmp_path / "odd.facealike")
    done = CliRunner().invoke(app, ["model", "info", str(tmp_path / "odd.facealike")], catch_exceptions=False)
    assert done.exit_code == 0 and "\x1b" not in done.stdout


def test_the_page_says_what_each_part_saw() -> None:
    """Issue 19 F; a card from before there was such an entry tells the photos and the people."""
    card = tiny_card(data={"photos": 12, "seen": {"embedder": "12 photos of us", "detector": "others"}})
    page = " ".join(" ".join(model_page(tiny_model_file(card=card), 200)).split())
    assert "embedder from 12 photos of us" in page and ", from others" in page
    assert "embedder from" not in " ".join(model_page(tiny_model_file(), 200))
