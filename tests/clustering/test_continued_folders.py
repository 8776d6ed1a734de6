"""A folder of people that is continued: what is there stays, and what is new is added."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facealike import Clustering, Gallery, PeopleFolders, cluster
from facealike.errors import DataError
from support.faces_in_color import BLUE, GREEN, RED, ColorFaces, save_photo

DARK_RED, ORANGE = (200, 60, 50), (220, 60, 40)
"""Further photos of the person whose color is red."""
YELLOW = (220, 220, 40)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Red in three photos, one of them with green; green in two, blue and yellow in one; an empty one."""
    folder = tmp_path / "photos"
    save_photo(folder / "r1.png", RED)
    save_photo(folder / "r2.png", DARK_RED)
    save_photo(folder / "rg.png", ORANGE, GREEN)
    save_photo(folder / "g1.png", GREEN)
    save_photo(folder / "b1.png", BLUE)
    save_photo(folder / "y1.png", YELLOW)
    save_photo(folder / "wall.png")
    return folder


@pytest.fixture
def people(photos: Path, tmp_path: Path) -> Path:
    """The folder of those people, written once."""
    run(photos, tmp_path / "people")
    assert layout(tmp_path / "people") == {
        "person-0001": ["r1.png", "r2.png", "rg.png"], "person-0002": ["g1.png", "rg.png"],
        "single": ["b1.png", "y1.png"], "not-grouped": ["wall.png"],
    }  # fmt: skip
    return tmp_path / "people"


def group(photos: Path, people: Path, **options: object) -> Clustering:
    return cluster(photos, ColorFaces(), people=people, **options)  # type: ignore[arg-type]


def run(photos: Path, people: Path, copy: bool = False, **options: object) -> PeopleFolders:
    return group(photos, people, **options).save(people, copy)


def layout(people: Path) -> dict[str, list[str]]:
    """The entries of each folder that has some."""
    found: dict[str, list[str]] = {}
    for path in sorted(people.rglob("*")):
        if path.is_symlink() or path.is_file():
            place, _, name = path.relative_to(people).as_posix().partition("/")
            if name:
                found.setdefault(place, []).append(name)
    return found


def persons(people: Path) -> dict[tuple[str, int], tuple[str, str]]:
    """The number and the name of the person of each face, from the table in the folder."""
    with (people / "faces.csv").open(encoding="utf-8") as file:
        return {
            (Path(row["photo"]).name, int(row["face"])): (row["person"], row["name"])
            for row in csv.DictReader(file)
        }


def test_without_anything_new_nothing_changes(photos: Path, people: Path) -> None:
    before = {path: path.lstat().st_mtime_ns for path in people.rglob("*") if path.is_symlink()}
    files = {name: (people / name).read_bytes() for name in ("faces.csv", "index.html", ".facealike.json")}
    done = run(photos, people)
    assert (done.entries, done.moved, done.renamed, done.kept) == ((), (), (), 8)
    assert before == {path: path.lstat().st_mtime_ns for path in people.rglob("*") if path.is_symlink()}
    assert files == {name: (people / name).read_bytes() for name in files}


def test_new_photos_join_and_numbers_stay(photos: Path, people: Path) -> None:
    before = persons(people)
    save_photo(photos / "b2.png", BLUE)
    for number in range(4):
        save_photo(photos / "new" / f"g{number}.png", (40, 220, 42 + number))
    save_photo(photos / "cyan1.png", (40, 220, 220))
    save_photo(photos / "cyan2.png", (42, 220, 220))
    done = run(photos, people)
    assert layout(people) == {
        "person-0001": ["r1.png", "r2.png", "rg.png"],
        "person-0002": ["g0.png", "g1-2.png", "g1.png", "g2.png", "g3.png", "rg.png"],
        "person-0003": ["b1.png", "b2.png"],
        "person-0005": ["cyan1.png", "cyan2.png"],
        "single": ["y1.png"], "not-grouped": ["wall.png"],
    }  # fmt: skip
    assert done.moved == (("single/b1.png", "person-0003/b1.png"),)
    after = persons(people)
    assert {face: after[face] for face in before} == before, "also where the second is the largest now"
    assert after["cyan1.png", 1] == ("5", "")


