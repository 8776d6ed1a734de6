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
from onnx import load_model_from_string
from PIL import Image as PillowImage
from typer.testing import CliRunner

from facealike.calibration.calibration import Calibration
from facealike.cli import app
from facealike.cli.train import DEFAULT_RECIPE
from facealike.embedding.embedder import Embedder
from facealike.embedding.face_model import Model
from facealike.errors import RecipeError, TrainingError
from facealike.model_file.model_file import ModelFile
from facealike.model_file.preprocessing import Channels, Preprocessing
from facealike.model_zoo.cohort import Cohort, append_cohort
from facealike.model_zoo.mirroring import append_mirror
from facealike.model_zoo.score_normalization import split_cohort
from facealike.train import TrainResult, load_recipe, train
from facealike.train.data.preprocessing import choose_preprocessing
from facealike.train.embedder.fine_tuning import better_epoch, read_start
from facealike.train.embedder.module import SiameseModule
from facealike.train.export_onnx import export_embedder, export_student
from facealike.train.lightning.callbacks import Bar, Clock, time_left
from facealike.train.networks.resnet import make_network
from facealike.train.recipe.schema import NetworkSpec, Recipe
from support.distillation_runs import CentralFace
from support.drawn_people import CentralBox, draw_face, make_people, tiny_recipe
from support.tiny_model import tiny_card
from support.training_runs import Stop, numbers, same_weights, stop, stop_at

pytest_plugins = ["support.training_runs"]

PREPROCESSING = Preprocessing(32, "box", mean=(127.5, 127.5, 127.5), std=(64.0, 64.0, 64.0))
DIMENSIONS = 16
START = {"kind": "start", "dropout": 0.0, "mirror": False}


