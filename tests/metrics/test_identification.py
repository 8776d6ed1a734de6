"""Searches against loops over the gallery, and intervals that follow the people searched."""

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
from facealike.metrics.gallery_split import draw_identification
from facealike.metrics.identification import (
    Identification,
    OpenSet,
    closed_set,
    open_set,
)


class Case:
    """A gallery of several photos a person, mated probes and strangers; many equal scores."""

    def __init__(self, seed: int, ties: bool = True) -> None:
        rng = np.random.default_rng(seed)
        enrolled = int(rng.integers(1, 6))
        self.gallery_labels = np.concatenate(
            [np.arange(enrolled), rng.integers(0, enrolled, int(rng.integers(0, 6)))]
        )
        self.probe_labels = rng.integers(0, enrolled, int(rng.integers(1, 12)))
        self.stranger_labels = 100 + rng.integers(0, 4, int(rng.integers(1, 12)))
        self.gallery, self.probes, self.strangers = (
            self.vectors(rng, len(labels), ties)
            for labels in (self.gallery_labels, self.probe_labels, self.stranger_labels)
        )

    @staticmethod
    def vectors(rng: np.random.Generator, count: int, ties: bool) -> NDArray[np.float32]:
        if ties:  # of few directions, whose products are exact
            return np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 0, 0]], dtype=np.float32)[
                rng.integers(0, 4, count)
            ]
        return rng.normal(size=(count, 3)).astype(np.float32)

    def searched(self, probe: NDArray[np.float32]) -> dict[int, float]:
        """The best score of each enrolled person, photo by photo."""
        best: dict[int, float] = {}
        for photo, label in zip(self.gallery, self.gallery_labels, strict=True):
            score = float(np.dot(photo, probe) / np.linalg.norm(photo) / np.linalg.norm(probe))
            best[int(label)] = max(best.get(int(label), -2.0), score)
        return best

    def closed(self, block: int = 1024) -> Identification:
        return closed_set(self.gallery, self.gallery_labels, self.probes, self.probe_labels, block)

    def open(self, block: int = 1024) -> OpenSet:
        return open_set(
            self.gallery, self.gallery_labels, self.probes, self.probe_labels, self.strangers,
            self.stranger_labels, block,
        )  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.sampled_from([1, 3, 1024]))
def test_ranks_are_those_of_a_loop(seed: int, ties: bool, block: int) -> None:
    case = Case(seed, ties)
    found = case.closed(block)
    expected = []
    for probe, label in zip(case.probes, case.probe_labels, strict=True):
        best = case.searched(probe)
        own = best.pop(int(label))
        expected.append(1 + sum(score >= own for score in best.values()))
    assert found.ranks.tolist() == expected
    assert found.rank1 == np.mean(np.array(expected) == 1)
    cmc = found.cmc()
    assert len(cmc) == found.gallery_people == len(set(case.gallery_labels.tolist()))
    for rank, share in enumerate(cmc, start=1):
        assert share == np.mean(np.array(expected) <= rank)
    assert cmc[-1] == 1.0
    assert found.cmc([2]).tolist() == [np.mean(np.array(expected) <= 2)]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.sampled_from([2, 1024]))
def test_error_rates_are_those_of_a_loop(seed: int, ties: bool, block: int) -> None:
    case = Case(seed, ties)
    found = case.open(block)
    for threshold in (-0.5, 0.0, 0.4, 1.0, 1.5):
        threshold = threshold + 1e-4 * (not ties)
        misses = 0
        for probe, label in zip(case.probes, case.probe_labels, strict=True):
            best = case.searched(probe)
            own = best.pop(int(label))
            misses += not (own >= threshold and all(own > other for other in best.values()))
        alarms = sum(max(case.searched(probe).values()) >= threshold for probe in case.strangers)
        assert found.fnir_at(threshold) == misses / len(case.probes)
        assert fpir(found, threshold) == alarms / len(case.strangers)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.sampled_from([0.0, 0.1, 0.34, 0.5, 1.0]))
