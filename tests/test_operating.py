"""Thresholds at named FMRs, their intervals, and how rarely strangers score high: against slow twins."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from facealike.bootstrap import intervals
from facealike.calibration import calibration_pairs
from facealike.errors import ModelError, UsageError
from facealike.metrics import confusion
from facealike.operating import PAIRS_A_DECADE, OperatingPoint, choose_thresholds, impostor_tail, thinned
from facealike.weighted import Pairs

POINT = OperatingPoint(0.01, 0.5, 0.008, 0.013, 0.2, 3000, (0.45, 0.52))


def population(seed: int, people: int = 60, photos: int = 3) -> tuple[Any, ...]:
    """Scores of all pairs of unit vectors around a centre a person: scores, same, first, second."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(people), rng.integers(1, 2 * photos, people))
    vectors = rng.normal(size=(people, 16))[labels] + 0.7 * rng.normal(size=(len(labels), 16))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = calibration_pairs(labels, 0)
    scores = np.sum(vectors[pairs.a] * vectors[pairs.b], axis=1).clip(-1, 1)
    return scores, pairs.same, labels[pairs.a], labels[pairs.b]


def balanced_f1(scores: NDArray[Any], same: NDArray[Any], threshold: float) -> float:
    counts = confusion(scores, same, threshold)
    tp, fp, fn = counts.tp / same.sum(), counts.fp / np.sum(~same), counts.fn / same.sum()
    return float(2 * tp / (2 * tp + fp + fn))


def test_the_f1_threshold_is_the_best_there_is_on_balanced_pairs() -> None:
    scores, same, first, second = population(1, 25)
    threshold, band, _ = choose_thresholds(scores, same, first, second, "f1", 60, 0)
    best = max(balanced_f1(scores, same, cut) for cut in np.unique(scores))
    assert balanced_f1(scores, same, threshold) == pytest.approx(best, abs=1e-12)
    assert band is not None and band[0] < threshold < band[1] and band[1] - band[0] < 0.4


def test_the_threshold_of_an_fmr_keeps_it_and_a_lower_one_does_not() -> None:
    scores, same, first, second = population(2)
    threshold, band, points = choose_thresholds(scores, same, first, second, 0.05, 100, 0)
    assert sorted(point.fmr for point in points) == [0.001, 0.01, 0.05, 0.1]
    impostor = scores[~same]
    for point in points:
        assert np.mean(impostor >= point.threshold) <= point.fmr
        below = np.max(impostor[impostor < point.threshold])
        assert np.mean(impostor >= below) > point.fmr
        assert point.fmr_low <= np.mean(impostor >= point.threshold) <= point.fmr_high
        assert point.fnmr == np.mean(scores[same] < point.threshold) and point.impostor == len(impostor)
        assert point.band is not None and point.band[0] <= point.threshold <= point.band[1]
    chosen = next(point for point in points if point.fmr == 0.05)
    assert (threshold, band) == (chosen.threshold, chosen.band)


def test_an_fmr_that_so_few_pairs_cannot_measure_is_refused() -> None:
    scores, same, first, second = population(3)
    with pytest.raises(UsageError, match="cannot be measured"):
        choose_thresholds(scores, same, first, second, 1e-6, 10, 0)
    with pytest.raises(UsageError):
        choose_thresholds(scores, same, first, second, 7.0, 10, 0)


def test_intervals_narrow_as_people_are_added() -> None:
    widths = []
    for people in (30, 120):
        *_, points = choose_thresholds(*population(4, people), "f1", 200, 0)
        point = next(point for point in points if point.fmr == 0.1)
        widths.append(point.fmr_high - point.fmr_low)
    assert widths[1] < 0.75 * widths[0]


# ---- thinning ---------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30_000), st.integers(1, 250_000))
def test_the_thinned_pairs_stand_for_all(seed: int, genuine: int, impostor: int) -> None:
    rng = np.random.default_rng(seed)
    same = rng.permutation(np.repeat([True, False], [genuine, impostor]))
    scores = rng.normal(size=len(same))
    kept, weights = thinned(scores, same)
    assert len(np.unique(kept)) == len(kept) == len(weights)
    assert len(kept) <= PAIRS_A_DECADE * 4
    for kind in (True, False):
        mine = same[kept] == kind
        assert weights[mine].sum() == pytest.approx(0.5)
        for cut in np.quantile(scores[same == kind], [0.1, 0.5, 0.9, 0.99]):
            share = np.mean(scores[same == kind] >= cut)
            assert 2 * weights[mine & (scores[kept] >= cut)].sum() == pytest.approx(
                share, abs=2e-3 + share / 500
            )
    highest = np.sort(scores[~same])[-PAIRS_A_DECADE:]
    assert np.isin(highest, scores[kept]).all()  # where a small FMR is decided nobody is left out


def test_thinning_hardly_moves_an_interval() -> None:
    scores, same, first, second = population(5, 120)
    assert np.sum(~same) > 2 * PAIRS_A_DECADE
    _, band, _ = choose_thresholds(scores, same, first, second, 0.01, 60, 0)
    whole = intervals(
        Pairs(scores, same, first, second), {"threshold": lambda block: block.threshold_at_fmr(0.01)},
        resamples=60, seed=0,
    )["threshold"]  # fmt: skip
    assert band is not None
    width = whole.high - whole.low
    assert band == pytest.approx((whole.low, whole.high), abs=0.15 * width)


# ---- the tail ---------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 3000), st.booleans())
def test_the_tail_counts_strangers(seed: int, count: int, ties: bool) -> None:
    scores = np.random.default_rng(seed).uniform(-1, 1, count)
    scores = scores.round(1) if ties else scores
    tail = impostor_tail(scores)
    assert bool(tail) == (count >= 30)
    for score, share in tail:
        assert share == np.sum(scores >= score) / count >= 30 / count
    assert list(tail) == sorted(tail) and (not tail or tail[0] == (scores.min(), 1.0))
    if count >= 30 and not ties:  # as far as 30 pairs go, and no farther
        assert tail[-1][1] == 30 / count


# ---- the noun ---------------------------------------------------------------------------------


def test_an_operating_point_survives_json_and_reads_well() -> None:
    assert json.loads(json.dumps(POINT.to_dict()))["band"] == [0.45, 0.52]
    assert str(POINT) == "FMR 0.01 [0.008, 0.013] at threshold 0.500, FNMR 0.200"


@pytest.mark.parametrize(
    "change",
    [
        {"fmr": 2.0}, {"fmr": math.nan}, {"threshold": -2}, {"threshold": "0.5"}, {"fnmr": -0.1},
        {"fmr_low": None}, {"fmr_high": True}, {"impostor": 0}, {"impostor": 1.5}, {"band": (0.1,)},
        {"band": (0.9, 0.1)}, {"band": "ab"}, {"band": (-7, 0)},
    ],
)  # fmt: skip
def test_a_senseless_operating_point_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="operating point"):
        replace(POINT, **change)
