"""``calibrate``: from a folder of people to a model that states probabilities, in the library and the CLI."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage
from typer.testing import CliRunner

import facealike
from facealike.calibration.calibration import Calibration
from facealike.calibration.fit import calibrate_scores
from facealike.calibration.pairs import calibration_pairs
from facealike.cli import app
from facealike.datasets.people import People
from facealike.datasets.seen import identity_hash
from facealike.datasets.splits import split_of
from facealike.detection.dlib_hog import DlibDetector
from facealike.detection.registry import default_detector
from facealike.embedding.face_model import Model
from facealike.errors import DataError, ModelError, NoFaceFound, PeopleOverlap, UsageError
from facealike.evaluation.calibrate import calibrate
from facealike.metrics.similarity import cosine
from facealike.model_file.model_file import ModelFile, with_detector
from support.drawn_people import CentralBox, draw_face
from support.tiny_model import tiny_card, tiny_model_file

CALIBRATION = [name for name in (f"Person_{i}" for i in range(600)) if split_of(name) == "calibration"][:14]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fourteen drawn people of the split "calibration", and six of others; two to four photos each."""
    folder = tmp_path_factory.mktemp("people")
    others = [name for name in (f"Person_{i}" for i in range(60)) if split_of(name) == "train"][:6]
    for person, name in enumerate([*CALIBRATION, *others]):
        (folder / name).mkdir()
        for photo in range(2 + person % 3):
            PillowImage.fromarray(draw_face(person, photo)).save(folder / name / f"{photo}.png")
    return folder


@pytest.fixture
def model() -> Model:
    """A tiny model whose detector finds a face in every photo."""
    made = Model(tiny_model_file(threshold=0.9), device="cpu")
    made.__dict__["detector"] = CentralBox()
    return made


def test_all_pairs_of_the_calibration_people_are_scored(model: Model, root: Path) -> None:
    told: list[tuple[int, int]] = []
    found = calibrate(model, root, resamples=20, progress=lambda done, total: told.append((done, total)))
    people = People.from_folder(root).split("calibration")
    assert set(people.names) == set(CALIBRATION) and told[-1] == (len(people), len(people))
    vectors = model.embed(people.paths)
    pairs = calibration_pairs(people.labels, 0)
    assert len(pairs.a) == len(people) * (len(people) - 1) // 2
    by_hand = calibrate_scores(
        cosine(vectors[pairs.a], vectors[pairs.b]), pairs.same, people.labels[pairs.a],
        people.labels[pairs.b], f"14 calibration people of {root.name}", resamples=20,
    )  # fmt: skip
    assert replace(found, seen=(), face=None) == by_hand
    assert model.calibration.probability is None  # the model itself stays as it was


def test_everybody_counts_with_all_and_a_cache_changes_nothing(
    model: Model, root: Path, tmp_path: Path
) -> None:
    directly = calibrate(model, root, split="all", method="isotonic", rule=0.1, resamples=5)
    for _ in range(2):
        cached = calibrate(model, root, split="all", method="isotonic", rule=0.1, resamples=5, cache=tmp_path)
        assert cached == directly
    assert directly.people == f"20 people of {root.name}" and directly.rule == "FMR 0.1"


def test_the_unseen_are_all_but_the_test_people(model: Model, root: Path, tmp_path: Path) -> None:
    tested = next(name for name in (f"Person_{i}" for i in range(60)) if split_of(name) == "test")
    more = shutil.copytree(root, tmp_path / root.name)
    (more / tested).mkdir()
    for photo in range(3):
        PillowImage.fromarray(draw_face(99, photo)).save(more / tested / f"{photo}.png")
    found = calibrate(model, more, split="unseen", resamples=5)
    assert found == replace(
        calibrate(model, root, split="all", resamples=5), people=f"20 calibration people of {root.name}"
    )


def test_photos_without_a_face_are_left_out(model: Model, root: Path) -> None:
    class Blind(CentralBox):
        seen = 0

        def detect(self, image: Any) -> list[Any]:
            self.seen += 1
            return [] if self.seen == 1 else super().detect(image)

    whole = calibrate(model, root, resamples=1)
    model.__dict__["detector"] = Blind()
    assert calibrate(model, root, resamples=1).pairs < whole.pairs
    model.__dict__["detector"] = type("None", (CentralBox,), {"detect": lambda *_: []})()
    with pytest.raises(NoFaceFound, match="any of the"):
        calibrate(model, root)


def test_people_of_the_training_are_refused_with_their_number(root: Path) -> None:
    hashes = tuple(identity_hash("salt", name) for name in [*CALIBRATION[:3], "Nobody"])
    trained = Model(tiny_model_file(card=tiny_card(identity_hashes=hashes)), device="cpu")
    with pytest.raises(PeopleOverlap, match="3 of the 14 people took part in the training"):
        calibrate(trained, root)


