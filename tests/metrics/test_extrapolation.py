"""The model of the highest impostor scores against a search without shortcuts, and what it extrapolates."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from facealike.errors import UsageError
from facealike.metrics.all_pairs import exhaustive
from facealike.metrics.extrapolation import check_extrapolation, extrapolate
from facealike.metrics.impostor_tail import HighScores, TailFit, TailModel, fit_tail, high_scores
from facealike.metrics.intervals import BootstrapOptions

Floats = NDArray[np.float64]


def pareto(shape: float, scale: float, size: int, seed: int) -> Floats:
    uniform = np.random.default_rng(seed).uniform(size=size)
    if shape == 0:
        return -scale * np.log(uniform)
    return scale * (uniform**-shape - 1) / shape


def tail(excess: Floats) -> HighScores:
    zeros = np.zeros(len(excess), dtype=np.int64)
    return HighScores(0.5 + excess, zeros, zeros + 1, 0.5, np.array([1000, 1000]))


def log_likelihood(shape: float, scale: float, excess: Floats) -> float:
    inside = 1 + shape * excess / scale
    if inside.min() <= 0:
        return -math.inf
    if abs(shape) < 1e-9:
        return float(-len(excess) * math.log(scale) - excess.sum() / scale)
    return float(-len(excess) * math.log(scale) - (1 + 1 / shape) * np.log(inside).sum())


@pytest.mark.parametrize("shape", [-0.3, -0.05, 0.0, 0.2])
def test_no_other_shape_and_scale_are_more_likely(shape: float) -> None:
    excess = pareto(shape, 0.02, 2000, 1)
    model = fit_tail(tail(excess))
    best = log_likelihood(model.shape, model.scale, excess)
    for a, b in itertools.product(np.linspace(-0.45, 0.45, 61), np.geomspace(0.01, 0.04, 81)):
        assert log_likelihood(a, b, excess) <= best + 0.02
    assert model.shape == pytest.approx(shape, abs=0.08) and model.scale == pytest.approx(0.02, rel=0.1)


def test_weights_are_how_often_a_score_is_there() -> None:
    excess = pareto(-0.1, 0.02, 300, 2)
    times = np.random.default_rng(0).integers(0, 4, 300)
    shape, scale = TailFit(tail(excess)).at(times[np.newaxis].astype(float))
    repeated = fit_tail(tail(np.repeat(excess, times)))
    assert shape[0] == pytest.approx(repeated.shape, abs=2e-3)
    assert scale[0] == pytest.approx(repeated.scale, rel=2e-3)
    none = TailFit(tail(excess)).at(np.zeros((1, 300)))
    assert np.isnan(none).all(), "a resample without any of them has no model"


@pytest.mark.parametrize("shape", [-0.2, 0.0, 0.3])
def test_the_threshold_of_an_fmr_has_that_fmr(shape: float) -> None:
    model = TailModel(0.2, 1e-3, shape, 0.02)
    assert model.fmr_at(0.2) == pytest.approx(1e-3)
    for fmr in (1e-4, 1e-6):
        assert model.fmr_at(model.threshold_at_fmr(fmr)) == pytest.approx(fmr)
    if shape < 0:
        assert model.fmr_at(0.2 + 0.02 / 0.2 + 1e-9) == 0, "beyond the end of the scores"


def people(count: int, seed: int, photos: int = 2) -> tuple[Floats, NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(count), photos)
    return rng.normal(size=(count, 32))[labels] + 0.5 * rng.normal(size=(len(labels), 32)), labels


def test_the_tail_has_the_pairs_of_a_loop() -> None:
    vectors, labels = people(80, 3)
    counted = exhaustive(vectors, labels)
    found = high_scores(vectors, labels, counted)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    slow = sorted(
        (float(unit[i] @ unit[j]), int(labels[i]), int(labels[j]))
        for i, j in itertools.combinations(range(len(labels)), 2)
        if labels[i] != labels[j] and unit[i] @ unit[j] >= found.start
    )
    fast = sorted(zip(found.scores.tolist(), found.first.tolist(), found.second.tolist(), strict=True))
    assert [each[1:] for each in fast] == [each[1:] for each in slow]
    assert np.allclose([each[0] for each in fast], [each[0] for each in slow], atol=1e-6)
    assert 480 <= len(fast) <= 500, "the five hundred highest"
    # A resample in which person 0 is there twice, and person 1 not at all.
    times = np.ones(80)
    times[:2] = 2, 0
    copied = np.repeat(labels, times[labels].astype(int))
    other = sum(a != b for a, b in itertools.combinations(copied.tolist(), 2))
    # Pairs of the two copies of a person are none: they weigh m (m - 1) and not m^2 in a sample of people.
    assert found.pairs(times[np.newaxis])[0] == other
    assert found.pairs(np.ones((1, 80)))[0] == counted.impostor


def test_what_is_extrapolated_is_marked_and_lies_within_its_interval() -> None:
    vectors, labels = people(300, 4)
    counted = exhaustive(vectors, labels)
    result = extrapolate(vectors, labels, counted, BootstrapOptions(resamples=100), reach=100)
    assert [point.fmr for point in result.points] == [1e-5, 1e-6]
    near = extrapolate(vectors, labels, counted, BootstrapOptions(resamples=2))
    assert [point.fmr for point in near.points] == [1e-5], "one decade, unless more is asked for"
    assert result.points[0].threshold.estimate < result.points[1].threshold.estimate
    highest = counted.threshold_at_fmr(1e-4)
    for point in result.points:
        assert point.threshold.low <= point.threshold.estimate <= point.threshold.high
        assert point.fnmr.low <= point.fnmr.estimate <= point.fnmr.high
        assert point.threshold.estimate > highest
        assert point.fnmr.estimate == counted.fnmr_at(point.threshold.estimate)
    told = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert [point["extrapolated"] for point in told["points"]] == [True, True]
    assert "extrapolated" in str(result)


def test_the_interval_of_a_threshold_holds_what_more_people_count() -> None:
    """Of 500 people, 50 samples of 110: their interval of the threshold at FMR 1e-4 holds that of all."""
    vectors, labels = people(500, 5)
    truth = exhaustive(vectors, labels).threshold_at_fmr(1e-4)
    rng, held = np.random.default_rng(6), 0
    for _ in range(50):
        rows = np.isin(labels, rng.permutation(500)[:110])
        few = exhaustive(vectors[rows], labels[rows])
        options = BootstrapOptions(resamples=100)
        point = extrapolate(vectors[rows], labels[rows], few, options).points[0]
        assert point.fmr == 1e-4
        held += point.threshold.low <= truth <= point.threshold.high
    assert held >= 44


def test_a_check_counts_on_all_what_few_predict() -> None:
    vectors, labels = people(500, 7)
    counted = exhaustive(vectors, labels)
    checks = check_extrapolation(vectors, labels, counted, draws=10)
    assert [check.fmr for check in checks] == [1e-4, 1e-5]
    assert all(10_000 <= check.pairs < 12_000 and 70 < check.people < 75 for check in checks)
    low, middle, high = checks[0].ratios
    assert low < middle < high and 0.5 < middle < 2, "these scores have no look-alikes"
    again = check_extrapolation(vectors, labels, counted, draws=10)
    assert again == checks and check_extrapolation(vectors, labels, counted, seed=1, draws=10) != checks


def test_sets_that_are_too_small_are_refused() -> None:
    vectors, labels = people(60, 8)
    with pytest.raises(UsageError, match="needs 10,000 impostor pairs, not 7,080"):
        extrapolate(vectors, labels, exhaustive(vectors, labels))
    vectors, labels = people(100, 9)
    counted = exhaustive(vectors, labels)
    assert check_extrapolation(vectors, labels, counted) == (), "a part of it is too small"
    with pytest.raises(UsageError, match="all equal"):
        TailFit(tail(np.zeros(600)))
