"""ECE, Brier score and reliability: against loops and scikit-learn, and the properties they promise."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from facealike.errors import UsageError
from facealike.metrics.calibration_error import brier, ece, reliability

Floats = NDArray[np.float64]


def draw(seed: int, n: int) -> tuple[Floats, NDArray[np.bool_], Floats]:
    """Probabilities, some on the edges of bins; truth; and weights, some of them zero."""
    rng = np.random.default_rng(seed)
    p = np.where(rng.random(n) < 0.3, rng.integers(0, 16, n) / 15, rng.random(n))
    return p, rng.random(n) < p, rng.integers(0, 4, n) + (np.arange(n) == 0)


def slow_ece(p: Floats, same: NDArray[np.bool_], weights: Floats, bins: int) -> float:
    edges = [i / bins for i in range(bins + 1)]
    total = 0.0
    for b in range(bins):
        mass = stated = true = 0.0
        for q, y, w in zip(p, same, weights, strict=True):
            low, high = np.linspace(0, 1, bins + 1)[b : b + 2]
            if low <= q < high or (b == bins - 1 and q == 1):
                mass, stated, true = mass + w, stated + w * q, true + w * y
        assert edges[b] <= 1
        if mass:
            total += abs(stated - true)
    return total / float(weights.sum())


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 20))
def test_ece_and_brier_equal_their_slow_twins(seed: int, n: int, bins: int) -> None:
    p, same, weights = draw(seed, n)
    assert ece(p, same, weights, bins) == pytest.approx(slow_ece(p, same, weights, bins), abs=1e-12)
    slow = sum(w * (q - y) ** 2 for q, y, w in zip(p, same, weights, strict=True)) / weights.sum()
    assert brier(p, same, weights) == pytest.approx(slow, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(10, 200))
def test_they_agree_with_scikit_learn(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    p, same = rng.random(n), rng.random(n) < 0.5
    same[:2] = [True, False]
    weights = rng.random(n) + 0.1
    assert brier(p, same, weights) == pytest.approx(brier_score_loss(same, p, sample_weight=weights))
    found = reliability(p, same)
    frequency, stated = calibration_curve(same, p, n_bins=15, strategy="uniform")
    assert found.frequency[found.pairs > 0] == pytest.approx(frequency)
    assert found.probability[found.pairs > 0] == pytest.approx(stated)
    slow = np.sum(found.weight[found.pairs > 0] * np.abs(frequency - stated))
    assert found.ece == pytest.approx(slow) and found.brier == pytest.approx(brier(p, same))


def test_only_the_ratio_of_weights_counts_and_a_weight_is_a_repetition() -> None:
    p, same, weights = draw(3, 50)
    assert ece(p, same, 1e6 * weights) == pytest.approx(ece(p, same, weights))
    times = weights.astype(int)
    assert ece(np.repeat(p, times), np.repeat(same, times)) == pytest.approx(ece(p, same, weights))
    assert brier(np.repeat(p, times), np.repeat(same, times)) == pytest.approx(brier(p, same, weights))
    assert int(reliability(p, same, weights).pairs.sum()) == int(np.sum(times > 0))


def test_an_honest_forecast_has_no_error_and_a_liar_has_all() -> None:
    assert ece([0.25] * 4, [1, 0, 0, 0]) == 0
    assert ece([1.0, 1.0, 0.0], [False, False, True]) == 1 == brier([1.0, 1.0, 0.0], [0, 0, 1])
    rng = np.random.default_rng(0)
    p = rng.random(200_000)
    same = rng.random(200_000) < p
    assert ece(p, same) < 0.005 < 0.1 < ece(p**2, same)


def test_the_curve_tells_where_and_how_much() -> None:
    found = reliability([0.05, 0.05, 0.95, 1.0], [0, 1, 1, 1], bins=10)
    assert found.pairs.tolist() == [2, 0, 0, 0, 0, 0, 0, 0, 0, 2]
    assert found.frequency[[0, 9]].tolist() == [0.5, 1.0] and math.isnan(found.frequency[4])
    assert found.weight.sum() == pytest.approx(1) and found.edges[[0, -1]].tolist() == [0, 1]
    told = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert [entry["pairs"] for entry in told["bins"]] == [2, 2] and told["ece"] == found.ece
    assert "4 pairs" in str(found)


def test_what_cannot_be_judged_is_refused() -> None:
    for p, same in (([], []), ([0.5], [1, 0]), ([[0.5]], [[1]])):
        with pytest.raises(UsageError, match="one length"):
            ece(p, same)
    for value in (1.1, -0.1, math.nan, math.inf):
        with pytest.raises(UsageError, match="between 0 and 1"):
            brier([value], [1])
    with pytest.raises(UsageError, match="truth"):
        ece([0.5], [2])
    for weights in ([0.0, 0.0], [-1.0, 2.0], [math.nan, 1.0], [math.inf, 1.0]):
        with pytest.raises(UsageError, match="weights"):
            ece([0.5, 0.5], [1, 0], weights)
    for bins in (0, -1, 2.5, 10**9):
        with pytest.raises(UsageError, match="bins"):
            reliability([0.5], [1], bins=bins)  # type: ignore[arg-type]


def test_the_plot_shows_each_bin_that_is_not_empty() -> None:
    p, same, weights = draw(5, 300)
    found = reliability(p, same, weights)
    ax = found.plot()
    (dots,) = ax.collections
    assert len(dots.get_offsets()) == int(np.sum(found.pairs > 0))
    assert f"{found.ece:.3f}" in ax.get_legend().get_texts()[-1].get_text()
