"""Issue 19 A10: one way from a photo to its crop; every verb sees the same face in the same pixels."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from typer.testing import CliRunner

import facealike
from facealike.cli import app
from facealike.datasets.people import People
from facealike.embedding.cropper import FaceCropper
from facealike.embedding.face_model import Model
from facealike.imaging.read import read_image
from facealike.quality.score import face_quality
from facealike.reports.hardest_errors import _jpeg, face_thumbnails
from facealike.reports.pair_sheet import _Crops
from facealike.verification.compare import compare
from support.tiny_model import astronaut, hopper_path

SRC = Path(facealike.__file__).parent


@pytest.fixture(scope="module")
def model() -> Model:
    return Model.load(device="cpu")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two portraits of about 2,000 pixels a side, in the folders of two people."""
    root = tmp_path_factory.mktemp("people")
    paths = []
    for name, portrait in (("Ada", astronaut()), ("Bob", np.asarray(PillowImage.open(hopper_path())))):
        (root / name).mkdir()
        side = (2048, round(2048 * portrait.shape[0] / portrait.shape[1]))
        paths.append(root / name / "0.jpg")
        big = PillowImage.fromarray(portrait).resize(side, PillowImage.Resampling.BICUBIC)
        noise = np.random.default_rng(0).normal(0, 8, (side[1], side[0], 1))
        PillowImage.fromarray((np.asarray(big) + noise).clip(0, 255).astype(np.uint8)).save(paths[-1])
    return paths[0], paths[1]


def test_compare_scores_a_large_jpeg_as_embed_does(model: Model, large: tuple[Path, Path]) -> None:
    assert model.cropper().photo(large[0]).factor > 1
    a, b = model.embed(large)
    assert compare(*large, model).score == pytest.approx(float(a @ b), abs=1e-6)


def test_every_verb_finds_the_same_face(model: Model, large: tuple[Path, Path]) -> None:
    result = CliRunner().invoke(app, ["detect", *map(str, large), "--face", "largest", "--json"])
    assert result.exit_code == 0
    compared = compare(*large, model)
    for i, image in enumerate(json.loads(result.stdout)["images"]):
        (seen,) = model.faces(large[i])
        assert seen.face == compared.faces[i] and seen.face is not None
        assert image["faces"][0]["box"] == seen.face.to_dict()["box"]
        assert (image["height"], image["width"]) == read_image(large[i]).shape[:2]
        assert compared.found[i] == seen.found


def test_thumbnails_and_pairs_show_the_crop_that_the_model_sees(
    model: Model, large: tuple[Path, Path]
) -> None:
    root = large[0].parent.parent
    shown = face_thumbnails(["Ada/0.jpg"], root, model.file, "largest")["Ada/0.jpg"]
    (seen,) = model.faces(large[0])
    assert shown == _jpeg(seen.crop)
    drawn = _Crops(People.from_folder(root), FaceCropper.of_file(model.file), "largest")(0)
    assert drawn is not None and np.array_equal(drawn, seen.crop)


def test_the_quality_of_a_large_photo_is_measured_in_its_own_pixels(
    model: Model, large: tuple[Path, Path]
) -> None:
    (seen,) = model.faces(large[0])
    assert seen.face is not None and seen.quality is not None
    whole = face_quality(read_image(large[0]), seen.face, "yunet")
    assert seen.quality.measures["eye_distance"] == pytest.approx(whole.measures["eye_distance"], rel=1e-3)
    assert seen.quality.score == pytest.approx(whole.score, abs=0.02)


def test_crops_of_is_faces_for_one_release(model: Model, large: tuple[Path, Path]) -> None:
    with pytest.deprecated_call(match=r"Model\.faces"):
        (old,) = model.crops_of(large[0])
    (new,) = model.faces(large[0], quality=False)
    assert (old.face, old.found, old.quality) == (new.face, new.found, None)
    assert np.array_equal(old.crop, new.crop)


def test_a_face_without_a_crop_has_no_pixels(model: Model, large: tuple[Path, Path]) -> None:
    (found,) = FaceCropper(model.detector, None)(large[0], "largest")
    assert found.crop.shape == (0, 0, 3) and found.quality is None
    assert found.face == model.faces(large[0])[0].face
    assert found.to_dict() == {
        "number": 1,
        "face": found.face and found.face.to_dict(),
        "found": found.found,
        "quality": None,
    }
    assert str(found) == str(found.face) and repr(found).startswith("<FaceCrop: face ")


def test_only_the_cropper_selects_a_face() -> None:
    """A second way would select and crop a face by itself; training a detector is not a command on photos."""
    users = set()
    for path in SRC.rglob("*.py"):
        names = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
        if "select_faces" in names and "train" not in path.parts:
            users.add(path.stem)
    assert users == {"cropper"}