def test_folders_that_cannot_serve_are_refused(model: Model, root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no-such"):
        calibrate(model, tmp_path / "no-such")
    for name in CALIBRATION[:3]:
        (tmp_path / name).symlink_to(root / name)
    with pytest.raises(DataError, match=r"3 people with two photos of a face, .* --split all"):
        calibrate(model, tmp_path)
    with pytest.raises(UsageError, match="'all'"):
        calibrate(model, root, face="all")
    with pytest.raises(UsageError, match="cannot be measured"):
        calibrate(model, root, rule=1e-5)


# ---- the command line -------------------------------------------------------------------------


@pytest.fixture
def shelf(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with tiny.facealike in it, whose detector finds every face."""
    monkeypatch.setattr("facealike.embedding.face_model.make_detector", lambda *_: CentralBox())
    tiny_model_file().write(tmp_path / "tiny.facealike")
    return tmp_path


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


def test_the_command_writes_a_model_that_states_probabilities(shelf: Path, root: Path) -> None:
    out = shelf / "mine.facealike"
    done = run("calibrate", shelf / "tiny.facealike", root, "--out", out, "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    before, after = ModelFile.read(shelf / "tiny.facealike"), ModelFile.read(out)
    assert told["model"] == before.id == after.id
    assert Calibration.from_dict(told["calibration"]) == after.calibration
    assert replace(after, calibration=before.calibration) == before
    photos = sorted(root.rglob("*.png"))[:2]
    compared = json.loads(run("compare", *photos, "-m", out, "--json").stdout)
    assert compared["probability"] == pytest.approx(
        after.calibration.probability_of(compared["score"]), abs=1e-4
    )
    in_words = run("compare", *photos, "-m", out, "--prior", "0.01", "--fmr", "0.1")
    verdict, operating, score = in_words.stdout.splitlines()[:3]
    threshold = after.calibration.threshold_for(0.1).threshold
    assert f"threshold {threshold:.3f}" in score and "if 1 % of all pairs match)" in verdict
    assert operating.startswith("threshold at FMR 10 %, misses ")
    assert verdict.startswith("same person" if compared["score"] >= threshold else "different people")
    assert in_words.exit_code == (0 if compared["score"] >= threshold else 1)
    unknown = run("compare", *photos, "-m", out, "--fmr", "0.3")
    assert unknown.exit_code == 2 and "those it has are 0.1, 0.01" in unknown.stderr
    shown = run("model", "info", out).stdout
    assert "artanh(score)" in shown and "--fmr" in shown and "uncertain" in shown


def test_another_detector_makes_another_model(
    shelf: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    ours = default_detector()

    def named(name: str) -> Any:
        asked.append(name)
        return ours

    monkeypatch.setattr("facealike.detection.registry.named_detector", named)
    out = shelf / "mine.facealike"
    done = run("calibrate", shelf / "tiny.facealike", root, "--out", out, "--detector", "facealike")
    assert done.exit_code == 0 and asked == ["facealike"]
    before, after = ModelFile.read(shelf / "tiny.facealike"), ModelFile.read(out)
    assert after.detector_spec == ours.spec and after.detector_weights == ours.weights
    assert after.id != before.id and after.embedder == before.embedder
    assert after.card.metrics == {} and "FairFace" in after.card.licence["detector"]
    assert after.calibration.people == f"14 calibration people of {root.name}"


def test_a_new_detector_needs_the_landmarks_that_the_crops_go_by() -> None:
    by_landmarks = with_detector(tiny_model_file(), default_detector())
    by_landmarks = replace(by_landmarks, preprocessing=replace(by_landmarks.preprocessing, align="landmarks"))
    assert by_landmarks.calibration.is_none
    with pytest.raises(ModelError, match="finds none; align by the box"):
        with_detector(by_landmarks, DlibDetector())


def test_the_command_prints_what_it_found(shelf: Path, root: Path) -> None:
    out = shelf / "mine.facealike"
    done = run("calibrate", shelf / "tiny.facealike", root, "-o", out, "--rule", "0.1", "--split", "all")
    assert done.exit_code == 0 and "(FMR 10 %, on " in done.stdout and str(out) in done.stdout
    assert "95 % interval" in done.stdout


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--rule", "best"], "the rule is f1, or a"), (["--rule", "nan"], "false match rate"),
        (["--rule", "1e-9"], "cannot be measured"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence_and_writes_nothing(
    shelf: Path, root: Path, change: list[str], message: str
) -> None:
    done = run("calibrate", shelf / "tiny.facealike", root, "-o", shelf / "mine.facealike", *change)
    assert done.exit_code == 2 and message in done.stderr and done.stderr.count("\n") == 1
    assert sorted(path.name for path in shelf.iterdir()) == ["tiny.facealike"]
    lost = run("calibrate", shelf / "tiny.facealike", root, "-o", shelf / "no" / "mine.facealike")
    assert lost.exit_code == 2 and "does not exist" in lost.stderr


def test_the_package_offers_the_function() -> None:
    assert facealike.calibrate is calibrate
    assert np.isfinite(facealike.OperatingPoint(0.1, 0.2, 0.1, 0.1, 0.1, 10).threshold)


@pytest.mark.parametrize("face", ["largest", "central"])
def test_a_calibration_records_which_face_it_was_learned_on(model: Model, root: Path, face: Any) -> None:
    """Issue 19 A9: the policy travels with the calibration; a file without the field does not state one."""
    found = calibrate(model, root, split="all", face=face, resamples=20)
    assert found.face == face
    stored = found.to_dict()
    assert Calibration.from_dict(stored) == found
    del stored["face"]
    assert Calibration.from_dict(stored).face is None
    with pytest.raises(ModelError, match="largest, central or only"):
        Calibration.from_dict({**stored, "face": "all"})
