"""Every formula against a slow twin written as loops, and against scikit-learn."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from facealike.errors import UsageError
from facealike.metrics.similarity import cosine
from facealike.metrics.verification import (
    FMR_CANDIDATES,
    Confusion,
    Roc,
    auc,
    best_f1_threshold,
    check_fmr,
    confusion,
    eer,
    midway,
    roc,
    supported_fmrs,
    threshold_at_fmr,
)

sk = pytest.importorskip("sklearn.metrics")

Scored = tuple[NDArray[np.float64], NDArray[np.bool_]]

# Few distinct values, so that ties within and across the two kinds are the rule.
tied = st.sampled_from([-1.0, -0.5, 0.0, 0.25, 0.25 + 2**-52, 0.5, 1.0])
spread = st.floats(-1, 1, allow_nan=False)
huge = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def scored(draw: st.DrawFn, both: bool = True) -> Scored:
    value = draw(st.sampled_from([tied, spread, huge]))
    rows = draw(st.lists(st.tuples(value, st.booleans()), min_size=1, max_size=40))
    if both:
        rows += [(draw(value), True), (draw(value), False)]
    rows = draw(st.permutations(rows))
    return np.array([s for s, _ in rows]), np.array([t for _, t in rows])


# ---- slow twins -------------------------------------------------------------------------------


def slow_counts(scores: Any, same: Any, threshold: float) -> tuple[int, int, int, int]:
    tp = fp = tn = fn = 0
    for score, truth in zip(scores, same, strict=True):
        if score >= threshold and truth:
            tp += 1
        elif score >= threshold:
            fp += 1
        elif truth:
            fn += 1
        else:
            tn += 1
    return tp, fp, tn, fn


def slow_auc(scores: Any, same: Any) -> float:
    wins, n = 0.0, 0
    for genuine in scores[same]:
        for impostor in scores[~same]:
            wins += 1.0 if genuine > impostor else 0.5 if genuine == impostor else 0.0
            n += 1
    return wins / n


def slow_f1(scores: Any, same: Any, threshold: float) -> float:
    tp, fp, _, fn = slow_counts(scores, same, threshold)
    if tp == 0:
        return 0.0
    precision, recall = tp / (tp + fp), tp / (tp + fn)
    return 2 * precision * recall / (precision + recall)


# ---- cosine -----------------------------------------------------------------------------------


@given(st.integers(0, 5), st.integers(1, 7), st.integers(0, 2**32 - 1))
def test_cosine_is_the_textbook_formula(n: int, d: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(n, d)) * 10, rng.normal(size=(n, d))
    result = cosine(a, b)
    assert result.shape == (n,)
    for row in range(n):
        dot = sum(x * y for x, y in zip(a[row], b[row], strict=True))
        length = math.sqrt(sum(x * x for x in a[row])) * math.sqrt(sum(y * y for y in b[row]))
        assert result[row] == pytest.approx(dot / length, abs=1e-12)


def test_cosine_never_leaves_its_range_and_knows_no_scale() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=(500, 3))
    assert cosine(a, a).max() <= 1.0
    assert cosine(a, -a).min() >= -1.0
    np.testing.assert_allclose(cosine(a * 1e-200, a * 1e200), 1.0)


def test_cosine_refuses_what_has_no_direction() -> None:
    with pytest.raises(UsageError, match="1 of 1 embeddings are zero"):
        cosine([[0.0, 0.0]], [[1.0, 0.0]])
    for bad in (np.nan, np.inf):
        with pytest.raises(UsageError, match="finite"):
            cosine([[1.0, 0.0]], [[1.0, bad]])
    with pytest.raises(UsageError, match=r"\(1, 2\) and \(2, 2\)"):
        cosine([[1.0, 0.0]], [[1.0, 0.0], [1.0, 0.0]])
    with pytest.raises(UsageError, match="equal sets"):
        cosine([1.0, 0.0], [1.0, 0.0])


# ---- confusion --------------------------------------------------------------------------------


@given(scored(both=False), st.one_of(tied, spread, st.sampled_from([-math.inf, math.inf])))
def test_confusion_counts_like_the_loop(data: Scored, threshold: float) -> None:
    scores, same = data
    table = confusion(scores, same, threshold)
    assert (table.tp, table.fp, table.tn, table.fn) == slow_counts(scores, same, threshold)
    assert table.total == len(scores)


@settings(deadline=None)
@given(scored(), tied)
def test_rates_agree_with_scikit_learn(data: Scored, threshold: float) -> None:
    scores, same = data
    table, decided = confusion(scores, same, threshold), scores >= threshold
    assert table.accuracy == pytest.approx(sk.accuracy_score(same, decided))
    assert table.precision == pytest.approx(sk.precision_score(same, decided, zero_division=0))
    assert table.recall == pytest.approx(sk.recall_score(same, decided))
    assert table.f1 == pytest.approx(sk.f1_score(same, decided, zero_division=0))
    assert table.fmr == pytest.approx(1 - sk.recall_score(~same, ~decided))
    assert table.fnmr == pytest.approx(1 - table.recall)


def test_score_at_the_threshold_is_accepted() -> None:
    assert confusion([0.5], [True], 0.5).tp == 1
    assert confusion([0.5], [True], np.nextafter(0.5, 1)).fn == 1


def test_rates_over_nothing_are_as_documented() -> None:
    no_genuine = confusion([0.1, 0.9], [False, False], 0.5)
    assert math.isnan(no_genuine.recall)
    assert math.isnan(no_genuine.fnmr)
    assert no_genuine.fmr == 0.5
    assert (no_genuine.precision, no_genuine.f1) == (0.0, 0.0)
    assert math.isnan(confusion([0.1], [True], 0.5).fmr)
    nobody = confusion([0.1, 0.2], [True, False], 0.5)
    assert (nobody.precision, nobody.f1, nobody.recall) == (0.0, 0.0, 0.0)


def test_confusion_speaks_json_without_nan() -> None:
    table = confusion([0.1, 0.9], [False, False], 0.5)
    data = json.loads(json.dumps(table.to_dict(), allow_nan=False))
    assert data["fnmr"] is None
    assert data["fp"] == 1
    assert str(Confusion(8, 1, 9, 2)) == "F1 0.842, accuracy 0.850, FMR 10 %, FNMR 20 % on 20 pairs"


def test_impossible_counts_are_refused() -> None:
    for counts in ((0, 0, 0, 0), (1, -1, 1, 1)):
        with pytest.raises(UsageError, match="counts"):
            Confusion(*counts)


# ---- the curve --------------------------------------------------------------------------------


@given(scored())
def test_each_point_of_the_curve_is_the_confusion_there(data: Scored) -> None:
    scores, same = data
    curve = roc(scores, same)
    assert curve.thresholds.tolist() == [math.inf, *sorted(set(scores.tolist()), reverse=True)]
    for fmr, tmr, fnmr, threshold in zip(curve.fmr, curve.tmr, curve.fnmr, curve.thresholds, strict=True):
        tp, fp, tn, fn = slow_counts(scores, same, threshold)
        assert fmr == fp / (fp + tn)
        assert tmr == tp / (tp + fn)
        assert fnmr == 1 - tmr
    assert (curve.fmr[-1], curve.tmr[-1]) == (1, 1)


@settings(deadline=None)
@given(scored())
def test_curve_agrees_with_scikit_learn(data: Scored) -> None:
    scores, same = data
    curve = roc(scores, same)
    fmr, tmr, thresholds = sk.roc_curve(same, scores, drop_intermediate=False)
    np.testing.assert_allclose(curve.fmr, fmr)
    np.testing.assert_allclose(curve.tmr, tmr)
    np.testing.assert_array_equal(curve.thresholds, thresholds)


@settings(deadline=None)
@given(scored())
def test_area_is_the_chance_of_a_right_order(data: Scored) -> None:
    scores, same = data
    area = auc(scores, same)
    assert area == pytest.approx(slow_auc(scores, same), abs=1e-12)
    assert area == pytest.approx(roc(scores, same).auc, abs=1e-12)
    assert area == pytest.approx(sk.roc_auc_score(same, scores), abs=1e-12)
    assert auc(-scores, same) == pytest.approx(1 - area, abs=1e-12)


def test_area_of_plain_cases() -> None:
    assert auc([0.1, 0.2, 0.8, 0.9], [False, False, True, True]) == 1.0
    assert auc([0.5] * 6, [True, False] * 3) == 0.5


@given(scored(), st.sampled_from([0.0, 0.01, 0.1, 0.5, 1.0]))
def test_fnmr_at_fmr_is_the_best_operating_point_allowed(data: Scored, limit: float) -> None:
    scores, same = data
    curve = roc(scores, same)
    allowed = [1.0]
    for threshold in scores:
        tp, fp, tn, fn = slow_counts(scores, same, threshold)
        if fp / (fp + tn) <= limit:
            allowed.append(1 - tp / (tp + fn))
    assert curve.fnmr_at_fmr(limit, supported=False) == min(allowed)


def test_fnmr_at_fmr_refuses_what_is_no_rate() -> None:
    curve = roc([0.1, 0.9], [False, True])
    for limit in (-0.1, 1.1, math.nan):
        with pytest.raises(UsageError, match="between 0 and 1"):
            curve.fnmr_at_fmr(limit, supported=False)
    assert curve.impostors == 1
    with pytest.raises(UsageError, match="cannot be measured with 1 impostor pairs"):
        curve.fnmr_at_fmr(0.1)


def test_curve_cannot_be_written_to() -> None:
    curve = roc([0.1, 0.9], [False, True])
    assert isinstance(curve, Roc)
    with pytest.raises(ValueError, match="read-only"):
        curve.fmr[0] = 1


# ---- the threshold with the best F1 -----------------------------------------------------------


@given(scored())
def test_no_threshold_has_a_better_f1(data: Scored) -> None:
    scores, same = data
    threshold, f1 = best_f1_threshold(scores, same)
    assert f1 == pytest.approx(slow_f1(scores, same, threshold))
    assert confusion(scores, same, threshold).f1 == f1
    for other in [*scores, math.inf]:
        assert slow_f1(scores, same, other) <= f1 + 1e-12


@given(scored())
def test_best_threshold_lies_midway_and_accepts_fewest(data: Scored) -> None:
    scores, same = data
    threshold, f1 = best_f1_threshold(scores, same)
    accepted, rejected = scores[scores >= threshold], scores[scores < threshold]
    if len(rejected):
        middle = rejected.max() / 2 + accepted.min() / 2
        assert threshold == (middle if middle > rejected.max() else accepted.min())
    else:
        assert threshold == scores.min()
    for stricter in {score for score in scores if score > accepted.min()}:
        assert confusion(scores, same, stricter).f1 < f1


def test_best_threshold_between_neighbouring_numbers() -> None:
    low, high = 0.5, float(np.nextafter(0.5, 1))
    threshold, f1 = best_f1_threshold([low, high], [False, True])
    assert (threshold, f1) == (high, 1.0)


def test_order_of_the_pairs_does_not_matter() -> None:
    rng = np.random.default_rng(3)
    scores, same = rng.integers(0, 20, 400) / 20, rng.random(400) < 0.4
    expected = best_f1_threshold(scores, same), auc(scores, same)
    for _ in range(5):
        order = rng.permutation(400)
        assert (best_f1_threshold(scores[order], same[order]), auc(scores[order], same[order])) == expected


# ---- the equal error rate -----------------------------------------------------------------------


def slow_eer(scores: Any, same: Any) -> float:
    """Where the line from one operating point to the next, strictest first, meets FMR = FNMR."""
    points = []
    for threshold in [math.inf, *sorted(set(scores.tolist()), reverse=True)]:
        tp, fp, tn, fn = slow_counts(scores, same, threshold)
        points.append((fp / (fp + tn), fn / (fn + tp)))
    for (fmr, fnmr), (next_fmr, next_fnmr) in pairwise(points):
        if next_fmr >= next_fnmr:
            before, after = fnmr - fmr, next_fmr - next_fnmr
            return fmr + before / (before + after) * (next_fmr - fmr)
    raise AssertionError("the curve ends at FMR 1, FNMR 0")


@given(scored())
def test_eer_is_where_the_drawn_curve_meets_the_diagonal(data: Scored) -> None:
    scores, same = data
    rate, threshold = eer(scores, same)
    assert rate == pytest.approx(slow_eer(scores, same), abs=1e-12)
    # No threshold brings the two rates closer together than the one that is returned.
    table = confusion(scores, same, threshold)
    for other in [*scores, math.inf]:
        tp, fp, tn, fn = slow_counts(scores, same, other)
        gap = abs(fp / (fp + tn) - fn / (fn + tp))
        assert abs(table.fmr - table.fnmr) <= gap + 1e-12
    curve = roc(scores, same)
    assert np.interp(rate, curve.fmr, curve.tmr) >= 1 - rate - 1e-9


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_eer_agrees_with_scikit_learn_within_one_pair(seed: int) -> None:
    rng = np.random.default_rng(seed)
    same = np.r_[True, False, rng.random(300) < 0.5]
    scores = rng.normal(size=302) + same
    fmr, tmr, _ = sk.roc_curve(same, scores, drop_intermediate=False)
    at = np.argmin(np.abs(1 - tmr - fmr))
    step = max(1 / same.sum(), 1 / (~same).sum())
    assert eer(scores, same)[0] == pytest.approx((fmr[at] + 1 - tmr[at]) / 2, abs=step)


def test_eer_of_plain_cases() -> None:
    assert eer([0.1, 0.2, 0.8, 0.9], [False, False, True, True]) == (0.0, 0.5)
    assert eer([0.9, 0.8, 0.2, 0.1], [False, False, True, True])[0] == 1.0
    assert eer([0.5] * 6, [True, False] * 3)[0] == 0.5
    assert eer([0.1, 0.6, 0.4, 0.9], [False, False, True, True]) == (0.5, 0.5)


# ---- thresholds at a false match rate, and what may be asked for -------------------------------------


@given(scored(), st.sampled_from([0.0, 0.01, 0.1, 0.25, 0.5, 1.0]))
def test_threshold_at_fmr_is_the_lowest_that_keeps_it(data: Scored, limit: float) -> None:
    scores, same = data
    threshold = threshold_at_fmr(scores, same, limit, supported=False)
    assert confusion(scores, same, threshold).fmr <= limit
    assert 1 - confusion(scores, same, threshold).recall == roc(scores, same).fnmr_at_fmr(limit, False)
    rejected = scores[scores < threshold]
    if len(rejected):  # the next lower cut breaks the limit
        assert confusion(scores, same, rejected.max()).fmr > limit
        accepted = scores[scores >= threshold]
        highest = accepted.min() if len(accepted) else math.inf
        assert threshold == midway(rejected.max(), highest)
    else:
        assert threshold == scores.min()


def test_threshold_at_fmr_needs_impostors_and_enough_of_them() -> None:
    rng = np.random.default_rng(0)
    impostors = rng.normal(size=3000)
    threshold = threshold_at_fmr(impostors, np.zeros(3000, bool), 0.001)
    assert np.sum(impostors >= threshold) == 3
    with pytest.raises(UsageError, match=r"at least 30,000; ask for 0\.001 or higher, or give more people"):
        threshold_at_fmr(impostors, np.zeros(3000, bool), 0.0001)
    with pytest.raises(UsageError, match="no impostor pairs"):
        threshold_at_fmr([0.1], [True], 0.1)


def test_the_rule_of_3() -> None:
    for fmr in FMR_CANDIDATES:
        needed = round(3 / fmr)
        check_fmr(fmr, needed)
        with pytest.raises(UsageError, match=f"rule of 3 needs at least {needed:,};"):
            check_fmr(fmr, needed - 1)
    with pytest.raises(
        UsageError, match=r"1e-06 cannot be measured with 2 impostor pairs.*; give more people$"
    ):
        check_fmr(1e-6, 2)
    with pytest.raises(UsageError, match="more than there can be"):
        check_fmr(0.0, 10**9)
    with pytest.raises(UsageError, match="between 0 and 1"):
        check_fmr(math.nan, 100)
    assert supported_fmrs(3000) == (1e-1, 1e-2, 1e-3)
    assert supported_fmrs(2999) == (1e-1, 1e-2)
    assert supported_fmrs(2) == ()
    assert supported_fmrs(100, candidates=(0.5, 0.03, 0.02)) == (0.5, 0.03)


def test_rule_of_3_is_the_bound_it_claims_to_be() -> None:
    # At the smallest FMR allowed, not one error among n pairs has a chance of 5 %.
    for n in (30, 3000, 300_000):
        assert (1 - 3 / n) ** n == pytest.approx(0.05, rel=0.2)


# ---- input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "function",
    [
        roc,
        auc,
        eer,
        best_f1_threshold,
        lambda s, t: confusion(s, t, 0.5),
        lambda s, t: threshold_at_fmr(s, t, 1),
    ],
)
def test_bad_input_is_one_sentence(function: Any) -> None:
    cases: list[tuple[Any, Any, str]] = [
        ([0.1, 0.2], [True], r"\(2,\) and \(1,\)"),
        ([[0.1]], [[True]], "one length"),
        ([], [], "no scores"),
        ([0.1, math.nan], [True, False], "1 of 2 scores are NaN"),
        ([math.inf, 0.1], [True, False], "infinite"),
        ([0.1, 0.2], [1, 2], "true"),
        ([0.1, 0.2], [True, None], "true"),
    ]
    for scores, same, message in cases:
        with pytest.raises(UsageError, match=message):
            function(scores, same)


@pytest.mark.parametrize("function", [roc, auc, eer, best_f1_threshold])
def test_both_kinds_of_pairs_are_needed(function: Any) -> None:
    with pytest.raises(UsageError, match="no impostor pairs"):
        function([0.1, 0.2], [True, True])
    with pytest.raises(UsageError, match="no genuine pairs"):
        function([0.1, 0.2], [0, 0])


def test_nan_threshold_is_refused() -> None:
    with pytest.raises(UsageError, match="threshold is NaN"):
        confusion([0.1], [True], math.nan)
