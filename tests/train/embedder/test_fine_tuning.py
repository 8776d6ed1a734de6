"""Issue 19 A15: fine-tuning from a finished model, which never ends below it without saying so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from facealike.calibration.calibration import Calibration
from facealike.cli import app
from facealike.cli.train import DEFAULT_RECIPE
from facealike.embedding.embedder import Embedder
from facealike.embedding.face_model import Model
from facealike.errors import RecipeError, TrainingError
from facealike.model_file.model_file import ModelFile
from facealike.model_file.preprocessing import Preprocessing
from facealike.model_zoo.score_normalization import Cohort, append_cohort
from facealike.train import TrainResult, load_recipe, train
from facealike.train.embedder.fine_tuning import Tail, better_epoch, export_tuned, read_start
from facealike.train.embedder.module import SiameseModule
from facealike.train.export_onnx import export_embedder, export_student
from facealike.train.lightning.callbacks import Bar, Clock, time_left
from facealike.train.networks.init_from_model import start_from
from facealike.train.networks.resnet import make_network
from facealike.train.recipe.schema import NetworkSpec, Recipe
from support.drawn_people import CentralBox, tiny_recipe
from support.tiny_model import tiny_card

pytest_plugins = ["support.training_runs"]

PREPROCESSING = Preprocessing(32, "box", mean=(127.5, 127.5, 127.5), std=(64.0, 64.0, 64.0))
DIMENSIONS = 16


def crops(count: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def network(seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return make_network(
        NetworkSpec(widths=(8, 16), blocks=(1,), dimensions=DIMENSIONS, dropout=0.0), 32
    ).eval()


def some_cohort() -> Cohort:
    random = np.random.default_rng(3)
    centres = random.normal(size=(5, DIMENSIONS + 1))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    shares = np.full(5, 0.2, dtype=np.float32)
    return Cohort(centres.astype(np.float32), shares, 0.5, -1.0, -0.7, 0.2, 1000, 0.9)


def stored(folder: Path, kind: str, net: torch.nn.Module) -> Path:
    """A model file of that kind: plain unit vectors, lifted ones, or lifted ones with a cohort."""
    centre = torch.linspace(-1, 1, DIMENSIONS)
    onnx = export_embedder(net, 32, True) if kind == "plain" else export_student(net, 32, True, centre)
    if kind == "cohort":
        onnx = append_cohort(onnx, some_cohort())
    detector = CentralBox()
    path = folder / f"{kind}.facealike"
    card = tiny_card(metrics={})
    ModelFile(onnx, PREPROCESSING, detector.spec, detector.weights, card, Calibration.none()).write(path)
    return path


def tuning(start: Path, **changes: Any) -> Recipe:
    return tiny_recipe(
        network={"start": str(start), "dropout": 0.0},
        loss={"anchor": 1.0},
        training={"epochs": 1, "steps_per_epoch": 2, **changes},
    )


@pytest.mark.parametrize("kind", ["plain", "lifted", "cohort"])
def test_it_begins_with_the_embeddings_of_the_start(tmp_path: Path, kind: str) -> None:
    """Before the first step, in torch and exported again, every vector is that of the model it began with."""
    path = stored(tmp_path, kind, network())
    recipe, faces = tuning(path), crops(24)
    start = read_start(recipe, PREPROCESSING)
    wanted = Embedder(start.file.embedder, PREPROCESSING, "cpu").embed(faces)
    shown = torch.from_numpy(PREPROCESSING.normalize(faces))
    module = SiameseModule(recipe, PREPROCESSING, 3, 10, (), start, shown).eval()
    with torch.no_grad():
        found = module.embed(torch.from_numpy(faces)).numpy()
    np.testing.assert_allclose(found, wanted, atol=2e-4)
    assert Tail(start).lifts == (kind != "plain") and Tail(start).normalizes == (kind == "cohort")
    again = export_tuned(module.evaluated, start, recipe, PREPROCESSING.normalize(faces))
    np.testing.assert_allclose(Embedder(again, PREPROCESSING, "cpu").embed(faces), wanted, atol=5e-4)


def test_the_anchor_counts_how_far_outputs_moved(tmp_path: Path) -> None:
    path = stored(tmp_path, "lifted", network())
    recipe = tuning(path)
    start = read_start(recipe, PREPROCESSING)
    shown = torch.from_numpy(PREPROCESSING.normalize(crops(24)))
    module = SiameseModule(recipe, PREPROCESSING, 3, 10, (), start, shown)
    module.train()
    assert not any(m.training for m in module.network.modules() if isinstance(m, torch.nn.BatchNorm2d))
    assert module.network.training
    batch = {"images": torch.from_numpy(crops(6)), "labels": torch.tensor([0, 0, 1, 1, 2, 2]), "pairs": None}
    losses = []
    for offset in (0.0, 0.5):
        module.network.normalise.bias.data += offset  # type: ignore[union-attr, operator]
        module.log = lambda *_, **__: None  # type: ignore[method-assign]
        images, _ = module.augmented(batch["images"])
        alone = module.criterion(module.tail.lift(module(images)), batch["labels"])  # type: ignore[union-attr]
        losses.append(float(module.training_step(batch, 0).detach()) - float(alone.detach()))
    assert losses[0] == pytest.approx(0, abs=1e-5)
    assert losses[1] == pytest.approx(DIMENSIONS * 0.5**2, rel=1e-3)


def test_which_epoch_is_better() -> None:
    start = {"val_f1": 0.9, "val_auc": 0.95}
    better, worse, even = (
        {"val_f1": f1, "val_auc": auc} for f1, auc in ((0.91, 0.95), (0.89, 0.99), (0.9, 0.96))
    )
    assert better_epoch([worse, better], start)
    assert not better_epoch([worse, even], start)
    assert not better_epoch([{"val_f1": 0.92, "val_auc": 0.94}], start)


@pytest.fixture(scope="module")
def tuned(
    whole: TrainResult, root: Path, crops_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> TrainResult:
    """A run from the model of ``whole`` on the same people, by steps so large that they spoil it."""
    out = tmp_path_factory.mktemp("tuned") / "m.facealike"
    recipe = tiny_recipe(
        network={"start": str(whole.model_path), "dropout": 0.0},
        training={"epochs": 1, "steps_per_epoch": 2, "learning_rate": 100.0, "warm_up": 0.01},
    )
    return train(root, recipe, out, detector=CentralBox(), device="cpu", cache=crops_folder)


@pytest.fixture(scope="session")
def crops_folder(crops: Path) -> Path:
    return crops


def test_a_run_that_gets_worse_keeps_the_start_and_says_so(tuned: TrainResult, whole: TrainResult) -> None:
    assert Model.load(tuned.model_path).file.embedder == ModelFile.read(whole.model_path).embedder
    said = [warning for warning in tuned.warnings if "no epoch did better on the" in warning]
    assert len(said) == 1 and "keeps the weights it began with" in said[0]
    card = ModelFile.read(tuned.model_path).card
    told = card.provenance["initialisation"]
    assert told.startswith(f"the weights of model {whole.model_id} (epochs ")
    assert told.endswith("these weights were kept, for no epoch did better on the validation people")
    assert said[0] in json.loads((tuned.run / "results.json").read_text())["warnings"]
    assert said[0] in (tuned.run / "results.md").read_text()


def test_another_crop_cannot_be_the_start(tmp_path: Path) -> None:
    path = stored(tmp_path, "plain", network())
    with pytest.raises(TrainingError, match=r"network\.start: .* was made for other face crops \(32 px"):
        read_start(tuning(path), Preprocessing(48, "box"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": {"anchor": 1.0}}, r"loss\.anchor needs network\.start"),
        ({"loss": {"anchor": -1.0}, "network": {"start": "default"}}, r"loss\.anchor must not be negative"),
        ({"network": {"start": "default", "pool": "flatten"}}, r"network\.start fits kind"),
        ({"network": {"start": "default", "kind": "seed"}}, r"network\.start fits kind"),
    ],
)
def test_recipes_that_cannot_tune(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        tiny_recipe(**changes)


def test_the_default_recipe_begins_from_the_model_that_is_installed() -> None:
    """``facealike train PEOPLE --out mine.facealike`` with no other option needs nothing downloaded."""
    recipe = load_recipe(DEFAULT_RECIPE)
    assert recipe.network.start == "default" and recipe.loss.anchor > 0 and recipe.training.keep == "best"
    file = Model.load().file
    crop = recipe.crop
    assert (crop.size, crop.align) == (file.preprocessing.size, file.preprocessing.align)
    fresh = make_network(replace(recipe.network, dropout=0.0), crop.size)
    start_from(fresh, file.embedder, torch.randn(4, 3, crop.size, crop.size), "default")


@pytest.mark.parametrize("name", ["x.pt", "x.pth", "x.onnx", "x"])
def test_torch_weights_are_not_what_train_writes(root: Path, tmp_path: Path, name: str) -> None:
    """Issue 19 D6: ``train --out x.pt`` is refused before any photo is read."""
    result = CliRunner().invoke(app, ["train", str(root), "--out", str(tmp_path / name)])
    assert result.exit_code == 2, result.output
    assert f"{name}: a model file of facealike ends in .facealike" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_time_left_is_that_of_the_whole_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 19 D6: by the steps of this process, for a resumed run begins in the middle."""
    now = [100.0]
    monkeypatch.setattr("facealike.train.lightning.callbacks.time.perf_counter", lambda: now[0])
    clock = Clock()
    clock.start(50)
    assert clock.left(50, 200) == ""
    now[0] = 110.0
    assert clock.left(60, 200) == "2 min left"  # 140 steps at a second each
    assert clock.left(60, 100) == "40 s left"
    assert clock.left(200, 200) == "0 s left"
    assert time_left(5400) == "1 h 30 min left" and time_left(5000) == "83 min left"


def test_the_bar_counts_epochs_as_the_log_does() -> None:
    """Issue 19 D6: the log began at 1 and the bar at 0."""
    bar = Bar()
    bar._trainer = SimpleNamespace(max_epochs=6)  # type: ignore[assignment]
    assert [bar._get_train_description(epoch) for epoch in (0, 5)] == ["Epoch 1/6", "Epoch 6/6"]
