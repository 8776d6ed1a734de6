"""Lists of photos with groups: what is read, mended and refused."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from facealike.datasets.demographic_labels import age_band, read_groups
from facealike.errors import DataError, UsageError
from support.data_paths import needs_data

HEADER = "file,age,gender,race,service_test"
GOOD = [
    "val/1.png,03-Sep,Male,East Asian,FALSE",
    "val/2.png,Oct-19,Female,East Asian,TRUE",
    "val/3.png,0-2,Male,White,TRUE",
    "val/4.png,more than 70,Female,Latino_Hispanic,TRUE",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "val").mkdir()
    for number in range(1, 5):
        (tmp_path / "val" / f"{number}.png").write_bytes(b"no photo is opened here")
    return tmp_path


def written(folder: Path, *lines: str, header: str = HEADER) -> Path:
    path = folder / "val.csv"
    path.write_text("\n".join([header, *lines]) + "\n", "utf-8")
    return path


def test_a_list_like_that_of_fairface(folder: Path) -> None:
    found = read_groups(written(folder, *GOOD))
    assert found.columns == ("race", "gender", "age") and len(found) == 4
    assert found.values[0] == ("East Asian", "East Asian", "White", "Latino_Hispanic")
    assert found.values[2] == ("3-9", "10-19", "0-2", "more than 70")
    assert found.paths[1] == folder / "val" / "2.png"
    assert len(np.unique(found.person)) == 4 and not found.named


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("03-Sep", "3-9"), ("3-Sep", "3-9"), ("Oct-19", "10-19"), ("oct-19", "10-19"), ("01-Feb", "1-2"),
        # Nothing else is touched, all bands of FairFace that no spreadsheet takes for a date among it.
        ("0-2", "0-2"), ("20-29", "20-29"), ("30-39", "30-39"), ("60-69", "60-69"),
        ("more than 70", "more than 70"), ("3-9", "3-9"), ("Sept-3", "Sept-3"), ("adult", "adult"),
    ],
)  # fmt: skip
def test_ages_that_became_dates_are_mended(given: str, meant: str) -> None:
    assert age_band(given) == meant


def test_only_ages_are_mended(folder: Path) -> None:
    lines = [f"val/{i}.png,Oct-19,{race}" for i, race in ((1, "03-Sep"), (2, "b"))]
    found = read_groups(written(folder, *lines, header="file,age,race"), by=["race", "age"])
    assert found.values == (("03-Sep", "b"), ("10-19", "10-19"))


def test_names_say_who_is_in_two_photos(folder: Path) -> None:
    lines = ["val/1.png,Ann,x", "val/2.png,Bob,x", "val/3.png,Ann,y"]
    found = read_groups(written(folder, *lines, header="FILE, Person ,hair"), by=["hair"])
    assert found.named and found.person[0] == found.person[2] != found.person[1]


def test_another_root(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = written(tmp_path_factory.mktemp("elsewhere"), *GOOD)
    assert read_groups(path, folder).paths[0] == folder / "val" / "1.png"
    with pytest.raises(DataError, match=r"line 2: no photo val/1\.png"):
        read_groups(path)


@pytest.mark.parametrize(
    ("lines", "header", "told"),
    [
        (GOOD, "file,age,gender", r"line 1: no column race; those there are: file, age, gender"),
        (GOOD, "portrait,age,gender,race,service_test", "line 1: no column file"),
        ([GOOD[0], "val/2.png,3-9,Male,White"], HEADER, "line 3: 4 fields where the header has 5"),
        ([GOOD[0], "val/2.png,3-9,,White,TRUE"], HEADER, "line 3: gender is empty"),
        ([GOOD[0], ",3-9,Male,White,TRUE"], HEADER, "line 3: the photo is missing"),
        ([GOOD[0], "val/9.png,3-9,Male,White,TRUE"], HEADER, r"line 3: no photo val/9\.png"),
        ([GOOD[0], "x" * 300 + ",3-9,Male,White,TRUE"], HEADER, "line 3: no photo"),
        ([GOOD[0], 'val/2.png,"3-9,Male,White,TRUE'], HEADER, "not valid CSV"),
        ([GOOD[0], GOOD[0]], HEADER, "a photo is listed twice"),
        ([], HEADER, "a header and no photos"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused(
    folder: Path, lines: list[str], header: str, told: str
) -> None:
    with pytest.raises(DataError, match=told) as caught:
        read_groups(written(folder, *lines, header=header))
    assert "val.csv" in str(caught.value) and "\n" not in str(caught.value)


def test_files_that_are_no_lists(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no list of groups can be read"):
        read_groups(tmp_path / "none.csv")
    (tmp_path / "empty.csv").write_bytes(b"\n\n")
    with pytest.raises(DataError, match="is empty"):
        read_groups(tmp_path / "empty.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="UTF-8"):
        read_groups(tmp_path / "binary.csv")


@pytest.mark.parametrize("by", [[], ["race", "race"], ["file"], ["race", "person"], [""]])
def test_columns_that_make_no_groups(folder: Path, by: list[str]) -> None:
    with pytest.raises((UsageError, DataError)):
        read_groups(written(folder, *GOOD), by=by)


@needs_data("FACEALIKE_FAIRFACE")
@pytest.mark.parametrize("part", ["train", "val"])
def test_the_bands_of_fairface(part: str) -> None:
    path = Path(os.environ["FACEALIKE_FAIRFACE"]) / f"{part}.csv"
    with path.open(encoding="utf-8") as file:
        bands = {age_band(row["age"]) for row in csv.DictReader(file)}
    assert bands == {
        "0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "more than 70"
    }  # fmt: skip
