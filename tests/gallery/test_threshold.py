"""Issue 22: the threshold for a target FPIR."""

from __future__ import annotations

import pytest

from facealike.errors import NotCalibrated, UsageError
from facealike.gallery.threshold import threshold_at_fpir

TABLE = [(0.1, 1.0), (0.2, 0.1), (0.3, 0.01), (0.4, 0.001)]


def test_fmr_gives_the_fpir_and_interpolates() -> None:
    found = threshold_at_fpir(TABLE, 0.1, 20)
    assert 1 - (1 - found.fmr) ** 20 == pytest.approx(0.1)
    assert 0.4 > found.threshold > 0.3 and not found.extrapolated


def test_marks_extrapolation_on_the_line_of_the_tail() -> None:
    found = threshold_at_fpir(TABLE, 1e-4, 1)
    assert found.extrapolated and found.threshold == pytest.approx(0.5)


def test_an_fpir_whose_fmr_is_no_number_is_refused() -> None:
    with pytest.raises(UsageError, match="too small to have a threshold"):
        threshold_at_fpir(TABLE, 5e-324, 3)


def test_needs_a_table() -> None:
    with pytest.raises(NotCalibrated):
        threshold_at_fpir([], 0.1, 10)
