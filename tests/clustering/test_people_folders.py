"""A folder a person: links and copies, whole or not at all, and no photo changed."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from facealike import cluster
from facealike.clustering.people_folders import plan_people
from facealike.errors import DataError, UsageError
from support.faces_in_color import BLUE, GREEN, RED, ColorFaces, save_photo
from support.html_page import Page
from support.paths import TESTS


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    save_photo(folder / "a.png", RED)
    save_photo(folder / "b.png", RED, GREEN)
    save_photo(folder / "trip" / "a.png", RED)
    save_photo(folder / "trip" / "A.png", GREEN)
    save_photo(folder / "c.png", BLUE)
    save_photo(folder / "wall.png")
    return folder


@pytest.mark.parametrize("copy", [False, True])
def test_every_photo_is_there_and_none_is_changed(photos: Path, tmp_path: Path, copy: bool) -> None:
    before = contents(photos)
    saved = cluster(photos, ColorFaces()).save(tmp_path / "people", copy)
    people = tmp_path / "people"
    assert contents(photos) == before
    assert {str(path.relative_to(people)) for path in people.rglob("*") if not path.is_dir()} == {
        "person-0001/a.png", "person-0001/b.png", "person-0001/a-2.png",
        "person-0002/b.png", "person-0002/A.png", "single/c.png", "not-grouped/wall.png",
        "faces.csv", "index.html", ".facealike.json",
    }  # fmt: skip
    for name, photo in saved.entries:
        assert (people / name).is_symlink() is not copy
        assert (people / name).read_bytes() == Path(photo).read_bytes()
    assert {photo for _, photo in saved.entries} == {str(path) for path in photos.rglob("*.png")}
    assert saved.folders == 4 and saved.written
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_page_of_faces_needs_nothing_but_itself(photos: Path, tmp_path: Path) -> None:
    cluster(photos, ColorFaces()).save(tmp_path / "people")
    html = (tmp_path / "people" / "index.html").read_text("utf-8")
    page = Page(html)
    assert len(page.all("img")) == 6
    assert all(str(image["src"]).startswith("data:image/jpeg;base64,") for image in page.all("img"))
    text = "".join(page.words)
    assert "Person 1: 3 faces" in text and "Single faces: 1" in text


def test_replaces_nothing(photos: Path, tmp_path: Path) -> None:
    found = cluster(photos, ColorFaces())
    people = tmp_path / "people"
    people.mkdir()
    found.save(people)  # an empty folder is free
    before = contents(people)
    with pytest.raises(DataError, match="nothing is replaced"):
        found.save(people)
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="nothing is replaced"):
        found.save(tmp_path / "file")
    with pytest.raises(UsageError, match="does not exist"):
        found.save(tmp_path / "no" / "people")
    assert contents(people) == before


def test_a_photo_that_is_gone_leaves_nothing_half_written(photos: Path, tmp_path: Path) -> None:
    found = cluster(photos, ColorFaces())
    (photos / "c.png").unlink()
    with pytest.raises(DataError, match="cannot be written"):
        found.save(tmp_path / "people", copy=True)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_a_plan_writes_nothing(photos: Path, tmp_path: Path) -> None:
    found = cluster(photos, ColorFaces())
    plan = plan_people(found, tmp_path / "people", False)
    assert not plan.written and "would be written" in str(plan)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]
    assert plan.entries == found.save(tmp_path / "people").entries


KILLED = """
import os, pathlib, signal, sys
sys.path.insert(0, sys.argv[1])
from facealike import cluster
from facealike.clustering import people_folders
from support.faces_in_color import ColorFaces
left, real = int(sys.argv[4]), people_folders._put
def put(*arguments):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    real(*arguments)
people_folders._put = put
cluster(sys.argv[2], ColorFaces()).save(pathlib.Path(sys.argv[3]), copy=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_a_killed_run_leaves_nothing_under_the_name_and_the_next_one_goes_through(
    photos: Path, tmp_path: Path
) -> None:
    before = contents(photos)
    for left in (1, 4):
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(TESTS), str(photos), str(tmp_path / "people"), str(left)],
            capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert not (tmp_path / "people").exists()
    cluster(photos, ColorFaces()).save(tmp_path / "people", copy=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["people", "photos"]
    assert contents(photos) == before
