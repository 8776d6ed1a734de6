"""All pairs in tiles against all pairs in a loop, and their intervals against those of listed pairs."""

from __future__ import annotations

import json
import math
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from facealike.errors import UsageError
from facealike.metrics import verification as metrics
from facealike.metrics.all_pairs import Exhaustive, exhaustive
from facealike.metrics.bootstrap import pair_intervals, roc_band
from facealike.metrics.score_histogram import COARSE_EDGES, FINE_EDGES, count_pairs, fine_bin


def people(seed: int, count: int, each: int = 4, scatter: float = 0.8, d: int = 6) -> tuple[Any, Any]:
    """Embeddings (n, d) float32 and labels (n,), shuffled, of people with 1 to ``each`` photos."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(count) * 3 + 7, rng.integers(1, each + 1, count))
    labels = np.concatenate([labels, labels[:1], labels[:1]])  # at least one person with several
    centres = rng.normal(size=(3 * count + 7, d))
    rows = centres[labels] + scatter * rng.normal(size=(len(labels), d))
    order = rng.permutation(len(labels))
    return rows[order].astype(np.float32), labels[order]


def looped(rows: NDArray[Any], labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """The score, the truth and the two people of every pair, one pair after the other."""
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    scores, same, sides = [], [], []
    for i in range(len(rows)):
        for j in range(i + 1, len(rows)):
            scores.append(np.dot(unit[i], unit[j]))
            same.append(labels[i] == labels[j])
            sides.append((labels[i], labels[j]))
    return np.array(scores, dtype=np.float32), np.array(same), np.array(sides)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.sampled_from([1, 3, 7, 1024]))
def test_every_pair_is_counted_once(seed: int, count: int, block: int) -> None:
    rows, labels = people(seed, count)
    counted = count_pairs(rows, labels, block)
    scores, same, sides = looped(rows, labels)
    np.testing.assert_allclose(counted.genuine, np.sort(scores[same]), atol=1e-6)
    assert counted.impostor.sum() == np.sum(~same)
    # A score on an edge may fall to either side by its last digit: compare cumulative counts.
    for edge in FINE_EDGES[:: 1 << 12]:
        at_least = counted.impostor[edge <= FINE_EDGES].sum()
        assert np.sum(scores[~same] >= edge + 1e-6) <= at_least <= np.sum(scores[~same] >= edge - 1e-6)
    names = np.unique(labels)
    for number, name in enumerate(names):
        mine = ~same & (sides == name).any(axis=1)
        assert counted.impostor_of[number].sum() == mine.sum()
        above = counted.impostor_of[number][COARSE_EDGES >= 0.25].sum()
        assert np.sum(scores[mine] >= 0.25 + 1e-6) <= above <= np.sum(scores[mine] >= 0.25 - 1e-6)
        assert np.sum(counted.genuine_person == number) == np.sum(same & (sides[:, 0] == name))
    assert counted.people == len(names) and counted.images == len(labels)


def test_edges_are_exact() -> None:
    edges = FINE_EDGES.astype(np.float32)
    np.testing.assert_array_equal(fine_bin(edges), np.arange(len(edges)))
    below = np.nextafter(edges[1:], np.float32(-2))
    np.testing.assert_array_equal(fine_bin(below), np.arange(len(edges) - 1))
    assert fine_bin(np.array([-1.5, 1.0000001], dtype=np.float32)).tolist() == [0, len(edges) - 1]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(3, 12))
def test_figures_are_those_of_listed_pairs(seed: int, count: int) -> None:
    rows, labels = people(seed, count)
    found = exhaustive(rows, labels, block=5)
    scores, same, _ = looped(rows, labels)
    bin_width = FINE_EDGES[1] - FINE_EDGES[0]
    near = max(1, int(np.sum(np.diff(np.sort(scores)) < 2 * bin_width)))  # pairs that may share a bin
    one = near / min(found.genuine, found.impostor)
    assert (found.genuine, found.impostor) == (same.sum(), (~same).sum())
    assert found.auc == pytest.approx(metrics.auc(scores, same), abs=one)
    assert found.eer == pytest.approx(metrics.eer(scores, same)[0], abs=2 * one)
    for limit in (0.0, 0.05, 0.3, 1.0):
        threshold = found.threshold_at_fmr(limit, supported=False)
        assert found.fmr_at(threshold) <= limit
        assert found.fmr_at(threshold) == pytest.approx(
            metrics.confusion(scores + 1e-7, same, threshold).fmr, abs=one
        )
        assert found.fnmr_at_fmr(limit, supported=False) == found.fnmr_at(threshold)
        if threshold > -1:
            assert found.fmr_at(threshold - 1.5 * bin_width) > limit
        assert found.fnmr_at(threshold) == pytest.approx(
            metrics.roc(scores, same).fnmr_at_fmr(limit, supported=False), abs=one
        )
    for threshold in (-0.3, 0.0, 0.401):
        exact = metrics.confusion(scores, same, threshold)
        assert found.fnmr_at(threshold) == pytest.approx(exact.fnmr, abs=1 / found.genuine)
        assert exact.fmr - 1e-12 <= found.fmr_at(threshold) + one
        assert found.fmr_at(threshold) == pytest.approx(exact.fmr, abs=one)


def test_thresholds_at_the_ends() -> None:
    rows, labels = people(0, 8)
    found = exhaustive(rows, labels)
    assert (found.fmr_at(-1.0), found.fnmr_at(-1.0)) == (1.0, 0.0)
    assert (found.fmr_at(-math.inf), found.fmr_at(math.inf)) == (1.0, 0.0)
    assert found.fnmr_at(1.1) == 1.0
    same = exhaustive(np.eye(3)[[0, 0, 0, 0]], [0, 0, 1, 1])  # every score is 1
    assert same.threshold_at_fmr(0.5, supported=False) > 1
    assert same.fnmr_at_fmr(0.5, supported=False) == 1.0
    assert same.fmr_at(1.0) == 1.0
    assert same.auc == 0.5
    with pytest.raises(UsageError, match="NaN"):
        found.fmr_at(math.nan)


def test_the_curve() -> None:
    rows, labels = people(1, 60, each=6)
    found = exhaustive(rows, labels)
    curve = found.roc(200)
    assert (curve.fmr[0], curve.tmr[0], curve.thresholds[0]) == (0.0, 0.0, math.inf)
    assert (curve.fmr[-1], curve.tmr[-1]) == (1.0, 1.0)
    assert (np.diff(curve.fmr) >= 0).all() and (np.diff(curve.thresholds) < 0).all()
    assert curve.impostors == found.impostor
    for fmr, fnmr, threshold in zip(curve.fmr, curve.fnmr, curve.thresholds, strict=True):
        assert fmr == found.fmr_at(threshold)
        assert fnmr == pytest.approx(found.fnmr_at(threshold), abs=1e-12)
    assert curve.auc == pytest.approx(found.auc, abs=0.01)


def test_more_is_asked_than_there_is() -> None:
    rows, labels = people(1, 20)
    found = exhaustive(rows, labels)
    with pytest.raises(UsageError, match="cannot be measured"):
        found.threshold_at_fmr(1e-6)
    with pytest.raises(UsageError, match="cannot be measured"):
        found.intervals(fmrs=[1e-6])


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_intervals_are_those_of_listed_pairs(method: Any) -> None:
    rows, labels = people(2, 60, each=5)
    found = exhaustive(rows, labels).intervals(fmrs=[0.1, 0.01], threshold=0.3, method=method)
    scores, same, sides = looped(rows, labels)
    listed = pair_intervals(
        scores, same, sides[:, 0], sides[:, 1], 0.3, fmrs=[0.1, 0.01], method=method
    )  # fmt: skip
    for name in ("auc", "eer", "fnmr@0.1", "fnmr@0.01", "fmr", "fnmr"):
        mine, theirs = found[name], listed[name]
        assert mine.method == theirs.method
        width = theirs.high - theirs.low
        assert mine.estimate == pytest.approx(theirs.estimate, abs=0.005), name
        assert mine.low == pytest.approx(theirs.low, abs=0.2 * width), name
        assert mine.high == pytest.approx(theirs.high, abs=0.2 * width), name
    at = found["fmr@0.01"]
    assert at.low < at.estimate <= 0.01 < at.high


def test_band_is_that_of_listed_pairs() -> None:
    rows, labels = people(3, 50, each=5)
    found = exhaustive(rows, labels).roc_band([0.02, 0.2, 1.0])
    scores, same, sides = looped(rows, labels)
    listed = roc_band(scores, same, sides[:, 0], sides[:, 1], [0.02, 0.2, 1.0])
    np.testing.assert_allclose(found.tmr, listed.tmr, atol=0.01)
    np.testing.assert_allclose(found.low, listed.low, atol=0.03)
    np.testing.assert_allclose(found.high, listed.high, atol=0.03)


def test_results_tell_themselves() -> None:
    rows, labels = people(4, 30)
    found = exhaustive(rows, labels, name="somebody")
    assert isinstance(found, Exhaustive)
    text = str(found)
    assert text.startswith("somebody: AUC 0.") and "at FMR 0.1" in text and f"{found.impostor:,}" in text
    data = json.loads(json.dumps(found.to_dict(intervals=True), allow_nan=False))
    assert data["fnmr_at_fmr"]["0.1"] == pytest.approx(found.fnmr_at_fmr(0.1), abs=1e-6)
    assert data["intervals"]["auc"]["low"] < data["auc"] < data["intervals"]["auc"]["high"]
    assert "intervals" not in found.to_dict()
    axes = pytest.importorskip("matplotlib.figure").Figure().subplots()
    assert found.plot(axes) is axes and "AUC" in axes.get_title()


def test_progress_counts_tiles_and_memory_stays_small() -> None:
    rng = np.random.default_rng(0)
    rows, labels = rng.normal(size=(3000, 8)).astype(np.float32), np.arange(3000) // 3
    seen: list[tuple[int, int]] = []
    tracemalloc.start()
    counted = exhaustive(rows, labels, block=256, progress=lambda done, total: seen.append((done, total)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seen == [(done, 78) for done in range(1, 79)]
    assert (counted.genuine, counted.impostor) == (3000, 3000 * 2999 // 2 - 3000)
    assert peak < 3000 * 3000 * 4 / 2, "half of all scores would be more"


def test_bad_input_is_one_sentence() -> None:
    rows = np.eye(4, dtype=np.float32)
    cases: list[tuple[Any, Any, str]] = [
        (rows, [0, 1], r"\(4, 4\) and \(2,\)"),
        (rows[0], [0, 0, 1, 1], "shapes"),
        (np.zeros((0, 4)), [], "shapes"),
        (rows * 0, [0, 0, 1, 1], "4 of 4 embeddings are zero"),
        (rows * np.nan, [0, 0, 1, 1], "not finite"),
        (rows, [0, 0, 0, 0], "at least two people"),
        (rows, [0, 1, 2, 3], "one person with two photos"),
    ]
    for embeddings, labels, message in cases:
        with pytest.raises(UsageError, match=message):
            exhaustive(embeddings, labels)
