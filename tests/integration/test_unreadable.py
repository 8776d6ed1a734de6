"""Issue 19 C2: a photo that cannot be read ends no run; it is a row with a reason, and ``--strict`` stops."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as PillowImage

from facealike.calibration.calibration import Calibration
from facealike.embedding.crop_cache import cached_crops, stream_crops
from facealike.errors import ImageError, ModelError, SeveralFaces, UnreadableImage, UsageError
from facealike.evaluation.all_pairs import evaluate_exhaustive
from facealike.evaluation.calibrate import calibrate
from facealike.evaluation.demographics import evaluate_groups
from facealike.evaluation.identification import evaluate_identification
from facealike.evaluation.lfw_view2 import evaluate_view2
from facealike.evaluation.verification import evaluate_pairs, evaluate_split
from facealike.evaluation.verification_table import table_markdown
from facealike.imaging.photo_warning import PhotoWarning, UnusedPhoto, left_out_rows
from facealike.model_file.preprocessing import Preprocessing
from facealike.types import Pair
from support.drawn_people import CentralBox, make_people
from support.flat_color_model import ColourModel, make_coloured
from support.run_command import command

BROKEN, BLACK, CROWD = "Person_00/1.png", "Person_01/1.png", "Person_02/1.png"
REASON = "not an image that can be read; use JPEG, PNG, WebP, AVIF, BMP, TIFF or GIF"

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_coloured(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def damaged(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same photos; one is a byte, one shows no face and one shows two, as ``ColourDetector`` has it."""
    root = tmp_path_factory.mktemp("damaged") / "people"
    shutil.copytree(whole, root)
    (root / BROKEN).write_bytes(b"x")
    PillowImage.new("RGB", (12, 12)).save(root / BLACK)
    crowd = PillowImage.open(root / CROWD)
    crowd.putpixel((0, 0), (0, 0, 255))
    crowd.save(root / CROWD)
    return root