def test_a_renamed_folder_is_the_name_of_its_person(photos: Path, people: Path) -> None:
    (people / "person-0001").rename(people / "Ann")
    save_photo(photos / "r3.png", (215, 50, 45))
    for _ in range(2):
        run(photos, people)
        assert layout(people)["Ann"] == ["r1.png", "r2.png", "r3.png", "rg.png"]
        assert "person-0001" not in layout(people) and persons(people)["r3.png", 1] == ("1", "Ann")
        assert "Ann: 4 faces" in (people / "index.html").read_text("utf-8")
    (people / "Ann").rename(people / "Anna")
    run(photos, people)
    assert persons(people)["r3.png", 1] == ("1", "Anna")
    (people / "Anna").rename(people / "person-0001")
    run(photos, people)
    assert persons(people)["r3.png", 1] == ("1", "")


def test_a_photo_that_was_moved_by_hand_stays_there(photos: Path, people: Path) -> None:
    (people / "person-0001" / "r2.png").rename(people / "person-0002" / "r2.png")
    for _ in range(3):
        done = run(photos, people)
        assert done.entries == () and layout(people)["person-0001"] == ["r1.png", "rg.png"]
        assert layout(people)["person-0002"] == ["g1.png", "r2.png", "rg.png"]
        assert persons(people)["r2.png", 1] == ("2", "")


def test_of_a_photo_of_two_the_face_is_moved_whose_folder_it_left(photos: Path, people: Path) -> None:
    (people / "Bob").mkdir()
    (people / "person-0002" / "rg.png").rename(people / "Bob" / "green and red.png")
    run(photos, people)
    assert persons(people)["rg.png", 1] == ("1", "") and persons(people)["rg.png", 2] == ("5", "Bob")
    assert layout(people)["Bob"] == ["green and red.png"], "one face, and a folder of its own"
    # A photo that never had a face there is in a folder for the face most like the others of it.
    save_photo(photos / "yb.png", YELLOW, BLUE)
    (people / "single" / "b1.png").rename(people / "Bob" / "b1.png")
    (people / "Bob" / "yb.png").symlink_to(photos / "yb.png")
    run(photos, people)
    assert persons(people)["yb.png", 2] == ("5", "Bob")
    assert persons(people)["yb.png", 1] == persons(people)["y1.png", 1] == ("4", "")


def test_what_was_deleted_is_not_written_again(photos: Path, people: Path) -> None:
    (people / "person-0001" / "r2.png").unlink()
    (people / "single" / "y1.png").unlink()
    (people / "not-grouped" / "wall.png").unlink()
    save_photo(photos / "r3.png", (215, 50, 45))
    for _ in range(3):
        run(photos, people)
        assert layout(people) == {
            "person-0001": ["r1.png", "r3.png", "rg.png"], "person-0002": ["g1.png", "rg.png"],
            "single": ["b1.png"],
        }  # fmt: skip
        assert persons(people)["r2.png", 1] == persons(people)["y1.png", 1] == ("", "")
    shutil.rmtree(people / "person-0001")
    run(photos, people)
    assert "person-0001" not in layout(people)
    save_photo(photos / "r4.png", RED)
    save_photo(photos / "r5.png", DARK_RED)
    run(photos, people)
    assert layout(people)["person-0005"] == ["r4.png", "r5.png"], "no number is given twice"


def test_two_folders_are_merged_by_moving_their_photos(photos: Path, people: Path) -> None:
    for path in (people / "person-0002").iterdir():
        target = people / "person-0001" / path.name
        path.unlink() if target.is_symlink() else path.rename(target)
    (people / "person-0002").rmdir()
    save_photo(photos / "g2.png", GREEN)
    run(photos, people)
    assert persons(people)["g1.png", 1] == ("1", "") and persons(people)["rg.png", 2] == ("", "")
    assert "person-0002" not in layout(people)


def test_a_face_that_was_put_alone_stays_alone(photos: Path, people: Path) -> None:
    (people / "person-0001" / "r1.png").rename(people / "single" / "r1.png")
    (people / "person-0001" / "r2.png").rename(people / "not-grouped" / "r2.png")
    save_photo(photos / "r3.png", RED)
    for _ in range(3):
        run(photos, people)
        assert layout(people) == {
            "person-0001": ["r3.png", "rg.png"], "person-0002": ["g1.png", "rg.png"],
            "single": ["b1.png", "r1.png", "y1.png"], "not-grouped": ["r2.png", "wall.png"],
        }  # fmt: skip
        assert persons(people)["r1.png", 1] == ("5", "") and persons(people)["r2.png", 1] == ("", "")


