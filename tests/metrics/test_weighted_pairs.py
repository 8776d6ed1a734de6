"""Weighted statistics against loops over repeated pairs, and against scikit-learn's sample weights."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from facealike.errors import UsageError
from facealike.metrics import verification as metrics
from facealike.metrics.weighted_pairs import Block, Pairs

sk = pytest.importorskip("sklearn.metrics")

THRESHOLDS = (-0.5, 0.0, 0.25, 0.4, 2.0)


class Case:
    """Random pairs of few people with many ties, and how often each person was drawn, (b, people)."""

    def __init__(self, seed: int, own: bool = False) -> None:
        rng = np.random.default_rng(seed)
        people, n = int(rng.integers(2, 7)), int(rng.integers(0, 40))
        first, second = rng.integers(0, people, (2, n))
        self.first = np.r_[first, np.arange(people), 0]
        self.second = np.r_[second, np.arange(people), 1]
        self.same = self.first == self.second
        values = rng.normal(size=len(self.same)) + self.same
        self.scores = np.round(values, 1) if rng.random() < 0.7 else values
        self.own = rng.integers(0, 4, len(self.same)) / 2 + 0.5 if own else None
        self.pairs = Pairs(self.scores, self.same, self.first + 10, self.second + 10, self.own)
        self.drawn = rng.integers(0, 4, (3, people)).astype(float)
        self.block: Block = self.pairs.block(self.drawn)

    def rows(self) -> list[tuple[int, NDArray[np.float64]]]:
        """The rows with weight of both kinds, and the weight of each pair there."""
        found = []
        for row, drawn in enumerate(self.drawn):
            weights = np.array(
                [
                    drawn[a] if a == b else drawn[a] * drawn[b]
                    for a, b in zip(self.first, self.second, strict=True)
                ]
            )
            weights = weights * (1 if self.own is None else self.own)
            if weights[self.same].sum() > 0 and weights[~self.same].sum() > 0:
                found.append((row, weights))
        return found

    def rates(self, weights: NDArray[np.float64], threshold: float) -> tuple[float, float]:
        """FMR and FNMR as a loop."""
        wrong, total = {True: 0.0, False: 0.0}, {True: 0.0, False: 0.0}
        for score, truth, weight in zip(self.scores, self.same, weights, strict=True):
            total[bool(truth)] += weight
            if (score >= threshold) != truth:
                wrong[bool(truth)] += weight
        return wrong[False] / total[False], wrong[True] / total[True]

    def balanced(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """The same weights, each kind scaled to what it weighs before anybody was drawn."""
        original = np.ones(len(weights)) if self.own is None else self.own
        out = weights.copy()
        for kind in (self.same, ~self.same):
            out[kind] *= original[kind].sum() / weights[kind].sum()
        return out


seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=40, deadline=None)
@given(seeds, st.booleans())
def test_rates_at_a_threshold_are_those_of_a_loop(seed: int, own: bool) -> None:
    case = Case(seed, own)
    for threshold in THRESHOLDS:
        fmr, fnmr = case.block.fmr(threshold), case.block.fnmr(threshold)
        for row, weights in case.rows():
            assert (fmr[row], fnmr[row]) == pytest.approx(case.rates(weights, threshold), abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(seeds, st.booleans())
def test_statistics_agree_with_scikit_learn(seed: int, own: bool) -> None:
    case = Case(seed, own)
    for row, weights in case.rows():
        scaled = case.balanced(weights)
        area = sk.roc_auc_score(case.same, case.scores, sample_weight=weights)
        assert case.block.auc()[row] == pytest.approx(area, abs=1e-12)
        for threshold in THRESHOLDS:
            decided = case.scores >= threshold
            f1 = sk.f1_score(case.same, decided, sample_weight=scaled, zero_division=0)
            assert case.block.f1(threshold)[row] == pytest.approx(f1, abs=1e-12)
            accuracy = sk.accuracy_score(case.same, decided, sample_weight=scaled)
            assert case.block.accuracy(threshold)[row] == pytest.approx(accuracy, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(seeds)
def test_a_weight_is_as_many_repetitions(seed: int) -> None:
    case = Case(seed)
    for row, weights in case.rows():
        times = weights.astype(int)
        scores, same = np.repeat(case.scores, times), np.repeat(case.same, times)
        assert case.block.auc()[row] == pytest.approx(metrics.auc(scores, same), abs=1e-12)
        assert case.block.eer()[row] == pytest.approx(metrics.eer(scores, same)[0], abs=1e-12)
        curve = metrics.roc(scores, same)
        for limit in (0.0, 0.1, 0.25, 0.5, 1.0):
            found = case.block.fnmr_at_fmr(limit)[row]
            assert found == pytest.approx(curve.fnmr_at_fmr(limit, supported=False), abs=1e-12)
            threshold = metrics.threshold_at_fmr(scores, same, limit, supported=False)
            assert case.block.threshold_at_fmr(limit)[row] == threshold


@settings(max_examples=40, deadline=None)
@given(seeds, st.booleans())
def test_no_threshold_has_a_better_f1(seed: int, own: bool) -> None:
    case = Case(seed, own)
    chosen = case.block.best_f1_threshold()
    for row, weights in case.rows():
        best = case.block.f1(float(chosen[row]))[row]
        present = case.scores[weights > 0]
        for other in present:
            assert case.block.f1(float(other))[row] <= best + 1e-12
        accepted, rejected = present[present >= chosen[row]], present[present < chosen[row]]
        highest = rejected.max() if len(rejected) else -math.inf
        assert chosen[row] == metrics.midway(highest, accepted.min())
        for stricter in present[present > accepted.min()]:
            assert case.block.f1(float(stricter))[row] < best + 1e-12


@settings(max_examples=40, deadline=None)
@given(seeds)
def test_everybody_once_gives_the_plain_metrics(seed: int) -> None:
    case = Case(seed)
    block = case.pairs.block(np.ones((1, case.pairs.people)))
    scores, same = case.scores, case.same
    assert block.auc()[0] == pytest.approx(metrics.auc(scores, same), abs=1e-12)
    assert block.eer()[0] == pytest.approx(metrics.eer(scores, same)[0], abs=1e-12)
    assert block.best_f1_threshold()[0] == metrics.best_f1_threshold(scores, same)[0]
    for threshold in THRESHOLDS:
        table = metrics.confusion(scores, same, threshold)
        for name in ("f1", "accuracy", "fmr", "fnmr"):
            assert getattr(block, name)(threshold)[0] == pytest.approx(getattr(table, name), abs=1e-12)


def test_a_row_without_a_kind_of_pairs_is_nan() -> None:
    pairs = Pairs([0.9, 0.1, 0.2], [True, False, False], [0, 0, 1], [0, 1, 2])
    block = pairs.block(np.array([[0.0, 1.0, 1.0], [2.0, 0.0, 1.0], [0.0, 0.0, 3.0], [1.0, 1.0, 1.0]]))
    for values in (
        block.f1(0.5), block.accuracy(0.5), block.auc(), block.eer(), block.threshold_at_fmr(0.1),
        block.best_f1_threshold(), block.fnmr_at_fmr(0.1),
    ):  # fmt: skip
        assert np.isnan(values).tolist() == [True, True, True, False]
    assert np.isnan(block.fmr(0.5)).tolist() == [False, True, True, False]
    assert np.isnan(block.fnmr(0.5)).tolist() == [True, False, True, False]


def test_pairs_that_contradict_themselves_are_refused() -> None:
    good: dict[str, Any] = {"scores": [0.9, 0.1], "same": [True, False], "first": [0, 0], "second": [0, 1]}
    cases: list[tuple[dict[str, Any], str]] = [
        ({"first": [0]}, r"shapes \(1,\) and \(2,\)"),
        ({"first": [0.0, 0.0]}, "integers"),
        ({"second": [1, 1]}, "pair 1 is a genuine pair of two people"),
        ({"second": [0, 0]}, "pair 2 is an impostor pair of one person"),
        ({"weights": [1.0]}, "as many finite numbers"),
        ({"weights": [1.0, -1.0]}, "negative"),
        ({"weights": [1.0, math.nan]}, "finite"),
        ({"weights": [0.0, 1.0]}, "zero"),
        ({"same": [True, True]}, "no impostor pairs"),
    ]
    for change, message in cases:
        with pytest.raises(UsageError, match=message):
            Pairs(**{**good, **change})