def test_threshold_at_fpir_is_the_lowest_that_keeps_it(seed: int, ties: bool, limit: float) -> None:
    found = Case(seed, ties).open()
    threshold = found.threshold_at_fpir(limit, supported=False)
    assert fpir(found, threshold) <= limit
    assert found.fnir_at_fpir(limit, supported=False) == found.fnir_at(threshold)
    rejected = found.non_mated[found.non_mated < threshold]
    if len(rejected):
        assert fpir(found, float(rejected.max())) > limit
    alarms, misses, thresholds = found.curve()
    for a, b, cut in zip(alarms, misses, thresholds, strict=True):
        assert (a, b) == pytest.approx((fpir(found, cut), found.fnir_at(cut)))
    assert misses[alarms <= limit].min() == pytest.approx(found.fnir_at(threshold))


def fpir(found: OpenSet, threshold: float) -> float:
    """The share of searches of strangers that return anybody, counted one by one."""
    return sum(score >= threshold for score in found.non_mated.tolist()) / len(found.non_mated)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_intervals_estimate_what_the_rates_say_at_every_fpir(seed: int, ties: bool) -> None:
    """Issue 19 A7: at FPIR 1 a person who does not come first is still missed."""
    found = Case(seed, ties).open()
    count = len(found.non_mated)
    for limit in (1.0, *(k / count for k in range(3, count))) if count >= 3 else ():
        told = found.intervals(fpirs=[limit], resamples=3)[f"fnir@{limit:g}"]
        assert told.estimate == pytest.approx(found.fnir_at_fpir(limit))


def test_at_fpir_1_who_does_not_come_first_is_missed() -> None:
    """Issue 19 A7: one of four probes finds another person; FNIR was 0 instead of 0.25."""
    rows = np.eye(8)
    probes = rows[[0, 1, 2, 0]]
    opened = open_set(rows[:4], np.arange(4), probes, np.arange(4), rows[4:], np.arange(4, 8))
    assert opened.fnir_at_fpir(1.0) == 0.25
    assert opened.intervals(fpirs=[1.0], resamples=20)["fnir@1"].estimate == 0.25


def test_plain_searches() -> None:
    gallery, names = np.eye(3), np.array(["ada", "bob", "eve"])
    probes = np.array([[1.0, 0.1, 0.0], [0.9, 1.0, 0.0], [1.0, 0.0, 0.5]])
    found = closed_set(gallery, names, probes, np.array(["ada", "bob", "eve"]))
    assert found.ranks.tolist() == [1, 1, 2]
    tie = closed_set(gallery, names, np.array([[1.0, 1.0, 0.0]]), np.array(["ada"]))
    assert tie.ranks.tolist() == [2]  # as good as somebody else is not first
    strangers = open_set(gallery, names, probes, np.array(["ada", "bob", "eve"]), [[1, 1, 1]], ["zoe"])
    assert strangers.mated[2] == -math.inf
    assert strangers.non_mated[0] == pytest.approx(1 / math.sqrt(3))


# ---- drawing --------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(4, 30), st.sampled_from([0.3, 0.5, 0.8]))
def test_sets_are_what_they_are_called(seed: int, people: int, enrolled: float) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(people) * 2, rng.choice([1, 1, 2, 5], people)))
    labels = np.concatenate([labels, [900, 900, 901, 901, 902, 902, 903, 903]])
    sets = draw_identification(labels, seed, enrolled)
    assert np.array_equal(np.sort(np.concatenate(sets)), np.arange(len(labels)))
    gallery, mated, strangers = (labels[each] for each in sets)
    assert len(np.unique(gallery)) == len(gallery)
    assert np.isin(mated, gallery).all()
    assert not np.isin(strangers, gallery).any()
    assert len(gallery) == pytest.approx(enrolled * len(np.unique(labels)), abs=1.01)
    again = draw_identification(labels, seed, enrolled)
    assert all(np.array_equal(a, b) for a, b in zip(sets, again, strict=True))


def test_a_draw_depends_on_the_seed_and_takes_any_photo() -> None:
    labels = np.repeat(np.arange(40), 5)
    drawn = [draw_identification(labels, seed).gallery for seed in range(30)]
    assert len({tuple(each) for each in drawn}) == 30
    assert set(np.concatenate(drawn) % 5) == {0, 1, 2, 3, 4}


