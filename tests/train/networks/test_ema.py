"""The running average of the weights: its formula, and that runs with it validate, resume and export it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from facealike.embedding.face_model import Model
from facealike.model_file.model_file import ModelFile
from facealike.train import train
from facealike.train.embedder import run as run_module
from facealike.train.embedder.finalize import FinalizedRun
from facealike.train.networks.ema import Average
from facealike.train.networks.resnet import make_network
from facealike.train.recipe.schema import NetworkSpec
from support.drawn_people import CentralBox, draw_face, tiny_recipe
from support.tiny_model import tiny_model_file
from support.training_runs import Stop, numbers, same_weights, stop, stop_at, weights

pytest_plugins = ["support.training_runs"]
pytestmark = pytest.mark.usefixtures("one_thread")


def test_each_weight_and_buffer_against_a_loop() -> None:
    torch.manual_seed(0)
    network = make_network(NetworkSpec(widths=(4, 8), blocks=(1,), dimensions=6, dropout=0.0), 32)
    average = Average(network, 0.9)
    slow = {name: value.double().clone() for name, value in network.state_dict().items()}
    for step in range(1, 200):
        with torch.no_grad():
            for value in network.state_dict().values():
                value += 1 if value.dtype == torch.int64 else torch.randn_like(value)
        average.update(network, step)
        decay = min(0.9, (1 + step) / (10 + step))
        for name, value in network.state_dict().items():
            if value.dtype == torch.int64:
                slow[name] = value.double().clone()
            else:
                slow[name] = decay * slow[name] + (1 - decay) * value.double()
    for name, value in average.network.state_dict().items():
        torch.testing.assert_close(value.double(), slow[name], rtol=1e-4, atol=1e-4)


def test_the_average_is_not_trained_and_draws_nothing() -> None:
    torch.manual_seed(0)
    network = make_network(NetworkSpec(widths=(4, 8), blocks=(1,), dimensions=6, dropout=0.0), 32)
    state = torch.get_rng_state()
    average = Average(network, 0.9)
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(parameter.requires_grad for parameter in average.parameters())
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_a_run_without_it_has_no_trace_of_it(whole: Any) -> None:
    assert not [name for name in weights(whole.run) if "average" in name]


@pytest.mark.usefixtures("quick")
def test_it_changes_what_is_judged_and_not_what_is_trained(
    root: Path, crops: Path, tmp_path: Path, whole: Any
) -> None:
    recipe = tiny_recipe(training={"epochs": 4, "ema": 0.95})
    run = train(root, recipe, tmp_path / "m.facealike", detector=CentralBox(), cache=crops).run
    trained, plain = weights(run), weights(whole.run)
    assert all(torch.equal(trained[name], plain[name]) for name in plain)
    assert [row["train_loss"] for row in numbers(run)] == [row["train_loss"] for row in numbers(whole.run)]
    assert [row["val_auc"] for row in numbers(run)] != [row["val_auc"] for row in numbers(whole.run)]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("at", [7, 9, 12])
def test_it_resumes_to_the_same_bits(
    root: Path, crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    recipe = tiny_recipe(training={"ema": 0.9})
    calm = train(root, recipe, tmp_path / "calm.facealike", detector=CentralBox(), cache=crops)
    out = tmp_path / "cut.facealike"
    with monkeypatch.context() as patch:
        stop_at(patch, at, stop)
        with pytest.raises(Stop):
            train(root, recipe, out, detector=CentralBox(), cache=crops)
    resumed = train(root, recipe, out, detector=CentralBox(), cache=crops, resume=True)
    assert numbers(resumed.run) == numbers(calm.run)
    assert same_weights(resumed.run, calm.run)
    assert same_weights(resumed.run, calm.run, "best")


@pytest.mark.parametrize(("ema", "keep"), [(0.9, "best"), (0.9, "last"), (0.0, "last")])
def test_the_exported_model_is_the_average_of_the_kept_epoch(
    root: Path, crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ema: float, keep: str
) -> None:
    made: list[bytes] = []

    def finalize_run(fitted: Any, _: Any) -> Any:
        plan, onnx = fitted.plan, fitted.onnx
        made.append(onnx)
        tiny = tiny_model_file()
        file = ModelFile(
            onnx, plan.preprocessing, plan.detector.spec, None, tiny.card, tiny.calibration
        )  # fmt: skip
        return FinalizedRun(file, (), None, ())

    monkeypatch.setattr(run_module, "finalize_run", finalize_run)
    f1 = iter([0.9, 0.5, 0.5, 0.5, 0.1, 0.5])  # the first epoch is the best on validation
    monkeypatch.setattr("facealike.train.embedder.module.best_f1_threshold", lambda *_: (0.0, next(f1)))
    recipe = tiny_recipe(training={"ema": ema, "keep": keep})
    result = train(root, recipe, tmp_path / "m.facealike", detector=CentralBox(), cache=crops)
    file = ModelFile.read(result.model_path)
    module = run_module.SiameseModule(recipe, file.preprocessing, 31, 1, [])
    module.load_state_dict(weights(result.run, keep))
    module.eval()
    images = np.stack([draw_face(k, 0)[16:48, 16:48] for k in range(5)])
    with torch.no_grad():
        module.validation_step(torch.from_numpy(images), 0)
    found = Model(file, device="cpu").embed_crops(images)
    np.testing.assert_allclose(found, module._embedded[0][0].numpy(), atol=1e-5)
    best = torch.load(result.run / "checkpoints" / "best.ckpt", weights_only=True)
    last = torch.load(result.run / "checkpoints" / "last.ckpt", weights_only=True)
    assert (best["epoch"], last["epoch"]) == (0, 2)
