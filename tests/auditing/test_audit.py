"""A folder with faults of every kind: the result, its tables and its page."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from typer.testing import CliRunner

from facealike import Audit, audit, cluster
from facealike.auditing.faults import KINDS
from facealike.cli import app
from facealike.errors import DataError, UsageError
from support.html_page import Page
from support.paths import ROOT

PHOTOS = ROOT / "examples" / "photos"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people; copies within one and across both, a wall, a broken file and two faces in one photo."""
    root = tmp_path_factory.mktemp("audit") / "people"
    hopper, collins = (
        PillowImage.open(PHOTOS / f"{name}.jpg").convert("RGB") for name in ("hopper", "collins")
    )
    for name in ("Grace <Hopper>", "Collins"):
        (root / name).mkdir(parents=True)
    hopper.save(root / "Grace <Hopper>" / "1.png")
    hopper.resize((hopper.width // 2, hopper.height // 2)).save(root / "Grace <Hopper>" / "2.jpg")
    collins.save(root / "Collins" / "1.png")
    hopper.save(root / "Collins" / "2.png")
    PillowImage.new("RGB", (200, 200), (90, 120, 90)).save(root / "Collins" / "wall.png")
    (root / "Collins" / "broken.jpg").write_bytes(b"no photo")
    both = np.concatenate(
        [np.asarray(hopper.resize((250, 250))), np.asarray(collins.resize((250, 250)))], axis=1
    )
    PillowImage.fromarray(both).save(root / "Collins" / "zwei.png")
    return root


@pytest.fixture(scope="module")
def result(folder: Path) -> Audit:
    return audit(folder)


def names(result: Audit, kind: str) -> set[str]:
    return {"/".join(Path(fault.photo).parts[-2:]) for fault in result.of(kind)}


def test_each_fault_is_found(result: Audit) -> None:
    assert (result.photos, result.people, result.single, result.largest, result.most) == (
        7,
        2,
        0,
        "Collins",
        5,
    )
    assert names(result, "copy") == {"Grace <Hopper>/2.jpg"}
    assert names(result, "shared_copy") == {"Grace <Hopper>/1.png", "Grace <Hopper>/2.jpg"}
    assert names(result, "no_face") == {"Collins/wall.png"}
    assert names(result, "unreadable") == {"Collins/broken.jpg"}
    assert names(result, "several_faces") == {"Collins/zwei.png"}


def test_the_most_serious_come_first(result: Audit) -> None:
    order = [list(KINDS).index(fault.kind) for fault in result.faults]
    assert order == sorted(order)
    assert (
        all(fault.serious for fault in result.serious)
        and result.serious == result.faults[: len(result.serious)]
    )


def test_the_page_loads_nothing_and_shows_the_photos(result: Audit) -> None:
    page = Page(result.page())
    assert not page.all("script") and not page.all("link")
    pictures = page.all("img")
    assert pictures and all(each["src"].startswith("data:image/jpeg;base64,") for each in pictures)
    (policy,) = [each for each in page.all("meta") if "http-equiv" in each]
    assert policy["content"].startswith("default-src 'none'")
    assert any("Grace <Hopper>" in word for word in page.words)


def test_the_list_of_fixes_is_a_file_of_corrections(result: Audit, folder: Path, tmp_path: Path) -> None:
    fixes = tmp_path / "fixes.csv"
    fixes.write_text(result.fix_list(), encoding="utf-8")
    rows = list(csv.DictReader(fixes.open(encoding="utf-8")))
    assert rows and all(row["a"] and row["b"] and row["same"] in "01" and row["action"] for row in rows)
    with pytest.warns():
        grouped = cluster(folder, corrections=fixes, same_photo=True)
    of = {face.photo: face.person for face in grouped.faces}
    for row in rows:
        assert (of[row["a"]] == of[row["b"]]) == (row["same"] == "1")


def test_the_other_set(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "GRACE <hopper>"
    other.mkdir(parents=True)
    PillowImage.open(PHOTOS / "hopper.jpg").save(other / "a.jpg", quality=60)
    found = audit(folder, against=tmp_path / "other")
    assert {fault.other for fault in found.of("overlap_person")} == {"GRACE <hopper>"}
    assert found.of("overlap_photo") and found.against == str(tmp_path / "other")
    assert audit(folder, against="default").of("overlap_person") == ()


def test_what_cannot_be_audited_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        audit(tmp_path / "nothing")
    with pytest.raises(UsageError, match="one face a photo"):
        audit(tmp_path, face="all")


def test_the_command(folder: Path, tmp_path: Path) -> None:
    out, table, fixes = (tmp_path / name for name in ("report.html", "faults.csv", "fixes.csv"))
    told = CliRunner().invoke(
        app,
        ["audit", str(folder), "--json", "--out", str(out), "--csv", str(table), "--fix-list", str(fixes)],
    )
    assert told.exit_code == 1
    document = json.loads(told.stdout)
    assert (
        document["counts"]["copy"] == 1 and len(list(csv.reader(table.open()))) == len(document["faults"]) + 1
    )
    assert out.read_text("utf-8").startswith("<!DOCTYPE html>") and fixes.read_text("utf-8").startswith(
        "a,face_a"
    )


def test_the_exit_code_of_a_good_folder_and_of_one_without_faces(tmp_path: Path) -> None:
    for name, photo in (("A", PHOTOS / "hopper.jpg"), ("B", PHOTOS / "collins.jpg")):
        (tmp_path / "good" / name).mkdir(parents=True)
        (tmp_path / "good" / name / "1.jpg").write_bytes(photo.read_bytes())
    assert CliRunner().invoke(app, ["audit", str(tmp_path / "good")]).exit_code == 0
    (tmp_path / "none" / "A").mkdir(parents=True)
    PillowImage.new("RGB", (90, 90)).save(tmp_path / "none" / "A" / "1.png")
    assert CliRunner().invoke(app, ["audit", str(tmp_path / "none")]).exit_code == 3
