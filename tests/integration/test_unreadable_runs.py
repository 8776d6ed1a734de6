"""Issue 19 C2: unreadable photos in calibrate, train, embed, detect, pairs and export."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from facealike import export_model
from facealike.embedding.embeddings_file import load_embeddings
from facealike.errors import DataError, UnreadableImage
from facealike.imaging.photo_warning import PhotoWarning, UnusedPhoto
from facealike.model_file.model_file import ModelFile
from facealike.train import train
from facealike.types import Box, Face
from support.drawn_people import CentralBox, draw_face, make_people, tiny_recipe
from support.run_command import command
from support.tiny_model import tiny_model_file
from support.training_runs import one_thread

pytest_plugins = ["support.training_runs"]
__all__ = ["one_thread"]

REASON = "not an image that can be read; use JPEG, PNG, WebP, AVIF, BMP, TIFF or GIF"
BLACK = np.zeros((64, 64, 3), dtype=np.uint8)


class Eyes(CentralBox):
    """No face in a black photo, two in one with a blue corner, else one in the middle."""

    def detect(self, image: Any) -> list[Face]:
        if not image.any():
            return []
        faces = super().detect(image)
        return [*faces, Face(Box(1, 1, 9, 9), 0.5)] if image[0, 0].tolist() == [0, 0, 255] else faces


@pytest.fixture(autouse=True)
def eyes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every model finds faces as ``Eyes`` does."""
    monkeypatch.setattr("facealike.embedding.face_model.make_detector", lambda *_: Eyes())
    monkeypatch.setattr("facealike.detection.registry.make_detector", lambda *_: Eyes())


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("model") / "m.facealike"
    tiny_model_file().write(out)
    return out


def damage(photo: Path) -> None:
    photo.write_bytes(b"x")


