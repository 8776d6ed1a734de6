"""Whole training runs on drawn people: what they leave behind, what they refuse, and that they learn."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

from facealike.datasets.parts import divide
from facealike.datasets.people import People
from facealike.embedding.face_model import Model
from facealike.errors import DeviceError, TrainingError
from facealike.evaluation.verification import evaluate_split
from facealike.imaging.photo_digest import photo_digest
from facealike.model_file.model_file import ModelFile
from facealike.reports.training_log import read_log
from facealike.train import TrainResult, train
from facealike.train.data.augment import Augmentation
from facealike.train.embedder import run as run_module
from facealike.train.embedder.dataset import people_in
from facealike.verification.compare import compare
from support.drawn_people import CentralBox, draw_face, make_people, tiny_recipe
from support.training_runs import (
    CHANGES,
    PICTURES,
    PROMISED,
    files,
    numbers,
    rows,
    same_weights,
    weights,
)

pytest_plugins = ["support.training_runs"]
pytestmark = pytest.mark.usefixtures("one_thread")


# ---- what a run leaves behind -----------------------------------------------------------------


def test_the_run_folder_holds_what_is_promised_and_nothing_else(whole: TrainResult) -> None:
    found = files(whole.run)
    board = {name for name in found if name.startswith("tensorboard/")}
    assert found - board == PROMISED
    events = {name for name in board if "events.out.tfevents." in name}
    assert len(events) == 2 and board - events == {"tensorboard/hparams.yaml"}
    for name in PICTURES:
        with PillowImage.open(whole.run / name) as picture:
            assert min(picture.size) > 100, name


def test_tensorboard_holds_losses_and_pictures(whole: TrainResult) -> None:
    """Issue 19 D6."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(whole.run / "tensorboard"), size_guidance={"images": 0})
    board.Reload()
    assert {f"{name}.png" for name in board.Tags()["images"]} == PICTURES
    assert {"train_loss_epoch", "val_loss", "val_f1", "train_f1"} <= set(board.Tags()["scalars"])


def training_people(root: Path) -> People:
    everybody = People.from_folder(root)
    return people_in(everybody, divide(everybody).train)


def test_the_log_has_a_row_for_each_epoch(whole: TrainResult) -> None:
    found = rows(whole.run)
    assert list(found[0]) == [
        "epoch", "train_loss", "val_loss", "val_f1", "val_auc", "train_f1", "train_auc", "spread",
        "learning_rate", "images_per_second", "seconds",
    ]  # fmt: skip
    assert [int(float(row["epoch"])) for row in found] == [1, 2, 3, 4]
    assert whole.epochs == 4
    for row in found:
        assert all(np.isfinite(float(value)) for value in row.values())
        assert 0 <= float(row["val_f1"]) <= 1
        assert 0 <= float(row["val_auc"]) <= 1
    assert read_log(whole.run / "log.csv").best is not None


def test_the_best_epoch_is_kept(whole: TrainResult) -> None:
    best = torch.load(whole.run / "checkpoints" / "best.ckpt", weights_only=True)
    f1 = [float(row["val_f1"]) for row in rows(whole.run)]
    assert f1[best["epoch"]] == max(f1)


def test_both_model_files_are_the_model(whole: TrainResult) -> None:
    file = ModelFile.read(whole.model_path)
    assert file.id == whole.model_id
    assert whole.model_path.read_bytes() == (whole.run / "model.facealike").read_bytes()
    assert file.detector_spec == CentralBox.spec
    assert (file.preprocessing.size, file.preprocessing.align) == (32, "box")


def test_the_model_compares(whole: TrainResult) -> None:
    model = Model.load(whole.model_path, device="cpu")
    result = compare(draw_face(3, 0), draw_face(3, 0), model=model, aligned=True)
    assert result.score == pytest.approx(1, abs=1e-5)
    assert result.same
    assert compare(draw_face(3, 0), draw_face(5, 1), model=model, aligned=True).score < 0.9999


