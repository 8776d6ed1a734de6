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

from facealike.calibration.operating_points import (
    PAIRS_PER_DECADE,
    PAIRS_PER_FIT,
    OperatingPoint,
    f1_band,
    f1_threshold,
    impostor_survival,
    operating_points,
    thinned,
)
from facealike.calibration.pairs import calibration_pairs
from facealike.calibration.probability import balanced_weights, fit_platt, person_weights
from facealike.errors import ModelError, UsageError
from facealike.metrics.bootstrap import intervals
from facealike.metrics.weighted_pairs import Pairs

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


def weighted_f1(scores: NDArray[Any], same: NDArray[Any], weights: NDArray[Any], cut: float) -> float:
    """F1 where the weights of each kind sum to one half."""
    tp = sum(w for s, y, w in zip(scores, same, weights, strict=True) if y and s >= cut)
    fp = sum(w for s, y, w in zip(scores, same, weights, strict=True) if not y and s >= cut)
    return float(2 * tp / (tp + fp + 0.5))


@pytest.mark.parametrize("per_person", [False, True])
def test_the_f1_threshold_is_where_the_probability_is_half_the_best_f1(per_person: bool) -> None:
    scores, same, first, _ = population(1, 12)
    own = person_weights(first, same) if per_person else None
    weights = balanced_weights(same, own)
    best = max(weighted_f1(scores, same, weights, cut) for cut in np.unique(scores))
    threshold = f1_threshold(scores, same, own)
    curve = fit_platt(scores, same, own, "fisher")
    assert float(curve.probability(threshold)) == pytest.approx(best / 2)
    assert weighted_f1(scores, same, weights, threshold) > best - 0.04


def test_on_scores_that_the_curve_fits_the_f1_threshold_is_the_best_there_is() -> None:
    rng = np.random.default_rng(0)
    same = np.arange(60_000) < 30_000
    z = rng.normal(np.where(same, 0.8, 0.0), 0.4)
    threshold = f1_threshold(np.tanh(z), same)
    cuts = np.linspace(-0.5, 1.5, 2001)
    tp = np.array([np.mean(z[same] >= cut) for cut in cuts])
    fp = np.array([np.mean(z[~same] >= cut) for cut in cuts])
    f1 = 2 * tp / (1 + tp + fp)
    mine = int(np.argmin(np.abs(np.tanh(cuts) - threshold)))
    assert f1[mine] > f1.max() - 1e-3


def test_the_f1_threshold_moves_less_than_the_best_cut_from_people_to_people() -> None:
    smooth, cut = [], []
    for seed in range(12):
        scores, same, _, _ = population(seed, 40)
        smooth.append(f1_threshold(scores, same))
        values = np.unique(scores)
        above = [(np.sum(scores[same] >= v) / same.sum(), np.mean(scores[~same] >= v)) for v in values[::5]]
        cut.append(values[::5][np.argmax([2 * tp / (1 + tp + fp) for tp, fp in above])])
    assert np.std(smooth) < np.std(cut)


def test_where_genuine_pairs_do_not_score_higher_it_is_the_best_cut() -> None:
    scores, same = np.array([0.1, 0.3, 0.5, 0.7]), np.array([True, True, False, False])
    assert f1_threshold(scores, same) == 0.1 and f1_threshold(np.full(4, 0.2), same) == 0.2


def test_the_band_holds_the_threshold_of_other_people() -> None:
    scores, same, first, second = population(1, 40)
    band = f1_band(scores, same, first, second, person_weights(first, same), 80, 0)
    assert band is not None and 0.01 < band[1] - band[0] < 0.3
    inside = 0
    for seed in range(30, 50):
        others = population(seed, 40)
        inside += band[0] <= f1_threshold(*others[:2], person_weights(others[2], others[1])) <= band[1]
    assert inside >= 14  # two samples differ by more than one does from the truth: about 83 % of 20
    assert f1_band(scores, same, first, second, None, 60, 0) == f1_band(
        scores, same, first, second, None, 60, 0
    )


def test_two_people_are_too_few_for_a_band() -> None:
    first, second = np.array([0, 0, 1]), np.array([0, 1, 1])
    band = f1_band(np.array([0.9, 0.1, 0.8]), first == second, first, second, None, 1, 0)
    assert band is None


def test_the_threshold_of_an_fmr_keeps_it_and_a_lower_one_does_not() -> None:
    scores, same, first, second = population(2)
    points = operating_points(scores, same, first, second, (0.1, 0.05, 0.01, 0.001), 60, 0)
    assert [point.fmr for point in points] == [0.1, 0.05, 0.01, 0.001]
    impostor = scores[~same]
    for point in points:
        assert np.mean(impostor >= point.threshold) <= point.fmr
        below = np.max(impostor[impostor < point.threshold])
        assert np.mean(impostor >= below) > point.fmr
        assert point.fmr_low <= np.mean(impostor >= point.threshold) <= point.fmr_high
        assert point.fnmr == np.mean(scores[same] < point.threshold) and point.impostor == len(impostor)
        assert point.band is not None and point.band[0] <= point.threshold <= point.band[1]


def test_an_fmr_that_so_few_pairs_cannot_measure_is_refused() -> None:
    scores, same, first, second = population(3)
    with pytest.raises(UsageError, match="cannot be measured"):
        operating_points(scores, same, first, second, [1e-6], 10, 0)
    with pytest.raises(UsageError):
        operating_points(scores, same, first, second, [7.0], 10, 0)