@pytest.fixture(autouse=True)
def _told() -> Iterator[None]:
    """What these tests are about is in the results; the warnings have a test of their own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PhotoWarning)
        yield


def of_pairs(model: Any, root: Path, split: str, **how: Any) -> Any:
    pairs = [
        Pair(str(root / a), str(root / b), a[:9] == b[:9])
        for a, b in (
            ("Person_00/0.png", BROKEN), ("Person_00/0.png", BLACK), ("Person_02/0.png", CROWD),
            ("Person_03/0.png", "Person_03/1.png"), ("Person_03/0.png", "Person_04/1.png"),
            ("Person_01/0.png", "Person_01/2.png"),
        )
    ]  # fmt: skip
    return evaluate_pairs(model, pairs, split, **how)


def of_lfw(model: Any, root: Path, split: str, **how: Any) -> Any:
    rows = ["fold,a,b,same"]
    for fold in range(2):
        for k in range(4):
            one, other = f"Person_{fold * 4 + k:02d}", f"Person_{fold * 4 + (k + 1) % 4:02d}"
            rows += [f"{fold},{one}/0.png,{one}/1.png,1", f"{fold},{one}/0.png,{other}/2.png,0"]
    listed = root.parent / "folds.csv"
    listed.write_text("\n".join(rows) + "\n")
    return evaluate_view2(model, root, listed, **how)


def of_groups(model: Any, root: Path, split: str, **how: Any) -> Any:
    rows = ["file,race"] + [f"{root / f'Person_{n:02d}/{k}.png'},all" for n in range(40) for k in range(3)]
    listed = root.parent / "groups.csv"
    listed.write_text("\n".join(rows) + "\n")
    return evaluate_groups(model, listed, by=("race",), threshold=0.9, resamples=20, **how)


PROTOCOLS = [evaluate_split, evaluate_exhaustive, evaluate_identification, of_pairs, of_lfw, of_groups]


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("run", PROTOCOLS, ids=lambda run: run.__name__)
def test_every_protocol_has_each_unusable_photo_as_a_row(
    run: Run, damaged: Path, tmp_path: Path, cached: bool
) -> None:
    how: dict[str, Any] = {"face": "only", "cache": tmp_path / "cache" if cached else None}
    for _ in range(1 + cached):  # what a cache knows from before is told again
        result = run(ColourModel(), damaged, "all", **how)
        about = result.to_dict()
        about = about.get("pooled", about)
        broken, crowd = ([str(damaged / name)] for name in (BROKEN, CROWD))
        rows = {row["kind"]: row for row in about["unused"]}
        assert [rows["unreadable"]["photo"]] == broken and [rows["several_faces"]["photo"]] == crowd
        assert rows["unreadable"]["reason"] == REASON
        assert rows["several_faces"]["reason"].startswith("2 faces found where the policy 'only' allows")
        assert rows["no_face"] == {
            "photo": str(damaged / BLACK), "kind": "no_face", "reason": "no face found"
        }  # fmt: skip
        # Each is a failure to acquire, and the one without a face is told apart from them.
        assert about["missing"] == len(about["unused"]) == 3
        assert about["left_out"] == {"no_face": 1, "unreadable": 1, "several_faces": 1}
        if "fta" in about:
            assert about["fta"] == pytest.approx(3 / about["photos"], abs=1e-6)
        assert "1 could not be read and 1 show several faces" in str(result)
        if run is not evaluate_split and run is not of_pairs:
            assert "1 could not be read and 1 show several faces" in result.to_markdown()
        json.dumps(about)


@pytest.mark.parametrize("run", PROTOCOLS, ids=lambda run: run.__name__)
def test_every_protocol_stops_at_the_first_one_if_strict(run: Run, damaged: Path) -> None:
    with pytest.raises(UnreadableImage, match=r"Person_00.1\.png: not an image"):
        run(ColourModel(), damaged, "all", strict=True)


@pytest.mark.parametrize("run", PROTOCOLS, ids=lambda run: run.__name__)
def test_a_folder_without_faults_has_no_rows(run: Run, whole: Path) -> None:
    result = run(ColourModel(), whole, "all", strict=True)
    about = result.to_dict()
    about = about.get("pooled", about)
    assert (about["unused"], about["missing"]) == ([], 0)
    assert about["left_out"] == {"no_face": 0, "unreadable": 0, "several_faces": 0}
    assert "could not be read" not in str(result)


def test_an_unreadable_photo_counts_as_one_without_a_face_does(damaged: Path, tmp_path: Path) -> None:
    """All rates are those of the same folder in which that photo shows no face; only the reason differs."""
    black = tmp_path / "people"
    shutil.copytree(damaged, black)
    for name in (BROKEN, CROWD):
        PillowImage.new("RGB", (12, 13 + (name == CROWD))).save(black / name)
    one, other = (evaluate_split(ColourModel(), root, "all", face="only") for root in (damaged, black))
    tables = [dict(result.to_dict()) for result in (one, other)]
    told = [(list(t.pop("left_out").values()), len(t.pop("unused"))) for t in tables]
    assert told == [([1, 1, 1], 3), ([3, 0, 0], 3)] and tables[0] == tables[1]
    assert "of the photos without a face 1 could not be read and 1 show several faces" in table_markdown(
        [one]
    )
    assert (one.missing, one.failures) == (3, other.failures)


def test_a_card_counts_unusable_photos_and_names_none(damaged: Path) -> None:
    of_folds = of_lfw(ColourModel(), damaged, "all", face="only").for_card()
    assert "Person" not in json.dumps(of_folds)
    card = evaluate_split(ColourModel(), damaged, "all", face="only").for_card()
    assert card["left_out"] == {"no_face": 1, "unreadable": 1, "several_faces": 1}
    assert "Person" not in json.dumps(card)


def test_photos_left_out_with_their_pairs_are_told(damaged: Path) -> None:
    result = evaluate_split(ColourModel(), damaged, "all", skip_missing=True)
    assert result.skipped and "of the photos 1 could not be read" in str(result)
    assert "of the photos 1 could not be read" in table_markdown([result])


def test_if_no_photo_can_be_read_that_is_the_error(whole: Path, tmp_path: Path) -> None:
    """A wrong folder for a list of pairs was answered with "no face found"."""
    pairs = [Pair(f"{tmp_path}/A/{k}.png", f"{tmp_path}/{p}/9.png", p == "A") for k in (0, 1) for p in "AB"]
    with pytest.raises(UnreadableImage, match=r"0\.png: no such file.*nor can any of the other 3 photos"):
        evaluate_pairs(ColourModel(), pairs, "mine")


def test_calibration_counts_what_it_leaves_out(damaged: Path, whole: Path) -> None:
    found = calibrate(ColourModel(), damaged, split="all", face="only", resamples=20)
    assert found.left_out == {"no_face": 1, "unreadable": 1, "several_faces": 1}
    assert {(one.photo, one.kind) for one in found.unused} == {
        (str(damaged / BROKEN), "unreadable"),
        (str(damaged / CROWD), "several_faces"),
        (str(damaged / BLACK), "no_face"),
    }
    told = "photos left out: 1 without a face, 1 that could not be read, 1 with several faces"
    assert told in str(found)
    assert "Person" not in json.dumps(found.to_dict())  # a model file names no photo
    again = Calibration.from_dict(found.to_dict())
    assert again == found and again.unused == ()
    plain = calibrate(ColourModel(), whole, split="all", resamples=20)
    assert "left_out" not in plain.to_dict() and "left out" not in str(plain)
    with pytest.raises(UnreadableImage, match=r"Person_00.1\.png"):
        calibrate(ColourModel(), damaged, split="all", strict=True)
    for wrong in ({"left_out": {"bored": 1}}, {"left_out": {"no_face": -1}}, {"unused": [["a", "b", "c"]]}):
        with pytest.raises(ModelError):
            Calibration.from_dict({**plain.to_dict(), **wrong})


@pytest.mark.parametrize("cached", [False, True])
def test_crops_name_what_they_leave_out(tmp_path: Path, cached: bool) -> None:
    root = make_people(tmp_path / "people", 2)
    photos = sorted(root.rglob("*.png"))
    photos[1].write_bytes(b"x")
    cut, unused = Preprocessing(32, "box"), [UnusedPhoto(str(photos[1]), REASON)]
    with pytest.warns(PhotoWarning, match=f"1 of {len(photos)} photos could not be read") as told:
        if cached:
            crops = cached_crops(photos, CentralBox(), cut, "largest", tmp_path / "c", strict=False)
            assert [int(i) for i in (crops.rows < 0).nonzero()[0]] == [1] and list(crops.unused) == unused
        else:
            seen: list[UnusedPhoto] = []
            stream = stream_crops(photos, CentralBox(), cut, "largest", strict=False, failed=seen.append)
            assert [i for i, crop in enumerate(stream) if crop is None] == [1] and seen == unused
    assert str(told[0].message) == f"{photos[1]}: {REASON} (left out)"
    with pytest.raises(ImageError):
        cached_crops(photos, CentralBox(), cut, "largest", tmp_path / "c")
    with pytest.raises(ImageError):
        list(stream_crops(photos, CentralBox(), cut, "largest"))


@pytest.mark.parametrize("cached", [False, True])
def test_photos_of_several_faces_are_told_in_one_line(damaged: Path, tmp_path: Path, cached: bool) -> None:
    photos, model = [damaged / CROWD, damaged / "Person_03/0.png"] * 3, ColourModel()
    with pytest.warns(PhotoWarning, match="3 of 6 photos show several faces .* left out: ") as told:
        if cached:
            cached_crops(
                photos, model.detector, model.preprocessing, "only", tmp_path / "cache", strict=False
            )
        else:
            list(stream_crops(photos, model.detector, model.preprocessing, "only", strict=False))
    assert len(told) == 1 and "could not be read" not in str(told[0].message)
    with pytest.raises(SeveralFaces):
        list(stream_crops(photos, model.detector, model.preprocessing, "only"))


def test_rows_and_counts_have_names_of_their_own() -> None:
    rows = left_out_rows([UnusedPhoto("a", "2 faces", "several_faces"), UnusedPhoto("b", "empty")])
    assert rows == {
        "left_out": {"no_face": 0, "unreadable": 1, "several_faces": 1},
        "unused": [
            {"photo": "a", "kind": "several_faces", "reason": "2 faces"},
            {"photo": "b", "kind": "unreadable", "reason": "empty"},
        ],
    }


def test_an_evaluation_refuses_more_unusable_photos_than_missing_ones(whole: Path) -> None:
    from dataclasses import replace

    result = evaluate_split(ColourModel(), whole, "all")
    with pytest.raises(UsageError, match="some of those without a face"):
        replace(result, unused=(UnusedPhoto("a", "empty"),))


# ---- the command line -------------------------------------------------------------------------


@pytest.fixture
def coloured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every model that a command loads is the one whose faces are flat colours."""
    monkeypatch.setattr("facealike.embedding.face_model.Model.load", lambda *_, **__: ColourModel())