def test_the_exported_model_is_the_best_checkpoint(whole: TrainResult, root: Path) -> None:
    """Embedded by torch as the validation does, and by the file."""
    recipe, file = tiny_recipe(**CHANGES), ModelFile.read(whole.model_path)
    people = len(training_people(root).names)
    module = run_module.SiameseModule(recipe, file.preprocessing, people, 1, [])
    module.load_state_dict(weights(whole.run, "best"))
    module.eval()
    images = np.stack([draw_face(k, 0)[16:48, 16:48] for k in range(5)])
    with torch.no_grad():
        module.validation_step(torch.from_numpy(images), 0)
    expected = module._embedded[0][0].numpy()
    found = Model(file, device="cpu").embed_crops(images)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_the_table_is_what_evaluation_says_of_the_written_model(
    whole: TrainResult, root: Path, crops: Path, split: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facealike.embedding.face_model.make_detector", lambda *_: CentralBox())
    model = Model.load(whole.model_path, device="cpu")
    # Forty people are few, so more of them are held out than evaluate_split would take by their names.
    for name in divide(People.from_folder(root)).of(split):
        (tmp_path / name).symlink_to(root / name, target_is_directory=True)
    everybody = evaluate_split(model, tmp_path, "all", cache=crops, allow_overlap=True)
    # Those of the validation have calibrated the model, too, which the table says elsewhere.
    expected = replace(everybody, name=split, leaked=split == "train")
    (found,) = (e.to_dict() for e in whole.evaluations if e.name == split)
    assert found == expected.to_dict()
    assert model.file.card.metrics[split] == expected.for_card()
    # A card counts the photos that were left out, where the table names them; here there are none.
    assert {**model.file.card.metrics[split], "unused": []} == expected.to_dict()
    assert everybody.leaked == (split != "test")


def test_results_json_and_markdown(whole: TrainResult) -> None:
    table = json.loads((whole.run / "results.json").read_text())
    text = (whole.run / "results.md").read_text()
    assert table["evaluations"] == [evaluation.to_dict() for evaluation in whole.evaluations]
    for evaluation in whole.evaluations:
        assert f"{evaluation.f1:.3f}" in text


def test_the_threshold_is_from_the_people_who_calibrate(whole: TrainResult, root: Path) -> None:
    calibration = ModelFile.read(whole.model_path).calibration
    people = divide(People.from_folder(root)).calibration
    assert calibration.people == f"{len(people)} calibration people of people"
    assert {e.threshold for e in whole.evaluations} == {calibration.threshold}
    assert {e.threshold_from for e in whole.evaluations} == {calibration.people}


def test_the_card(whole: TrainResult, root: Path) -> None:
    card = ModelFile.read(whole.model_path).card
    everybody, trained = People.from_folder(root), training_people(root)
    (record,) = card.trained_on
    assert all(record.knows_person(name) for name in trained.names)
    assert record.people_count == len(trained.names)
    known = [record.knows_photo(photo_digest(path)) for path in everybody.paths]
    assert everybody.select(known).paths == trained.paths
    assert "Person_" not in json.dumps(card.to_dict()), "nobody is named"
    assert card.provenance["seed"] == 0
    assert card.provenance["outside_data"] == "none"
    assert card.provenance["epochs"] == 4
    assert card.recipe == json.loads(json.dumps(tiny_recipe(**CHANGES).to_dict()))
    assert card.data["train"]["people"] == len(trained.names)
    assert {"code", "weights", "training_data"} <= set(card.licence)
    for text in (card.intended_use, card.limits, card.provenance["machine"], card.provenance["commit"]):
        assert text


def test_the_result_can_be_printed_and_dumped(whole: TrainResult) -> None:
    assert json.loads(json.dumps(whole.to_dict()))["model_id"] == whole.model_id
    assert whole.model_id in str(whole)
    assert "cpu" in whole.device


@pytest.mark.usefixtures("quick")
def test_equal_seeds_give_equal_runs_and_others_do_not(
    root: Path, crops: Path, tmp_path: Path, whole: TrainResult
) -> None:
    recipe = tiny_recipe(**CHANGES)
    again = train(root, recipe, tmp_path / "again.facealike", detector=CentralBox(), cache=crops)
    assert numbers(again.run) == numbers(whole.run)
    assert same_weights(again.run, whole.run)
    assert same_weights(again.run, whole.run, "best")
    other = train(
        root, replace(recipe, seed=1), tmp_path / "b.facealike",
        detector=CentralBox(), cache=crops,
    )  # fmt: skip
    assert not same_weights(other.run, whole.run)


# ---- what is refused --------------------------------------------------------------------------


def test_places_that_cannot_be_written(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(TrainingError, match="is a file; choose a folder"):
        train(root, tiny_recipe(), tmp_path / "m.facealike", tmp_path / "file", detector=CentralBox())
    with pytest.raises(TrainingError, match="this folder cannot be made"):
        train(root, tiny_recipe(), tmp_path / "file" / "m.facealike", detector=CentralBox())
    with pytest.raises(TrainingError, match="this is a folder"):
        train(root, tiny_recipe(), tmp_path, detector=CentralBox())


@pytest.mark.parametrize("device", ["cuda:7", "cuda:x", "gpu", "tpu", ""])
def test_a_device_that_is_not_there(root: Path, tmp_path: Path, device: str) -> None:
    with pytest.raises(DeviceError, match=device or "auto, cpu or cuda"):
        train(root, tiny_recipe(), tmp_path / "m.facealike", detector=CentralBox(), device=device)
    assert list(tmp_path.iterdir()) == []


def test_auto_names_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert run_module.choose_device("auto") == run_module.choose_device("cpu")
    assert run_module.choose_device("auto")[2].startswith("cpu (1 thread")
    with pytest.raises(DeviceError, match="sees 0 CUDA devices; use --device cpu"):
        run_module.choose_device("cuda:0")


# ---- losses that learn, stop, or break --------------------------------------------------------


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("loss", "sampler"),
    [
        ({"name": "contrastive"}, {"name": "pairs"}),
        ({"name": "contrastive", "miner": "hard"}, {"name": "identities", "images_per_identity": 3}),
        ({"name": "triplet", "margin": 0.3}, {"name": "identities", "images_per_identity": 3}),
        ({"name": "arcface", "margin": 0.3, "scale": 16.0}, {"name": "images"}),
        ({"name": "cosface", "margin": 0.2, "scale": 16.0}, {"name": "images"}),
        ({"name": "adaface", "margin": 0.2, "scale": 16.0}, {"name": "images"}),
        ({"name": "subcentre-arcface", "margin": 0.2, "scale": 16.0, "centres": 2}, {"name": "images"}),
        ({"name": "multi-similarity", "margin": 0.5}, {"name": "identities", "images_per_identity": 3}),
    ],
)
def test_each_loss_goes_down(
    root: Path, crops: Path, tmp_path: Path, loss: dict[str, Any], sampler: dict[str, Any]
) -> None:
    recipe = tiny_recipe(
        loss=loss, sampler=sampler, network={"dropout": 0.0}, augment={"flip": 0.0, "rotation": 0.0},
        training={"epochs": 6, "steps_per_epoch": 15, "learning_rate": 0.01},
    )  # fmt: skip
    result = train(root, recipe, tmp_path / "m.facealike", detector=CentralBox(), cache=crops)
    losses = [float(row["train_loss"]) for row in rows(result.run)]
    assert losses[-1] < 0.8 * losses[0]
    aucs = [float(row["train_auc"]) for row in rows(result.run)]
    assert max(aucs) > 0.8, "people of the training are told apart"
    assert (rows(result.run)[0]["val_loss"] != "") == (loss["name"] == "contrastive")


def test_outside_data_is_learnt_from_and_stated_on_the_card(
    root: Path, crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facealike.train.embedder.finalize._draw", lambda *_: None)
    outside = make_people(tmp_path / "strangers", 5, first=40)
    recipe = tiny_recipe(
        loss={"name": "cosface", "margin": 0.2}, sampler={"name": "images"},
        data={"unlabelled": str(outside)}, training={"epochs": 1, "steps_per_epoch": 0},
    )  # fmt: skip
    result = train(root, recipe, tmp_path / "m.facealike", detector=CentralBox(), cache=crops)
    named, photos = training_people(root), len(People.from_folder(outside))
    state = weights(result.run)
    assert state["criterion.loss.W"].shape[1] == len(named.names) + photos
    loaded = torch.load(result.run / "checkpoints" / "last.ckpt", weights_only=True)
    assert loaded["global_step"] == (len(named) + photos) // 36
    card = ModelFile.read(result.model_path).card
    assert card.provenance["outside_data"].startswith(f"{photos} photos without identity labels")
    assert card.data["unlabelled"] == {"images": photos}
    (record,) = card.trained_on
    assert record.people_count == len(named.names), "only people have names"
    assert all(record.knows_photo(photo_digest(path)) for path in People.from_folder(outside).paths)


@pytest.mark.usefixtures("quick")
def test_mixup_mixes_images_and_losses_alike(
    root: Path, crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step's loss is that of both people of a mixed image, in the shares of the pixels."""
    calls: list[list[Any]] = []
    shares: list[tuple[list[int], float]] = []
    mixing = sys.modules["facealike.train.embedder.module"].mix
    criterion = sys.modules["facealike.train.losses.criterion"].Criterion.forward

    def spy_mix(*arguments: Any) -> Any:
        images, partner, share = mixing(*arguments)
        shares.append((partner.tolist(), share))
        calls.append([])
        return images, partner, share

    def spy_loss(self: Any, embeddings: torch.Tensor, labels: torch.Tensor, pairs: Any = None) -> Any:
        found = criterion(self, embeddings, labels, pairs)
        calls[-1].append((labels.tolist(), float(found.detach())))
        return found

    monkeypatch.setattr("facealike.train.embedder.module.mix", spy_mix)
    monkeypatch.setattr("facealike.train.losses.criterion.Criterion.forward", spy_loss)
    recipe = tiny_recipe(
        loss={"name": "cosface", "margin": 0.2}, sampler={"name": "images"}, augment={"mixup": 0.5},
        training={"epochs": 1, "steps_per_epoch": 3},
    )  # fmt: skip
    result = train(root, recipe, tmp_path / "m.facealike", detector=CentralBox(), cache=crops)
    expected = []
    for (partner, share), (own, other) in zip(shares, calls, strict=True):
        assert other[0] == [own[0][k] for k in partner]
        expected.append(share * own[1] + (1 - share) * other[1])
    assert float(rows(result.run)[0]["train_loss"]) == pytest.approx(np.mean(expected), rel=1e-4)


@pytest.mark.usefixtures("quick")
def test_one_pass_of_the_sampler_is_an_epoch_unless_the_recipe_says_otherwise(
    root: Path, crops: Path, tmp_path: Path
) -> None:
    recipe = tiny_recipe(
        loss={"name": "cosface", "margin": 0.2}, sampler={"name": "images"},
        training={"epochs": 1, "steps_per_epoch": 0},
    )  # fmt: skip
    result = train(root, recipe, tmp_path / "m.facealike", detector=CentralBox(), cache=crops)
    loaded = torch.load(result.run / "checkpoints" / "last.ckpt", weights_only=True)
    assert loaded["global_step"] == len(training_people(root)) // 36


@pytest.mark.usefixtures("quick")
def test_no_step_repeats_the_draws_of_another(
    root: Path, crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else every epoch would show the same images in the same way."""
    drawn, seen = [], []
    real = Augmentation.__call__

    def spy(self: Any, images: torch.Tensor, generator: torch.Generator, *rest: Any) -> torch.Tensor:
        drawn.append(generator.initial_seed())
        seen.append(images.numpy().tobytes())
        return real(self, images, generator, *rest)

    monkeypatch.setattr(Augmentation, "__call__", spy)
    train(root, tiny_recipe(), tmp_path / "m.facealike", detector=CentralBox(), cache=crops)
    assert len(set(drawn)) == len(drawn) == 3 * 6
    assert len(set(seen)) == len(seen)


@pytest.mark.usefixtures("quick")
def test_a_run_of_a_single_step(root: Path, crops: Path, tmp_path: Path) -> None:
    for number, (epochs, warm_up) in enumerate([(1, 0.2), (5, 0.2), (2, 0.5)]):
        recipe = tiny_recipe(training={"epochs": epochs, "steps_per_epoch": 1, "warm_up": warm_up})
        out = tmp_path / f"{number}.facealike"
        assert train(root, recipe, out, detector=CentralBox(), cache=crops).epochs == epochs


@pytest.mark.usefixtures("quick")
def test_a_loss_that_is_not_finite_ends_the_run(
    root: Path, crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forward(self: Any, embeddings: torch.Tensor, *_: Any) -> torch.Tensor:
        return embeddings.sum() * float("nan")

    monkeypatch.setattr("facealike.train.losses.criterion.Criterion.forward", forward)
    with pytest.raises(TrainingError, match=r"loss became nan at step 0; lower training\.learning_rate"):
        train(root, tiny_recipe(), tmp_path / "m.facealike", detector=CentralBox(), cache=crops)
    assert not (tmp_path / "m.facealike").exists()


@pytest.mark.usefixtures("quick")
def test_a_learning_rate_that_is_far_too_high(root: Path, crops: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(
        network={"kind": "seed", "widths": [4, 8]}, training={"learning_rate": 100, "schedule": "constant"}
    )  # fmt: skip
    with pytest.raises(TrainingError, match=r"lower training\.learning_rate"):
        train(root, recipe, tmp_path / "m.facealike", detector=CentralBox(), cache=crops)


# ---- the command line -------------------------------------------------------------------------


RECIPE = """
name = "tiny"  # people.TINY as a user would write it, but for the epochs
[crop]
size = 32
align = "box"
detector = "dlib"
[network]
widths = [8, 16]
blocks = [1]
dimensions = 16
dropout = 0.1
[loss]
margin = 1.0
[training]
epochs = 9
steps_per_epoch = 6
batch_size = 36
precision = "32"
"""


def test_the_command_line_trains_and_says_only_its_own_lines(
    root: Path, crops: Path, whole: TrainResult, tmp_path: Path
) -> None:
    """With dlib's detector, whose crops the stand-in has put into the cache."""
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(RECIPE)
    out = tmp_path / "m.facealike"
    command = [
        sys.executable, "-m", "facealike", "train", str(root), "--recipe", str(recipe), "--out", str(out),
        "--cache", str(crops), "--set", "training.epochs=4", "--device", "cpu", "--json",
    ]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["model_id"] == whole.model_id
    lines = done.stderr.splitlines()
    assert lines[0].startswith("training on cpu (1 threads): ")
    warnings = [line.removeprefix("warning: ") for line in lines if line.startswith("warning: ")]
    assert json.loads(done.stdout)["warnings"] == list(whole.warnings)
    # An unfit model is named in a line of its own, and who calibrated only with the results.
    elsewhere = [
        text
        for text in whole.warnings
        if text.startswith("this model must not be used") or "chose the epoch as well" in text
    ]
    assert sorted(warnings + elsewhere) == sorted(whole.warnings)
    epochs = [line.split("  ")[0] for line in lines[1:] if line.startswith("epoch ")]
    assert epochs == [f"epoch {k}/4" for k in range(1, 5)]
    assert ModelFile.read(out).embedder == ModelFile.read(whole.model_path).embedder
