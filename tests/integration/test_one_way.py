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
from facealike.cli.pairs import _Cropper
from facealike.datasets.people import People
from facealike.embedding.face_model import Model
from facealike.imaging.read import read_image
from facealike.quality.score import face_quality
from facealike.reports.hardest_errors import _jpeg, face_thumbnails
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
    assert model.cutter().photo(large[0]).factor > 1
    a, b = model.embed(large)
    assert compare(*large, model).score == pytest.approx(float(a @ b), abs=1e-6)


def test_every_verb_finds_the_same_face(model: Model, large: tuple[Path, Path]) -> None:
    result = CliRunner().invoke(app, ["detect", *map(str, large), "--face", "largest", "--json"])
    assert result.exit_code == 0
    compared = compare(*large, model)
    for i, image in enumerate(json.loads(result.stdout)["images"]):
        (cut,) = model.crops_of(large[i])
        assert cut.face == compared.faces[i] and cut.face is not None
        assert image["faces"][0]["box"] == cut.face.to_dict()["box"]
        assert (image["height"], image["width"]) == read_image(large[i]).shape[:2]
        assert compared.found[i] == cut.found


def test_thumbnails_and_pairs_show_the_crop_that_the_model_sees(
    model: Model, large: tuple[Path, Path]
) -> None:
    root = large[0].parent.parent
    shown = face_thumbnails(["Ada/0.jpg"], root, model.file, "largest")["Ada/0.jpg"]
    (cut,) = model.crops_of(large[0])
    assert shown == _jpeg(cut.crop)
    drawn = _Cropper(People.from_folder(root), model.detector, model.preprocessing, "largest").crop(0)
    assert np.array_equal(drawn, cut.crop)


def test_the_quality_of_a_large_photo_is_measured_in_its_own_pixels(
    model: Model, large: tuple[Path, Path]
) -> None:
    (cut,) = model.cutter()(large[0], "largest", "photo", quality=True)
    assert cut.face is not None and cut.quality is not None
    whole = face_quality(read_image(large[0]), cut.face, "yunet")
    assert cut.quality.measures["eye_distance"] == pytest.approx(whole.measures["eye_distance"], rel=1e-3)
    assert cut.quality.score == pytest.approx(whole.score, abs=0.02)


def test_nobody_else_chooses_a_face() -> None:
    """A second way would choose and cut a face by itself; training a detector is not a verb on photos."""
    users = set()
    for path in SRC.rglob("*.py"):
        names = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
        if "select_faces" in names and "train" not in path.parts:
            users.add(path.stem)
    assert users == {"cropper"}