def test_photos_may_be_sorted_within_a_folder(photos: Path, people: Path) -> None:
    (people / "person-0001" / "2025").mkdir()
    (people / "person-0001" / "r1.png").rename(people / "person-0001" / "2025" / "first.png")
    (people / "person-0001" / "notes.txt").write_text("of the user")
    assert run(photos, people).entries == ()
    assert layout(people)["person-0001"] == ["2025/first.png", "notes.txt", "r2.png", "rg.png"]
    assert persons(people)["r1.png", 1] == ("1", "")


def test_copies_are_continued_as_links_are(photos: Path, tmp_path: Path) -> None:
    people = tmp_path / "copies"
    run(photos, people, copy=True)
    (people / "person-0001" / "r2.png").rename(people / "person-0002" / "another name.png")
    (people / "person-0001").rename(people / "Ann")
    save_photo(photos / "r3.png", (215, 50, 45))
    run(photos, people, copy=True)
    assert layout(people) == {
        "Ann": ["r1.png", "r3.png", "rg.png"], "person-0002": ["another name.png", "g1.png", "rg.png"],
        "single": ["b1.png", "y1.png"], "not-grouped": ["wall.png"],
    }  # fmt: skip
    assert not [path for path in people.rglob("*") if path.is_symlink()]


def test_photos_that_were_moved_or_are_gone(photos: Path, people: Path, tmp_path: Path) -> None:
    (photos / "trip").mkdir()
    (photos / "r1.png").rename(photos / "trip" / "r1.png")
    (photos / "g1.png").rename(tmp_path / "g1.png")
    run(photos, people)
    assert (people / "person-0001" / "r1.png").readlink() == photos / "trip" / "r1.png"
    assert (people / "person-0002" / "g1.png").is_symlink(), "a link that leads nowhere is left"
    (tmp_path / "g1.png").rename(photos / "g1.png")
    run(photos, people)
    assert persons(people)["g1.png", 1] == ("2", "") and layout(people)["person-0002"] == ["g1.png", "rg.png"]


def test_photos_of_another_folder_join_the_same_people(photos: Path, people: Path, tmp_path: Path) -> None:
    save_photo(tmp_path / "camera" / "r9.png", (215, 50, 45))
    save_photo(tmp_path / "camera" / "b9.png", BLUE)
    found = group(tmp_path / "camera", people)
    assert found.photos == 9
    found.save(people)
    assert "r9.png" in layout(people)["person-0001"] and layout(people)["person-0003"] == ["b1.png", "b9.png"]


def test_corrections_stay_and_do_not_contradict_folders(photos: Path, tmp_path: Path) -> None:
    table, people = tmp_path / "corrections.csv", tmp_path / "people"
    table.write_text("a,b,same\nphotos/r1.png,photos/r2.png,0\nphotos/b1.png,photos/y1.png,1\n", "utf-8")
    run(photos, people, corrections=table)
    before = persons(people)
    assert before["r1.png", 1] != before["r2.png", 1] and before["b1.png", 1] == before["y1.png", 1]
    run(photos, people)
    assert persons(people) == before, "without the file, too"
    for row, message in (
        ("photos/r2.png,photos/g1.png,1", r"are one; move the photos into one"),
        ("photos/b1.png,photos/y1.png,0", r"are two people, and both are in person-\d{4}; move one"),
    ):
        table.write_text(f"a,b,same\n{row}\n", "utf-8")
        with pytest.raises(DataError, match=message):
            run(photos, people, corrections=table)


def test_a_folder_that_changed_meanwhile_is_left(photos: Path, people: Path) -> None:
    save_photo(photos / "r3.png", RED)
    found = group(photos, people)
    (people / "person-0001" / "r2.png").unlink()
    with pytest.raises(DataError, match="changed while the photos were grouped"):
        found.save(people)
    assert layout(people)["person-0001"] == ["r1.png", "rg.png"]


