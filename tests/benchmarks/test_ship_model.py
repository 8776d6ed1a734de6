"""The exchange of the default model: what is refused, in which order it goes, and how it continues."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.default_model import candidate, ship
from benchmarks.default_model.golden import moved
from benchmarks.default_model.steps import STEPS
from facealike import Model
from support.paths import ROOT
from support.tiny_model import tiny_model_file


@pytest.fixture(scope="module")
def default() -> Model:
    return Model.load(threads=1)


# ---- the candidate ----------------------------------------------------------------------------------


def test_the_default_model_could_be_the_default_model(default: Model) -> None:
    assert list(candidate.objections(default, candidate.LARGEST)) == []


def test_a_candidate_that_is_too_large_is_refused(default: Model) -> None:
    assert list(candidate.objections(default, candidate.LARGEST + 1)) == [
        "it has 10,000,001 bytes, and the most that is allowed is 10,000,000"
    ]


def test_a_candidate_that_was_not_released_is_refused() -> None:
    found = list(candidate.objections(Model(tiny_model_file(), "cpu"), 1000))
    assert len(found) == 5 and "lacks the metrics 'lfw-view2'" in found[0] and "'groups'" in found[1]
    assert "what each part saw" in found[2] and "licenses" in found[3] and "not calibrated" in found[4]


def test_a_candidate_with_a_wrong_verdict_is_refused(default: Model) -> None:
    low = replace(default.file, calibration=replace(default.file.calibration, threshold=-0.5, band=None))
    (line,) = candidate.objections(Model(low, "cpu"), 1000)
    assert line == "its verdict on the example photos hopper.jpg and collins.jpg is wrong"


def test_the_figures_of_a_candidate_are_those_of_its_card(default: Model) -> None:
    found = candidate.figures(default, 1234)
    assert found["bytes"] == "1,234" and found["threshold"] == f"{default.threshold:.3f}"
    assert found["View 2"] == f"{default.file.card.metrics['lfw-view2']['accuracy']:.4f}"
    assert float(found["ms to embed one crop"]) > 0


def test_what_moved_is_told_value_by_value() -> None:
    old, new = {"model": "a", "scores": {"x": 0.5, "y": 0.1}}, {"model": "b", "scores": {"x": 0.5, "z": 1}}
    assert list(moved(old, new)) == ["model: a -> b", "scores: y: 0.1 -> None", "scores: z: None -> 1"]


# ---- the steps --------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_a_step_is_a_command_that_is_there(step: ship.Step) -> None:
    module, *rest = ship.words(step.command, dict.fromkeys([*ship.DATA, "work"], "a b"))
    if module != "facealike":
        text = (ROOT / f"{module.replace('.', '/')}.py").read_text("utf-8")
        text += (ROOT / "benchmarks" / "common" / "people_options.py").read_text("utf-8")
        assert all(f'"{word}"' in text for word in rest if word.startswith("--"))
    for name in step.rows:
        assert (ROOT / "benchmarks" / "results" / name).exists()


def test_names_of_steps_differ() -> None:
    assert len({step.name for step in STEPS}) == len(STEPS)


def test_every_row_that_the_documents_state_is_measured_by_a_step() -> None:
    folder = ROOT / "benchmarks" / "default_model"
    read = {
        name for path in folder.glob("*.py") for name in re.findall(r'"(\w+\.csv)"', path.read_text("utf-8"))
    }
    assert len(read) > 15 and read == {name for step in STEPS for name in step.rows}


def test_a_step_that_failed_is_run_again_and_the_others_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes, ran, record = {"b": 1}, [], tmp_path / "record.json"

    def run(command: list[str]) -> int:
        ran.append(command[0])
        return codes.get(command[0], 0)

    monkeypatch.setattr(ship, "run", run)
    ship.once(record, "a", ["a"])
    with pytest.raises(SystemExit, match="b ended with 1"):
        ship.once(record, "b", ["b"])
    codes.clear()
    for name in "abc":
        ship.once(record, name, [name])
    assert ran == ["a", "b", "b", "c"] and list(json.loads(record.read_text("utf-8"))) == ["a", "b", "c"]


def test_nothing_is_replaced_by_a_candidate_that_is_refused(tmp_path: Path) -> None:
    path, before = tmp_path / "tiny.facealike", ship.WEIGHTS.stat().st_mtime_ns
    tiny_model_file().write(path)
    with pytest.raises(SystemExit, match="cannot be the default model:\n- its card lacks"):
        ship.replace(path)
    assert ship.WEIGHTS.stat().st_mtime_ns == before


def test_the_default_model_itself_replaces_nothing() -> None:
    ship.replace(ship.WEIGHTS)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, default: Model) -> Path:
    """A repository with the weights, their page and the golden numbers; return another model."""
    for name, path in (
        ("WEIGHTS", ship.WEIGHTS),
        ("WEIGHTS_PAGE", ship.WEIGHTS_PAGE),
        ("GOLDEN", ship.GOLDEN),
    ):
        copy = tmp_path / "repository" / path.name
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(path.read_bytes())
        monkeypatch.setattr(ship, name, copy)
    monkeypatch.setattr(ship, "ROOT", tmp_path / "repository")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    ship.git("init", "-q")
    ship.git("config", "user.email", "a@b")
    ship.git("config", "user.name", "a")
    ship.git("add", "-A")
    ship.git("commit", "-qm", "first")
    card = replace(default.file.card, limits="Another one.")
    replace(default.file, card=card).write(tmp_path / "other.facealike")
    return tmp_path / "other.facealike"


def test_a_candidate_takes_the_place_of_the_default_model(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed before its golden numbers are written, the same call goes on there."""
    codes = [1, 0]

    def run(command: list[str]) -> int:
        assert command == [
            "benchmarks.default_model.golden", "the lfw", "--cache", "the work/crops", "--write"
        ]  # fmt: skip
        ship.GOLDEN.write_text("{}", "utf-8")
        return codes.pop(0)

    monkeypatch.setattr(ship, "run", run)
    places = {"lfw": "the lfw", "work": "the work"}
    ship.replace(repository)
    assert "View 2" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="tries it again"):
        ship.commit_golden(places)
    ship.replace(repository)
    ship.commit_golden(places)
    ship.commit_golden(places)
    assert codes == [] and not ship.git("status", "--porcelain")
    assert ship.git("log", "--format=%s").splitlines()[0].startswith("default model: exchange it for ")
    assert ship.WEIGHTS.read_bytes() == repository.read_bytes()
    assert hashlib.sha256(repository.read_bytes()).hexdigest() in ship.WEIGHTS_PAGE.read_text("utf-8")


def test_changes_that_are_not_committed_are_not_mixed_with_the_new_weights(repository: Path) -> None:
    ship.GOLDEN.write_text("{}", "utf-8")
    before = ship.WEIGHTS.read_bytes()
    with pytest.raises(SystemExit, match="commit your changes first"):
        ship.replace(repository)
    assert ship.WEIGHTS.read_bytes() == before
