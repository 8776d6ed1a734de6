"""``compare --pairs``: a list of pairs is scored row by row (issue 19 D6)."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as PillowImage
from typer.testing import CliRunner, Result

from facealike.cli import app
from facealike.embedding.face_model import Model
from facealike.errors import DataError, UsageError
from facealike.utils.atomic_write import written_whole
from facealike.verification import compare_list as module
from facealike.verification.compare import CompareOptions, compare
from facealike.verification.compare_list import COLUMNS, compare_list
from support.drawn_people import CentralBox, draw_face
from support.tiny_model import tiny_model_file


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Model:
    """The tiny model, with the detector that finds every face in the middle."""
    monkeypatch.setattr("facealike.embedding.face_model.make_detector", lambda *_: CentralBox())
    return Model(tiny_model_file(), device="cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for person in range(3):
        for photo in range(2):
            PillowImage.fromarray(draw_face(person, photo)).save(tmp_path / f"{person}{photo}.png")
    (tmp_path / "broken.png").write_bytes(b"nothing")
    return tmp_path


def listed(folder: Path, *rows: str, header: str = "a,b") -> Path:
    path = folder / "list.csv"
    path.write_text("\n".join([header, *rows]) + "\n", "utf-8")
    return path


def test_each_row_is_what_compare_says(model: Model, folder: Path) -> None:
    pairs = [("00.png", "01.png"), ("00.png", "10.png"), ("21.png", "00.png"), ("11.png", "11.png")]
    found = list(
        compare_list(
            listed(folder, *(",".join(pair) for pair in pairs)), model, options=CompareOptions(prior=0.1)
        )
    )
    assert [(row.a, row.b) for row in found] == pairs and [row.line for row in found] == [2, 3, 4, 5]
    for row, (a, b) in zip(found, pairs, strict=True):
        alone = compare(folder / a, folder / b, model, prior=0.1)
        assert row.comparison is not None and row.error is None
        assert row.comparison.score == pytest.approx(alone.score, abs=1e-5)
        assert replace(row.comparison, score=alone.score, milliseconds={}) == replace(alone, milliseconds={})


def test_one_bad_row_is_a_row_with_a_reason(model: Model, folder: Path) -> None:
    bad = ["00.png,gone.png", "x", "broken.png,00.png", ",00.png", '"a"b,c']
    path = listed(folder, *bad, "00.png,01.png")
    rows = list(compare_list(path, model))
    assert [row.comparison is None for row in rows] == [True] * 5 + [False]
    told = [row.cells()[-1] for row in rows]
    wanted = [
        "gone.png: no such",
        "1 field where",
        "broken.png: ",
        "a photo is missing",
        "not valid CSV",
        "",
    ]
    for words, reason in zip(wanted, told, strict=True):
        assert words in reason
    assert all(len(row.cells()) == len(COLUMNS) for row in rows)


def test_photos_are_embedded_once_and_memory_is_bounded(
    model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AT_A_TIME", 2)
    embedded: list[int] = []
    real = model.embed_many
    monkeypatch.setattr(model, "embed_many", lambda crops: embedded.append(len(crops)) or real(crops))
    names = ["00.png", "01.png", "10.png", "11.png", "20.png", "21.png"]
    rows = [f"{a},{b}" for a in names for b in names]
    every = list(compare_list(listed(folder, *rows), model))
    assert sum(embedded) == 6
    monkeypatch.setattr(module, "CACHED", 3)
    embedded.clear()
    again = list(compare_list(listed(folder, *rows), model))
    assert sum(embedded) > 6
    assert [row.comparison.score for row in again if row.comparison] == pytest.approx(
        [row.comparison.score for row in every if row.comparison], abs=1e-6
    )


def test_rows_come_before_the_list_is_read_to_its_end(
    model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AT_A_TIME", 1)
    done: list[int] = []
    rows = compare_list(listed(folder, *["00.png,10.png"] * 5), model, progress=done.append)
    next(rows)
    assert done == []
    assert len(list(rows)) == 4 and done == [1, 2, 3, 4, 5]


def test_what_is_no_list_is_refused(model: Model, folder: Path) -> None:
    with pytest.raises(DataError, match="line 1: no columns a and b"):
        list(compare_list(listed(folder, header="a,c"), model))
    with pytest.raises(UsageError, match="'all'"):
        list(compare_list(listed(folder), model, options=CompareOptions(face="all")))


# ---- the command --------------------------------------------------------------------------------


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


def scores(path: Path) -> list[dict[str, Any]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_command_writes_the_scores(model: Model, folder: Path, tmp_path: Path) -> None:
    model.file.write(folder / "tiny.facealike")
    rows = ["00.png;00.png", "00.png;10.png", "00.png;gone.png"]
    path, out = listed(folder, *rows, header="Image 1;Image 2"), tmp_path / "scores.csv"
    common = ("compare", "--pairs", path, "--out", out, "-m", folder / "tiny.facealike")
    done = run(*common, "--json")
    assert done.exit_code == 2, "the exit code is that of the first row that failed"
    told = json.loads(done.stdout)
    assert (told["pairs"], told["failed"], told["same"] + told["different"]) == (3, 1, 2)
    table = scores(out)
    assert tuple(table[0]) == COLUMNS and [row["line"] for row in table] == ["2", "3", "4"]
    assert table[0]["verdict"] == "same" and float(table[0]["score"]) == pytest.approx(1, abs=1e-5)
    assert "gone.png" in table[2]["reason"] and table[2]["score"] == ""
    listed(folder, "00.png,00.png")
    assert run(*common).exit_code == 0 and "1 pair of the same person" in run(*common).stdout
    gone = run("compare", "--pairs", folder / "gone.csv", *common[3:])
    assert gone.exit_code == 2 and "no list of pairs can be read" in gone.stderr, "though --out is there"
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    (moved / "list.csv").write_text("a,b\n00.png,01.png\n")
    done = run("compare", "--pairs", moved / "list.csv", "--root", folder, "-o", out, *common[-2:])
    assert done.exit_code == 0 and scores(out)[0]["reason"] == ""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "give two photos"), (("a.jpg",), "give two photos"), (("--pairs", "x.csv"), "--out CSV"),
        (("--out", "x.csv"), "--pairs CSV"), (("a.jpg", "b.jpg", "--pairs", "x", "--out", "y"), "not both"),
    ],
)  # fmt: skip
def test_arguments_that_contradict_each_other(arguments: tuple[str, ...], told: str) -> None:
    done = run("compare", *arguments)
    assert done.exit_code == 2 and told in done.stderr


def test_a_list_is_not_overwritten_by_its_scores(folder: Path) -> None:
    path = listed(folder, "00.png,01.png")
    done = run("compare", "--pairs", path, "--out", path)
    assert done.exit_code == 2 and "the list itself" in done.stderr and path.read_text().startswith("a,b")


def test_a_text_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("before")
    with pytest.raises(KeyboardInterrupt), written_whole(path) as stream:
        stream.write("half")
        raise KeyboardInterrupt
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]
    with written_whole(path) as stream:
        stream.write("caf\udce9\r\n")
    assert path.read_bytes() == b"caf\xe9\r\n" and list(tmp_path.iterdir()) == [path]
    with pytest.raises(DataError, match="cannot be written"), written_whole(tmp_path / "no" / "x.csv"):
        pass
