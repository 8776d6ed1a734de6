"""The drop-in for face_recognition: its names and shapes, and verdicts that are those of ``compare``."""

from __future__ import annotations

import inspect
import io
import math
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

import facealike.compat.face_recognition as drop_in
from facealike import Calibration, Model, UsageError, compare
from facealike.compat.face_recognition import engine as engines
from facealike.compat.face_recognition import face_detection_cli, face_recognition_cli
from facealike.errors import NotCalibrated
from facealike.model_zoo.dlib import descriptors, dlib_model, lift
from facealike.model_zoo.dlib_weights import WEIGHTS, package_file
from support.dlib_file import dlib_weights
from support.paths import ROOT
from support.tiny_model import tiny_model_file

PHOTOS = ROOT / "examples" / "photos"
HOPPER, TURNED, COLLINS = (PHOTOS / f"{name}.jpg" for name in ("hopper", "hopper-turned", "collins"))


@pytest.fixture(scope="module")
def default() -> Model:
    return Model.load()


@pytest.fixture(autouse=True)
def engine(default: Model) -> Iterator[None]:
    drop_in.use_model(default)
    yield
    engines._engine = None


def image(path: Path) -> np.ndarray:
    return drop_in.load_image_file(path)


def program(main: Any, *arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a program."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main([str(each) for each in arguments])
    return int(ended.value.code or 0), out.getvalue(), err.getvalue()


# The interface. ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("load_image_file", {"file": None, "mode": "RGB"}),
        ("face_locations", {"img": None, "number_of_times_to_upsample": 1, "model": "hog"}),
        ("batch_face_locations", {"images": None, "number_of_times_to_upsample": 1, "batch_size": 128}),
        ("face_landmarks", {"face_image": None, "face_locations": None, "model": "large"}),
        (
            "face_encodings",
            {"face_image": None, "known_face_locations": None, "num_jitters": 1, "model": "small"},
        ),
        ("compare_faces", {"known_face_encodings": None, "face_encoding_to_check": None, "tolerance": 0.6}),
        ("face_distance", {"face_encodings": None, "face_to_compare": None}),
    ],
)  # fmt: skip
def test_names_arguments_and_defaults_are_those_of_version_1_3(name: str, arguments: dict[str, Any]) -> None:
    parameters = inspect.signature(getattr(drop_in, name)).parameters
    assert {
        key: None if each.default is inspect.Parameter.empty else each.default
        for key, each in parameters.items()
    } == arguments


def test_a_location_is_the_box_of_the_face_inside_the_image() -> None:
    ((top, right, bottom, left),) = drop_in.face_locations(image(HOPPER))
    assert (right - left, bottom - top) == (183, 237) and (left, top) == (175, 106)  # as in README.md
    cut = image(HOPPER)[:, 250:]
    ((top, right, bottom, left),) = drop_in.face_locations(cut)
    assert left == 0 and 0 <= top < bottom <= cut.shape[0] and right <= cut.shape[1]
    assert drop_in.face_locations(np.full((200, 300, 3), 255, np.uint8)) == []
    assert drop_in.face_encodings(np.full((200, 300, 3), 255, np.uint8)) == []


def test_an_image_is_upright_rgb_or_gray(tmp_path: Path) -> None:
    assert image(HOPPER).shape[2] == 3
    gray = drop_in.load_image_file(HOPPER, "L")
    assert gray.shape == image(HOPPER).shape[:2] and len(drop_in.face_locations(gray)) == 1
    turned = PillowImage.open(COLLINS)
    exif = turned.getexif()
    exif[0x0112] = 6  # shown rotated by 90 degrees
    turned.save(tmp_path / "turned.jpg", exif=exif)
    width, height = turned.size
    assert image(tmp_path / "turned.jpg").shape == (width, height, 3)


def test_many_small_faces_are_found_where_the_image_is_enlarged() -> None:
    """Forty copies of a face of about 20 pixels in a picture of 4,000."""
    small = PillowImage.open(HOPPER).resize((48, 55))
    crowd = PillowImage.new("RGB", (4000, 1000), "gray")
    for number in range(40):
        crowd.paste(small, (100 * number + 10, 400))
    pixels = np.asarray(crowd)
    once, often = (len(drop_in.face_locations(pixels, times)) for times in (1, 3))
    assert once < 10 and often >= 36
    assert drop_in.batch_face_locations([pixels, image(HOPPER)])[1] == drop_in.face_locations(image(HOPPER))


