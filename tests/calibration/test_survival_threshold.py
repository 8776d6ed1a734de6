"""The threshold for a target FMR, within the impostor survival function and below it."""

from __future__ import annotations

import pytest

from facealike.calibration.survival_threshold import survival_threshold
from facealike.errors import NotCalibrated

TABLE = [(0.1, 1.0), (0.2, 0.1), (0.3, 0.01), (0.4, 0.001)]


def test_interpolates_in_the_logarithm_and_extends_the_last_decade() -> None:
    assert survival_threshold(TABLE, 0.01) == (pytest.approx(0.3), False)
    assert survival_threshold(TABLE, 10**-2.5) == (pytest.approx(0.35), False)
    assert survival_threshold(TABLE, 1e-4) == (pytest.approx(0.5), True)
    assert survival_threshold(TABLE, 1e-30)[0] == 1.0, "no cosine is higher"


def test_falls_as_the_fmr_rises() -> None:
    found = [survival_threshold(TABLE, 10**-power)[0] for power in (0.1, 1, 2, 3, 4, 5)]
    assert found == sorted(found)


def test_needs_a_table() -> None:
    with pytest.raises(NotCalibrated, match="no table of impostor scores"):
        survival_threshold([(0.1, 1.0)], 0.1)
