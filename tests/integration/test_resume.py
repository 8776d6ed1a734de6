"""No kill can spoil a training run: nothing is half written, and it ends as if it had not been killed."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

from facealike.datasets.people import People
from facealike.embedding.face_model import Model
from facealike.errors import TrainingError
from facealike.model_file.model_file import ModelFile
from facealike.reports.training_log import read_log
from facealike.train import TrainingOptions, TrainResult, distil, load_recipe, train
from facealike.train.embedder import run as run_module
from facealike.train.lightning.trainer import sweep
from facealike.utils.atomic_write import write_text
from support.drawn_people import CentralBox, draw_face, make_people, tiny_recipe, train_and_die
from support.paths import TESTS
from support.training_runs import (
    CHANGES,
    PROMISED,
    Stop,
    files,
    numbers,
    rows,
    same_weights,
    stop,
    stop_at,
)

pytest_plugins = ["support.training_runs"]
pytestmark = pytest.mark.usefixtures("one_thread")


# ---- killed -----------------------------------------------------------------------------------


def assert_nothing_is_half_written(folder: Path) -> None:
    """Every file that has its name is whole; hidden leftovers are nobody's file."""
    run = folder / "m-run"
    for path in [folder / "m.facealike", run / "model.facealike"]:
        if path.exists():
            ModelFile.read(path)
    for path in run.glob("checkpoints/*"):
        if not path.name.startswith("."):
            assert path.name in ("last.ckpt", "best.ckpt")
            torch.load(path, weights_only=True)
    for name in ("run.json", "results.json"):
        if (run / name).exists():
            json.loads((run / name).read_text())
    if (run / "log.csv").exists():
        assert [int(float(row["epoch"])) for row in rows(run)] == list(range(1, len(rows(run)) + 1))
        read_log(run / "log.csv")
    for path in run.glob("*.png"):
        if not path.name.startswith("."):
            with PillowImage.open(path) as picture:
                picture.load()


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Processes that have torch imported already, and can be killed."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    # Whoever is killed cannot give its semaphores back; that is no news at the end of the tests.
    monkeypatch.setenv("PYTHONWARNINGS", "ignore::UserWarning:multiprocessing.resource_tracker")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["facealike.train.embedder.run", "onnxscript", "onnxruntime"])
    return context


