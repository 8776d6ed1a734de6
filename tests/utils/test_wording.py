"""One function writes every error rate, in percent, and the population stands beside it (issue 19 A13)."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facealike.calibration.calibration import Calibration
from facealike.calibration.operating_points import OperatingPoint
from facealike.cli.calibrate import _print
from facealike.evaluation.demographics import group_points
from facealike.metrics.demographic_tables import point_name
from facealike.model_file.page import _error
from facealike.model_file.page import _points as points_table
from facealike.utils.wording import counted, rate_text, rate_with_interval

PERCENT = re.compile(r"[0-9.]+(?:e-[0-9]+)? %")


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (0.0, "0 %"), (1.0, "100 %"), (0.1234, "12.3 %"), (0.1, "10 %"), (0.00123, "0.12 %"),
        (3.21e-5, "0.0032 %"), (7.4e-5, "0.0074 %"), (9.2e-10, "9.2e-08 %"), (1e-300, "1.0e-298 %"),
        (0.9944, "99.44 %"), (0.99995, "99.9950 %"), (1 - 2e-9, "99.99999980 %"),
        (float("nan"), "not measured"),
    ],
)  # fmt: skip
def test_very_small_and_very_large_rates(rate: float, text: str) -> None:
    assert rate_text(rate) == text


def test_one_thing_is_not_called_by_its_plural() -> None:
    assert [counted(n, "photo") for n in (0, 1, 1200)] == ["0 photos", "1 photo", "1,200 photos"]
    assert [counted(n, "person", "people") for n in (1, 2)] == ["1 person", "2 people"]


def number(text: str) -> float:
    return float(text.removesuffix(" %")) / 100


@given(st.floats(0, 1))
def test_every_rate_is_in_percent_and_near(rate: float) -> None:
    text = rate_text(rate)
    assert PERCENT.fullmatch(text)
    assert number(text) == pytest.approx(rate, rel=0.0501, abs=1e-300)
    if rate < 1 - 1e-14:
        assert 1 - number(text) == pytest.approx(1 - rate, rel=0.0501, abs=1e-15)


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3).map(sorted))
def test_an_interval_holds_its_estimate_in_one_unit(rates: list[float]) -> None:
    low, rate, high = rates
    found = PERCENT.findall(rate_with_interval(rate, low, high))
    assert len(found) == 3
    told, below, above = map(number, found)
    assert below <= told <= above


POINT = OperatingPoint(1e-4, 0.9, 7.4e-5, 2.5e-4, 0.331, 1_000_000)
CALIBRATION = Calibration(
    0.856, "FMR 0.1 in the worst group of every other photo of val.csv: 0-2", "4,904 people of LFW",
    2_000_000,
    operating_points=(POINT,), tail=((0.5, 0.5), (0.856, 0.025)),
    threshold_people="0-2 in every other photo of val.csv", threshold_pairs=780,
)  # fmt: skip


def test_every_table_of_operating_points_names_its_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert "FMR and misses are those of 4,904 people of LFW:" in "\n".join(points_table(CALIBRATION))
    _print(CALIBRATION)
    told = capsys.readouterr().out
    assert "0.0074 % to 0.025 %" in told and "FMR of these people" in told
    assert str(POINT) == "FMR 0.01 % [0.0074 %, 0.025 %] at threshold 0.900, FNMR 33.1 % (calibration people)"
    assert _error({"fmr": 1.7e-4, "intervals": {"fmr": {"low": 7.4e-5, "high": 2.5e-4}}}, "fmr") == (
        "0.017 % [0.0074 %, 0.025 %]"
    )


def test_a_stated_fmr_names_the_people_it_is_of() -> None:
    class Stated:
        threshold = CALIBRATION.threshold

        class file:
            calibration = CALIBRATION

    first, second = group_points(Stated(), None)  # type: ignore[arg-type]
    assert (first.target, first.target_of) == (0.1, "0-2 in every other photo of val.csv")
    assert first.source == "the model (FMR 10 % in the worst group: 0-2)"
    assert (second.target, second.target_of) == (1e-4, "4,904 people of LFW")
    assert point_name(second) == "FMR at 0.900 (target 0.01 % for 4,904 people of LFW)"
    given = group_points(Stated(), 0.856)[0]  # type: ignore[arg-type]
    assert (given.target, given.target_of) == (pytest.approx(0.025), "4,904 people of LFW")
