"""Platt's fit and the isotonic one: against scikit-learn, slow twins and the properties they promise."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.calibration import _SigmoidCalibration
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from facealike.calibration.probability import (
    Isotonic,
    Platt,
    balanced_weights,
    calibrator_from_dict,
    fit_isotonic,
    fit_platt,
    person_weights,
)
from facealike.errors import ModelError, UsageError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def pairs(seed: int, genuine: int, impostor: int, gap: float = 0.4) -> tuple[Floats, Bools]:
    """Scores rounded to a hundredth, so that some are equal."""
    rng = np.random.default_rng(seed)
    scores = np.concatenate([rng.normal(gap, 0.2, genuine), rng.normal(0, 0.2, impostor)]).clip(-1, 1)
    return scores.round(2), np.repeat([True, False], [genuine, impostor])


def smoothed(same: Bools) -> Floats:
    positives, negatives = int(same.sum()), int(np.sum(~same))
    return np.where(same, (positives + 1) / (positives + 2), 1 / (negatives + 2))


# ---- Platt ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_platt_is_that_of_scikit_learn_where_kinds_are_equally_frequent(seed: int) -> None:
    scores, same = pairs(seed, 150, 150)
    theirs = _SigmoidCalibration().fit(scores, same)
    ours = fit_platt(scores, same)
    assert (ours.a, ours.b) == pytest.approx((-theirs.a_, -theirs.b_), rel=1e-3)
    assert ours.probability(scores) == pytest.approx(theirs.predict(scores), abs=1e-4)


@pytest.mark.parametrize("scale", ["cosine", "fisher"])
def test_platt_with_weights_is_a_logistic_regression_on_smoothed_targets(scale: Any) -> None:
    """A pair of target t is t of a genuine pair and 1 - t of an impostor pair."""
    scores, same = pairs(7, 60, 900)
    own = np.random.default_rng(7).uniform(0.1, 3, len(scores))
    x = scores if scale == "cosine" else np.arctanh(scores.clip(-0.999, 0.999))
    weights, target = np.empty(len(scores)), np.empty(len(scores))
    for kind in (True, False):
        mine = own[same == kind]
        n = mine.sum() ** 2 / np.sum(mine**2)
        target[same == kind] = (n + 1) / (n + 2) if kind else 1 / (n + 2)
        weights[same == kind] = mine / mine.sum()
    theirs = LogisticRegression(C=1e9, tol=1e-10, max_iter=1000).fit(
        np.concatenate([x, x])[:, None],
        np.repeat([1, 0], len(x)),
        np.concatenate([weights * target, weights * (1 - target)]) * 1000,
    )
    ours = fit_platt(scores, same, own, scale)
    assert (ours.a, ours.b) == pytest.approx((theirs.coef_[0, 0], theirs.intercept_[0]), rel=1e-4)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.integers(2, 400), st.floats(-0.5, 1.5))
def test_no_other_curve_near_platts_has_a_smaller_loss(seed: int, g: int, i: int, gap: float) -> None:
    scores, same = pairs(seed, g, i, gap)
    found = fit_platt(scores, same)
    weights, target = balanced_weights(same), smoothed(same)

    def loss(a: float, b: float) -> float:
        z = a * scores + b
        return float(weights @ (np.logaddexp(0, z) - target * z))

    best = loss(found.a, found.b)
    step = 1e-3 * (1 + found.a)
    for da, db in ((step, 0), (-step, 0), (0, step), (0, -step), (step, -step), (-step, step)):
        if found.a + da >= 0:
            assert loss(found.a + da, found.b + db) >= best - 1e-9


def test_many_impostors_are_no_more_evidence_than_few() -> None:
    """Copies of the impostor pairs change their number and not what they tell, but for the smoothing."""
    scores, same = pairs(1, 200, 200)
    copies = (
        np.concatenate([scores, np.tile(scores[~same], 20)]),
        np.concatenate([same, np.zeros(4000, bool)]),
    )
    one, many = fit_platt(scores, same), fit_platt(*copies)
    assert many.probability(scores) == pytest.approx(one.probability(scores), abs=0.01)
    light = fit_platt(scores, same, np.full(400, 1e-3))
    assert (light.a, light.b) == pytest.approx((one.a, one.b))


def test_the_smoothing_keeps_separable_scores_from_certainty() -> None:
    scores, same = np.array([-0.5, -0.4, 0.6, 0.7]), np.array([False, False, True, True])
    for fit in (fit_platt, fit_isotonic):
        p = fit(scores, same).probability(scores)
        assert p.min() >= 0.2 and p.max() <= 0.8  # (n + 1) / (n + 2) with n = 2 is 0.75


def test_scores_that_tell_nothing_or_the_wrong_thing_give_the_prior() -> None:
    scores, same = pairs(2, 50, 50, gap=-0.6)
    upside_down = fit_platt(scores, same)
    assert upside_down.a == 0 and upside_down.probability(0.9) == pytest.approx(0.5, abs=1e-9)
    level = fit_platt(np.full(20, 0.3), np.arange(20) < 10)
    assert level.a == 0 and level.probability([0.3, -1], prior=0.2) == pytest.approx([0.2, 0.2], abs=1e-9)
    assert fit_isotonic(scores, same).probability([-1, 1]) == pytest.approx([0.5, 0.5], abs=0.1)


def test_fishers_z_makes_the_odds_a_power_of_one_plus_over_one_minus() -> None:
    curve = Platt(6.0, -1.0, "fisher")
    for s in (-0.9, -0.2, 0.0, 0.5, 0.95):
        odds = math.exp(-1) * ((1 + s) / (1 - s)) ** 3
        assert float(curve.probability(s)) == pytest.approx(odds / (1 + odds), rel=1e-12)
    assert 0 < float(curve.probability(-1)) < float(curve.probability(1)) < 1


# ---- isotonic ---------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 200), st.booleans())
def test_isotonic_is_that_of_scikit_learn(seed: int, g: int, i: int, weighted: bool) -> None:
    scores, same = pairs(seed, g, i)
    own = np.random.default_rng(seed).uniform(0.1, 3, g + i) if weighted else np.ones(g + i)
    target = np.empty(g + i)
    for kind in (True, False):
        n = own[same == kind].sum() ** 2 / np.sum(own[same == kind] ** 2)
        target[same == kind] = (n + 1) / (n + 2) if kind else 1 / (n + 2)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(scores, target, balanced_weights(same, own))
    ours = fit_isotonic(scores, same, own)
    at = np.linspace(-1.1, 1.1, 200)
    assert ours.probability(at) == pytest.approx(theirs.predict(at), abs=1e-6)
    assert ours.probability(scores) == pytest.approx(theirs.predict(scores), abs=1e-6)


# ---- both -------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 90), st.floats(1e-6, 1 - 1e-6))
def test_probabilities_rise_with_the_score_and_with_the_prior(
    seed: int, g: int, i: int, prior: float
) -> None:
    scores, same = pairs(seed, g, i)
    at = np.linspace(-1, 1, 101)
    for curve in (
        fit_platt(scores, same),
        fit_platt(scores, same, None, "fisher"),
        fit_isotonic(scores, same),
    ):
        p, higher = curve.probability(at, prior), curve.probability(at, prior + (1 - prior) / 2)
        assert ((p >= 0) & (p <= 1)).all() and (np.diff(p) >= -1e-12).all()
        assert (higher >= p).all() and (higher > p)[(p > 1e-9) & (p < 1 - 1e-9)].all()


@pytest.mark.parametrize(
    "curve", [Platt(8.0, -2.0), Platt(8.0, -2.0, "fisher"), Isotonic(((-0.5, 0.1), (0.2, 0.4), (0.7, 0.95)))]
)
def test_a_prior_moves_the_odds_as_bayes_says(curve: Any) -> None:
    for s in (-0.7, 0.0, 0.3, 0.9):
        even = float(curve.probability(s))
        for prior in (0.001, 0.3, 0.5, 0.9):
            slow = even * prior / (even * prior + (1 - even) * (1 - prior))
            assert float(curve.probability(s, prior)) == pytest.approx(slow, rel=1e-9)
    for prior in (0, 1, -0.1, math.nan, "half", True):
        with pytest.raises(UsageError, match="prior"):
            curve.probability(0.5, prior)


def test_a_fit_is_calibrated_on_pairs_of_its_own_kind() -> None:
    """The likelihood equations: on the balanced pairs the mean probability is the mean target."""
    scores, same = pairs(4, 300, 3000)
    weights = balanced_weights(same)
    for curve in (fit_platt(scores, same), fit_isotonic(scores, same)):
        assert weights @ curve.probability(scores) == pytest.approx(0.5, abs=2e-3)


@pytest.mark.parametrize(
    "curve", [Platt(8.5, -2.25), Platt(8.5, -2.25, "fisher"), Isotonic(((-0.5, 0.1), (0.7, 0.9)))]
)
def test_curves_survive_json(curve: Any) -> None:
    assert calibrator_from_dict(json.loads(json.dumps(curve.to_dict()))) == curve
    assert str(curve)


@pytest.mark.parametrize(
    "values",
    [
        None, [], {}, {"method": "neural"}, {"method": ["platt"]}, {"method": "platt"},
        {"method": "platt", "a": 1.0}, {"method": "platt", "a": -1.0, "b": 0.0},
        {"method": "platt", "a": math.nan, "b": 0.0}, {"method": "platt", "a": 1.0, "b": 10**400},
        {"method": "platt", "a": 1.0, "b": 0.0, "c": 0.0}, {"method": "platt", "a": "1", "b": 0.0},
        {"method": "platt", "a": 1.0, "b": 0.0, "scale": "log"},
        {"method": "platt", "a": 1.0, "b": 0.0, "scale": ["fisher"]},
        {"method": "isotonic", "knots": []}, {"method": "isotonic", "knots": [[0.1]]},
        {"method": "isotonic", "knots": [[0.2, 0.1], [0.1, 0.2]]},
        {"method": "isotonic", "knots": [[0.1, 0.3], [0.2, 0.2]]},
        {"method": "isotonic", "knots": [[0.1, 0.3], [0.2, 1.2]]},
        {"method": "isotonic", "knots": [[0.1, "x"]]}, {"method": "isotonic", "knots": 7},
    ],
)  # fmt: skip
def test_a_table_that_is_no_curve_is_refused(values: Any) -> None:
    with pytest.raises(ModelError):
        calibrator_from_dict(values)


def test_pairs_that_cannot_be_fitted_are_refused() -> None:
    for fit in (fit_platt, fit_isotonic):
        with pytest.raises(UsageError, match="no impostor pairs"):
            fit([0.1, 0.2], [True, True])
        with pytest.raises(UsageError, match="no genuine pairs"):
            fit([0.1, 0.2], [False, False])
        with pytest.raises(UsageError, match="one length"):
            fit([0.1, 0.2], [True])
        with pytest.raises(UsageError, match="finite"):
            fit([0.1, math.nan], [True, False])
        with pytest.raises(UsageError, match="weights"):
            fit([0.1, 0.2], [True, False], [1.0, -1.0])
        with pytest.raises(UsageError, match="no genuine pairs"):
            fit([0.1, 0.2], [True, False], [0.0, 1.0])


def test_a_person_of_many_photos_counts_once() -> None:
    people, same = [5] * 6 + [9] + [5, 9, 9], [True] * 7 + [False] * 3  # 4 photos, and 2
    weights = person_weights(people, same)
    assert weights[:6] == pytest.approx([1 / 6] * 6) and weights[6:].tolist() == [1, 1, 1, 1]
