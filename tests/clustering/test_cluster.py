"""Issue 22: faces of many photos grouped by person."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facealike import Clustering, cluster
from facealike.errors import DataError, NotCalibrated, UsageError
from support.faces_in_color import BLUE, GREEN, RED, ColorFaces, groups, save_photo
from support.tiny_model import tiny_model_file


def shade(color: tuple[int, int, int], step: int) -> tuple[int, int, int]:
    """Another photo of a person: a color nearby."""
    return (color[0], min(255, color[1] + 3 * step), min(255, color[2] + 2 * step))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Red in three photos, green in two, blue in one; a photo of two people, one of none, a broken one."""
    photos = tmp_path / "photos"
    save_photo(photos / "1.png", RED)
    save_photo(photos / "2.png", shade(RED, 1), GREEN)
    save_photo(photos / "trip" / "3.png", shade(RED, 2))
    save_photo(photos / "trip" / "4.png", shade(GREEN, 3))
    save_photo(photos / "5.png", BLUE)
    save_photo(photos / "wall.png")
    (photos / "broken.jpg").write_bytes(b"no photo")
    return photos


def clustered(folder: Path, **options: object) -> Clustering:
    with pytest.warns():
        return cluster(folder, ColorFaces(), **options)  # type: ignore[arg-type]


def test_groups_by_person_and_keeps_what_has_no_face(folder: Path) -> None:
    found = clustered(folder)
    assert groups(found) == {
        frozenset({("1.png", 1), ("2.png", 1), ("3.png", 1)}),
        frozenset({("2.png", 2), ("4.png", 1)}),
        frozenset({("5.png", 1)}),
    }
    assert (found.people, found.single, found.photos, len(found.faces)) == (3, 1, 7, 6)
    assert {Path(one.photo).name: one.kind for one in found.unused} == {
        "wall.png": "no_face",
        "broken.jpg": "unreadable",
    }
    assert len(found.faces_of(1)) == 3, "the most faces first"
    assert found.faces_of(3)[0].score is None and (found.faces_of(1)[0].score or 0) > 0.9
    assert "3 people in 6 faces of 7 photos, 1 with a single face" in str(found)
    with pytest.raises(UsageError, match="neither true nor false"):
        bool(found)


def test_the_threshold_is_that_of_the_target_fmr(folder: Path) -> None:
    found = clustered(folder, fmr=0.001).threshold
    assert found.value == pytest.approx(0.9) and not found.extrapolated and found.review == pytest.approx(0.8)
    found = clustered(folder).threshold
    assert (found.value, found.fmr) == (pytest.approx(0.95), 1e-4)
    assert clustered(folder, fmr=1e-5).threshold.extrapolated
    assert clustered(folder, threshold=-1.0, same_photo=True).people == 1


def test_two_faces_of_one_photo_are_two_people_unless_asked(tmp_path: Path) -> None:
    save_photo(tmp_path / "collage.png", RED, RED)
    save_photo(tmp_path / "one.png", RED)
    found = cluster(tmp_path, ColorFaces())
    assert found.people == 2
    (first, second) = (face.person for face in found.faces if "collage" in face.photo)
    assert first != second
    assert cluster(tmp_path, ColorFaces(), same_photo=True).people == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=10)
@given(seed=st.integers(0, 10_000))
def test_the_order_of_photos_changes_no_group(folder: Path, seed: int) -> None:
    paths = sorted(path for path in folder.rglob("*.png"))
    shuffled = random.Random(seed).sample(paths, len(paths))
    one, other = cluster(paths, ColorFaces()), cluster(shuffled, ColorFaces())
    assert groups(one) == groups(other)
    assert {(face.photo, face.person) for face in one.faces} == {
        (face.photo, face.person) for face in other.faces
    }, "the numbers, too"
    assert [face.photo for face in other.faces] == [
        str(path) for path in shuffled for face in one.faces if face.photo == str(path)
    ]


def test_copies_of_photos_fall_together(folder: Path) -> None:
    for path in sorted(folder.rglob("*.png")):
        (folder / f"copy of {path.name}").write_bytes(path.read_bytes())
    found = clustered(folder)
    of = {(Path(face.photo).name, face.number): face.person for face in found.faces}
    pairs = [(name, number) for name, number in of if f"copy of {name}" in {one for one, _ in of}]
    assert len(pairs) == 6
    assert all(of[name, number] == of[f"copy of {name}", number] for name, number in pairs)


def test_poor_faces_belong_to_no_person(folder: Path) -> None:
    found = clustered(folder, min_quality=0.95)
    assert found.people == 0 and all(face.person is None for face in found.faces)
    assert [row["person"] for row in csv.DictReader(found.to_csv().splitlines())] == [""] * 6
    assert found.poor == found.faces and "6 faces of a quality below 0.95 not grouped" in str(found)
    assert [(row["photo"], row["face"]) for row in found.to_dict()["poor"]] == [
        (face.photo, face.number) for face in found.faces
    ]
    every = clustered(folder, min_quality=0)
    assert every.poor == () and "not grouped" not in str(every)


