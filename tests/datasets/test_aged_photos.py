"""AgeDB and FG-NET, in folders of their form made here: people, ages, and what is evaluated of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from facealike import EvaluationOptions, FullEvaluator, calibrate, evaluate_exhaustive, evaluate_split
from facealike.bulk.listing import list_photos
from facealike.datasets.people import People
from facealike.errors import DataError, PeopleOverlap
from facealike.evaluation.leakage import record_people
from facealike.gallery.people_list import read_people
from facealike.imaging.photo_warning import PhotoWarning
from support.flat_color_model import ColourModel, colour
from support.run_command import command


def photo(path: Path, shade: np.ndarray[tuple[int], np.dtype[np.float64]]) -> None:
    PillowImage.fromarray(np.full((12, 12, 3), np.clip(shade, 1, 255).astype(np.uint8))).save(path)


def agedb(folder: Path, people: int = 40) -> Path:
    """``people`` with photos at 20, 27 and 60 years; the last photo differs most."""
    rng = np.random.default_rng(1)
    folder.mkdir()
    for number in range(people):
        own = colour(rng)
        for k, (age, change) in enumerate(((20, 5), (27, 15), (60, 60))):
            name = (
                f"{3 * number + k}_Person{chr(65 + number // 10)}{number % 10}_{age}_{'mf'[number % 2]}.png"
            )
            photo(folder / name, own + rng.normal(0, change, 3))
    return folder


def test_agedb_names_person_and_age(tmp_path: Path) -> None:
    folder = agedb(tmp_path / "AgeDB", 2)
    photo(folder / "7_Two_Words_101_F.png", np.full(3, 90.0))
    people = People.from_folder(folder)
    assert people.names == ("PersonA0", "PersonA1", "Two_Words")
    assert people.ages is not None and people.ages.tolist() == [20, 27, 60, 20, 27, 60, 101]
    assert people.select(people.labels == 1).ages is not None
    assert people.named() is not None and set(people.named().values()) == set(people.names)  # type: ignore[union-attr]


def test_fgnet_names_person_and_age(tmp_path: Path) -> None:
    for name in ("001A02.JPG", "001A43a.JPG", "001A43b.JPG", "002a16.JPG"):
        photo(tmp_path / name, np.full(3, 80.0))
    people = People.from_folder(tmp_path)
    assert people.names == ("001", "002") and people.known_names() == ()
    assert people.ages is not None and people.ages.tolist() == [2, 43, 43, 16]


def test_another_photo_is_skipped_and_another_folder_is_one_of_people(tmp_path: Path) -> None:
    folder = agedb(tmp_path / "AgeDB", 2)
    photo(folder / "cover.png", np.full(3, 90.0))
    with pytest.warns(PhotoWarning, match="a name without person and age"):
        assert len(People.from_folder(folder)) == 6
    (folder / "Ann").mkdir()
    photo(folder / "Ann" / "1.png", np.full(3, 90.0))
    with pytest.warns(PhotoWarning, match="in no folder of a person"):
        assert People.from_folder(folder).names == ("Ann",), "a folder within: one a person"
    with pytest.raises(DataError, match="cannot be read"):
        People.from_folder(tmp_path / "missing")
    (other := tmp_path / "holiday").mkdir()
    photo(other / "1.png", np.full(3, 90.0))
    with (
        pytest.warns(PhotoWarning, match="in no folder of a person"),
        pytest.raises(DataError, match="one sub-folder of photos a person, or one whose file names"),
    ):
        People.from_folder(other)


def test_every_protocol_knows_the_people_of_such_a_folder(tmp_path: Path) -> None:
    folder = agedb(tmp_path / "AgeDB")
    result = evaluate_split(ColourModel(), folder, "all")
    assert (result.people, result.genuine, result.leaked) == (40, 120, False)
    assert result.intervals()["fnmr"].high > result.fnmr
    assert evaluate_exhaustive(ColourModel(), folder, "all").comparisons.people == 40
    with pytest.raises(PeopleOverlap, match="PersonA0"):
        evaluate_split(ColourModel(trained_on=("persona0",)), folder, "all")
    full = FullEvaluator(folder, "all", options=EvaluationOptions(resamples=30))(ColourModel())
    assert [rate.name for rate in full.age_gaps] == ["5 to 9 years", "30 years or more"]
    small, large = (rate.fnmr for rate in full.age_gaps)
    assert small is not None and large is not None and small.estimate < large.estimate
    assert [rate.pairs for rate in full.age_gaps] == [40, 80]


def test_every_noun_reads_such_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = agedb(tmp_path / "AgeDB")
    code, out, _ = command(capsys, "data", "summary", folder, "--json")
    assert code == 0 and json.loads(out)["splits"]["all"]["genuine_pairs"] == 120
    calibration = calibrate(ColourModel(), folder, split="all", resamples=20)
    assert calibration.people == "40 people of AgeDB" and calibration.seen[0].people_count == 40
    with pytest.raises(PeopleOverlap, match="PersonA0"):
        calibrate(ColourModel(trained_on=("persona0",)), folder, split="all")
    assert len({name for name, _ in read_people(folder).photos}) == 40
    photo(folder / "cover.png", np.full(3, 90.0))
    with pytest.warns(PhotoWarning, match="a name without person and age"):
        assert record_people(People.from_folder(folder)).people_count == 40
        names = {*People.from_folder(folder).names}
    listed = {ref.key: ref.person for ref in list_photos([folder], people=True)}
    assert listed.pop("cover.png") is None and set(listed.values()) == names
    assert {ref.person for ref in list_photos([folder])} == {None}


def test_numbers_are_no_names_of_people_of_the_training(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    for person in ("001", "002", "003"):
        own = colour(rng)
        for age in ("02", "30"):
            photo(tmp_path / f"{person}A{age}.JPG", own + rng.normal(0, 20, 3))
    result = evaluate_split(ColourModel(trained_on=("001",)), tmp_path, "all")
    assert result.leaked is None and result.people == 3
    assert record_people(People.from_folder(tmp_path)).people_count == 0