def test_intervals_narrow_as_people_are_added() -> None:
    widths = []
    for people in (30, 120):
        (point,) = operating_points(*population(4, people), [0.1], 100, 0)
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
    assert len(kept) <= PAIRS_PER_DECADE * 4
    for kind in (True, False):
        mine = same[kept] == kind
        assert weights[mine].sum() == pytest.approx(0.5)
        for cut in np.quantile(scores[same == kind], [0.1, 0.5, 0.9, 0.99]):
            share = np.mean(scores[same == kind] >= cut)
            assert 2 * weights[mine & (scores[kept] >= cut)].sum() == pytest.approx(
                share, abs=2e-3 + share / 500
            )
    highest = np.sort(scores[~same])[-PAIRS_PER_DECADE:]
    assert np.isin(highest, scores[kept]).all()  # where a small FMR is decided nobody is left out


def test_thinning_hardly_moves_an_interval() -> None:
    scores, same, first, second = population(5, 120)
    assert np.sum(~same) > 2 * PAIRS_PER_DECADE
    (point,) = operating_points(scores, same, first, second, [0.01], 60, 0)
    whole = intervals(
        Pairs(scores, same, first, second), {"threshold": lambda block: block.threshold_at_fmr(0.01)},
        resamples=60, seed=0,
    )["threshold"]  # fmt: skip
    width = whole.high - whole.low
    assert point.band == pytest.approx((whole.low, whole.high), abs=0.15 * width)


def test_a_rare_fmr_from_thinned_pairs_has_the_interval_of_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 19 A4: thinned pairs were counted, not weighed, so that FMR 1e-5 had [1.2e-05, 1.5e-05]."""
    scores, same, first, second = population(5, 120)
    impostor = int(np.sum(~same))
    limit = 8 / impostor
    monkeypatch.setattr(thinned, "__defaults__", (300,))
    (point,) = operating_points(scores, same, first, second, [limit], 400, 0)
    cut = point.threshold
    whole = intervals(
        Pairs(scores, same, first, second), {"fmr": lambda block: block.fmr(cut)}, resamples=400, seed=0
    )["fmr"]
    had = float(np.mean(scores[~same] >= cut))
    assert whole.estimate == pytest.approx(had) and had <= limit
    assert point.fmr_low <= had <= point.fmr_high
    assert point.fmr_low == pytest.approx(whole.low, rel=0.25)
    assert point.fmr_high == pytest.approx(whole.high, rel=0.25)


def test_weights_make_no_pair_more_than_one_trial() -> None:
    """Issue 19 A4: the effective number of thinned pairs is that of all of them."""
    scores, same, first, second = population(5, 120)
    kept, weights = thinned(scores, same, 2000)
    whole = Pairs(scores, same, first, second)
    few = Pairs(scores[kept], same[kept], first[kept], second[kept], weights)
    assert few.impostor_effective_size == pytest.approx(whole.impostor_effective_size, rel=0.1)
    assert few.impostor_step == pytest.approx(whole.impostor_step)


def test_the_band_weighs_pairs_as_their_people_were_drawn() -> None:
    """Issue 19 E: an impostor pair weighs m_p * m_q (pigeonhole bootstrap), a genuine pair m_p; by a loop."""
    scores, same, first, second = population(7, 12)
    assert len(scores) < PAIRS_PER_FIT  # nothing is thinned
    kept, mass = thinned(scores, same, PAIRS_PER_FIT)
    rng = np.random.default_rng(3)
    names = np.unique(np.r_[first, second])
    cuts = []
    for _ in range(60):
        drawn = rng.integers(0, len(names), len(names)).tolist()
        weight = np.array([
            own * (drawn.count(a) if genuine else drawn.count(a) * drawn.count(b))
            for own, genuine, a, b in zip(mass, same[kept], first[kept], second[kept], strict=True)
        ])  # fmt: skip
        alive = weight > 0
        cuts.append(f1_threshold(scores[kept][alive], same[kept][alive], weight[alive]))
    band = f1_band(scores, same, first, second, None, 60, 3)
    assert band == pytest.approx(np.quantile(cuts, (0.025, 0.975)), abs=1e-9)


# ---- the tail ---------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 3000), st.booleans())
def test_the_tail_counts_strangers(seed: int, count: int, ties: bool) -> None:
    scores = np.random.default_rng(seed).uniform(-1, 1, count)
    scores = scores.round(1) if ties else scores
    tail = impostor_survival(scores)
    assert bool(tail) == (count >= 30)
    for score, share in tail:
        assert share == np.sum(scores >= score) / count >= 30 / count
    assert list(tail) == sorted(tail) and (not tail or tail[0] == (scores.min(), 1.0))
    if count >= 30 and not ties:  # as far as 30 pairs go, and no farther
        assert tail[-1][1] == 30 / count


# ---- the noun ---------------------------------------------------------------------------------


def test_an_operating_point_survives_json_and_reads_well() -> None:
    assert json.loads(json.dumps(POINT.to_dict()))["band"] == [0.45, 0.52]
    assert str(POINT) == "FMR 1 % [0.8 %, 1.3 %] at threshold 0.500, FNMR 20 % (calibration people)"


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
