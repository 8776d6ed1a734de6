"""Groups against loops over their pairs, small groups refused, and what is told of both."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from facealike.errors import UsageError
from facealike.metrics.bootstrap import Interval
from facealike.metrics.demographic_groups import Point
from facealike.metrics.demographic_rates import group_rates
from facealike.metrics.demographic_tables import group_order, group_rate
from facealike.metrics.demographics import GroupEvaluation, threshold_for_worst_group
from facealike.metrics.score_histogram import FINE_EDGES

POINTS = (Point(0.5, 0.1, "the model"), Point(0.8, 0.01, "the calibration"))
COUNT = 260


def synthetic(seed: int = 0) -> tuple[Any, Any, dict[str, list[str]]]:
    """Photos whose likeness is stronger in some groups; "tiny" has four, three of them with a face."""
    rng = np.random.default_rng(seed)
    kind = np.array(["plain", "alike", "odd"])[rng.integers(0, 3, COUNT)]
    kind[:4] = "tiny"
    age = np.array(["3-9", "10-19", "more than 70"])[rng.integers(0, 3, COUNT)]
    pull = {"plain": 0.3, "alike": 1.5, "odd": 0.8, "tiny": 1.0}
    vectors = rng.normal(size=(COUNT, 8))
    vectors[:, 0] += [pull[each] for each in kind]
    found = rng.random(COUNT) > np.where(kind == "odd", 0.2, 0.02)
    found[:4] = [True, True, True, False]
    return vectors.astype(np.float32), found, {"race": kind.tolist(), "age": age.tolist()}


def evaluated(person: Any = None, points: tuple[Point, ...] = POINTS, **changes: Any) -> GroupEvaluation:
    vectors, found, columns = synthetic()
    owner = np.arange(COUNT) if person is None else person
    rates = group_rates(vectors, found, owner, columns, points, resamples=60, block=50)
    return replace(rates, **changes)


@pytest.fixture(scope="module")
def result() -> GroupEvaluation:
    return evaluated(name="a list", detector="a test")


def looped(person: Any, wanted: dict[str, str]) -> tuple[list[float], int, int]:
    """The scores of all impostor pairs of the photos in that group, its photos, and those without a face."""
    vectors, found, columns = synthetic()
    mine = [i for i in range(COUNT) if all(columns[name][i] == value for name, value in wanted.items())]
    there = [i for i in mine if found[i]]
    scores = []
    for i, j in itertools.combinations(there, 2):
        if person[i] != person[j]:
            a, b = vectors[i].astype(np.float64), vectors[j].astype(np.float64)
            scores.append(float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)))
    return scores, len(mine), len(mine) - len(there)


@pytest.mark.parametrize("persons", [None, np.arange(COUNT) // 3])
def test_every_group_is_that_of_a_loop(persons: Any) -> None:
    person = np.arange(COUNT) if persons is None else persons
    result = evaluated(persons)
    refused = [any(rate is None for rate in group.rates) for group in result.groups]
    assert any(refused) and not all(refused)
    assert result.levels == (("race",), ("age",), ("race", "age"))
    assert [len(result.at(level)) for level in result.levels[:2]] == [4, 3]
    for group in result.groups:
        wanted = dict(zip(group.columns, group.values, strict=True))
        scores, photos, missing = looped(person, wanted)
        assert (group.pairs, group.photos, group.missing) == (len(scores), photos, missing)
        for point, rate in zip(POINTS, group.rates, strict=True):
            if group.columns and ((point.target or 0) * len(scores) < 3 or group.people < 30):
                assert rate is None
            else:
                assert rate is not None and rate.estimate == pytest.approx(
                    np.mean(np.array(scores) >= point.threshold)
                )
                assert rate.low <= rate.estimate <= rate.high


def test_small_groups_are_refused(result: GroupEvaluation) -> None:
    tiny = next(group for group in result.at(["race"]) if group.name == "tiny")
    assert (tiny.photos, tiny.missing, tiny.pairs) == (4, 1, 3)
    assert tiny.rates == (None, None)
    spread = result.disparity(["race"])
    assert spread is not None and (spread.measured, spread.refused) == (3, 1)
    assert "too small" in result.to_markdown()


def test_worst_and_best_are_found(result: GroupEvaluation) -> None:
    spread = result.disparity(["race"])
    assert spread is not None
    rates = {
        group.name: group.rates[0].estimate for group in result.at(["race"]) if group.rates[0] is not None
    }
    assert (spread.worst.name, spread.best.name) == ("alike", "plain")
    assert spread.max_min_ratio == pytest.approx(rates["alike"] / rates["plain"])
    assert spread.max_target_ratio == pytest.approx(rates["alike"] / 0.1)
    mean = (rates["alike"] * rates["plain"] * rates["odd"]) ** (1 / 3)
    assert spread.max_mean_ratio == pytest.approx(rates["alike"] / mean)
    everything = result.disparity()
    assert everything is not None and everything.worst_fmr.estimate >= spread.worst_fmr.estimate
    with pytest.raises(UsageError, match=r"no groups by hair; those there are: race, age, race x age"):
        result.disparity(["hair"])


def test_a_best_group_without_errors_gives_no_ratio() -> None:
    result = evaluated(points=(Point(0.97, 0.01, "the caller"),))
    spread = result.disparity(["race"])
    assert spread is not None and spread.best_fmr.estimate == 0
    assert spread.max_min_ratio is None and spread.max_mean_ratio is None
    json.dumps(result.to_dict(), allow_nan=False)


def test_the_threshold_keeps_the_fmr_in_every_group(result: GroupEvaluation) -> None:
    for columns in (None, ["race"], ["race", "age"]):
        worst = result.threshold_for_worst_group(0.05, columns, resamples=50)
        cut = worst.threshold.estimate
        among = [g for g in result.groups if g.columns] if columns is None else result.at(columns)
        able = [group for group in among if group.pairs * 0.05 >= 3 and group.people >= 30]
        assert worst.measured == len(able) and set(worst.refused) == {g.name for g in among} - {
            g.name for g in able
        }
        rates = {group.name: group.impostors.fmr_at(cut) for group in able}
        assert max(rates.values()) <= 0.05
        # One bin lower it would not.
        lower = {group.name: group.impostors.fmr_at(cut - 1.5 / 32768) for group in able}
        assert lower[worst.group] > 0.05
        assert worst.threshold.low <= cut <= worst.threshold.high
        assert worst.group in str(worst)
    with pytest.raises(UsageError, match="1e-06 cannot be measured"):
        result.threshold_for_worst_group(1e-6)


def test_the_threshold_for_the_worst_group_against_a_loop() -> None:
    rng = np.random.default_rng(4)
    kind = ["a"] * 35 + ["b"] * 40 + ["c"] * 29
    rows = (
        rng.normal(size=(len(kind), 5))
        + np.array([{"a": 0.2, "b": 0.9, "c": 3.0}[each] for each in kind])[:, None]
    )
    result = group_rates(rows, np.ones(len(kind)), np.arange(len(kind)), {"kind": kind}, POINTS, resamples=20)
    threshold, deciding, refused = threshold_for_worst_group(result.at(["kind"]), 0.02)
    assert (deciding, refused) == (1, (2,))  # of 29 people nothing is told
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    scores = [
        [float(a @ b) for a, b in itertools.combinations(unit[np.array(kind) == each], 2)] for each in "ab"
    ]
    # One more pair than allowed lies at or above that score: the threshold is just above it.
    limits = [sorted(own, reverse=True)[int(0.02 * len(own))] for own in scores]
    lowest = float(FINE_EDGES[max(limits) < FINE_EDGES][0])
    assert threshold == pytest.approx(lowest, abs=1e-4)
    with pytest.raises(UsageError, match="no group has 30 people"):
        threshold_for_worst_group(result.at(["kind"])[2:], 0.02)


def test_without_a_stated_fmr_that_of_everybody_says_who_is_too_small() -> None:
    result = evaluated(points=(Point(0.8, None, "the caller"),))
    rate = result.overall.rates[0]
    assert rate is not None
    for group in result.groups[1:]:
        assert (group.rates[0] is None) == (group.pairs * rate.estimate < 3 or group.people < 30)


def test_photos_without_a_face_are_told(result: GroupEvaluation) -> None:
    odd = next(group for group in result.at(["race"]) if group.name == "odd")
    share = odd.not_found
    assert share.estimate == odd.missing / odd.photos > 0.1 and share.low < share.estimate < share.high


def test_what_is_told_is_whole(result: GroupEvaluation) -> None:
    table = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert table["protocol"] == "groups" and table["detector"] == "a test" and table["upper_bounds"] is True
    assert len(table["groups"]) == len(result.groups)
    assert table["groups"][1]["group"] == {"race": "alike"}
    card = json.loads(json.dumps(result.for_card(), allow_nan=False))
    assert set(card["fmr"]) == {"race", "age"} and card["fmr"]["race"]["tiny"] is None
    assert (
        card["fmr"]["race"]["alike"][1] <= card["fmr"]["race"]["alike"][0] <= card["fmr"]["race"]["alike"][2]
    )
    assert card["spread"]["race"]["worst"] == "alike" and card["stated_fmr"] == 0.1
    text = str(result)
    assert "alike" in text and "a test" in text and "upper bounds" in text
    assert "upper bounds" not in str(evaluated(named=True))


def test_the_markdown_names_every_group_once_a_level(result: GroupEvaluation) -> None:
    text = result.to_markdown()
    for level in result.levels:
        assert f"### By {' x '.join(level)}" in text
        section = text.split(f"### By {' x '.join(level)}\n")[1].split("###")[0]
        for group in result.at(level):
            assert section.count(f"| {group.name} |") == 1


def test_three_columns_have_the_last_one_across() -> None:
    vectors, found, columns = synthetic()
    columns = {"gender": ["Male", "Female"] * (COUNT // 2), **columns}
    result = group_rates(vectors, found, np.arange(COUNT), columns, POINTS, resamples=20)
    section = result.to_markdown().split("### By gender x race x age\n")[1]
    assert "| gender, race | 3-9 | 10-19 | more than 70 |" in section
    rows = [line for line in section.splitlines() if line.startswith("| Female, alike |")]
    cells = {group.values: group for group in result.at(["gender", "race", "age"])}
    told = [cell.strip().split(" ")[0] for cell in rows[0].split("|")[2:-1]]
    assert told == [str(cells["Female", "alike", age].photos) for age in ("3-9", "10-19", "more than 70")]


def test_bands_stand_in_the_order_of_age() -> None:
    bands = ["more than 70", "10-19", "0-2", "60-69", "3-9", "20-29"]
    assert sorted(bands, key=group_order) == ["0-2", "3-9", "10-19", "20-29", "60-69", "more than 70"]
    assert sorted(["White", "70+", "Black", "60-69"], key=group_order) == ["60-69", "70+", "Black", "White"]


def test_rates_in_words() -> None:
    """Issue 19 A13: the units were mixed in one bracket, as in 0.017 % [7.4e-05, 0.025 %]."""
    assert group_rate(Interval(1.7e-4, 7.4e-5, 2.5e-4)) == "0.017 % [0.0074 %, 0.025 %]"
    assert group_rate(None) == "too small"


def test_a_figure_shows_the_rates(result: GroupEvaluation) -> None:
    pytest.importorskip("matplotlib")
    ax = result.plot()
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names[:2] == ["overall", "alike"] and ax.get_xscale() == "log"
    dots = next(line for line in ax.lines if line.get_marker() == "o").get_xdata()
    rate = result.at(["race"])[0].rates[0]
    assert rate is not None and dots[1] == pytest.approx(rate.estimate)


@pytest.mark.parametrize("change", ["found", "person", "columns", "points", "none"])
def test_arrays_that_do_not_fit_are_refused(change: str) -> None:
    vectors, found, columns = synthetic()
    given: dict[str, Any] = {
        "found": found, "person": np.arange(COUNT), "columns": columns, "points": POINTS
    }  # fmt: skip
    wrong = {"found": found[1:], "person": np.arange(3), "columns": {"race": ["a"]}, "points": ()}
    given.update({change: wrong[change]} if change in wrong else {"columns": {}})
    with pytest.raises(UsageError, match="groups need embeddings"):
        group_rates(vectors, **given)