def crowd(photo: Path) -> None:
    image = np.asarray(PillowImage.open(photo)).copy()
    image[0, 0] = 0, 0, 255
    PillowImage.fromarray(image).save(photo)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Person_000 has an unreadable photo, one without a face and one of several."""
    root = make_people(tmp_path_factory.mktemp("damaged") / "people")
    damage(root / "Person_000" / "1.png")
    PillowImage.fromarray(BLACK).save(root / "Person_000" / "2.png")
    crowd(root / "Person_000" / "3.png")
    return root


# ---- calibrate --------------------------------------------------------------------------------


def test_calibrate_tells_and_goes_on_or_stops(
    people: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "c.facealike"
    arguments = ("calibrate", model, people, "--split", "all", "--face", "only", "--out", out)
    code, text, err = command(capsys, *arguments, "--json")
    told = json.loads(text)
    rows = {row["kind"]: (row["photo"], row["reason"]) for row in told["unused"]}
    assert code == 0 and rows["unreadable"] == (str(people / "Person_000" / "1.png"), REASON)
    assert rows["several_faces"][0] == str(people / "Person_000" / "3.png")
    counts = {"no_face": 1, "unreadable": 1, "several_faces": 1}
    assert told["calibration"]["left_out"] == told["left_out"] == counts
    assert ModelFile.read(out).calibration.left_out == counts
    assert f"Person_000/1.png: {REASON} (left out)" in err
    code, text, _ = command(capsys, *arguments)
    assert "photos left out: 1 without a face, 1 that could not be read, 1 with several faces" in text
    out.unlink()
    code, text, err = command(capsys, *arguments, "--strict", "--json")
    assert code == 2 and json.loads(text)["error"] == "UnreadableImage" and not out.exists()


# ---- train ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("one_thread")
def test_train_tells_and_goes_on(people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "facealike.embedding.face_model.read_model_file", lambda *_: tiny_model_file(threshold=0.5)
    )
    root = tmp_path / "people"
    shutil.copytree(people, root)
    every = sorted(root.rglob("*.png"))
    last = every[-1]
    damage(last)
    recipe = tiny_recipe(training={"epochs": 1, "steps_per_epoch": 2}, data={"face": "only"})
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", PhotoWarning)
        result = train(root, recipe, tmp_path / "m.facealike", detector=Eyes(), device="cpu")
    broken = [root / "Person_000" / "1.png", last]
    assert [one for one in result.unused if one.kind == "unreadable"] == [
        UnusedPhoto(str(photo), REASON) for photo in broken
    ]
    said = [str(one.message) for one in told if issubclass(one.category, PhotoWarning)]
    assert sum("could not be read" in text for text in said) == 1, "once, and not by every part of the run"
    assert f"2 of {len(every)} photos could not be read" in " ".join(said)
    about = result.to_dict()
    unread = [row["photo"] for row in about["unused"] if row["kind"] == "unreadable"]
    assert unread == [str(photo) for photo in broken]
    assert about["left_out"] == result.left_out == {"no_face": 1, "unreadable": 2, "several_faces": 1}
    assert "photos left out: 1 without a face, 2 that could not be read, 1 with several faces" in str(result)
    card = ModelFile.read(result.model_path).card
    assert card.data["left_out"] == result.left_out
    assert "Person_" not in json.dumps([card.metrics, card.data]), "a model file names nobody"
    # What was left out of a part of the table is a failure to acquire there.
    table = json.loads((result.run / "results.json").read_text())["evaluations"]
    rows = [row["photo"] for each in table for row in each["unused"] if row["kind"] == "unreadable"]
    parts = {each["name"]: each for each in table}
    assert set(rows) <= {str(photo) for photo in broken} and parts["train"]["missing"] >= 0


def test_train_stops_at_the_first_if_strict(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "m.facealike"
    with pytest.raises(UnreadableImage, match="Person_000/1"):
        train(people, tiny_recipe(), out, detector=CentralBox(), device="cpu", strict=True)
    arguments = ("train", people, "--out", out, "--recipe", "contrastive", "--strict", "--json")
    code, text, err = command(capsys, *arguments)
    assert code == 2 and json.loads(text)["error"] == "UnreadableImage" and not out.exists()
    assert f"Person_000/1.png: {REASON}" in err


# ---- embed, detect, pairs ---------------------------------------------------------------------


def test_embed_has_a_row_for_each_and_stops_if_strict(
    people: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = people / "Person_000", tmp_path / "e.npz"
    arguments = ("embed", folder, "--out", out, "--model", model, "--face", "only")
    code, text, _ = command(capsys, *arguments, "--json")
    told = json.loads(text)
    assert code == 2 and (told["photos"], told["vectors"]) == (4, 1)
    assert told["left_out"] == {"no_face": 1, "unreadable": 1, "several_faces": 1}
    rows = {row["kind"]: row for row in told["unused"]}
    assert rows["unreadable"] == {
        "photo": str(folder / "1.png"), "kind": "unreadable", "reason": REASON
    }  # fmt: skip
    assert (rows["several_faces"]["photo"], len(told["unused"])) == (str(folder / "3.png"), 3)
    from facealike.embedding.face_model import Model

    assert load_embeddings(out, Model.load(model))[1] == (str(folder / "0.png"),)
    code, text, _ = command(capsys, *arguments)
    assert "photos left out: 1 without a face, 1 that could not be read, 1 with several faces" in text
    out.unlink()
    code, text, err = command(capsys, *arguments, "--strict")
    assert code == 2 and f"{folder / '1.png'}: {REASON}" in err and not out.exists()
    (first := tmp_path / "one").mkdir()
    shutil.copy(folder / "2.png", first / "no-face.png")
    shutil.copy(folder / "3.png", first / "several.png")
    code, text, err = command(capsys, "embed", first, *arguments[2:], "--strict")
    assert code == 4 and "several.png: 2 faces" in err, "a photo without a face stops nothing"
    code, text, err = command(capsys, "embed", first / "no-face.png", people / "Person_001", *arguments[2:],
                              "--strict")  # fmt: skip
    assert code == 3 and out.exists()


def test_detect_goes_on_and_says_how_many(
    people: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = people / "Person_000"
    code, text, _ = command(capsys, "detect", folder, "--model", model, "--json")
    told = json.loads(text)
    assert code == 2 and [entry.get("error") for entry in told["images"]] == [
        None, "UnreadableImage", None, None,
    ]  # fmt: skip
    assert told["left_out"] == {"no_face": 1, "unreadable": 1, "several_faces": 0}
    code, text, err = command(capsys, "detect", folder, "--model", model)
    assert code == 2 and text.endswith("of the 4 photos 1 could not be read\n") and err.count(REASON) == 1


def test_pairs_passes_over_what_it_cannot_use(
    people: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = tmp_path / "people", tmp_path / "p.png"
    for name in ("Person_000", "Person_001"):
        shutil.copytree(people / name, root / name)
    arguments = ("pairs", root, "--split", "all", "--count", "50", "--out", out, "--face", "only")
    code, text, err = command(capsys, *arguments, "--model", model, "--json")
    told = json.loads(text)
    rows = {row["kind"]: row["photo"] for row in told["unused"]}
    assert code == 0 and rows["unreadable"] == str(root / "Person_000" / "1.png")
    assert rows["several_faces"] == str(root / "Person_000" / "3.png")
    assert told["pairs"] and err.count(REASON) == 1
    used = {Path(pair[side]).name for pair in told["pairs"] for side in "ab" if "_000" in pair[side]}
    assert used == {"0.png"}
    code, text, _ = command(capsys, *arguments, "--model", model)
    assert "photos left out: 1 without a face, 1 that could not be read, 1 with several faces" in text


# ---- export -----------------------------------------------------------------------------------


def test_export_tells_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from facealike.embedding.face_model import Model
    from support.small_network import pictures, small_network

    monkeypatch.undo()
    photos = tmp_path / "photos"
    photos.mkdir()
    for number, picture in enumerate(pictures(40, 1)):
        PillowImage.fromarray(picture).save(photos / f"{number:02d}.png")
    model = Model(ModelFile(**{**vars(tiny_model_file()), "embedder": small_network()}))
    for cache in (None, tmp_path / "cache", tmp_path / "cache"):
        damage(photos / "07.png")
        with pytest.warns(PhotoWarning, match="1 of 40 photos could not be read"):
            found = export_model(model, photos, 16, aligned=True, cache=cache)
        assert found.faces == 39
        assert found.unused == (UnusedPhoto(str(photos / "07.png"), REASON),)
        assert found.to_dict()["left_out"] == {"no_face": 0, "unreadable": 1, "several_faces": 0}
        assert str(found).endswith("photos left out: 1 that could not be read")
    for number in range(20):
        damage(photos / f"{number:02d}.png")
    with pytest.warns(PhotoWarning), pytest.raises(DataError, match=r"20 photos, .* 20 could not be read"):
        export_model(model, photos, 16, aligned=True)


def test_pictures_for_a_detector_are_collected_past_unreadable_ones(tmp_path: Path) -> None:
    from facealike.train.detector.pictures import collect_images

    photos = [tmp_path / f"{number}.png" for number in range(3)]
    for number, photo in enumerate(photos):
        PillowImage.fromarray(draw_face(number, 0)).save(photo)
    damage(photos[1])
    with pytest.warns(PhotoWarning, match="1 of 3 photos could not be read"):
        assert collect_images(photos, 64, tmp_path / "photos.npy") == 2
    stored = np.load(tmp_path / "photos.npy")
    assert np.array_equal(stored, np.stack([draw_face(0, 0), draw_face(2, 0)]))


def test_the_drawn_face_is_no_crowd() -> None:
    """``Eyes`` must not take a drawn person for several."""
    assert all(len(Eyes().detect(draw_face(person, 0))) == 1 for person in range(40))
