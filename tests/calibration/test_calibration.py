"""What a score means: learned from pairs whose truth is known, looked up, stored, and refused if damaged."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facealike.calibration.calibration import Calibration
from facealike.calibration.fit import calibrate_scores
from facealike.calibration.operating_points import OperatingPoint
from facealike.calibration.pairs import calibration_pairs
from facealike.calibration.probability import (
    Isotonic,
    Platt,
    balanced_weights,
    fit_isotonic,
    fit_platt,
    person_weights,
)
from facealike.errors import DataError, ModelError, NotCalibrated, UsageError
from facealike.metrics.calibration_error import ece

POINTS = (
    OperatingPoint(0.1, 0.3, 0.09, 0.11, 0.1, 1000, (0.28, 0.33)),
    OperatingPoint(0.01, 0.5, 0.006, 0.014, 0.3, 1000),
)
WHOLE = Calibration(
    0.25, "best F1 on balanced pairs", "40 people", 1200, {"f1": 0.9}, (0.2, 0.3),
    Platt(8.0, -2.0, "fisher").to_dict(), POINTS, ((-0.2, 1.0), (0.2, 0.2), (0.6, 0.02)),
)  # fmt: skip


def bell(seed: int, people: int = 80) -> tuple[Any, ...]:
    """Scores that the formulas fit exactly: Fisher's z is normal with one variance for both kinds.

    Log-odds of the kinds are then linear in z.  Returns scores, same, first, second, true log-odds.
    """
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(people), 4)
    pairs = calibration_pairs(labels, 0)
    z = rng.normal(np.where(pairs.same, 0.6, 0.0), 0.3)
    return np.tanh(z), pairs.same, labels[pairs.a], labels[pairs.b], (0.6 * z - 0.18) / 0.09


# ---- learned ----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_a_calibration_finds_the_true_probabilities(method: Any) -> None:
    scores, same, first, second, odds = bell(1, 120)
    found = calibrate_scores(scores, same, first, second, "bells", method=method, resamples=5)
    truth = 1 / (1 + np.exp(-odds))
    stated = np.array([found.probability_of(s) for s in scores[:2000]])
    assert np.abs(stated - truth[:2000]).mean() < (0.015 if method == "platt" else 0.035)
    fresh = bell(2, 120)
    assert ece(found.calibrator.probability(fresh[0]), fresh[1], balanced_weights(fresh[1])) < 0.03  # type: ignore[union-attr]


def test_a_calibration_is_put_together_from_its_parts() -> None:
    scores, same, first, second, _ = bell(3)
    found = calibrate_scores(scores, same, first, second, "bells", resamples=10)
    assert (found.people, found.pairs, found.rule) == ("bells", len(scores), "best F1 on balanced pairs")
    assert found.calibrator == fit_platt(scores, same, person_weights(first, same), "fisher")
    plain = calibrate_scores(
        scores, same, first, second, "", method="isotonic", per_person=False, resamples=1
    )
    assert plain.calibrator == fit_isotonic(scores, same)
    accepted = scores >= found.threshold
    tp, fp = np.mean(accepted[same]), np.mean(accepted[~same])
    assert found.metrics["f1"] == pytest.approx(2 * tp / (1 + tp + fp))
    assert found.metrics["accuracy"] == pytest.approx((tp + 1 - fp) / 2)
    assert found.metrics["fmr"] == pytest.approx(fp) and found.metrics["fnmr"] == pytest.approx(1 - tp)
    assert [point.fmr for point in found.operating_points] == [0.1, 0.01, 0.001, 0.0001]
    assert found.tail[-1][1] >= 30 / np.sum(~same)
    assert found == calibrate_scores(scores, same, first, second, "bells", resamples=10)
    assert Calibration.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_the_rule_may_be_an_fmr() -> None:
    scores, same, first, second, _ = bell(4)
    found = calibrate_scores(scores, same, first, second, "bells", 0.02, resamples=10)
    point = found.threshold_for(0.02)
    assert (found.threshold, found.band, found.rule) == (point.threshold, point.band, "FMR 0.02")
    with pytest.raises(UsageError, match="cannot be measured"):
        calibrate_scores(scores, same, first, second, "bells", 1e-7, resamples=10)


def test_a_model_that_has_learned_nothing_says_so_by_its_probabilities() -> None:
    scores, same, first, second, _ = bell(5)
    for useless in (np.full_like(scores, 0.5), -scores):
        found = calibrate_scores(useless, same, first, second, "bells", resamples=5)
        assert found.probability_of(0.9) == pytest.approx(0.5, abs=0.01)


def test_arrays_that_do_not_fit_are_refused() -> None:
    scores, same, first, second, _ = bell(6)
    for arrays in (
        (scores[:-1], same, first, second), (scores, same, first, second[:-1]),
        (np.full_like(scores, math.nan), same, first, second), ([], [], [], []),
        (scores, ~same, first, second),
    ):  # fmt: skip
        with pytest.raises(UsageError):
            calibrate_scores(*arrays, "bells")
    with pytest.raises(UsageError, match="platt or isotonic"):
        calibrate_scores(scores, same, first, second, "bells", method="neural")  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        calibrate_scores(scores[same], same[same], first[same], second[same], "bells")


# ---- pairs ------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=2, max_size=25), st.integers(2, 200), st.integers(0, 9))
def test_calibration_pairs_are_all_pairs_or_a_fair_share(labels: list[int], limit: int, seed: int) -> None:
    every = list(itertools.combinations(range(len(labels)), 2))
    genuine = {(a, b) for a, b in every if labels[a] == labels[b]}
    impostor = set(every) - genuine
    if not genuine or not impostor:
        with pytest.raises(DataError, match="there are no pairs"):
            calibration_pairs(labels, seed, limit)
        return
    found = calibration_pairs(labels, seed, limit)
    listed = list(zip(found.a.tolist(), found.b.tolist(), strict=True))
    assert len(set(listed)) == len(listed) == min(limit, len(every))
    assert [labels[a] == labels[b] for a, b in listed] == found.same.tolist()
    assert set(listed) <= set(every)
    kinds = int(found.same.sum()), int(np.sum(~found.same))
    assert min(kinds[0], len(genuine)) >= min(len(genuine), limit // 2)
    assert min(kinds[1], len(impostor)) >= min(len(impostor), limit // 2)
    again = calibration_pairs(labels, seed, limit)
    assert all(np.array_equal(x, y) for x, y in zip(found, again, strict=True))


def test_pairs_are_drawn_evenly() -> None:
    labels = np.repeat(np.arange(4), 3)
    counts: dict[tuple[int, int], int] = {}
    for seed in range(600):
        found = calibration_pairs(labels, seed, 24)
        assert int(found.same.sum()) == 12  # all genuine pairs, for they are the rarer kind
        for a, b, same in zip(*found, strict=True):
            if not same:
                counts[int(a), int(b)] = counts.get((int(a), int(b)), 0) + 1
    expected = 600 * 12 / 54
    assert len(counts) == 54
    assert max(abs(n - expected) for n in counts.values()) < 5 * math.sqrt(expected)


# ---- looked up --------------------------------------------------------------------------------


def test_probability_is_that_of_the_curve_at_the_prior() -> None:
    curve = Platt(8.0, -2.0, "fisher")
    for score, prior in ((0.3, 0.5), (-1.0, 0.01), (1.0, 0.99)):
        assert WHOLE.probability_of(score, prior) == float(curve.probability(score, prior))
    bare = Calibration(0.2, "rule", "people", 10)
    assert bare.probability_of(0.3) is None and bare.fmr_of(0.3) is None
    assert bare.band is None and not bare.fmr_is_bound(0.9)
    for calibration in (bare, WHOLE):
        with pytest.raises(UsageError, match="prior"):
            calibration.probability_of(0.3, 1.0)


def test_the_share_of_strangers_is_read_between_the_points() -> None:
    assert WHOLE.fmr_of(-1) == WHOLE.fmr_of(-0.2) == 1
    assert WHOLE.fmr_of(0.2) == pytest.approx(0.2)
    assert WHOLE.fmr_of(0.4) == pytest.approx(math.sqrt(0.2 * 0.02))  # the logarithm is linear
    assert WHOLE.fmr_of(0.6) == pytest.approx(0.02) == WHOLE.fmr_of(1)
    assert [WHOLE.fmr_is_bound(s) for s in (0.2, 0.6, 0.6001)] == [False, False, True]


def test_operating_points_are_found_by_their_fmr() -> None:
    assert WHOLE.threshold_for(0.1) == POINTS[0] and WHOLE.threshold_for(1e-2) == POINTS[1]
    with pytest.raises(UsageError, match=r"no threshold for an FMR of 0\.001; those it has are 0\.1, 0\.01"):
        WHOLE.threshold_for(0.001)
    with pytest.raises(UsageError, match="facealike calibrate"):
        Calibration(0.2, "rule", "people", 10).threshold_for(0.1)


# ---- stored -----------------------------------------------------------------------------------


def test_a_calibration_survives_json_and_one_of_version_1_has_less() -> None:
    assert Calibration.from_dict(json.loads(json.dumps(WHOLE.to_dict()))) == WHOLE
    old = {"threshold": 0.2, "rule": "r", "people": "p", "pairs": 3, "metrics": {"f1": 1}}
    assert Calibration.from_dict(old) == Calibration(0.2, "r", "p", 3, {"f1": 1.0})
    with pytest.raises(ModelError, match="missing or unknown"):
        Calibration.from_dict({**old, "surprise": 1})
    del old["rule"]
    with pytest.raises(ModelError, match=r"missing or unknown .*rule"):
        Calibration.from_dict(old)
    assert str(WHOLE).startswith("threshold 0.250 [0.200, 0.300] (best F1 on balanced pairs, on 1,200 pairs")
    assert "no probability" in str(Calibration(0.2, "rule", "people", 10))


@pytest.mark.parametrize(
    "change",
    [
        {"band": (0.3, 0.4)}, {"band": (0.3, 0.2)}, {"band": [0.2]}, {"band": "xy"}, {"band": (-3, 3)},
        {"probability": []}, {"probability": {"method": "x"}}, {"probability": {"method": "platt", "a": -1}},
        {"operating_points": 7}, {"operating_points": [{}]}, {"operating_points": [None]},
        {"tail": 7}, {"tail": [[0.1]]}, {"tail": [[0.1, "x"]]}, {"tail": [[0.2, 0.1], [0.1, 0.05]]},
        {"tail": [[0.1, 0.1], [0.2, 0.2]]}, {"tail": [[0.1, 0.0]]}, {"tail": [[0.1, 2.0]]},
        {"threshold": math.nan}, {"pairs": -1},
    ],
)  # fmt: skip
def test_a_senseless_calibration_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ModelError):
        replace(WHOLE, **change)
    with pytest.raises(ModelError):
        Calibration.from_dict({**WHOLE.to_dict(), **change})


def test_isotonic_calibrations_are_stored_too() -> None:
    curve = Isotonic(((-0.1, 0.2), (0.4, 0.8)))
    stored = replace(WHOLE, probability=curve.to_dict())
    assert Calibration.from_dict(json.loads(json.dumps(stored.to_dict()))).calibrator == curve
    assert stored.probability_of(0.15) == pytest.approx(0.5)


def test_a_threshold_and_its_people_belong_together() -> None:
    """Issue 19 A5."""
    own = Calibration(0.5, "best F1", "x", 9)
    assert own.threshold_from == "9 pairs of x" and "threshold_people" not in own.to_dict()
    for changes in ({"threshold_people": "y"}, {"threshold_pairs": 3}):
        with pytest.raises(ModelError, match="belong together"):
            Calibration(0.5, "best F1", "x", 9, **changes)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="threshold's pairs"):
        Calibration(0.5, "best F1", "x", 9, threshold_people="y", threshold_pairs=-1)


def test_one_notion_of_calibrated() -> None:
    """Issue 19 A8: a threshold alone is no calibration, whatever command speaks of it."""
    curve = {"method": "platt", "a": 1.0, "b": 0.0, "scale": "cosine"}
    assert Calibration(0.5, "best F1", "x", 9, probability=curve).state == "calibrated"
    assert Calibration(0.5, "dlib's tolerance of 0.6", "x", 0).state == "threshold only"
    assert Calibration.none().state == "not calibrated"


# ---- neighbors of faults that tests can miss (benchmarks/tests/mutation.py) -------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": 1.0, "band": (1.0, 1.0)}, {"threshold": -1.0, "band": (-1.0, -1.0)},
        {"band": (0.25, 0.3)}, {"band": (0.2, 0.25)},
        {"rule": "r" * 1000}, {"people": "p" * 1000}, {"metrics": {f"m{i}": 0.0 for i in range(100)}},
        {"pairs": 0}, {"pairs": 10**15}, {"copies": 10**15},
        {"threshold_people": "p" * 1000, "threshold_pairs": 10**15},
        {"threshold_people": "p", "threshold_pairs": 0},
        {"tail": ((-1 - 9e-6, 1.0), (1 + 9e-6, 1e-300))}, {"tail": ((0.5, 1.0),)},
        {"face": "largest"}, {"face": "central"}, {"face": "only"}, {"face": None},
    ],
)  # fmt: skip
def test_the_last_value_that_makes_sense_is_accepted(change: dict[str, Any]) -> None:
    found = replace(WHOLE, **change)
    assert Calibration.from_dict(json.loads(json.dumps(found.to_dict()))) == found


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"threshold": 1.0000001, "band": None}, "between -1 and 1"),
        ({"threshold": -1.0000001, "band": None}, "between -1 and 1"),
        ({"band": (0.2500001, 0.3)}, "lie in its band"), ({"band": (0.2, 0.2499999)}, "lie in its band"),
        ({"rule": "r" * 1001}, "rule"), ({"people": "p" * 1001}, "people"),
        ({"metrics": {f"m{i}": 0.0 for i in range(101)}}, "metrics"),
        ({"metrics": {"f1": math.inf}}, "finite number"),
        ({"pairs": 10**15 + 1}, "number of pairs"), ({"pairs": 1.5}, "number of pairs"),
        ({"copies": -1}, "number of copies"), ({"copies": 10**15 + 1}, "number of copies"),
        ({"threshold_people": "p" * 1001, "threshold_pairs": 1}, "threshold_people"),
        ({"threshold_people": "p", "threshold_pairs": 10**15 + 1}, "threshold's pairs"),
        ({"tail": ((-1 - 2e-5, 1.0),)}, "no point of the tail"), ({"tail": ((1 + 2e-5, 0.5),)}, "no point"),
        ({"tail": ((0.1, 1.0000001),)}, "no point"), ({"tail": ((0.1, 0.0),)}, "no point"),
        ({"tail": ((0.1, 0.5), (0.1, 0.4))}, "scores must rise"),
        ({"tail": ((0.1, 0.5), (0.2, 0.5))}, "FMRs fall"),
        ({"face": "all"}, "face policy"), ({"face": 1}, "face policy"),
    ],
)  # fmt: skip
def test_the_first_value_that_makes_no_sense_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        replace(WHOLE, **change)


def test_what_half_of_all_strangers_reach_and_what_a_threshold_can_miss() -> None:
    assert WHOLE.typical_impostor == pytest.approx(-0.2 + 0.4 * math.log(0.5) / math.log(0.2))
    assert Calibration(0.2, "rule", "people", 10).typical_impostor is None
    known = replace(WHOLE, metrics={"fnmr": 0.05})  # 0.05 at 0.25, 0.1 at 0.3, 0.3 at 0.5
    assert known.fnmr_between(0.25) == (0.05, 0.05) and known.fnmr_between(0.27) == (0.05, 0.1)
    assert known.fnmr_between(0.3) == (0.1, 0.1) and known.fnmr_between(0.5) == (0.3, 0.3)
    assert known.fnmr_between(0.2499) is None and known.fnmr_between(0.5001) is None
    assert WHOLE.fnmr_between(0.25) is None, "the FNMR at the threshold is not known"


def test_operating_points_go_from_the_highest_fmr_down_however_they_came() -> None:
    assert replace(WHOLE, operating_points=POINTS[::-1]).operating_points == POINTS
    near = 0.01 * (1 + 1e-10)
    assert WHOLE.threshold_for(near) == POINTS[1]
    with pytest.raises(UsageError):
        WHOLE.threshold_for(0.01 * (1 + 1e-8))


def test_no_calibration_lets_only_a_photo_and_itself_pass() -> None:
    none = Calibration.none()
    assert (none.threshold, none.rule, none.people, none.pairs) == (1.0, "none", "nobody", 0)
    assert none.is_none and not WHOLE.is_none and WHOLE.check() is WHOLE
    with pytest.raises(NotCalibrated, match="no score of it has a verdict yet"):
        none.check()
    assert str(none) == "not calibrated: no threshold, no probability"


def test_a_calibration_in_words() -> None:
    assert str(WHOLE) == (
        "threshold 0.250 [0.200, 0.300] (best F1 on balanced pairs, on 1,200 pairs of 40 people); "
        f"probability {WHOLE.calibrator}"
    )
    others = replace(WHOLE, threshold_people="2 others", threshold_pairs=7, copies=3)
    assert str(others).startswith(
        "threshold 0.250 [0.200, 0.300] (best F1 on balanced pairs, on 7 pairs of 2 others"
    )
    assert f"{WHOLE.calibrator} (on 1,200 pairs of 40 people); 3 more photos were left out" in str(others)


def test_the_band_of_f1_takes_no_more_than_400_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    scores, same, first, second, _ = bell(7, 20)
    asked: list[int] = []

    def band(*given: Any) -> tuple[float, float]:
        asked.append(given[5])
        return -0.1, 0.1

    monkeypatch.setattr("facealike.calibration.fit.f1_band", band)
    for resamples in (3, 400, 401):
        found = calibrate_scores(scores, same, first, second, "bells", resamples=resamples)
        assert found.band is not None and found.band[0] <= found.threshold <= found.band[1]
    assert asked == [3, 400, 400]
