"""``facealike cluster``: what it prints and writes, and its exit codes."""

from __future__ import annotations

import csv
import json
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image as PillowImage

from facealike import Gallery
from facealike.embedding.face_model import Model
from support.faces_in_color import BLUE, GREEN, RED, ColorFaces, save_photo
from support.run_command import command


@pytest.fixture(autouse=True)
def color_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Model, "load", lambda *_: ColorFaces())


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    save_photo(folder / "a.png", RED)
    save_photo(folder / "b.png", RED, GREEN)
    save_photo(folder / "c.png", BLUE)
    return folder


def test_prints_the_people_and_ends_with_0(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = command(capsys, "cluster", photos)
    assert code == 0 and err == ""
    lines = out.splitlines()
    assert lines[2].split()[:3] == ["person", "1", "2"]
    assert lines[-1].startswith("3 people in 4 faces of 3 photos, 2 with a single face")


def test_writes_folders_a_table_and_a_picture(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    people, table, sheet = tmp_path / "people", tmp_path / "faces.csv", tmp_path / "sheet.png"
    code, out, _ = command(
        capsys, "cluster", photos, "--to", people, "--csv", table, "--draw", sheet, "--json"
    )
    told = json.loads(out)
    assert code == 0 and told["people"] == 3 and told["folders"]["folders"] == 2
    assert sorted(path.name for path in (people / "person-0001").iterdir()) == ["a.png", "b.png"]
    assert len(list(csv.DictReader(table.open(encoding="utf-8")))) == 4
    with PillowImage.open(sheet) as picture:
        picture.load()


def test_a_long_list_says_how_many_more_there_are_and_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "photos"
    for number in range(23):
        save_photo(folder / f"{number:02}.png", RED)
    code, out, _ = command(capsys, "cluster", folder, "--min-quality", 1)
    poor = [line for line in out.splitlines() if line.startswith("not grouped: ")]
    assert code == 0 and len(poor) == 20 and poor[3].startswith(f"not grouped: {folder / '03.png'}, face 1, ")
    assert "and 3 more; --csv, --to and --json have all" in out.splitlines()
    assert "; 23 faces of a quality below 1 not grouped" in out.splitlines()[-1]
    code, out, _ = command(capsys, "cluster", folder, "--min-quality", 1, "--json")
    assert code == 0 and len(json.loads(out)["poor"]) == 23


def test_continues_a_folder_of_its_own_and_no_other(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    people = tmp_path / "people"
    assert command(capsys, "cluster", photos, "--to", people)[0] == 0
    (people / "person-0001").rename(people / "Ann")
    save_photo(photos / "d.png", RED)
    code, out, _ = command(capsys, "cluster", photos, "--to", people, "--dry-run")
    assert code == 0 and "Ann/d.png" in out and "1 new link would be written, 4 kept" in out
    code, out, err = command(capsys, "cluster", photos, "--to", people)
    assert code == 0 and err == "" and out.splitlines()[2].split()[:2] == ["Ann", "3"]
    assert sorted(path.name for path in (people / "Ann").iterdir()) == ["a.png", "b.png", "d.png"]
    (people / ".facealike.json").unlink()
    code, _, err = command(capsys, "cluster", photos, "--to", people)
    assert code == 2 and "nothing is replaced" in err
    (people / ".facealike.json").write_text("{")
    code, _, err = command(capsys, "cluster", photos, "--to", people)
    assert code == 2 and "record of a folder of people cannot be read" in err


def test_a_dry_run_writes_nothing(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = command(capsys, "cluster", photos, "--to", tmp_path / "people", "--dry-run")
    assert code == 0 and "person-0001/a.png" in out and "would be written" in out
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_names_people_from_a_gallery(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gallery = tmp_path / "people.db"
    with closing(Gallery.open(gallery, ColorFaces())) as opened:
        opened.enroll("Ann", [save_photo(tmp_path / "ann.png", (210, 60, 40))])
    code, out, err = command(capsys, "cluster", photos, "--name-from", gallery, "--to", tmp_path / "people")
    assert code == 0 and err == "" and out.splitlines()[2].split()[:2] == ["Ann", "2"]
    assert sorted(path.name for path in (tmp_path / "people" / "Ann").iterdir()) == ["a.png", "b.png"]
    code, out, _ = command(capsys, "cluster", photos, "--name-from", gallery, "--fpir", "1e-9", "--json")
    assert code == 0 and json.loads(out)["matches"] == []
    for arguments, message in (
        (["--name-from", tmp_path / "none.db"], "no such gallery"),
        (["--name-from", photos / "a.png"], "not a usable gallery"),
        (["--name-from", gallery, "--fpir", "2"], "FPIR lies between"),
    ):
        code, out, err = command(capsys, "cluster", photos, *arguments)
        assert code == 2 and out == "" and message in err and err.count("\n") == 1, err


def test_ends_with_3_without_a_face(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_photo(tmp_path / "wall.png")
    code, out, err = command(capsys, "cluster", tmp_path)
    assert code == 3 and "no face found" in err and "0 people" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--copy"], "belong to --to"),
        (["--to", "photos/people"], "in the folder of the photos"),
        (["--to", "no/people"], "does not exist"),
        (["--fmr", "0.1", "-t", "0.5"], "not both"),
        (["--csv", "no/faces.csv"], "does not exist"),
        (["--draw", "sheet.gif"], "change the ending"),
        (["--corrections", "none.csv"], "no file of corrections"),
    ],
)
def test_refuses_with_one_sentence(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    arguments: list[str], message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    code, out, err = command(capsys, "cluster", "photos", *arguments)
    assert code == 2 and out == "" and message in err and err.count("\n") == 1


def test_a_folder_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = command(capsys, "cluster", tmp_path / "none", "--json")
    assert code == 2 and json.loads(out)["error"] == "DataError" and "no such folder" in err