@pytest.mark.skipif(sys.platform == "win32", reason="kills as POSIX has them")
def test_a_run_killed_again_and_again_ends_as_if_nothing_had_happened(
    root: Path, tmp_path: Path, whole: TrainResult, processes: Any
) -> None:
    """Killed while files are written and at moments that nothing chose, in training and in export."""
    died = [0, 0]

    def attempt(resume: bool, syncs: int = 0, seconds: float | None = None) -> int:
        arguments = (root, tmp_path, resume, syncs, CHANGES)
        process = processes.Process(target=train_and_die, args=arguments)
        process.start()
        process.join(seconds)
        if process.is_alive():
            process.kill()
        process.join()
        died[process.exitcode == 0] += 1
        assert process.exitcode in (0, -signal.SIGKILL)
        assert_nothing_is_half_written(tmp_path)
        code: int = process.exitcode
        return code

    rng = np.random.default_rng()
    last = tmp_path / "m-run" / "checkpoints" / "last.ckpt"
    for syncs in (1, 5, 7):  # the crops, run.json, the first row of the log
        assert attempt(last.exists(), syncs) != 0
    attempt(True, seconds=rng.uniform(0.2, 0.8))
    for syncs in (4, 5, 6, 7, 8):  # log, best and last, before and after they get their names
        attempt(True, syncs)
    while torch.load(last, weights_only=True)["global_step"] < 4 * 6:
        attempt(True, syncs=8)
    attempt(True, seconds=rng.uniform(0.3, 1.5))  # in the export, more or less
    for syncs in (6, 21):  # the table, and the second of two model files
        attempt(True, syncs)
    assert (tmp_path / "m-run" / "model.facealike").exists()
    assert attempt(True) == 0
    assert died[0] >= 10
    run = tmp_path / "m-run"
    assert files(run) - {name for name in files(run) if name.startswith("tensorboard")} == PROMISED
    assert not list(tmp_path.glob(".*.part"))
    assert numbers(run) == numbers(whole.run)
    assert same_weights(run, whole.run)
    assert same_weights(run, whole.run, "best")
    killed, calm = ModelFile.read(tmp_path / "m.facealike"), ModelFile.read(whole.model_path)
    assert killed.embedder == calm.embedder
    assert killed.id == calm.id
    assert killed.calibration == calm.calibration
    assert killed.card.metrics == calm.card.metrics
    results = [json.loads((folder / "results.json").read_text()) for folder in (run, whole.run)]
    for table in results:
        del table["comparison"]  # the shipped model's detector is another one in the processes
    assert results[0] == results[1]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "changes",
    [
        {"sampler": {"name": "identities"}, "loss": {"name": "triplet", "margin": 0.3, "miner": "hard"}},
        {"sampler": {"name": "images"}, "loss": {"name": "arcface", "margin": 0.3}},
        {"network": {"kind": "seed", "widths": [4, 8]}, "training": {"schedule": "constant"}},
        {"training": {"precision": "bf16"}, "network": {"pool": "flatten"}},
        {
            "sampler": {"name": "images"},
            "loss": {"name": "adaface", "margin": 0.3},
            "augment": {"mixup": 0.5},
        },
        {"network": {"standardise": True, "drop_path": 0.5}, "training": {"ema": 0.9, "keep": "last"}},
    ],
)
def test_other_recipes_resume_to_the_same_weights(
    root: Path, crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    strong = {"cutout": 0.5, "blur": 0.5, "noise": 9.0, **changes.get("augment", {})}
    recipe = tiny_recipe(**{**changes, "augment": strong})
    calm = train(root, recipe, tmp_path / "calm.facealike", detector=CentralBox(), cache=crops)
    with monkeypatch.context() as patch:
        stop_at(patch, 9, stop)  # in the middle of the second epoch
        with pytest.raises(Stop):
            train(root, recipe, tmp_path / "cut.facealike", detector=CentralBox(), cache=crops)
    assert len(rows(tmp_path / "cut-run")) == 1
    out = tmp_path / "cut.facealike"
    resumed = train(root, recipe, out, detector=CentralBox(), cache=crops, resume=True)
    assert resumed.epochs == 3
    assert numbers(resumed.run) == numbers(calm.run)
    assert same_weights(resumed.run, calm.run)
    assert same_weights(resumed.run, calm.run, "best")


@pytest.mark.usefixtures("quick")
def test_ctrl_c_is_a_keyboard_interrupt_and_the_run_can_go_on(
    root: Path, crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: TrainResult
) -> None:
    # A process started in the background of a shell without job control ignores Ctrl-C; this one must not.
    outside = signal.signal(signal.SIGINT, signal.default_int_handler)
    out, recipe = tmp_path / "m.facealike", tiny_recipe(**CHANGES)
    try:
        with monkeypatch.context() as patch:
            stop_at(patch, 8, lambda: signal.raise_signal(signal.SIGINT))
            with pytest.raises(KeyboardInterrupt):
                train(root, recipe, out, detector=CentralBox(), cache=crops)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, outside)
    assert not out.exists()
    resumed = train(root, recipe, out, detector=CentralBox(), cache=crops, resume=True)
    assert same_weights(resumed.run, whole.run)


