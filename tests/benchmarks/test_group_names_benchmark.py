"""What the benchmark of the names of groups counts, where whom the groups show is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from facealike.datasets.people import People
from support.faces_in_color import BLUE, GREEN, RED, ColorFaces, save_photo
from support.load_benchmark import load, needs_benchmarks

pytestmark = needs_benchmarks


@pytest.fixture(scope="module")
def module() -> Any:
    return load("accuracy.group_names")


def test_half_of_the_people_are_named_and_no_other(module: Any, tmp_path: Path) -> None:
    for name, color in (("Ann", RED), ("Bob", GREEN), ("Cem", BLUE), ("Dan", (220, 220, 40))):
        for number in range(3):
            save_photo(tmp_path / name / f"{number}.png", color)
    (row,) = module.measure(ColorFaces(), People.from_folder(tmp_path), 0, draws=4, targets=(0.01,))
    assert (row["enrolled_groups"], row["other_groups"], row["names"]) == ("2.0", "2.0", "2.0")
    assert (row["named"], row["misnamed"], row["other_named"], row["wrong"]) == (
        "1.0000", "0.0000", "0.0000", "0.0000",
    )  # fmt: skip


def test_wrong_names_are_counted(module: Any) -> None:
    class Named:
        numbers = (1, 2, 3, 4, 5)

        class Match:
            def __init__(self, person: int, enrolled: str) -> None:
                self.person, self.enrolled = person, enrolled

        matches = (Match(1, "Ann"), Match(2, "Ann"), Match(3, "Bob"), Match(4, "Bob"))

    shows = {1: "Ann", 2: "Ann", 3: "Ann", 4: "Eve", 5: "Bob"}
    found = module.names_of(Named(), shows, {"Ann", "Bob"})
    assert found.right == [True, True, False, None]
    assert found.others == [True]
    assert found.again == [True, False]
