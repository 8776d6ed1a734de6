"""People of a clustering named after people enrolled in a gallery."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facealike import Gallery, Model, cluster
from facealike.clustering.folder_names import folder_name
from facealike.errors import MixedModels, NotCalibrated, UsageError
from facealike.gallery.aggregation import mean_template
from support.faces_in_color import BLUE, GREEN, RED, ColorFaces, save_photo
from support.html_page import Page
from support.tiny_model import tiny_model_file

DARK_RED, ORANGE = (200, 60, 50), (220, 60, 40)
"""Further photos of a person whose color is red."""


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Red in three photos, green in one and blue in two."""
    folder = tmp_path / "photos"
    save_photo(folder / "1.png", RED, GREEN)
    save_photo(folder / "2.png", DARK_RED)
    save_photo(folder / "3.png", ORANGE, BLUE)
    save_photo(folder / "4.png", BLUE)
    return folder


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[Gallery]:
    opened = Gallery.open(tmp_path / "people.db", ColorFaces())
    yield opened
    opened.close()


def enroll(gallery: Gallery, folder: Path, name: str, *colors: tuple[int, int, int]) -> list[Path]:
    count = len(list((folder / "enrolled").glob("*")))
    paths = [save_photo(folder / "enrolled" / f"{count + i}.png", color) for i, color in enumerate(colors)]
    gallery.enroll(name, paths)
    return paths


def test_a_name_is_in_folders_page_table_and_json(photos: Path, tmp_path: Path, gallery: Gallery) -> None:
    enroll(gallery, tmp_path, "Ann", (210, 45, 40))
    enroll(gallery, tmp_path, "Gil", (40, 210, 50))
    plain = cluster(photos, ColorFaces())
    named = plain.name_from(gallery)
    assert named.names == {1: "Ann", 3: "Gil"} and plain.names == {}
    assert named.numbers == plain.numbers and [one.person for one in named.faces] == [
        one.person for one in plain.faces
    ]
    assert (named.label(1), named.label(2)) == ("Ann", "person 2") and "2 with a name" in str(named)
    named.save(tmp_path / "people")
    assert sorted(path.name for path in (tmp_path / "people").iterdir() if path.is_dir()) == [
        "Ann", "Gil", "person-0002",
    ]  # fmt: skip
    assert [path.name for path in (tmp_path / "people" / "Gil").iterdir()] == ["1.png"], "one face, and named"
    page = "".join(Page((tmp_path / "people" / "index.html").read_text("utf-8")).words)
    assert "Ann: 3 faces" in page and "Person 2: 2 faces" in page and "Gil: 1 face" in page
    rows = list(csv.DictReader(named.to_csv().splitlines()))
    assert {(row["person"], row["name"]) for row in rows} == {("1", "Ann"), ("2", ""), ("3", "Gil")}
    told = json.loads(json.dumps(named.to_dict()))
    assert {face["name"] for face in told["faces"]} == {"Ann", "Gil", None}
    assert [(one["person"], one["enrolled"]) for one in told["matches"]] == [(1, "Ann"), (3, "Gil")]


def test_the_mean_of_the_faces_is_searched_as_the_gallery_searches(
    photos: Path, tmp_path: Path, gallery: Gallery
) -> None:
    enroll(gallery, tmp_path, "Ann", (210, 45, 40))
    enroll(gallery, tmp_path, "Gil", (40, 210, 50))
    plain = cluster(photos, ColorFaces())
    assert plain.kept is not None
    for fpir in (0.5, 0.01, 1e-3, 1e-4):
        found = {match.person: match for match in plain.name_from(gallery, fpir).matches}
        for person in plain.numbers:
            vectors = np.stack(
                [
                    vector
                    for face, vector in zip(plain.faces, plain.kept.embeddings, strict=True)
                    if face.person == person
                ]
            )
            asked = gallery.identify_embedding(mean_template(vectors), fpir=fpir)
            assert (person in found) == (asked.decision == "match")
            if person in found:
                assert asked.threshold is not None
                assert found[person].score == pytest.approx(asked.candidates[0].score)
                assert found[person].enrolled == asked.candidates[0].person
                assert found[person].threshold == asked.threshold.threshold


def test_whoever_may_be_two_enrolled_people_gets_no_name(
    photos: Path, tmp_path: Path, gallery: Gallery
) -> None:
    enroll(gallery, tmp_path, "Ann", (210, 45, 40))
    enroll(gallery, tmp_path, "Ann's twin", (215, 40, 45))
    assert cluster(photos, ColorFaces()).name_from(gallery).names == {}


def test_two_people_of_one_name_stay_two(tmp_path: Path, gallery: Gallery) -> None:
    enroll(gallery, tmp_path, "Ann", RED)
    save_photo(tmp_path / "photos" / "1.png", RED, ORANGE)  # two faces of one photo are two people
    named = cluster(tmp_path / "photos", ColorFaces()).name_from(gallery)
    assert set(named.names.values()) == {"Ann", "Ann (2)"}
    best = max(named.matches, key=lambda match: match.score)
    assert best.name == "Ann" and {match.enrolled for match in named.matches} == {"Ann"}
    named.save(tmp_path / "people")
    assert sorted(path.name for path in (tmp_path / "people").iterdir() if path.is_dir()) == [
        "Ann",
        "Ann (2)",
    ]


def test_corrections_of_the_gallery_apply(photos: Path, tmp_path: Path, gallery: Gallery) -> None:
    enroll(gallery, tmp_path, "Ann", (210, 45, 40))
    result = cluster(photos, ColorFaces())
    gallery.correct(save_photo(tmp_path / "other.png", BLUE), not_person="Ann")
    assert result.name_from(gallery).names == {1: "Ann"}, "a photo of nobody here"
    gallery.correct(photos / "2.png", not_person="Ann")
    assert result.name_from(gallery).names == {}


@pytest.mark.parametrize(
    "name", ["a/b", "..", "single", "Not-Grouped", "person-0002", "é" * 200, "a\u202eb", "x."]
)
def test_any_name_is_a_folder_of_its_own(photos: Path, tmp_path: Path, gallery: Gallery, name: str) -> None:
    enroll(gallery, tmp_path, name, RED)
    result = cluster(photos, ColorFaces()).name_from(gallery)
    assert result.names == {1: name}
    result.save(tmp_path / "people")
    folders = {path.name for path in (tmp_path / "people").iterdir() if path.is_dir()}
    assert folders == {folder_name(name), "person-0002", "single"}
    assert len(list((tmp_path / "people" / folder_name(name)).iterdir())) == 3


def test_refuses_what_cannot_name(photos: Path, tmp_path: Path, gallery: Gallery) -> None:
    result = cluster(photos, ColorFaces())
    with pytest.raises(UsageError, match="FPIR lies between"):
        result.name_from(gallery, 0.0)
    with pytest.raises(UsageError, match="no embeddings"):
        replace(result, kept=None).name_from(gallery)
    with pytest.raises(MixedModels, match="another model"):
        replace(result, model="0123456789ab").name_from(gallery)
    other = Gallery.open(tmp_path / "other.db", Model(tiny_model_file()))
    with closing(other), pytest.raises(NotCalibrated):
        result.name_from(other)