def test_corrections_stick_and_name_their_line(folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "corrections.csv"
    table.write_text(
        "a,face_a,b,face_b,same\nphotos/1.png,,photos/2.png,1,0\nphotos/5.png,1,photos/2.png,2,1\n", "utf-8"
    )
    found = clustered(folder, corrections=table)
    of = {(Path(face.photo).name, face.number): face.person for face in found.faces}
    assert of["1.png", 1] != of["2.png", 1] and of["5.png", 1] == of["2.png", 2] == of["4.png", 1]
    paths = sorted(folder.rglob("*.png"))
    for rows, message in (
        ("photos/1.png,,photos/2.png,,0", "line 2: photos/2.png shows 2 faces; give face_a and face_b"),
        ("photos/1.png,4,photos/5.png,,0", "has no face 4"),
        ("photos/wall.png,,photos/5.png,,0", "no photo with a face here"),
        ("photos/1.png,,photos/5.png,,perhaps", "1 or 0 in the column same"),
        ("photos/1.png,x,photos/5.png,,1", "numbered from 1"),
        ("photos/1.png,,photos/1.png,,1", "the same one"),
        ("photos/1.png,,photos/5.png,,1\nphotos/1.png,,photos/5.png,,0", "contradict"),
    ):
        table.write_text(f"a,face_a,b,face_b,same\n{rows}\n", "utf-8")
        with pytest.raises(DataError, match=message):
            cluster(paths, ColorFaces(), corrections=table)
    table.write_text("a,b\nx,y\n", "utf-8")
    with pytest.raises(DataError, match="no column same"):
        cluster(folder, ColorFaces(), corrections=table)


def test_people_just_below_the_threshold_are_listed_for_review(tmp_path: Path) -> None:
    near = (
        220,
        40,
        100,
    )  # 0.92 with red: below 0.95, the threshold at an FMR of 1e-4, and above that at 1e-3
    save_photo(tmp_path / "1.png", RED)
    save_photo(tmp_path / "2.png", near)
    save_photo(tmp_path / "3.png", BLUE)
    found = cluster(tmp_path, ColorFaces())
    assert found.people == 3
    (pair,) = found.review
    assert {pair.a, pair.b} == {1, 2} and 0.9 <= pair.score < 0.95
    assert cluster(tmp_path, ColorFaces(), threshold=0.95).review == ()
    save_photo(tmp_path / "2.png", near, RED)
    assert all(one.score < 0.95 for one in cluster(tmp_path, ColorFaces()).review)


def test_a_cache_embeds_each_photo_once_and_gives_the_same(folder: Path, tmp_path: Path) -> None:
    model, cache = ColorFaces(), tmp_path / "cache"
    with pytest.warns():
        first = cluster(folder, model, cache=cache)
        assert model.embedded == 6
        second = cluster(folder, model, cache=cache)
    assert model.embedded == 6 and first.to_dict() == second.to_dict()
    assert [face.thumbnail for face in first.faces] == [face.thumbnail for face in second.faces]
    save_photo(folder / "1.png", shade(BLUE, 1))
    with pytest.warns():
        changed = cluster(folder, model, cache=cache)
    assert model.embedded == 7, "only the photo that changed"
    assert frozenset({("1.png", 1), ("5.png", 1)}) in groups(changed)
    (file,) = cache.glob("*.db")
    file.write_bytes(b"no database" * 100)
    with pytest.raises(DataError, match="cache of faces cannot be used"):
        cluster(folder, model, cache=cache)


def test_the_table_and_json_have_every_face(folder: Path) -> None:
    found = clustered(folder)
    rows = list(csv.DictReader(found.to_csv().splitlines()))
    assert [int(row["person"]) for row in rows] == [face.person for face in found.faces]
    assert [(row["photo"], int(row["face"])) for row in rows] == [
        (face.photo, face.number) for face in found.faces
    ]
    written = json.loads(json.dumps(found.to_dict()))
    assert written["people"] == 3 and len(written["faces"]) == 6 and written["fmr"] == 1e-4
    assert written["faces"][0]["box"] == [10.0, 10.0, 50.0, 50.0]


def test_draws_a_contact_sheet(folder: Path) -> None:
    found = clustered(folder)
    sheet = found.plot(2)
    assert sheet.mode == "RGB" and sheet.height < found.plot(3).height
    with pytest.raises(UsageError, match="at least one person"):
        found.plot(0)


def test_refuses_what_makes_no_sense(tmp_path: Path) -> None:
    for options, message in (
        ({"fmr": 0.1, "threshold": 0.5}, "not both"),
        ({"fmr": 0.0}, "between 0 and 1"),
        ({"threshold": 2.0}, "between -1 and 1"),
        ({"face": "nearest"}, "face policy"),
        ({"min_quality": 2.0}, "between 0 and 1"),
    ):
        with pytest.raises(UsageError, match=message):
            cluster(tmp_path, ColorFaces(), **options)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no photo in this folder"):
        cluster(tmp_path, ColorFaces())
    with pytest.raises(UsageError, match="no photo to group"):
        cluster([], ColorFaces())
    with pytest.raises(UsageError, match="by their paths"):
        cluster([3], ColorFaces())  # type: ignore[list-item]
    photo = save_photo(tmp_path / "1.png", RED)
    tiny_model_file().write(tmp_path / "tiny.facealike")
    with pytest.raises(NotCalibrated, match="no table of impostor scores"):
        cluster([photo], tmp_path / "tiny.facealike")