# Encodings. -------------------------------------------------------------------------------------------


def test_a_distance_of_0_6_is_the_threshold_of_the_model(default: Model) -> None:
    (a,), (b,), (c,) = (drop_in.face_encodings(image(path)) for path in (HOPPER, TURNED, COLLINS))
    assert a.shape == (default.embedder.dimensions,) and a.dtype == np.float64
    distances = drop_in.face_distance([b, c], a)
    for path, distance in ((TURNED, distances[0]), (COLLINS, distances[1])):
        score = compare(HOPPER, path, default).score
        wanted = 0.6 * math.sqrt((1 - score) / (1 - default.threshold))
        assert distance == pytest.approx(wanted, abs=2e-3)
    assert drop_in.compare_faces([b, c], a) == [True, False]
    assert drop_in.compare_faces([b, c], a, tolerance=0.01) == [False, False]


def test_nothing_known_is_an_empty_answer() -> None:
    (a,) = drop_in.face_encodings(image(HOPPER))
    for nothing in ([], np.array([])):
        assert drop_in.compare_faces(nothing, a) == []
        assert drop_in.face_distance(nothing, a).shape == (0,)


def test_a_location_that_is_given_is_the_face_that_is_encoded() -> None:
    pixels = image(HOPPER)
    (location,) = drop_in.face_locations(pixels)
    (found,) = drop_in.face_encodings(pixels)
    (given,) = drop_in.face_encodings(pixels, [location])
    np.testing.assert_array_equal(given, found)
    top, right, bottom, left = location
    elsewhere = (top + 60, right + 60, bottom + 60, left + 60)  # too far to be the detected face
    (other,) = drop_in.face_encodings(pixels, [elsewhere])
    assert drop_in.face_distance([other], found)[0] > 0.05
    assert len(drop_in.face_encodings(pixels, [location, elsewhere])) == 2


def test_jitter_averages_crops_of_one_face_and_is_repeatable() -> None:
    pixels = image(HOPPER)
    (plain,), (one,), (again,) = (
        drop_in.face_encodings(pixels),
        drop_in.face_encodings(pixels, num_jitters=6),
        drop_in.face_encodings(pixels, num_jitters=6),
    )
    np.testing.assert_array_equal(one, again)
    assert 0 < drop_in.face_distance([one], plain)[0] < 0.3


def test_landmarks_lie_where_the_parts_are() -> None:
    pixels = image(HOPPER)
    ((top, right, bottom, left),) = drop_in.face_locations(pixels)
    (small,) = drop_in.face_landmarks(pixels, model="small")
    assert set(small) == {"nose_tip", "left_eye", "right_eye"}
    dlib_weights()  # skipped where the files of face_recognition_models are not installed
    (large,) = drop_in.face_landmarks(pixels)
    counts = {part: len(points) for part, points in large.items()}
    assert counts == {
        "chin": 17, "left_eyebrow": 5, "right_eyebrow": 5, "nose_bridge": 4, "nose_tip": 5, "left_eye": 6,
        "right_eye": 6, "top_lip": 12, "bottom_lip": 12,
    }  # fmt: skip
    for part in ("left_eye", "right_eye"):
        center = np.mean(large[part], axis=0)
        assert math.dist(center, small[part][0]) < 0.08 * (right - left)
    assert np.mean(large["left_eye"], axis=0)[0] < np.mean(large["right_eye"], axis=0)[0]
    assert all(left - 40 < x < right + 40 and top - 40 < y < bottom + 60 for x, y in large["chin"])


# dlib's network. --------------------------------------------------------------------------------------


def test_descriptors_are_the_inverse_of_the_lift() -> None:
    x = np.random.default_rng(0).normal(size=(5, 128)) * 0.1
    np.testing.assert_allclose(descriptors(lift(x)), x, atol=1e-5)
    with pytest.raises(UsageError, match="shape"):
        descriptors(np.zeros((2, 128)))


