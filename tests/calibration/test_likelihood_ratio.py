"""The likelihood ratio of a score, against densities that are known and against a slow twin."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from facealike.calibration.calibration import Calibration
from facealike.calibration.likelihood_ratio import likelihood_ratio
from facealike.calibration.operating_points import OperatingPoint
from support.known_scores import GENUINE, IMPOSTOR, known_calibration


def known_ratio(score: float) -> float:
    z = math.atanh(score)
    return GENUINE.pdf(z) / IMPOSTOR.pdf(z)


def test_the_ratio_is_that_of_the_densities_where_impostor_pairs_are_rare() -> None:
    ratio = likelihood_ratio(known_calibration())
    assert ratio is not None
    for fmr in (0.05, 0.01, 1e-3, 1e-4):
        score = math.tanh(IMPOSTOR.inv_cdf(1 - fmr))
        assert float(np.exp(ratio.log_at(score))) == pytest.approx(known_ratio(score), rel=0.15)
    beyond = math.tanh(IMPOSTOR.inv_cdf(1 - 1e-7))
    assert 0.1 < float(np.exp(ratio.log_at(beyond))) / known_ratio(beyond) < 1, "cautious beyond the table"
    values = ratio.log_at(np.linspace(-1, 1, 1001))
    assert (np.diff(values) >= 0).all() and np.isfinite(values).all()


def test_the_mean_below_a_score_is_fnmr_over_tnr() -> None:
    """The mean of f1 / f0 under f0, below a score, is the share of genuine over that of impostor pairs."""
    ratio = likelihood_ratio(known_calibration())
    assert ratio is not None
    for fmr in (0.01, 1e-3):
        z = IMPOSTOR.inv_cdf(1 - fmr)
        expected = GENUINE.cdf(z) / IMPOSTOR.cdf(z)
        assert ratio.mean_below(math.tanh(z)) == pytest.approx(expected, rel=0.4)
    assert 0.8 < ratio.mean_below(1.0) < 1.05, "all of the genuine scores"


def test_without_enough_entries_the_curve_is_the_ratio() -> None:
    known = known_calibration()
    for changed in (replace(known, operating_points=()), replace(known, tail=known.tail[::20])):
        ratio = likelihood_ratio(changed)
        assert ratio is not None
        for score in (0.3, 0.5, 0.6):
            even = changed.probability_of(score)
            assert even is not None
            assert float(ratio.log_at(score)) == pytest.approx(math.log(even / (1 - even)), abs=0.02)
    assert likelihood_ratio(replace(known, probability=None)) is None
    assert likelihood_ratio(replace(known, tail=())) is None
    assert likelihood_ratio(Calibration.none()) is None


def test_fnmrs_that_do_not_rise_are_not_used() -> None:
    known = known_calibration()
    falling = tuple(
        OperatingPoint(point.fmr, point.threshold, 0, 1, fnmr, 1000)
        for point, fnmr in zip(known.operating_points, (0.5, 0.4, 0.3, 0.2), strict=True)
    )
    changed, plain = replace(known, operating_points=falling), replace(known, operating_points=())
    one, other = likelihood_ratio(changed), likelihood_ratio(plain)
    assert one is not None and other is not None and np.array_equal(one.log_ratio, other.log_ratio)