def test_sets_that_would_be_empty_are_refused() -> None:
    for labels in (np.arange(10), np.array([0, 0, 0]), np.array([0, 0, 1])):
        with pytest.raises(UsageError, match="at least four people"):
            draw_identification(labels, 0)
    with pytest.raises(UsageError, match="share"):
        draw_identification(np.array([0, 0, 1, 1]), 0, enrolled=1.0)


# ---- intervals ------------------------------------------------------------------------------------


def searches(seed: int, people: int = 200) -> tuple[Identification, OpenSet]:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(2 * people, 8))
    labels = np.repeat(np.arange(2 * people), rng.choice([2, 3, 8], 2 * people))
    rows = centres[labels] + 0.7 * rng.normal(size=(len(labels), 8))
    sets = draw_identification(labels, seed)
    arguments: list[Any] = []
    for each in sets:
        arguments += [rows[each], labels[each]]
    return closed_set(*arguments[:4]), open_set(*arguments)


def test_estimates_are_the_plain_figures() -> None:
    closed, opened = searches(0)
    found = closed.intervals(ranks=(1, 20), resamples=200)
    assert list(found) == ["rank1", "rank20"]
    assert found["rank1"].estimate == closed.rank1
    assert found["rank20"].estimate == closed.cmc([20])[0]
    rates = opened.intervals(fpirs=[0.3, 0.1, 0.01], resamples=200)
    for fpir in (0.3, 0.1, 0.01):
        assert rates[f"fnir@{fpir:g}"].estimate == pytest.approx(opened.fnir_at_fpir(fpir))
    for interval in [*found.values(), *rates.values()]:
        assert interval.low < interval.estimate < interval.high
    assert set(opened.intervals(resamples=20)) == {"fnir@0.1", "fnir@0.01"}


def test_interval_of_rank_1_has_the_variance_of_clusters() -> None:
    closed, _ = searches(1)
    hits, names = (closed.ranks == 1).astype(float), closed.people
    variance = sum(np.sum(hits[names == name] - hits.mean()) ** 2 for name in np.unique(names))
    share = hits.mean()
    deviation = math.sqrt(variance) / len(hits) / (share * (1 - share))
    found = closed.intervals(ranks=[1], resamples=3000)["rank1"]
    width = np.diff([math.log(v / (1 - v)) for v in (found.low, found.high)])[0]
    assert width == pytest.approx(2 * 1.98 * deviation, rel=0.06)


def test_a_small_fpir_needs_many_strangers() -> None:
    _, opened = searches(2, people=40)
    with pytest.raises(UsageError, match="searches of people who are not enrolled: the rule of 3"):
        opened.fnir_at_fpir(0.001)
    with pytest.raises(UsageError, match="cannot be measured"):
        opened.intervals(fpirs=[0.001])


def test_results_tell_themselves() -> None:
    closed, opened = searches(3)
    data = json.loads(json.dumps([closed.to_dict(), opened.to_dict()], allow_nan=False))
    assert data[0]["cmc"]["1"] == pytest.approx(closed.rank1, abs=1e-6)
    assert data[1]["fnir_at_fpir"]["0.1"] == pytest.approx(opened.fnir_at_fpir(0.1), abs=1e-6)
    assert str(closed).startswith(f"rank 1: {closed.rank1:.3f}")
    assert "at FPIR 10 %" in str(opened)
    figure = pytest.importorskip("matplotlib.figure")
    for each in (closed, opened):
        axes = figure.Figure().subplots()
        assert each.plot(axes) is axes and axes.get_xscale() == "log"


def test_searches_that_make_no_sense_are_refused() -> None:
    rows = np.eye(4)
    names = np.array([0, 1, 2, 3])
    with pytest.raises(UsageError, match="1 of 1 probes show people who are not in the gallery"):
        closed_set(rows[:2], names[:2], rows[2:3], names[2:3])
    with pytest.raises(UsageError, match="non-mated probes are enrolled"):
        open_set(rows, names, rows[:1], names[:1], rows[1:2], names[1:2])
    with pytest.raises(UsageError, match="3 dimensions"):
        closed_set(rows, names, rows[:, :3][:1], names[:1])
    with pytest.raises(UsageError, match="shapes"):
        closed_set(rows, names[:2], rows, names)
