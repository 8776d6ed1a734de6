"""Issue 19 A15: the parts of a small folder of people, each of them large enough to be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facealike.datasets.parts import MIN_CALIBRATION_PEOPLE, MIN_PART, Parts, divide
from facealike.datasets.people import People
from facealike.datasets.splits import SPLITS, split_of


def people(count: int, photos: int = 5, single: int = 0, prefix: str = "Person") -> People:
    """``count`` people with ``photos`` photos each, and ``single`` with one."""
    each = [photos] * count + [1] * single
    names = tuple(f"{prefix}_{number:04d}" for number in range(len(each)))
    labels = np.repeat(np.arange(len(each)), each)
    return People(names, tuple(Path(f"{number}.jpg") for number in range(len(labels))), labels)


def sizes(parts: Parts) -> dict[str, int]:
    return {split: len(parts.of(split)) for split in SPLITS}


def test_150_people_leave_enough_in_every_part() -> None:
    """Where the hash of the names alone left 4 to 8 people in a part."""
    folder = people(150)
    usual = {split: sum(split_of(name) == split for name in folder.names) for split in SPLITS}
    assert usual["calibration"] < MIN_CALIBRATION_PEOPLE and usual["validation"] < MIN_CALIBRATION_PEOPLE
    parts = divide(folder)
    found = sizes(parts)
    assert found["validation"] == found["calibration"] == MIN_PART and found["test"] >= MIN_PART
    assert found["train"] == 150 - sum(found[split] for split in SPLITS if split != "train") >= 80
    assert parts.larger and not parts.shared
    assert parts.note() == (
        "150 people are few, so more of them are held out than in a large folder: "
        f"{found['train']} people train, {found['test']} test, 20 validate and 20 calibrate"
    )


def test_a_large_folder_is_divided_as_ever() -> None:
    folder = people(1500)
    parts = divide(folder)
    for split in SPLITS:
        assert set(parts.of(split)) == {name for name in folder.names if split_of(name) == split}
    assert not parts.larger and not parts.shared and parts.note() == ""


def test_few_people_validate_and_calibrate_together() -> None:
    parts = divide(people(60))
    assert parts.shared and parts.validation == parts.calibration
    assert len(parts.calibration) >= MIN_CALIBRATION_PEOPLE
    assert f"and {len(parts.calibration)} both validate and calibrate" in parts.note()


@settings(deadline=None)
@given(count=st.integers(0, 300), single=st.integers(0, 100), prefix=st.sampled_from("abcdefg"))
def test_nobody_is_on_two_sides_and_the_test_stays_the_test(count: int, single: int, prefix: str) -> None:
    """Whoever ``evaluate --split test`` asks was not trained on, however small the folder was."""
    if not count + single:
        return
    folder = people(count, single=single, prefix=prefix)
    parts = divide(folder)
    held_out = {*parts.validation, *parts.calibration}
    assert {*parts.train, *held_out, *parts.test} == set(folder.names)
    assert len(parts.train) + len(held_out) + len(parts.test) == len(folder.names)
    assert parts.shared or not set(parts.validation) & set(parts.calibration)
    for name in folder.names:
        if split_of(name) != "train":
            assert name not in parts.train
        if split_of(name) == "test":
            assert name in parts.test
    least = min(MIN_PART, count // 7)
    for part in (parts.test, parts.validation, parts.calibration):
        assert sum(int(name[-4:]) < count for name in part) >= least


@pytest.mark.parametrize("count", [30, 150, 2000])
def test_the_order_of_the_folder_does_not_matter(count: int) -> None:
    folder = people(count)
    turned = folder.select(np.arange(len(folder))[::-1])
    assert divide(folder) == divide(turned)