@pytest.mark.usefixtures("coloured")
@pytest.mark.parametrize("protocol", ["split", "exhaustive", "identification"])
def test_evaluate_tells_and_goes_on_or_stops(
    damaged: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    monkeypatch.setattr(ColourModel, "id", "colour", raising=False)
    arguments = ("evaluate", "default", damaged, "--split", "all", "--face", "only", "--protocol", protocol)
    code, out, err = command(capsys, *arguments, "--json")
    about = json.loads(out)
    about = about["evaluations"][0] if protocol == "split" else about
    unread = [row["photo"] for row in about["unused"] if row["kind"] == "unreadable"]
    assert code == 0 and unread == [str(damaged / BROKEN)]
    assert "1 of 180 photos could not be read" in err and "1 of 180 photos show several faces" in err
    code, out, err = command(capsys, *arguments, "--strict", "--json")
    assert code == 2 and json.loads(out)["error"] == "UnreadableImage"
    assert f"{damaged / BROKEN}: {REASON}" in err


@pytest.mark.parametrize("count", [3, 4])
def test_a_warning_names_three_photos_of_several_faces(whole: Path, tmp_path: Path, count: int) -> None:
    """Found by mutation: the number of names was free."""
    root = tmp_path / "people"
    shutil.copytree(whole, root)
    crowds = sorted(str(path) for path in root.glob("*/1.png"))[:count]
    for path in crowds:
        crowd = PillowImage.open(path)
        crowd.putpixel((0, 0), (0, 0, 255))
        crowd.save(path)
    model = ColourModel()
    photos = sorted(str(path) for path in root.glob("*/*.png"))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        list(stream_crops(photos, model.detector, model.preprocessing, "only", strict=False))
    [line] = [str(each.message) for each in told if "several faces" in str(each.message)]
    assert line.endswith(", ".join(crowds[:3]) + (", ..." if count > 3 else ""))