def test_encodings_of_dlibs_network_are_its_descriptors() -> None:
    dlib = pytest.importorskip("dlib")
    dlib_weights()
    model = Model(dlib_model(package_file(WEIGHTS)))
    drop_in.use_model(model)
    pixels = image(HOPPER)
    (found,) = drop_in.face_encodings(pixels)
    assert found.shape == (128,)
    (face,) = model.faces(HOPPER)
    network = dlib.face_recognition_model_v1(str(package_file(WEIGHTS)))
    np.testing.assert_allclose(found, network.compute_face_descriptor(face.crop), atol=1e-4)
    assert drop_in.compare_faces(drop_in.face_encodings(image(TURNED)), found) == [True]


def test_encodings_of_two_models_are_not_compared() -> None:
    with pytest.raises(UsageError, match="one model"):
        drop_in.face_distance([np.zeros(128)], np.zeros(219))


def test_a_model_without_a_threshold_is_refused() -> None:
    with pytest.raises(NotCalibrated):
        drop_in.use_model(Model(replace(tiny_model_file(), calibration=Calibration.none())))


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda i: drop_in.face_locations(i, model="yolo"), "hog or cnn"),
        (lambda i: drop_in.face_locations(i, -1), "0 times or more"),
        (lambda i: drop_in.face_landmarks(i, model="huge"), "large or small"),
        (lambda i: drop_in.face_encodings(i, model="huge"), "large or small"),
        (lambda i: drop_in.face_encodings(i, num_jitters=0), "one crop or more"),
        (lambda i: drop_in.face_encodings(i, [(5, 1, 1, 5)]), "top, right, bottom, left"),
        (lambda _: drop_in.load_image_file(HOPPER, "CMYK"), "RGB or L"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(call: Any, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        call(image(HOPPER))


# The two programs. ------------------------------------------------------------------------------------


@pytest.fixture
def known(tmp_path: Path) -> Path:
    folder = tmp_path / "known"
    folder.mkdir()
    for path in (HOPPER, COLLINS):
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff no photo")
    PillowImage.new("RGB", (64, 64)).save(folder / "empty.png")
    return folder


def test_face_recognition_names_who_is_known(known: Path, tmp_path: Path) -> None:
    code, out, err = program(face_recognition_cli.main, known, TURNED)
    assert (code, out) == (0, f"{TURNED},hopper\n")
    assert "broken.jpg" in err and "empty.png" in err
    code, out, _ = program(face_recognition_cli.main, known, TURNED, "--show-distance", "1")
    assert code == 0 and 0 < float(out.rpartition(",")[2]) < 0.6
    code, out, _ = program(face_recognition_cli.main, known, TURNED, "--tolerance", "0.01", "--cpus", "2")
    assert (code, out) == (0, f"{TURNED},unknown_person\n")
    code, out, _ = program(face_recognition_cli.main, known, known / "empty.png")
    assert (code, out) == (0, f"{known / 'empty.png'},no_persons_found\n")


def test_face_detection_lists_faces(known: Path) -> None:
    code, out, err = program(face_detection_cli.main, known)
    assert code == 0 and "broken.jpg" in err
    rows = [line.split(",") for line in out.splitlines()]
    assert [Path(row[0]).name for row in rows] == ["collins.jpg", "hopper.jpg"]
    assert tuple(map(int, rows[1][1:])) == drop_in.face_locations(image(HOPPER))[0]


@pytest.mark.parametrize("main", [face_recognition_cli.main, face_detection_cli.main])
def test_a_wrong_path_is_one_sentence(main: Any, known: Path, tmp_path: Path) -> None:
    folder = [known] if main is face_recognition_cli.main else []
    code, out, err = program(main, *folder, tmp_path / "nowhere.jpg")
    assert code == 2 and not out and err.count("\n") == err.count("facealike: ") and "nowhere.jpg" in err
    code, _, err = program(main, *folder, known / "broken.jpg")
    assert code == 2 and "broken.jpg" in err.splitlines()[-1]
    code, _, err = program(main, *folder, HOPPER, "--cpus", "0")
    assert code == 2 and "--cpus" in err


def test_distances_are_shown_or_not(known: Path) -> None:
    code, _, err = program(face_recognition_cli.main, known, HOPPER, "--show-distance", "maybe")
    assert code == 2 and "--show-distance" in err