def test_a_folder_that_cannot_be_read_is_not_an_empty_one(
    photos: Path, people: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may read everything, so the system is asked to say no."""
    real = os.scandir

    def scandir(path: str) -> Any:
        if Path(path).name == "person-0001":
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(DataError, match=r"person-0001: this folder of people cannot be read \(Permission"):
        group(photos, people)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2}, {"faces": [{}]}, {"faces": [[1]]}, {"people": [{"person": 1}]}, {"next": "many"},
        {"apart": [[0, 99]]}, {"faces": None},
    ],
)  # fmt: skip
def test_a_damaged_record_is_named(photos: Path, people: Path, change: dict[str, Any]) -> None:
    record = people / ".facealike.json"
    record.write_text(json.dumps({**json.loads(record.read_text("utf-8")), **change}))
    before = layout(people)
    with pytest.raises(DataError, match=r"\.facealike\.json: this record .* cannot be read"):
        run(photos, people)
    assert layout(people) == before


def test_a_number_gives_way_to_a_name_from_a_gallery(photos: Path, people: Path, tmp_path: Path) -> None:
    (people / "person-0002").rename(people / "Gil of mine")
    with closing(Gallery.open(tmp_path / "people.db", ColorFaces())) as gallery:
        for name, color in (("Ann", RED), ("Gil", GREEN), ("Bob", BLUE)):
            gallery.enroll(name, [save_photo(tmp_path / f"{name}.png", color)])
        for _ in range(2):
            done = group(photos, people).name_from(gallery).save(people)
            assert layout(people) == {
                "Ann": ["r1.png", "r2.png", "rg.png"], "Bob": ["b1.png"], "Gil of mine": ["g1.png", "rg.png"],
                "single": ["y1.png"], "not-grouped": ["wall.png"],
            }  # fmt: skip
        assert done.renamed == ()
    run(photos, people)
    assert persons(people)["r1.png", 1] == ("1", "Ann"), "without the gallery, too"


def killed(photos: Path, people: Path, left: int) -> bool:
    """Continue a folder in a process of its own, which kills itself at a change of the disk."""
    process = os.fork()
    if process == 0:
        found = group(photos, people)

        def counted(real: Any) -> Any:
            def call(*arguments: Any, **keywords: Any) -> Any:
                nonlocal left
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*arguments, **keywords)

            return call

        for name in ("rename", "symlink_to", "unlink", "replace", "mkdir"):
            setattr(Path, name, counted(getattr(Path, name)))
        found.save(people)
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(process, 0)[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks a run for each kill")
def test_a_run_that_is_killed_anywhere_is_made_good_by_the_next(
    photos: Path, people: Path, tmp_path: Path
) -> None:
    (people / "person-0001").rename(people / "Ann")
    (people / "Ann" / "r2.png").rename(people / "person-0002" / "r2.png")
    save_photo(photos / "r3.png", (215, 50, 45))
    save_photo(photos / "b2.png", BLUE, (40, 220, 220))
    save_photo(photos / "g2.png", (40, 220, 50))
    whole = shutil.copytree(people, tmp_path / "whole", symlinks=True)
    run(photos, whole)
    for left in range(1, 100):
        folder = shutil.copytree(people, tmp_path / f"killed-{left}", symlinks=True)
        if not killed(photos, folder, left):
            break
        run(photos, folder)
        assert layout(folder) == layout(whole) and persons(folder) == persons(whole), left
        assert run(photos, folder).entries == ()
    assert left > 10, "it was killed in many places"


COLORS = (RED, DARK_RED, GREEN, BLUE, YELLOW, (40, 220, 220))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
@given(seed=st.integers(0, 10_000))
def test_whatever_the_user_does_an_update_only_adds(
    seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Random photos, and a user who renames folders, moves, deletes and adds photos between the runs."""
    rng = np.random.default_rng(seed)
    root = tmp_path_factory.mktemp("random")
    photos, people = root / "photos", root / "people"
    for step in range(4):
        for number in range(int(rng.integers(1, 4))):
            colors = [COLORS[i] for i in rng.integers(0, len(COLORS), int(rng.integers(0, 3)))]
            save_photo(photos / f"{step}-{number}.png", *colors)
        before = layout(people) if step else {}
        run(photos, people)
        after = layout(people)
        for place, names in before.items():
            if place not in ("single", "not-grouped"):
                assert set(names) <= set(after[place]), "nothing leaves the folder of a person"
        assert run(photos, people).entries == () and layout(people) == after
        for _ in range(int(rng.integers(0, 4))):
            links = sorted(path for path in people.rglob("*") if path.is_symlink())
            folders = sorted(path for path in people.iterdir() if path.is_dir())
            if not links:
                break
            link = links[int(rng.integers(len(links)))]
            target = folders[int(rng.integers(len(folders)))]
            action = rng.integers(3)
            if action == 0:
                link.unlink()
            elif action == 1 and not (target / link.name).is_symlink():
                link.rename(target / link.name)
            elif link.parent.name not in ("single", "not-grouped"):
                link.parent.rename(people / f"Name {step} {rng.integers(1000)}")
