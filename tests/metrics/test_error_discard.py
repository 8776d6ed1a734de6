"""Error versus discard, against a twin that leaves out photos one by one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from facealike.errors import UsageError
from facealike.metrics.error_discard import ErrorDiscard, error_discard


def drawn(seed: int, levels: int = 8) -> dict[str, Any]:
    """Genuine pairs of 30 people with three photos each, of few distinct qualities; poor photos score low."""
    rng = np.random.default_rng(seed)
    people = np.repeat(np.arange(30), 3)
    quality = rng.integers(0, levels, 90) / levels
    first, second = (np.concatenate([3 * np.arange(30) + k for k in side]) for side in ((0, 0, 1), (1, 2, 2)))
    scores = 0.3 + 0.6 * np.minimum(quality[first], quality[second]) + rng.normal(0, 0.25, 90)
    return {"scores": scores, "first": first, "second": second, "quality": quality, "people": people}


def slow(data: dict[str, Any], threshold: float) -> list[tuple[float, float]]:
    """Return (share left out, FNMR) by trying every distinct quality, in plain Python."""
    photos = sorted({*data["first"].tolist(), *data["second"].tolist()})
    quality, found = data["quality"].tolist(), []
    for lowest in sorted({quality[photo] for photo in photos}):
        kept = {photo for photo in photos if quality[photo] >= lowest}
        made = [
            score
            for score, a, b in zip(data["scores"], data["first"], data["second"], strict=True)
            if a in kept and b in kept
        ]
        wrong = sum(score < threshold for score in made)
        found.append((1 - len(kept) / len(photos), wrong / len(made) if made else math.nan))
    return found


@pytest.mark.parametrize("seed", range(5))
def test_the_curve_is_that_of_leaving_out_photos_one_by_one(seed: int) -> None:
    data = drawn(seed)
    curve, twin = error_discard(**data, threshold=0.5), slow(data, 0.5)
    assert_allclose(curve.discarded, [share for share, _ in twin], atol=1e-12)
    assert_allclose(curve.fnmr, [rate for _, rate in twin])
    for share in (0.0, 0.05, 0.13, 0.4, 1.0):
        assert_allclose(curve.fnmr_at(share), [rate for at, rate in twin if at <= share + 1e-12][-1])
    fine = np.linspace(0, curve.limit, 200_001)[:-1]
    assert curve.partial_area == pytest.approx(
        np.mean([curve.fnmr_at(x) for x in fine[::50]]) * 0.2, abs=2e-4
    )


def test_the_order_of_photos_of_one_quality_does_not_matter() -> None:
    data, order = drawn(7), np.random.default_rng(1).permutation(90)
    turned = {name: data[name][order] for name in ("quality", "people")}
    place = np.argsort(order)
    shuffled = error_discard(
        data["scores"], place[data["first"]], place[data["second"]], **turned, threshold=0.5
    )
    assert_allclose(shuffled.fnmr, error_discard(**data, threshold=0.5).fnmr)


def test_a_photo_in_no_pair_does_not_count() -> None:
    data = drawn(3)
    more = {**data, "quality": np.append(data["quality"], -1.0), "people": np.append(data["people"], 99)}
    assert error_discard(**more, threshold=0.5).discarded.tolist() == (
        error_discard(**data, threshold=0.5).discarded.tolist()
    )


def test_the_relative_area_tells_a_good_quality_from_a_useless_one() -> None:
    rng = np.random.default_rng(0)
    scores, first, second = np.ones(1000), np.arange(1000), np.arange(1000, 2000)
    scores[:50] = 0
    good = np.ones(2000) + rng.uniform(0, 1, 2000)
    good[:50] = 0.0
    people = np.tile(np.arange(1000), 2)
    best = error_discard(scores, first, second, good, 0.5, people).relative_area
    assert best.estimate == pytest.approx(0.025 / 0.2), "all errors leave with the first 2.5 % of the photos"
    assert best.high < 0.2
    useless = error_discard(scores, first, second, rng.uniform(0, 1, 2000), 0.5, people).relative_area
    assert useless.low < 1 < useless.high
    worst = error_discard(scores, first, second, -good, 0.5, people).relative_area
    assert worst.low > 1


def test_intervals_are_from_people_and_missing_where_nothing_tells() -> None:
    data = drawn(2)
    curve = error_discard(**data, threshold=0.5)
    assert curve.people_rejected == len({int(a) // 3 for a in data["first"][data["scores"] < 0.5]})
    for rate in curve.rates.values():
        assert not rate.estimate > 0 or rate.low <= rate.estimate <= rate.high
    unknown = error_discard(**{**data, "people": None}, threshold=0.5)
    assert unknown.people_rejected is None and math.isnan(unknown.relative_area.low)
    assert unknown.relative_area.estimate == curve.relative_area.estimate
    flawless = error_discard(**data, threshold=-9)
    assert math.isnan(flawless.relative_area.estimate) and math.isnan(flawless.rates[0.0].high)
    assert "too few errors" in str(flawless)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"scores": []}, "a pair at least"),
        ({"first": [0]}, "two photos a pair"),
        ({"quality": [0.5]}, "indices into the 1 qualities"),
        ({"quality": [math.nan] * 90}, "finite"),
        ({"people": np.arange(90)}, "genuine pairs"),
        ({"limit": 0.0}, "above 0"),
        ({"threshold": math.nan}, "finite"),
    ],
)
def test_what_makes_no_sense_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        error_discard(**{**drawn(0), "threshold": 0.5, **change})


def test_the_arrays_are_read_only() -> None:
    curve: ErrorDiscard = error_discard(**drawn(0), threshold=0.5)
    with pytest.raises(ValueError, match="read-only"):
        curve.fnmr[0] = 0
