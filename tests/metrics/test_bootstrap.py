"""Intervals: what they are made of against loops and SciPy, and that they hold the truth."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from facealike.errors import UsageError
from facealike.metrics import bootstrap
from facealike.metrics import intervals as resampling
from facealike.metrics import verification as metrics
from facealike.metrics.bootstrap import (
    Interval,
    RocBand,
    difference_interval,
    intervals,
    pair_intervals,
    roc_band,
    threshold_interval,
)
from facealike.metrics.intervals import BootstrapOptions, StatisticSpec, bounds, student_quantile
from facealike.metrics.weighted_pairs import Block, Pairs

stats = pytest.importorskip("scipy.stats")

Labelled = tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]
TRUE_FNMR, TRUE_FMR, THRESHOLD = 0.1, 0.1, 0.0

RATES_AT_THRESHOLD = {
    "fmr": lambda block: block.fmr(THRESHOLD),
    "fnmr": lambda block: block.fnmr(THRESHOLD),
}


def population(seed: int, people: int = 60, each: int = 12) -> Labelled:
    """Scores whose FMR and FNMR at 0 are known, although people differ.

    Half of the variance of a genuine score is its person's, a third of that of an impostor score is
    that of either person.  Numbers of pairs differ from person to person.
    """
    rng = np.random.default_rng(seed)
    counts = rng.choice([1, 2, 4, 8, each], people)
    genuine = np.repeat(np.arange(people), counts)
    a = rng.integers(0, people, 6 * people)
    b = (a + rng.integers(1, people, 6 * people)) % people
    own, like = rng.normal(size=(2, people))
    quantile = stats.norm.ppf(0.9)
    genuine_scores = quantile + (own[genuine] + rng.normal(size=len(genuine))) / math.sqrt(2)
    impostor_scores = -quantile + (like[a] + like[b] + rng.normal(size=len(a))) / math.sqrt(3)
    scores = np.concatenate([genuine_scores, impostor_scores])
    same = np.repeat([True, False], [len(genuine), len(a)])
    return scores, same, np.concatenate([genuine, a]), np.concatenate([genuine, b])


def width(interval: Interval) -> float:
    return interval.high - interval.low


# ---- the parts ----------------------------------------------------------------------------------


def test_student_quantile_is_scipys() -> None:
    for degrees in (2.0, 2.5, 7.3, 40.0, 400.0):
        for tail in (0.6, 0.95, 0.975, 0.995):
            assert student_quantile(tail, degrees) == pytest.approx(stats.t.ppf(tail, degrees), rel=2e-4)
    assert student_quantile(0.975, math.inf) == pytest.approx(stats.norm.ppf(0.975))


def test_resamples_draw_as_many_people_as_there_are() -> None:
    plan = BootstrapOptions(resamples=500, seed=3)
    multiplicities = np.stack(list(resampling.drawn(9, plan)))
    assert multiplicities.shape == (500, 9)
    assert (multiplicities.sum(axis=1) == 9).all()
    assert multiplicities.mean(axis=0) == pytest.approx(np.ones(9), abs=0.2)
    again = np.stack(list(resampling.drawn(9, plan)))
    np.testing.assert_array_equal(multiplicities, again)


def test_jackknife_leaves_each_person_out_once() -> None:
    rows = np.stack(list(resampling.left_out(np.arange(7))))
    assert rows.shape == (7, 7)
    assert ((1 - rows).sum(axis=0) == 1).all()


def test_many_people_are_left_out_in_groups_the_largest_alone() -> None:
    sizes = np.arange(3000)[::-1].copy()
    rows = np.stack(list(resampling.left_out(sizes)))
    assert len(rows) == resampling.JACKKNIFE_GROUPS
    gone = 1 - rows
    assert (gone.sum(axis=0) == 1).all()
    assert (gone.sum(axis=1)[gone[:, :500].any(axis=1)] == 1).all()
    assert gone.sum(axis=1).max() == 5


def test_bca_is_scipys_where_nothing_is_mended() -> None:
    rng = np.random.default_rng(1)
    data = rng.exponential(size=40)
    theirs = stats.bootstrap((data,), np.mean, n_resamples=2000, method="BCa")
    draws = np.sort(theirs.bootstrap_distribution)
    without = np.array([np.delete(data, i).mean() for i in range(len(data))])
    pulls = without.mean() - without
    tails = resampling._bca_tails(float(data.mean()), draws, pulls, (0.025, 0.975))
    assert np.quantile(draws, tails) == pytest.approx(list(theirs.confidence_interval), rel=1e-6)


def test_fmr_interval_has_the_variance_of_dyadic_data() -> None:
    scores, same, first, second = population(5, people=150)
    accepted = scores[~same] >= THRESHOLD
    sides = np.stack([first[~same], second[~same]], axis=1)
    error = accepted - accepted.mean()
    # Every two pairs that share a person, once.
    variance = 0.0
    for a, b, own in zip(sides[:, 0], sides[:, 1], error, strict=True):
        sharing = (sides == a).any(axis=1) | (sides == b).any(axis=1)
        variance += own * error[sharing].sum()
    fmr = accepted.mean()
    deviation = math.sqrt(variance) / len(error) / (fmr * (1 - fmr))  # of the log-odds
    found = pair_intervals(scores, same, first, second, THRESHOLD, resamples=2000)["fmr"]
    width = np.diff([math.log(v / (1 - v)) for v in (found.low, found.high)])[0]
    assert width == pytest.approx(2 * 1.99 * deviation, rel=0.12)
    # And the resamples by themselves are too wide, which is what was mended.
    pairs = Pairs(scores, same, first, second)
    drawn = np.stack(list(resampling.drawn(pairs.people, BootstrapOptions())))
    plain = np.quantile(pairs.block(drawn).fmr(THRESHOLD), [0.025, 0.975])
    assert np.diff(plain)[0] > 1.15 * (found.high - found.low)


def test_fnmr_interval_has_the_variance_of_clusters_and_students_t() -> None:
    scores, same, first, second = population(6, people=150)
    rejected = scores[same] < THRESHOLD
    person, fnmr = first[same], rejected.mean()
    jackknife = []
    for one in range(150):
        rest = rejected[person != one].mean()
        jackknife.append(math.log(rest / (1 - rest)))
    pulls = np.mean(jackknife) - np.array(jackknife)
    degrees = 2 * np.sum(pulls**2) ** 2 / np.sum(pulls**4)
    deviation = math.sqrt(np.sum(pulls**2) * 149 / 150)
    found = pair_intervals(scores, same, first, second, THRESHOLD, resamples=4000)["fnmr"]
    width = np.diff([math.log(v / (1 - v)) for v in (found.low, found.high)])[0]
    assert width == pytest.approx(2 * stats.t.ppf(0.975, degrees) * deviation, rel=0.06)
    assert found.estimate == pytest.approx(fnmr)


def test_the_spread_is_students_where_few_people_decide() -> None:
    """Issue 19 E: four people who pull alike leave eight degrees of freedom, so 2.31 and not 1.96."""
    without = 0.5 + np.array([0.1, -0.1, 0.1, -0.1, 0.0])
    draws = stats.norm.ppf((np.arange(4000) + 0.5) / 4000) * 7 + 0.5
    low, high = bounds(0.5, draws, without, np.zeros(0), BootstrapOptions(resamples=4000), StatisticSpec())
    pulls = 0.5 - without
    degrees = 2 * np.sum(pulls**2) ** 2 / np.sum(pulls**4)
    assert degrees == pytest.approx(8.0)
    reach = stats.t.ppf(0.975, degrees) * math.sqrt(np.sum(pulls**2) * 4 / 5)
    assert (low, high) == pytest.approx((0.5 - reach, 0.5 + reach), abs=2e-3 * reach)
    # Two people who decide alone: as few degrees as a t distribution with a variance has.
    lonely = np.r_[0.6, 0.4, np.full(100, 0.5)]
    low, high = bounds(0.5, draws, lonely, np.zeros(0), BootstrapOptions(resamples=4000), StatisticSpec())
    reach = stats.t.ppf(0.975, 4) * math.sqrt(0.02 * 101 / 102)
    assert (low, high) == pytest.approx((0.5 - reach, 0.5 + reach), abs=2e-3 * reach)


@pytest.mark.parametrize("smooth", [True, False])
def test_the_luck_of_single_pairs_is_taken_off(smooth: bool) -> None:
    """Issue 19 E: resamples hold it three times, two of them too many; the jackknife twice, one too many."""
    normal = stats.norm.ppf((np.arange(4000) + 0.5) / 4000)
    draws, dyads = 0.5 + 0.1 * normal, 0.5 + 0.05 * normal
    rng = np.random.default_rng(0)
    without = 0.5 + 0.1 / math.sqrt(1000) * rng.normal(size=1000)
    low, high = bounds(
        0.5, draws, without, dyads, BootstrapOptions(resamples=4000), StatisticSpec(smooth=smooth)
    )
    luck = np.var(dyads)
    jackknife = np.sum((without - without.mean()) ** 2) * 999 / 1000
    variance = jackknife - luck if smooth else np.var(draws) - 2 * luck
    assert (high - low) / 2 == pytest.approx(1.96 * math.sqrt(variance), rel=5e-3)
    assert (high + low) / 2 == pytest.approx(0.5, abs=1e-9)


# ---- an interval and its estimate ------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(4, 25), st.floats(0, 5), st.sampled_from(["percentile", "bca"]))
def test_no_interval_excludes_its_estimate(seed: int, people: int, shift: float, method: Any) -> None:
    """Issue 19 A4: with hardly an error, hardly a person, weights, and thresholds of any kind."""
    scores, same, first, second = population(seed, people)
    scores = scores + shift * same
    rng = np.random.default_rng(seed)
    weights = None if seed % 2 else rng.choice([0.001, 1.0, 50.0], len(scores))
    threshold = float(rng.choice(scores))
    found = pair_intervals(
        scores, same, first, second, threshold, (0.5, 0.1), resamples=25, method=method, weights=weights
    )
    for rule in ("f1", 0.1):
        found[f"at {rule}"] = threshold_interval(
            scores,
            same,
            first,
            second,
            rule,
            weights,
            resamples=25,
            method=method,  # type: ignore[arg-type]
        )
    for name, interval in found.items():
        assert math.isnan(interval.low) or interval.low <= interval.estimate <= interval.high, name
        told = interval.to_dict()
        assert told["low"] is None or told["low"] <= told["estimate"] <= told["high"], name
    band = roc_band(scores, same, first, second, [0.1, 0.5, 1.0], resamples=25, method=method)
    known = np.isfinite(band.low)
    assert (band.low[known] <= band.tmr[known]).all() and (band.tmr[known] <= band.high[known]).all()


def test_auc_near_1_is_told_as_finely_as_its_pairs_allow() -> None:
    """Issue 19 A4: AUC 1.000 had the interval [0.999, 0.999]: its step was that of an FMR."""
    rng = np.random.default_rng(3)
    people = np.arange(60)
    first = np.r_[np.repeat(people, 4), np.repeat(people, 4)]
    second = np.r_[np.repeat(people, 4), np.repeat(np.roll(people, 1), 4)]
    same = first == second
    scores = np.where(same, 4.2, 0) + 0.7 * rng.normal(size=len(first)) + 0.3 * rng.normal(size=60)[first]
    estimate = metrics.auc(scores, same)
    assert 1 - 0.5 / len(scores) < estimate < 1
    found = pair_intervals(scores, same, first, second, 1.5)["auc"]
    assert found.low < estimate < found.high <= 1
    assert 1 - found.low < 1e-3


# ---- what others call -----------------------------------------------------------------------------


def test_estimates_are_the_plain_metrics() -> None:
    scores, same, first, second = population(0)
    found = pair_intervals(scores, same, first, second, 0.3, fmrs=(0.1, 0.05), resamples=50)
    table, curve = metrics.confusion(scores, same, 0.3), metrics.roc(scores, same)
    expected = {
        "f1": table.f1, "accuracy": table.accuracy, "auc": metrics.auc(scores, same), "fmr": table.fmr,
        "fnmr": table.fnmr, "eer": metrics.eer(scores, same)[0], "fnmr@0.1": curve.fnmr_at_fmr(0.1),
        "fnmr@0.05": curve.fnmr_at_fmr(0.05),
    }  # fmt: skip
    assert {name: interval.estimate for name, interval in found.items()} == pytest.approx(expected)
    for name, interval in found.items():
        assert interval.low < interval.estimate < interval.high, name
        assert interval.resamples == 50
    threshold = threshold_interval(scores, same, first, second, 0.1, resamples=50)
    assert threshold.estimate == metrics.threshold_at_fmr(scores, same, 0.1)
    best = threshold_interval(scores, same, first, second, "f1", resamples=50)
    assert best.estimate == metrics.best_f1_threshold(scores, same)[0]


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_neither_order_nor_names_nor_blocks_matter(method: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    scores, same, first, second = population(1, people=20)
    expected = pair_intervals(scores, same, first, second, 0.0, fmrs=[0.1], resamples=40, method=method)
    assert expected["f1"].method == method
    assert expected["eer"].method == "percentile"  # it chooses its own threshold
    order = np.random.default_rng(0).permutation(len(scores))
    monkeypatch.setattr(bootstrap, "BLOCK", 7 * len(scores))
    found = pair_intervals(
        scores[order], same[order], 3 * second[order] + 5, 3 * first[order] + 5, 0.0, [0.1],
        resamples=40, method=method,
    )  # fmt: skip
    for name, interval in expected.items():
        assert found[name].low == pytest.approx(interval.low, abs=0.02), name
        if name not in ("fmr", "f1", "accuracy", "auc"):  # the order decides which dyad is which
            assert found[name].estimate == interval.estimate
    assert pair_intervals(scores, same, first, second, 0.0, [0.1], resamples=40, method=method) == expected


def test_a_higher_level_is_wider_and_another_seed_is_close() -> None:
    scores, same, first, second = population(2)
    found = {
        (level, seed): pair_intervals(scores, same, first, second, 0.0, level=level, seed=seed)["f1"]
        for level, seed in ((0.5, 0), (0.95, 0), (0.95, 1), (0.99, 0))
    }
    assert width(found[0.5, 0]) < 0.5 * width(found[0.95, 0])
    assert width(found[0.95, 0]) < 0.9 * width(found[0.99, 0])
    assert found[0.95, 0] != found[0.95, 1]
    assert found[0.95, 0].low == pytest.approx(found[0.95, 1].low, abs=0.01)


def test_the_share_of_genuine_pairs_is_a_decision_and_not_a_finding() -> None:
    # One person has half of all genuine pairs; a system without errors between 0 and 1 has accuracy
    # 1 - share * FNMR, which must not move because that person was drawn twice.
    scores, same, first, second = population(3)
    pairs = Pairs(scores, same, first, second)
    drawn = np.stack(list(resampling.drawn(pairs.people, BootstrapOptions(resamples=20))))
    block: Block = pairs.block(drawn)
    mixed = pairs.genuine_share * block.fnmr(0.2) + (1 - pairs.genuine_share) * block.fmr(0.2)
    np.testing.assert_allclose(1 - block.accuracy(0.2), mixed, atol=1e-12)


def test_a_difference_is_surer_than_two_intervals() -> None:
    scores, same, first, second = population(4)
    rng = np.random.default_rng(0)
    worse = scores + 0.3 * rng.normal(size=len(scores))
    one = pair_intervals(scores, same, first, second, 0.0)["auc"]
    other = pair_intervals(worse, same, first, second, 0.0)["auc"]
    found = difference_interval(scores, 0.0, worse, 0.0, same, first, second, "auc")
    assert found.estimate == pytest.approx(one.estimate - other.estimate)
    assert found.low < found.estimate < found.high
    assert width(found) < 0.7 * (width(one) + width(other))
    swapped = difference_interval(worse, 0.0, scores, 0.0, same, first, second, "auc")
    assert (swapped.low, swapped.high) == pytest.approx((-found.high, -found.low))
    nothing = difference_interval(scores, 0.0, scores, 0.0, same, first, second)
    assert (nothing.low, nothing.estimate, nothing.high) == (0.0, 0.0, 0.0)


def test_band_of_the_curve() -> None:
    scores, same, first, second = population(7)
    grid = np.array([0.01, 0.1, 0.5, 1.0])
    band = roc_band(scores, same, first, second, grid, resamples=200)
    curve = metrics.roc(scores, same)
    assert band.tmr == pytest.approx([1 - curve.fnmr_at_fmr(f) for f in grid])
    assert (band.low[:2] < band.tmr[:2]).all() and (band.tmr[:2] < band.high[:2]).all()
    assert (band.tmr[3], band.low[3], band.high[3]) == (1.0, 1.0, 1.0)
    found = pair_intervals(scores, same, first, second, 0.0, fmrs=[0.1], resamples=200)["fnmr@0.1"]
    assert (1 - band.high[1], 1 - band.low[1]) == pytest.approx((found.low, found.high), abs=0.02)
    data = json.loads(json.dumps(band.to_dict(), allow_nan=False))
    assert data["fmr"] == [0.01, 0.1, 0.5, 1.0] and data["level"] == 0.95
    assert isinstance(band, RocBand)
    with pytest.raises(ValueError, match="read-only"):
        band.low[0] = 0


def test_no_error_is_no_proof() -> None:
    people = np.arange(40)
    first, second = np.r_[people, people], np.r_[people, np.roll(people, 1)]
    scores, same = np.repeat([0.9, 0.1], 40), np.repeat([True, False], 40)
    found = pair_intervals(scores, same, first, second, 0.5)
    bound = 1.96**2 / (40 + 1.96**2)  # Wilson's for 0 of 40, near the rule of 3 over 40
    assert (found["fnmr"].low, found["fnmr"].high) == (0.0, pytest.approx(bound, rel=1e-3))
    assert (found["fmr"].low, found["fmr"].high) == (0.0, pytest.approx(bound, rel=1e-3))
    assert (found["f1"].low, found["f1"].high) == (pytest.approx(1 - bound, rel=1e-3), 1.0)
    # A person with many photos is one person.
    more = pair_intervals(
        np.r_[scores, [0.9] * 500], np.r_[same, [True] * 500], np.r_[first, [0] * 500],
        np.r_[second, [0] * 500], 0.5,
    )  # fmt: skip
    assert more["fnmr"].high == pytest.approx(bound, rel=1e-3)
    assert more["fmr"].high == pytest.approx(bound, rel=1e-3)


def test_wilsons_interval_is_scipys() -> None:
    for errors, trials, level in ((0, 40, 0.95), (1, 40, 0.95), (17, 30, 0.8), (9, 9, 0.99)):
        theirs = stats.binomtest(errors, trials).proportion_ci(level, method="wilson")
        assert resampling.wilson(errors / trials, trials, level) == pytest.approx((theirs.low, theirs.high))


def test_rare_errors_are_not_taken_for_none_nor_for_many() -> None:
    people = np.arange(40)
    first, second = np.r_[people, people], np.r_[people, np.roll(people, 1)]
    scores, same = np.repeat([0.9, 0.1], 40), np.repeat([True, False], 40)
    scores[0] = 0.2  # one genuine pair of forty independent ones
    found = pair_intervals(scores, same, first, second, 0.5)["fnmr"]
    low, high = resampling.wilson(1 / 40, 40, 0.95)
    assert low <= found.low < found.estimate < found.high <= high
    assert found.high > 0.06


def test_a_statistic_that_few_resamples_allow_is_not_measured() -> None:
    # Of two people a resample has both, and so an impostor pair, only every other time; of one the
    # jackknife has none.
    few = pair_intervals([0.9, 0.8, 0.1], [True, True, False], [0, 1, 0], [0, 1, 1], 0.5, resamples=200)
    assert 70 < few["fmr"].resamples < 130
    assert few["fnmr"].resamples == 200
    lonely = bounds(
        0.5,
        np.array([0.5, math.nan, math.nan]),
        np.ones(0),
        np.ones(0),
        BootstrapOptions(resamples=3),
        StatisticSpec(),
    )
    assert math.isnan(lonely[0]) and math.isnan(lonely[1])
    interval = Interval(0.5, *lonely)
    assert str(interval) == "0.500 [not measured]"
    assert json.loads(json.dumps(interval.to_dict(), allow_nan=False))["low"] is None


def test_an_interval_reads_well() -> None:
    interval = Interval(0.8811, 0.8678, 0.8931, 0.95, "bca", 1000)
    assert str(interval) == "0.881 [0.868, 0.893]"
    assert Interval(8.9e-6, 9.2e-10, 2.3e-5).to_dict()["low"] == 9.2e-10  # a small rate keeps its digits
    assert interval.to_dict() == {
        "estimate": 0.8811, "low": 0.8678, "high": 0.8931, "level": 0.95, "method": "bca", "resamples": 1000,
    }  # fmt: skip


def test_weights_count_as_repeated_pairs_of_the_same_person() -> None:
    scores, same, first, second = population(8, people=15)
    weights = np.random.default_rng(0).integers(1, 4, len(scores))
    weighted = pair_intervals(scores, same, first, second, 0.0, weights=weights, resamples=60)
    repeated = pair_intervals(
        *(np.repeat(each, weights) for each in (scores, same, first, second)), 0.0, resamples=60
    )
    for name in ("f1", "fnmr", "auc", "eer"):
        assert weighted[name].estimate == pytest.approx(repeated[name].estimate), name
    assert weighted["fnmr"].low == pytest.approx(repeated["fnmr"].low, abs=1e-3)


def test_nonsense_is_refused() -> None:
    good = population(0, people=10)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"level": 1.0}, "between 0 and 1"),
        ({"resamples": 0}, "at least one resample"),
        ({"method": "normal"}, "percentile or bca"),
        ({"fmrs": [1.5]}, "false match rate"),
        ({"threshold": math.nan}, "NaN"),
        ({"weights": [1.0]}, "weights"),
    ]
    for change, message in cases:
        with pytest.raises(UsageError, match=message):
            pair_intervals(*good, **{"threshold": 0.0, "resamples": 5, **change})
    scores, same, first, second = good
    with pytest.raises(UsageError, match="no statistic 'f2'"):
        difference_interval(scores, 0.0, scores, 0.0, same, first, second, "f2")
    with pytest.raises(UsageError, match="false match rate"):
        threshold_interval(scores, same, first, second, 2.0)
    with pytest.raises(UsageError, match="level"):
        intervals(Pairs(*good), {"auc": Block.auc}, level=0.0)


# ---- coverage -------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_intervals_hold_the_truth(method: Any) -> None:
    # benchmarks/accuracy/interval_coverage.py uses many more populations; here a failure means a bug.
    tests = 120
    covered = {"fmr": 0, "fnmr": 0}
    for seed in range(tests):
        pairs = Pairs(*population(1000 + seed))
        found = intervals(pairs, RATES_AT_THRESHOLD, resamples=200, method=method)
        covered["fmr"] += found["fmr"].low <= TRUE_FMR <= found["fmr"].high
        covered["fnmr"] += found["fnmr"].low <= TRUE_FNMR <= found["fnmr"].high
    for name, held in covered.items():
        # With a true coverage of 95 % fewer than 105 of 120 happen once in a thousand times.
        assert held >= 105, (name, held)
    assert covered["fmr"] + covered["fnmr"] < 2 * tests, "intervals that never fail are too wide"


def test_a_share_is_told_as_finely_as_half_a_pair() -> None:
    """Of an AUC one pair of either list is a step, of F1 one of the more numerous list."""
    same, first = np.repeat([True, False], [4, 10]), np.r_[0, 1, 2, 2, np.arange(10)]
    second = np.where(same, first, (first + 1) % 10)
    scores = np.linspace(0.1, 0.9, 14)
    smallest = {"fnmr": 1 / 8, "fmr": 1 / 20, "auc": 1 / 80, "f1": 1 / 20, "accuracy": 1 / 20, "eer": 1 / 20}
    pairs = Pairs(scores, same, first, second)
    for name, least in smallest.items():
        assert bootstrap._spec(name, pairs).smallest == pytest.approx(least), name
    weights = np.r_[1.0, 3, 3, 1, 2, np.full(9, 2.0)]  # one genuine pair in eight, one impostor pair in ten
    heavy = Pairs(scores, same, first, second, weights)
    assert bootstrap._spec("fnmr", heavy).smallest == pytest.approx(1 / 16)
    assert bootstrap._spec("fmr@0.1", heavy).smallest == pytest.approx(1 / 20)
    # Who it rests on: everybody for FMR, those with a genuine pair for all else.
    assert bootstrap._spec("fmr", pairs).people == 10 and bootstrap._spec("f1", pairs).people == 3
    assert [bootstrap._spec(name, pairs).smooth for name in ("f1", "fnmr", "auc", "eer", "fnmr@0.1")] == [
        True, True, True, False, False,
    ]  # fmt: skip
    assert bootstrap._spec("threshold", pairs) == StatisticSpec(None, False)


def test_intervals_are_of_95_percent_from_1000_resamples_with_seed_0() -> None:
    labelled = population(3, people=12, each=4)
    plain = pair_intervals(*labelled, 0.0)["f1"]
    assert (plain.level, plain.method, plain.resamples) == (0.95, "percentile", 1000)
    assert (
        plain
        == pair_intervals(*labelled, 0.0, (), level=0.95, resamples=1000, method="percentile", seed=0)["f1"]
    )
    assert plain != pair_intervals(*labelled, 0.0, seed=1)["f1"]
    assert threshold_interval(*labelled, "f1") == threshold_interval(
        *labelled, "f1", None, level=0.95, resamples=1000
    )
    assert Interval(0.5, 0.4, 0.6) == Interval(0.5, 0.4, 0.6, 0.95, "percentile", 0)


def test_numbers_for_json_have_six_digits() -> None:
    told = Interval(1 / 3, 1 / 30000, 2 / 3).to_dict()
    assert [told[name] for name in ("estimate", "low", "high")] == [0.333333, 3.33333e-05, 0.666667]
    third = np.array([1 / 3])
    band = bootstrap.RocBand(third, third, np.array([math.nan]), third)
    assert band.to_dict() == {
        "fmr": [0.333333],
        "tmr": [0.333333],
        "low": [None],
        "high": [0.333333],
        "level": 0.95,
    }
    with pytest.raises(ValueError, match="read-only"):
        band.high[0] = 1.0


def test_an_interval_below_zero_reads_well() -> None:
    """Found by mutation: thresholds and differences may be negative, and their bounds too."""
    assert str(Interval(-0.1, -0.2, 0.3)) == "-0.100 [-0.200, 0.300]"
    assert str(Interval(1.0, 1.0, math.nan)) == str(Interval(1.0, math.nan, 0.0)) == "1.000 [not measured]"