@pytest.mark.usefixtures("quick")
def test_early_stopping_stays_stopped(
    root: Path, crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The F1 never gets better, so patience of two ends the run after its third epoch."""
    monkeypatch.setattr("facealike.train.embedder.module.best_f1_threshold", lambda *_: (0.0, 0.5))
    recipe = tiny_recipe(training={"epochs": 8, "patience": 2, "steps_per_epoch": 3})

    def go(name: str, resume: bool = False) -> TrainResult:
        out = tmp_path / f"{name}.facealike"
        return train(root, recipe, out, detector=CentralBox(), cache=crops, resume=resume)

    calm = go("calm")
    assert calm.epochs == 3
    with monkeypatch.context() as patch:
        stop_at(patch, 7, stop)  # in the third epoch
        with pytest.raises(Stop):
            go("cut")
    assert go("cut", resume=True).epochs == 3
    assert same_weights(calm.run, tmp_path / "cut-run")
    with monkeypatch.context() as patch:
        patch.setattr(run_module, "finalize_run", lambda *_: stop())
        with pytest.raises(Stop):
            go("late")
    late = go("late", resume=True)
    assert late.epochs == 3, "no further epoch, although eight are allowed"
    assert numbers(late.run) == numbers(calm.run)
    assert same_weights(calm.run, late.run)


# ---- what is refused --------------------------------------------------------------------------


@pytest.fixture
def begun(root: Path, crops: Path, tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that stopped in its second epoch; its model file would be m.facealike."""
    out = tmp_path / "m.facealike"
    with monkeypatch.context() as patch:
        stop_at(patch, 8, stop)
        with pytest.raises(Stop):
            train(root, tiny_recipe(), out, detector=CentralBox(), cache=crops)
    return out


def test_a_second_start_is_refused(root: Path, crops: Path, begun: Path) -> None:
    before = (begun.parent / "m-run" / "log.csv").read_bytes()
    with pytest.raises(TrainingError, match=r"m-run already holds a run; .*--resume"):
        train(root, tiny_recipe(), begun, detector=CentralBox(), cache=crops)
    assert (begun.parent / "m-run" / "log.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"training": {"epochs": 9}}, r"training\.epochs"),
        ({"loss": {"margin": 0.7}, "augment": {"flip": 0.1}}, r"loss\.margin, augment\.flip"),
        ({"network": {"widths": [8, 8]}}, r"network\.widths"),
        ({"crop": {"margin": 0.1}}, r"crop\.margin, the photos or the detector"),
    ],
)
def test_resuming_another_recipe_is_refused_by_name(
    root: Path, crops: Path, begun: Path, changes: dict[str, Any], named: str
) -> None:
    # What a table of the tiny recipe sets stays, but for the changes.
    with pytest.raises(TrainingError, match=named):
        train(root, tiny_recipe(**changes), begun, detector=CentralBox(), cache=crops, resume=True)


def test_a_run_from_before_a_key_was_known_goes_on(root: Path, crops: Path, begun: Path) -> None:
    """It then did what the key's default does; another value is another recipe."""
    path = begun.parent / "m-run" / "run.json"
    stated = json.loads(path.read_text())
    del stated["recipe"]["training"]["ema"], stated["recipe"]["crop"]["context"]
    write_text(path, json.dumps(stated))
    with pytest.raises(TrainingError, match=r"training\.ema"):
        train(
            root, tiny_recipe(training={"ema": 0.9}), begun, detector=CentralBox(), cache=crops, resume=True
        )
    assert train(root, tiny_recipe(), begun, detector=CentralBox(), cache=crops, resume=True).epochs == 3