def crops(count: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def network(seed: int = 0, pool: str = "average") -> torch.nn.Module:
    torch.manual_seed(seed)
    spec = NetworkSpec(widths=(8, 16), blocks=(1,), dimensions=DIMENSIONS, dropout=0.0, pool=pool)  # type: ignore[arg-type]
    return make_network(spec, 32).eval()


MIRRORED = {"both": 0, "enlarged": 2}  # pixels cut off the mirror image
WITH_COHORT = ("cohort", "bytes", *MIRRORED)


def some_cohort(dimensions: int) -> Cohort:
    random = np.random.default_rng(3)
    centres = random.normal(size=(5, dimensions))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    shares = np.full(5, 0.2, dtype=np.float32)
    return Cohort(centres.astype(np.float32), shares, 0.5, -1.0, -0.7, 0.2, 1000, 0.9, 0.05, 1.5, 0.2)


def stored(
    folder: Path, kind: str, net: torch.nn.Module, preprocessing: Preprocessing = PREPROCESSING
) -> Path:
    """A model file of that kind: unit vectors with or without the mirror image, lifted ones, or a cohort.

    "mirrored" is so in the network itself, "both" and "enlarged" by ``append_mirror`` and with a cohort.
    """
    if kind == "lifted":
        onnx = export_student(net, 32, True, torch.linspace(-1, 1, DIMENSIONS))
    else:
        faces = PREPROCESSING.normalize(crops(24))
        bits = 8 if kind == "bytes" else 32
        onnx = export_embedder(net, 32, kind == "mirrored", bits=bits, faces=faces)
    if kind in MIRRORED:
        onnx = append_mirror(onnx, DIMENSIONS, 32, MIRRORED[kind])
    if kind in WITH_COHORT:
        onnx = append_cohort(onnx, some_cohort(DIMENSIONS))
    detector = CentralBox()
    path = folder / f"{kind}.facealike"
    card = tiny_card(metrics={})
    ModelFile(onnx, preprocessing, detector.spec, detector.weights, card, Calibration.none()).write(path)
    return path


def tuning(start: Path, **training: Any) -> Recipe:
    return tiny_recipe(
        crop={"size": 0, "align": "auto"},
        network={**START, "start": str(start)},
        loss={"anchor": 1.0},
        training={"epochs": 1, "steps_per_epoch": 2, **training},
    )


@pytest.mark.parametrize(
    ("kind", "channels"),
    [
        ("plain", "bgr"),
        ("mirrored", "rgb"),
        ("lifted", "rgb"),
        ("cohort", "bgr"),
        ("bytes", "rgb"),
        ("both", "bgr"),
        ("enlarged", "rgb"),
    ],
)
def test_it_begins_with_the_embeddings_of_the_start(tmp_path: Path, kind: str, channels: Channels) -> None:
    """Before the first step, in torch and exported again, every vector is that of the model it began with."""
    preprocessing = replace(PREPROCESSING, channels=channels)
    path = stored(tmp_path, kind, network(), preprocessing)
    recipe, faces = tuning(path), crops(24)
    start = read_start(str(path))
    wanted = Embedder(start.file.embedder, preprocessing, "cpu").embed(faces)
    assert (start.cohort is not None) == (kind in WITH_COHORT) and start.mirror == MIRRORED.get(kind)
    assert wanted.shape[1] == start.dimensions + (start.cohort is not None)
    module = SiameseModule(recipe, preprocessing, 3, 10, (), start).eval()
    with torch.no_grad():
        found = module.embed(torch.from_numpy(faces)).numpy()
    # Activations are rounded to INT8 in a file of bytes, and not while it is trained.
    near = 0.05 if kind == "bytes" else 2e-4
    np.testing.assert_allclose(found, wanted, atol=near)
    again = start.finished(export_embedder(module.evaluated, 32, False, faces=preprocessing.normalize(faces)))
    np.testing.assert_allclose(Embedder(again, preprocessing, "cpu").embed(faces), wanted, atol=near + 3e-4)


def test_the_anchor_counts_how_far_embeddings_moved(tmp_path: Path) -> None:
    path = stored(tmp_path, "lifted", network())
    start = read_start(str(path))
    module = SiameseModule(tuning(path), PREPROCESSING, 3, 10, (), start)
    module.train()
    module.log = lambda *_, **__: None  # type: ignore[method-assign]
    batch = {"images": torch.from_numpy(crops(6)), "labels": torch.tensor([0, 0, 1, 1, 2, 2]), "pairs": None}
    images, _ = module.augmented(batch["images"])
    began = module(images).detach()
    for factor in (1.0, 1.5):
        with torch.no_grad():
            next(p for p in reversed(list(module.network.parameters())) if p.ndim == 2).mul_(factor)
        embeddings = module(images)
        alone = module.criterion(embeddings, batch["labels"])
        anchor = float(module.training_step(batch, 0).detach()) - float(alone.detach())
        moved = float((embeddings.detach() - began).square().sum(dim=1).mean())
        assert anchor == pytest.approx(moved, abs=1e-5) and (moved > 0.01) == (factor > 1)


def test_products_stay_in_float32_under_autocast(tmp_path: Path) -> None:
    """Cosines near 1 differ in digits that bfloat16 does not have."""
    start = read_start(str(stored(tmp_path, "lifted", network())))
    faces = torch.from_numpy(PREPROCESSING.normalize(crops(4)))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found = start.network(faces)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.norm(dim=1), 1, atol=1e-5)


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
    """A run from the model of ``whole`` on the same people, none of whose epochs counts as better."""
    out = tmp_path_factory.mktemp("tuned") / "m.facealike"
    recipe = tiny_recipe(
        network={**START, "start": str(whole.model_path)},
        training={"epochs": 1, "steps_per_epoch": 2},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("facealike.train.embedder.run.better_epoch", lambda *_: False)
        return train(root, recipe, out, detector=CentralBox(), device="cpu", cache=crops_folder)


@pytest.fixture(scope="session")
def crops_folder(crops: Path) -> Path:
    return crops


def test_a_run_that_gets_no_better_keeps_the_start_and_says_so(
    tuned: TrainResult, whole: TrainResult
) -> None:
    assert Model.load(tuned.model_path).file.embedder == ModelFile.read(whole.model_path).embedder
    said = [warning for warning in tuned.warnings if "no epoch did better on the" in warning]
    assert len(said) == 1 and "keeps the weights it began with" in said[0]
    card = ModelFile.read(tuned.model_path).card
    told = card.provenance["initialisation"]
    assert told.startswith(f"the weights of model {whole.model_id} (epochs ")
    assert told.endswith("these weights were kept, for no epoch did better on the validation people")
    assert said[0] in json.loads((tuned.run / "results.json").read_text())["warnings"]
    assert said[0] in (tuned.run / "results.md").read_text()


@pytest.mark.usefixtures("quick")
def test_a_run_from_a_model_resumes_to_the_same_weights(
    root: Path, crops_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = stored(tmp_path, "cohort", network())
    recipe = tuning(path, epochs=2, ema=0.9)

    def go(name: str, resume: bool = False) -> TrainResult:
        out = tmp_path / f"{name}.facealike"
        return train(
            root, recipe, out, detector=CentralBox(), device="cpu", cache=crops_folder, resume=resume
        )

    calm = go("calm")
    with monkeypatch.context() as patch:
        stop_at(patch, 3, stop)
        with pytest.raises(Stop):
            go("cut")
    resumed = go("cut", resume=True)
    assert same_weights(resumed.run, calm.run) and numbers(resumed.run) == numbers(calm.run)
    stored(tmp_path, "mirrored", network(1)).replace(path)
    with pytest.raises(TrainingError, match=r"the model of network\.start changed since"):
        go("cut", resume=True)


def test_a_tuned_model_has_other_weights_and_the_crop_and_cohort_of_its_start(
    root: Path, crops_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facealike.train.embedder.run.better_epoch", lambda *_: True)
    path = stored(tmp_path, "bytes", network())
    recipe = tuning(path, learning_rate=3e-2)
    recipe = replace(recipe, network=replace(recipe.network, bits=8))
    tuned = train(
        root, recipe, tmp_path / "m.facealike", detector=CentralBox(), device="cpu", cache=crops_folder
    )
    file, start = ModelFile.read(tuned.model_path), ModelFile.read(path)
    assert file.preprocessing == start.preprocessing and file.embedder != start.embedder
    assert file.card.provenance["initialisation"].startswith(f"the weights of model {start.id}")
    assert file.card.licence["weights"].endswith("states; of the model it began with: CC0-1.0")
    assert file.card.licences["weights"].commercial is None
    faces = crops(12)
    found, before = (Embedder(each.embedder, PREPROCESSING, "cpu").embed(faces) for each in (file, start))
    assert found.shape == before.shape == (12, DIMENSIONS + 1)
    assert np.abs(found - before).max() > 5e-3 and float((found * before).sum(axis=1).min()) > 0.5
    operators = {node.op_type for node in load_model_from_string(file.embedder).graph.node}
    assert "QuantizeLinear" in operators and split_cohort(file.embedder)[1] is not None


def test_the_crop_is_that_of_the_start(tmp_path: Path) -> None:
    path = tmp_path / "m.facealike"
    preprocessing = Preprocessing(32, "chip", 0.3, "clip", channels="bgr")
    recipe = tuning(path)
    assert choose_preprocessing(recipe, CentralFace(), preprocessing) == preprocessing
    with pytest.raises(TrainingError, match="this detector finds none"):
        choose_preprocessing(recipe, CentralBox(), preprocessing)
    for crop in ({"size": 40}, {"size": 32, "align": "landmarks"}):
        other = tiny_recipe(network={**START, "start": str(path)}, crop=crop)
        with pytest.raises(TrainingError, match=r"was made for other face crops \(32 px, align chip\)"):
            choose_preprocessing(other, CentralFace(), preprocessing)
    same = tiny_recipe(
        network={**START, "start": str(path)}, crop={"size": 32, "align": "box", "margin": 0.3}
    )
    box = Preprocessing(32, "box", 0.3)
    assert choose_preprocessing(same, CentralBox(), box) == box


def test_a_network_that_torch_cannot_train_is_refused_before_any_photo_is_read(tmp_path: Path) -> None:
    path = stored(tmp_path, "plain", network(pool="grid"))
    with pytest.raises(
        TrainingError, match=r"network\.start: .*plain\.facealike cannot be trained \(the netw"
    ):
        train(tmp_path / "nowhere", tuning(path), tmp_path / "m.facealike", device="cpu")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": {"anchor": 1.0}}, r"loss\.anchor needs network\.start"),
        (
            {"loss": {"anchor": -1.0}, "network": {**START, "start": "x"}},
            r"loss\.anchor must not be negative",
        ),
        ({"network": {"start": "default"}}, r"network\.start fits kind = 'start' only"),
        ({"network": START}, r"network\.start must name a model"),
        ({"network": {**START, "start": "x", "mirror": True}}, r"network\.mirror must be false"),
        ({"network": {**START, "start": "x", "dropout": 0.1}}, r"network\.dropout must be 0"),
        ({"network": {**START, "start": "x"}, "crop": {"size": 0}}, r"crop\.align must be left out"),
        ({"network": {"kind": "resnet"}, "crop": {"size": 0}}, r"crop\.size must lie between 32 and 512"),
    ],
)
def test_recipes_that_cannot_tune(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        tiny_recipe(**changes)


def test_the_default_recipe_begins_from_the_model_that_is_installed() -> None:
    """``facealike train PEOPLE --out mine.facealike`` with no other option needs nothing downloaded."""
    recipe = load_recipe(DEFAULT_RECIPE)
    assert recipe.network.start == "default" and recipe.loss.anchor > 0 and recipe.training.keep == "best"
    start = read_start("default")
    assert start.network.training and sum(p.numel() for p in start.network.parameters()) > 1e6


def test_one_epoch_from_the_default_model(tmp_path: Path) -> None:
    """The real model, on drawn people: other weights, the same crop, nearly the same embeddings."""
    people = make_people(tmp_path / "people")
    settings = ["training.epochs=1", "training.steps_per_epoch=2", "training.batch_size=8",
                "training.keep=last"]  # fmt: skip
    out = tmp_path / "m.facealike"
    train(people, load_recipe(DEFAULT_RECIPE, settings), out, detector=CentralFace(), device="cpu")
    file, start = ModelFile.read(out), Model.load().file
    assert file.preprocessing == start.preprocessing and file.card.trained_records
    side = start.preprocessing.size
    faces = np.stack(
        [np.asarray(PillowImage.fromarray(draw_face(k, 0)).resize((side, side))) for k in range(8)]
    )
    found, before = (
        Embedder(each.embedder, each.preprocessing, "cpu").embed(faces) for each in (file, start)
    )
    assert float((found * before).sum(axis=1).min()) > 0.99


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
