"""Rates of impostor pairs alone, against loops over all pairs, and their intervals against simulation."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from facealike.errors import UsageError
from facealike.metrics.impostor_scores import ImpostorScores
from facealike.metrics.intervals import BootstrapOptions
from facealike.metrics.score_histogram import FINE_EDGES, PairScores, count_pairs
from facealike.metrics.verification import threshold_at_fmr

ONE_BIN = float(FINE_EDGES[1] - FINE_EDGES[0])


def strangers(seed: int, count: int, d: int = 6) -> np.ndarray[Any, np.dtype[np.float32]]:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(count, d)) + 0.8).astype(np.float32)


def looped(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    unit = rows / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    return np.array([float(a @ b) for a, b in itertools.combinations(unit, 2)])


def counted(rows: np.ndarray[Any, Any]) -> PairScores:
    return count_pairs(rows, np.arange(len(rows)), block=7, impostor_only=True)


@pytest.mark.parametrize("seed", range(4))
def test_rates_are_those_of_a_loop(seed: int) -> None:
    rows = strangers(seed, 40)
    scores, found = looped(rows), ImpostorScores(counted(rows).impostor)
    assert found.pairs == 40 * 39 // 2 == len(scores)
    for threshold in (-1.0, -0.3, 0.1, 0.55, 0.9, 1.0):
        # A threshold within a bin is taken as the lower edge, and float32 moves a score by its last digit.
        assert np.mean(scores >= threshold) - 1e-9 <= found.fmr_at(threshold)
        assert found.fmr_at(threshold) <= np.mean(scores >= threshold - ONE_BIN - 1e-6)
    for fmr in (0.5, 0.1, 0.01):
        exact = threshold_at_fmr(np.append(scores, 2.0), np.arange(len(scores) + 1) == len(scores), fmr)
        cut = found.threshold_at_fmr(fmr)
        assert found.fmr_at(cut) <= fmr < found.fmr_at(cut - 1.5 * ONE_BIN)
        assert np.sum(scores >= cut) <= np.sum(scores >= exact) + 1


def test_an_fmr_that_the_pairs_cannot_tell_is_refused() -> None:
    found = ImpostorScores(counted(strangers(0, 40)).impostor)  # 780 pairs
    with pytest.raises(UsageError, match=r"0\.001 cannot be measured with 780 impostor pairs"):
        found.threshold_at_fmr(0.001)
    assert found.threshold_at_fmr(0.001, supported=False) > 0.9
    assert math.isnan(ImpostorScores(np.zeros_like(found.counts)).fmr_at(0.3))
    with pytest.raises(UsageError, match="NaN"):
        found.fmr_at(math.nan)


def test_an_interval_does_what_a_loop_over_resamples_does() -> None:
    """Weights m_p * m_q to first order: FMR + 2 * (share among the pairs of people drawn so often - FMR)."""
    rows = strangers(1, 30)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    hit = unit @ unit.T >= 0.25  # an edge of the coarse bins, so that nothing is interpolated
    np.fill_diagonal(hit, False)
    rng, share = np.random.default_rng(0), hit.sum() / (30 * 29)
    draws = []
    for _ in range(400):
        of = np.bincount(rng.integers(0, 30, 30), minlength=30)
        accepted = sum(of[p] * hit[p].sum() for p in range(30))
        draws.append(share + 2 * (accepted / (30 * 29) - share))
    both = counted(rows)
    found = ImpostorScores(both.impostor)
    interval, wider = (
        found.intervals(both.impostor_of, [0.25], BootstrapOptions(level, 400))[0] for level in (0.95, 0.99)
    )
    assert interval.estimate == pytest.approx(share)
    assert interval.low < share < interval.high and wider.high - wider.low > interval.high - interval.low
    # The bounds are stretched about the estimate (resampling.py), by less than a third here.
    assert (interval.high - interval.low) / 2 == pytest.approx(1.96 * np.std(draws), rel=0.35)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    truth = float(np.mean(looped(strangers(99, 1200)) >= 0.6))
    plan, held = BootstrapOptions(0.95, 200), 0
    for seed in range(60):
        both = counted(strangers(seed, 60))
        interval = ImpostorScores(both.impostor).intervals(both.impostor_of, [0.6], plan)[0]
        held += interval.low <= truth <= interval.high
    assert 52 <= held <= 60


def test_the_interval_of_a_threshold_holds_where_others_put_it() -> None:
    everybody = ImpostorScores(counted(strangers(99, 1200)).impostor)
    truth, held = everybody.threshold_at_fmr(0.05), 0
    for seed in range(40):
        both = counted(strangers(seed, 60))
        interval = ImpostorScores(both.impostor).threshold_interval(
            both.impostor_of, 0.05, BootstrapOptions(0.95, 200)
        )
        assert interval.low <= interval.estimate <= interval.high
        held += interval.low <= truth <= interval.high
    assert 34 <= held <= 40


def test_strangers_have_no_genuine_pairs_and_must_be_asked_for() -> None:
    rows = strangers(3, 9)
    assert len(counted(rows).genuine) == 0
    with pytest.raises(UsageError, match="one person with two photos"):
        count_pairs(rows, np.arange(9))
    with pytest.raises(UsageError, match="two people"):
        count_pairs(rows, np.zeros(9), impostor_only=True)
