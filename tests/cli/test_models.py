"""``facealike models`` and ``model verify``: what they print, and their exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as PillowImage
from typer.testing import CliRunner, Result

from facealike.cli import app
from facealike.model_file.locate import read_model_file
from facealike.model_file.store import HOME_VARIABLE, models_folder, store_model, stored_names
from support.drawn_people import CentralBox, draw_face
from support.tiny_model import hopper_path, tiny_model_file, tiny_onnx


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


def told(result: Result) -> Any:
    return json.loads(result.stdout)


def test_a_model_is_added_listed_used_and_removed(tmp_path: Path) -> None:
    (tmp_path / "theirs.onnx").write_bytes(tiny_onnx(size=112))
    added = run("models", "add", tmp_path / "theirs.onnx", "--normalize", "0-1", "--bgr", "--license", "MIT")
    file = read_model_file("theirs")
    assert added.exit_code == 0 and file.id in added.stdout and "learn its threshold" in added.stderr
    assert file.preprocessing.channels == "bgr" and file.preprocessing.std == (255.0,) * 3
    listed = run("models", "list")
    assert listed.exit_code == 0 and "theirs" in listed.stdout and "to add: dlib" in listed.stdout
    assert "to add: retail-0095, 3 MB" in listed.stdout, "the .bin is the larger part of an IR"
    table = told(run("models", "list", "--json"))
    entry = next(model for model in table["models"] if model["name"] == "theirs")
    assert entry["calibrated"] is False and entry["commercial"] is True and entry["id"] == file.id
    assert entry["calibration"] == "not calibrated"
    assert {entry["name"] for entry in table["registry"]} >= {"dlib", "sface"}
    refused = run("compare", hopper_path(), hopper_path(), "-m", "theirs")
    assert refused.exit_code == 2 and "not calibrated" in refused.stderr
    same = run("compare", hopper_path(), hopper_path(), "-m", "theirs", "-t", "0.9", "--json")
    assert same.exit_code == 0 and told(same)["model"] == file.id
    assert "not calibrated" in run("model", "info", "theirs").stdout
    removed = run("models", "remove", "theirs", "--json")
    assert removed.exit_code == 0 and stored_names() == () and told(removed)["removed"].endswith(".facealike")
    assert run("models", "remove", "theirs").exit_code == 2


def test_it_learns_a_threshold_from_ones_own_people_and_keeps_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facealike.embedding.face_model.make_detector", lambda *_: CentralBox())
    root = tmp_path / "people"
    for person in range(12):
        (root / f"P{person}").mkdir(parents=True)
        for photo in range(2):
            PillowImage.fromarray(draw_face(person, photo)).save(root / f"P{person}" / f"{photo}.png")
    (tmp_path / "theirs.onnx").write_bytes(tiny_onnx())
    assert run("models", "add", tmp_path / "theirs.onnx", "--align", "box").exit_code == 0
    refused = run("evaluate", "theirs", root, "--split", "all")
    assert refused.exit_code == 2 and "give --threshold, or learn" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert run("evaluate", "theirs", root, "--split", "all", "--threshold", "0.5").exit_code == 0
    out = tmp_path / "theirs.facealike"
    learned = run("calibrate", "theirs", root, "--split", "all", "-o", out)
    assert learned.exit_code == 0, learned.stderr
    uncalibrated = read_model_file("theirs")
    assert run("models", "add", out).exit_code == 2  # the name is taken, and nothing is lost
    assert run("models", "add", out, "--replace").exit_code == 0
    file = read_model_file("theirs")
    assert file.id == uncalibrated.id and not file.calibration.is_none
    photos = sorted(root.rglob("*.png"))[:2]
    compared = told(run("compare", *photos, "-m", "theirs", "--json"))
    assert compared["threshold"] == pytest.approx(file.calibration.threshold, abs=1e-6)
    assert compared["probability"] is not None


def test_a_bundle_goes_to_another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store_model(tiny_model_file(), "mine")
    out = tmp_path / "b.zip"
    done = run("models", "bundle", "mine", "default", "-o", out, "--json")
    assert done.exit_code == 0 and told(done)["models"]["mine"] == tiny_model_file().id
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "elsewhere"))
    added = run("models", "add", out, "--json")
    shipped = f"default-{read_model_file().id}"
    assert [model["name"] for model in told(added)["added"]] == ["mine", shipped]
    assert read_model_file("mine") == tiny_model_file() and read_model_file(shipped) == read_model_file()
    assert run("models", "bundle", "mine", "-o", tmp_path / "no" / "b.zip").exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no-such"], "neither a file nor a model of the registry"),
        (["arcface-resnet50", "--commercial-only"], "allows no commercial use"),
        (["theirs.onnx", "--normalize", "best"], "127.5/128"),
        (["theirs.onnx", "--align", "sideways"], "align must be"),
        (["theirs.onnx", "--input", "64"], "not 64"),
        (["theirs.onnx", "--name", "default"], "choose another"),
        (["dlib", "--input", "150"], "describe an ONNX file"),
        (["theirs.onnx", "--registry", "no.toml"], "no registry can be read"),
    ],
)
def test_a_mistake_is_one_sentence_and_stores_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "theirs.onnx").write_bytes(tiny_onnx(size=112))
    done = run("models", "add", *arguments)
    assert done.exit_code == 2 and words in done.stderr and done.stderr.count("\n") == 1
    assert stored_names() == () and done.stdout == ""


def test_a_damaged_model_shows_in_the_list_and_its_exit_code() -> None:
    path = store_model(tiny_model_file(), "mine").path
    path.write_bytes(path.read_bytes()[:-100])
    listed = run("models", "list")
    assert listed.exit_code == 2 and "damaged" in listed.stdout and "models remove mine" in listed.stderr
    assert run("model", "verify", "mine").exit_code == 2
    assert models_folder() in path.parents


def test_verify_says_what_was_checked() -> None:
    store_model(tiny_model_file(), "mine")
    done = run("model", "verify", "mine", "--device", "cpu")
    assert done.exit_code == 0 and "every part matches its SHA-256" in done.stdout
    found = told(run("model", "verify", "mine", "--json"))
    assert found["dimensions"] == 16 and found["commercial"] is None


def test_info_knows_default_and_licences() -> None:
    assert run("model", "info", "default").stdout == run("model", "info").stdout


def test_every_command_says_the_same_of_a_threshold_alone() -> None:
    """Issue 19 A8: ``models list`` called such a model calibrated, ``compare`` did not."""
    store_model(tiny_model_file(), "half")
    listed = run("models", "list")
    assert "threshold only" in listed.stdout and "threshold only" in run("model", "verify", "half").stdout
    (entry,) = [each for each in told(run("models", "list", "--json"))["models"] if each["name"] == "half"]
    assert entry["calibration"] == "threshold only" and entry["calibrated"] is False
    assert "threshold only" in run("model", "info", "half").stdout
    shown = run("compare", hopper_path(), hopper_path(), "-m", "half")
    assert shown.exit_code == 0 and "no probability" in shown.stdout and "not calibrated" not in shown.stdout
