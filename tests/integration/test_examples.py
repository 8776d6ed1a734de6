"""The examples run as they stand, and the photos they use are what examples/photos/ORIGIN.md says."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

import facealike
from facealike import DlibDetector, compare, read_image
from support.paths import ROOT
from support.tiny_model import hopper_path, tiny_model_file

EXAMPLES, PHOTOS = ROOT / "examples", ROOT / "examples" / "photos"
HOPPER, TURNED, COLLINS = (str(PHOTOS / name) for name in ("hopper.jpg", "hopper-turned.jpg", "collins.jpg"))
SHIPPED = Path(facealike.__file__).parent / "weights" / "default.facealike"
needs_shipped = pytest.mark.skipif(
    not SHIPPED.is_file(), reason="this checkout carries no model (src/facealike/weights/default.facealike)"
)


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


# Where the centre of the face is, by eye.
CENTRES = {HOPPER: (268, 225), TURNED: (152, 120), COLLINS: (165, 125)}


@pytest.mark.parametrize("path", CENTRES, ids=lambda path: Path(path).stem)
def test_each_photo_shows_one_face(path: str) -> None:
    (face,) = DlibDetector().detect(read_image(path))
    assert np.hypot(*np.subtract(face.box.center, CENTRES[path])) < 0.25 * face.box.width


def test_the_photos_can_be_made_again(tmp_path: Path) -> None:
    done = run("make_photos.py", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("confidence") == 3
    assert Path(HOPPER).read_bytes() == Path(hopper_path()).read_bytes()
    for path in (HOPPER, TURNED, COLLINS):
        # Another version of the JPEG library may round otherwise.
        again, shipped = (read_image(p).astype(int) for p in (tmp_path / Path(path).name, path))
        assert again.shape == shipped.shape and np.abs(again - shipped).mean() < 0.5


def test_the_turned_photo_is_as_poor_as_told() -> None:
    turned = PillowImage.open(TURNED)
    assert turned.size == (320, 375)
    assert read_image(TURNED).mean() < 0.7 * read_image(HOPPER).mean()
    stream = io.BytesIO()
    turned.save(stream, "JPEG", quality=35)
    assert len(stream.getvalue()) == pytest.approx(Path(TURNED).stat().st_size, rel=0.1)


@pytest.mark.parametrize("script", ["compare_two.py", "embed_folder.py"])
def test_an_example_explains_its_arguments(script: str) -> None:
    done = run(script)
    assert done.returncode == 1 and done.stderr.startswith(f"usage: {script}")


def test_compare_two_with_a_model_of_ones_own(tmp_path: Path) -> None:
    tiny_model_file().write(tmp_path / "tiny.facealike")
    done = run("compare_two.py", HOPPER, HOPPER, str(tmp_path / "tiny.facealike"))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("same person (no probability")
    assert lines[1] == "0.100 from the threshold" and "face 216x216" in lines[2]


def test_compare_two_of_a_file_that_is_not_there(tmp_path: Path) -> None:
    tiny_model_file().write(tmp_path / "tiny.facealike")
    done = run("compare_two.py", HOPPER, "nowhere.jpg", str(tmp_path / "tiny.facealike"))
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.startswith("compare_two.py: nowhere.jpg")


def test_embed_folder_lists_every_pair_with_compares_own_score(tmp_path: Path) -> None:
    model = tmp_path / "tiny.facealike"
    tiny_model_file().write(model)
    done = run("embed_folder.py", str(PHOTOS), str(model))
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    scores = [float(row[0]) for row in rows]
    assert len(rows) == 3 and scores == sorted(scores, reverse=True)
    for score, verdict, a, b in rows:
        result = compare(PHOTOS / a, PHOTOS / b, model)
        assert float(score) == pytest.approx(result.score, abs=6e-4) and verdict == result.verdict


def test_embed_folder_finds_photos_in_folders_of_people(tmp_path: Path) -> None:
    """Issue 19 D6: it saw the photos of one folder only."""
    model = tmp_path / "tiny.facealike"
    tiny_model_file().write(model)
    for name, photo in (("Ann/1.jpg", HOPPER), ("Ann/2.JPG", TURNED), ("Bob/1.jpg", COLLINS)):
        (tmp_path / "people" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "people" / name).write_bytes(Path(photo).read_bytes())
    PillowImage.new("RGB", (90, 90), (128, 128, 128)).save(tmp_path / "people" / "Bob" / "2.png")
    done = run("embed_folder.py", str(tmp_path / "people"), str(model))
    assert done.returncode == 0 and "2.png: no face found" in done.stderr
    pairs = {tuple(sorted(line.split()[2:])) for line in done.stdout.splitlines()}
    assert pairs == {("Ann/1.jpg", "Ann/2.JPG"), ("Ann/1.jpg", "Bob/1.jpg"), ("Ann/2.JPG", "Bob/1.jpg")}
    nothing = run("embed_folder.py", str(tmp_path / "people" / "Bob"), str(model))
    assert nothing.returncode == 1 and "fewer than two photos with a face" in nothing.stderr


@needs_shipped
def test_the_shipped_model_tells_the_photos_apart() -> None:
    """What make demo shows."""
    assert compare(HOPPER, TURNED).same
    assert not compare(HOPPER, COLLINS).same
    assert not compare(TURNED, COLLINS).same


@needs_shipped
def test_the_examples_run_with_the_shipped_model() -> None:
    two = run("compare_two.py", HOPPER, TURNED)
    assert two.returncode == 0 and two.stdout.startswith("same person (match probability"), two.stderr
    folder = run("embed_folder.py", str(PHOTOS))
    assert folder.returncode == 0, folder.stderr
    assert "hopper" in folder.stdout.splitlines()[0] and "same" in folder.stdout.splitlines()[0]