def test_a_run_of_an_earlier_release_is_resumed(
    root: Path, crops: Path, tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its recipe has old names, and its checkpoint keeps the warnings under an old class name."""
    recipe = tiny_recipe(network={"kind": "legacy", "widths": [4, 8]}, augment={"gray": 0.1})
    out, run, options = tmp_path / "m.facealike", tmp_path / "run", TrainingOptions(CentralBox(), cache=crops)
    with monkeypatch.context() as patch:
        stop_at(patch, 8, stop)
        with pytest.raises(Stop):
            run_module.fit(root, recipe, out, run, options)
    stated = json.loads((run / "run.json").read_text())
    assert stated["recipe"]["augment"]["grey"] == 0.1 and "gray" not in stated["recipe"]["augment"]
    stated["recipe"]["network"]["kind"] = "seed"
    write_text(run / "run.json", json.dumps(stated))
    last = run / "checkpoints" / "last.ckpt"
    saved = torch.load(last, weights_only=True)
    assert {"Guards", "EpochLog"} <= set(saved["callbacks"])
    saved["callbacks"]["Guards"]["told"] = {"few training people": "from before"}
    torch.save(saved, last)
    fitted = run_module.fit(root, recipe, out, run, replace(options, resume=True))
    assert len(fitted.rows) == 3
    assert "from before" in fitted.warnings and not any("to train on" in text for text in fitted.warnings)
    other = replace(recipe, network=replace(recipe.network, kind="resnet", widths=(8, 16), blocks=(1,)))
    with pytest.raises(TrainingError, match=r"network\.kind"):
        run_module.fit(root, other, out, run, replace(options, resume=True))


def test_the_words_of_a_card_may_change(root: Path, crops: Path, begun: Path) -> None:
    recipe = tiny_recipe(card={"limits": "other words"})
    assert train(root, recipe, begun, detector=CentralBox(), cache=crops, resume=True).epochs == 3
    stated = json.loads((begun.parent / "m-run" / "run.json").read_text())
    assert stated["recipe"]["card"]["limits"] == "other words"


def test_resuming_on_other_photos_is_refused(root: Path, crops: Path, begun: Path, tmp_path: Path) -> None:
    other = make_people(tmp_path / "people")
    victim = People.from_folder(other).split("train").paths[0]
    PillowImage.fromarray(draw_face(555, 0)).save(victim)
    with pytest.raises(TrainingError, match="because the photos or the detector changed"):
        train(other, tiny_recipe(), begun, detector=CentralBox(), cache=crops, resume=True)


def test_resuming_from_damaged_files_is_refused(root: Path, crops: Path, begun: Path) -> None:
    run = begun.parent / "m-run"

    def refused(match: str) -> None:
        with pytest.raises(TrainingError, match=match):
            train(root, tiny_recipe(), begun, detector=CentralBox(), cache=crops, resume=True)

    good = (run / "run.json").read_text()
    write_text(run / "run.json", "[]")
    refused("cannot be resumed")
    write_text(run / "run.json", good[:-9])
    refused(r"run\.json cannot be read")
    write_text(run / "run.json", good)
    last = run / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:-200])
    refused(r"last\.ckpt is damaged")


def test_resuming_nothing_is_a_start(
    root: Path, crops: Path, tmp_path: Path, quick: None, whole: TrainResult
) -> None:
    """So that one command can be repeated until it is through."""
    out = tmp_path / "m.facealike"
    result = train(root, tiny_recipe(**CHANGES), out, detector=CentralBox(), cache=crops, resume=True)
    assert same_weights(result.run, whole.run)


# ---- two at once ------------------------------------------------------------------------------

FIRST = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from support.drawn_people import CentralBox, tiny_recipe
from facealike.train import train

def wait(done, total):
    print("in", flush=True)
    while not (folder / "go on").exists():
        time.sleep(0.02)

folder = Path(sys.argv[3])
recipe = tiny_recipe(training={"epochs": 1})
train(sys.argv[2], recipe, folder / "m.facealike", detector=CentralBox(), device="cpu", progress=wait)
"""


@pytest.mark.parametrize("resume", [False, True])
def test_two_trainings_in_one_run_folder(root: Path, tmp_path: Path, resume: bool) -> None:
    """Issue 19 C1: the second is refused by a sentence, with --resume too, and the first is not disturbed."""
    command = [sys.executable, "-c", FIRST, str(TESTS), str(root), str(tmp_path)]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert first.stdout is not None and first.stdout.readline() == "in\n"
        before = files(tmp_path)
        said = rf"m-run: process {first.pid} is at work in this folder; wait until it is done, or .* --run"
        with pytest.raises(TrainingError, match=said):
            train(root, tiny_recipe(), tmp_path / "m.facealike", detector=CentralBox(), resume=resume)
        with pytest.raises(TrainingError, match=said):
            distil(root, load_recipe("distilled"), tmp_path / "m.facealike", resume=resume)
        assert files(tmp_path) == before
        (tmp_path / "go on").touch()
        assert first.wait(timeout=300) == 0
    finally:
        first.kill()
        first.communicate()
    assert Model.load(tmp_path / "m.facealike").threshold
    assert not (tmp_path / "m-run" / "lock").exists()


def test_the_other_process_keeps_its_half_written_model(tmp_path: Path) -> None:
    """Issue 19 C1: two runs may write one model; only what a process left that is gone is swept away."""
    run, out = tmp_path / "run", tmp_path / "m.facealike"
    (run / "checkpoints").mkdir(parents=True)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    names = [f".m.facealike.{pid}-abc.part" for pid in (os.getppid(), gone.pid, os.getpid())]
    for name in names:
        (tmp_path / name).touch()
    (run / f".run.json.{os.getppid()}-abc.part").touch()
    sweep(run, out)
    assert files(tmp_path) == {names[0]}
