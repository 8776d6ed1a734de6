"""The examples run as they stand, and the photos they use are what examples/photos/ORIGIN.md says."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

import facealike
from facealike import DlibDetector, Model, compare, read_image
from support.doc_snippets import make_mixed_people
from support.paths import ROOT
from support.tiny_model import hopper_path, tiny_model_file, tiny_onnx

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


@pytest.mark.parametrize(
    "script", sorted(path.name for path in EXAMPLES.glob("*.py") if path.name != "make_photos.py")
)
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


def test_compare_list_gives_compares_own_scores_and_a_reason_for_a_bad_row(tmp_path: Path) -> None:
    model, pairs, out = tmp_path / "tiny.facealike", tmp_path / "pairs.csv", tmp_path / "out.csv"
    tiny_model_file().write(model)
    pairs.write_text(f"a,b\n{HOPPER},{TURNED}\n{HOPPER},nowhere.jpg\n{COLLINS},{COLLINS}\n")
    done = run("compare_list.py", str(pairs), str(out), str(model))
    assert done.returncode == 0 and done.stdout == f"3 pairs in {out}\n", done.stderr
    with out.open(newline="") as file:
        first, bad, last = csv.DictReader(file)
    expected = compare(HOPPER, TURNED, model)
    assert float(first["score"]) == pytest.approx(expected.score, abs=1e-6)
    assert (first["verdict"], first["reason"]) == (expected.verdict, "")
    assert (bad["score"], bad["verdict"]) == ("", "") and "nowhere.jpg" in bad["reason"]
    assert float(last["score"]) == pytest.approx(1, abs=1e-6) and last["verdict"] == "same"


@pytest.mark.parametrize("text", ["", "a,b\n", "x,y\n1,2\n"])
def test_compare_list_of_no_pairs(tmp_path: Path, text: str) -> None:
    (tmp_path / "pairs.csv").write_text(text)
    done = run("compare_list.py", str(tmp_path / "pairs.csv"), str(tmp_path / "out.csv"))
    assert done.returncode == 1 and "needs a header with a and b" in done.stderr
    assert not (tmp_path / "out.csv").exists()


def test_calibrate_camera_writes_the_model_that_it_describes(tmp_path: Path) -> None:
    make_mixed_people(tmp_path)
    tiny_model_file().write(tmp_path / "tiny.facealike")
    out = tmp_path / "camera.facealike"
    done = run("calibrate_camera.py", str(tmp_path / "people"), str(out), str(tmp_path / "tiny.facealike"))
    assert done.returncode == 0, done.stderr
    calibration = Model.load(out).calibration
    assert f"threshold {calibration.threshold:.3f} " in done.stdout and calibration.band is not None
    assert f"{calibration.band[0]:.3f} to {calibration.band[1]:.3f}" in done.stdout
    assert done.stdout.count("\nFMR ") == len(calibration.operating_points) > 0
    assert Model.load(out).id == Model.load(tmp_path / "tiny.facealike").id, "embeddings remain valid"


def test_import_onnx_scores_with_the_network(tmp_path: Path) -> None:
    (tmp_path / "mine.onnx").write_bytes(tiny_onnx(112))
    out = tmp_path / "mine.facealike"
    done = run("import_onnx.py", str(tmp_path / "mine.onnx"), str(out), HOPPER, TURNED)
    assert done.returncode == 0, done.stderr
    score = compare(HOPPER, TURNED, out, threshold=0.0).score
    assert done.stdout == f"{out}: embeddings of 16 numbers, not calibrated\nscore {score:.3f}\n"
    broken = run("import_onnx.py", HOPPER, str(out), HOPPER, TURNED)
    assert broken.returncode == 1 and broken.stderr.startswith("import_onnx.py: ")
    assert "Traceback" not in broken.stderr


def test_fine_tune_trains_on_a_folder_of_people(tmp_path: Path) -> None:
    make_mixed_people(tmp_path)
    tiny_model_file().write(tmp_path / "tiny.facealike")
    out = tmp_path / "tuned.facealike"
    done = run(
        "fine_tune.py", str(tmp_path / "people"), str(out), f"network.start={tmp_path / 'tiny.facealike'}",
        "training.epochs=1", "training.steps_per_epoch=2", "training.batch_size=8",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"model {out}, curves and tables in {tmp_path / 'tuned-run'}" in done.stdout
    assert "compared with the default model: " in done.stdout and Model.load(out).calibration
    assert {"results.md", "loss.png"} <= {path.name for path in (tmp_path / "tuned-run").iterdir()}


def test_ask_service_leaves_no_service_behind() -> None:
    done = run("ask_service.py", HOPPER, HOPPER)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("same person") and "\nmatch\ntemplates removed: 1\n" in done.stdout
    failed = run("ask_service.py", HOPPER, "nowhere.jpg")
    assert failed.returncode == 1 and "ask_service.py: nowhere.jpg: no such file" in failed.stderr


@needs_shipped
def test_identify_visitor_says_unknown_of_a_person_who_is_not_enrolled() -> None:
    done = run("identify_visitor.py", "Grace Hopper", HOPPER, TURNED, "nowhere.jpg", COLLINS)
    assert done.returncode == 0, done.stderr
    assert f"{TURNED}: match; Grace Hopper" in done.stdout and f"{COLLINS}: unknown; Grace" in done.stdout
    assert done.stdout.endswith("Grace Hopper: forgotten, templates removed: 1\n")
    assert done.stderr.startswith("identify_visitor.py: nowhere.jpg")


@needs_shipped
def test_cluster_folder_puts_the_photos_of_a_person_together(tmp_path: Path) -> None:
    done = run("cluster_folder.py", str(PHOTOS), str(tmp_path / "by-person"))
    assert done.returncode == 0 and done.stdout.startswith("2 people in 3 faces of 3 photos"), done.stderr
    links = {path.name for path in (tmp_path / "by-person" / "person-0001").iterdir()}
    assert links == {"hopper.jpg", "hopper-turned.jpg"} and Path(HOPPER).is_file()


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
