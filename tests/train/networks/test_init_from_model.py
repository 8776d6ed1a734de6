"""A network that begins with a finished model's weights says what the model says, in training, too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from facealike import Model
from facealike.errors import RecipeError, TrainingError
from facealike.train import DistilResult, distil
from facealike.train.export_onnx import export_student
from facealike.train.networks.init_from_model import normalized_layers, start_from
from facealike.train.networks.resnet import make_network
from facealike.train.recipe.schema import NetworkSpec
from support.distillation_runs import CentralFace, drawn_photos, recipe, stand_in_teacher  # noqa: F401

SIZE = 32
WIDTHS, BLOCKS, DIMENSIONS = (8, 12, 16), (1, 2), 10


def faces(count: int, seed: int = 0) -> Tensor:
    """Crops that differ from each other in more than noise."""
    coarse = torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return nn.functional.interpolate(coarse, size=SIZE, mode="bilinear")


def fresh(seed: int, pool: str = "average", widths: tuple[int, ...] = WIDTHS) -> nn.Module:
    torch.manual_seed(seed)
    return make_network(NetworkSpec("resnet", widths, BLOCKS, DIMENSIONS, 0.0, pool=pool), SIZE)  # type: ignore[arg-type]


@pytest.fixture(scope="module", params=["average", "grid"])
def trained(request: pytest.FixtureRequest) -> tuple[str, nn.Module]:
    """A network whose norms have seen faces and have learnt scales and shifts of their own."""
    network = fresh(0, request.param)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn(parameter.shape))
    for seed in range(20):
        network(faces(16, seed))
    return request.param, network.eval()


def exported(network: nn.Module, bits: int) -> bytes:
    shown = faces(64, 50).numpy()
    return export_student(network, SIZE, True, torch.zeros(DIMENSIONS), bits, shown)


@pytest.mark.parametrize("bits", [32, 16, 8])
def test_it_says_what_the_model_says(trained: tuple[str, nn.Module], bits: int) -> None:
    pool, network = trained
    begun = fresh(1, pool)
    start_from(begun, exported(network, bits), faces(256, 60), "m.facealike")
    unseen = faces(128, 70)
    with torch.no_grad():
        wanted = network(unseen)
        spread = (wanted - wanted.mean(dim=0)).square().mean()
        assert begun.training, "it is left as it was"
        error = (begun.eval()(unseen) - wanted).square().mean() / spread
        assert float(error) < {32: 1e-8, 16: 1e-5, 8: 0.02}[bits]
        # In training each batch is normalised by its own mean and variance, which are about the faces'.
        error = (begun.train()(unseen) - wanted).square().mean() / spread
        assert float(error) < 0.2


def test_weights_have_one_size_and_norms_carry_the_rest(trained: tuple[str, nn.Module]) -> None:
    pool, network = trained
    begun = fresh(1, pool)
    start_from(begun, exported(network, 32), faces(64, 60), "m.facealike")
    layers = list(normalized_layers(begun))
    assert len(layers) == sum(isinstance(m, (nn.Conv2d, nn.Linear)) for m in begun.modules())
    for _, layer, _ in layers:
        sizes = torch.linalg.svdvals(layer.weight.detach().reshape(len(layer.weight), -1))
        assert float(sizes.square().mean()) == pytest.approx(1, rel=1e-4)


def test_moments_are_those_of_a_loop(trained: tuple[str, nn.Module]) -> None:
    """What the first convolution puts out, pixel by pixel, on average."""
    pool, network = trained
    begun, shown = fresh(1, pool), faces(5, 60)
    start_from(begun, exported(network, 32), shown, "m.facealike")
    _, layer, norm = next(normalized_layers(begun))
    with torch.no_grad():
        out = layer(shown).double().numpy()
    for channel in range(out.shape[1]):
        values = [float(v) for face in out for row in face[channel] for v in row]
        mean = sum(values) / len(values)
        variance = sum((v - mean) ** 2 for v in values) / len(values)
        assert float(norm.running_mean[channel]) == pytest.approx(mean, rel=1e-3, abs=1e-4)  # type: ignore[index]
        assert float(norm.running_var[channel]) == pytest.approx(variance, rel=1e-2, abs=1e-4)  # type: ignore[index]


def test_another_network_is_refused_in_a_sentence(trained: tuple[str, nn.Module]) -> None:
    pool, network = trained
    content = exported(network, 8)
    with pytest.raises(TrainingError, match=r"m\.facealike holds another network .*network\.start"):
        start_from(fresh(1, pool, (8, 12, 24)), content, faces(4), "m.facealike")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": {"start": "default", "pool": "flatten"}}, "network.start"),
        ({"network": {"start": "default"}, "teacher": {"name": ""}, "loss": {"anchor": -1.0}}, "loss.anchor"),
    ],
)
def test_recipes_that_cannot_start_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipe(**changes)


def test_a_run_goes_on_from_a_model(photos: Path, tmp_path: Path) -> None:
    """It begins about as good as the model ended, and its card says what it began with."""
    cache = tmp_path / "crops"
    first = tmp_path / "first.facealike"
    done = distil(photos, recipe(training={"epochs": 12}), first, detector=CentralFace(), cache=cache)
    slow = {"epochs": 1, "learning_rate": 1e-6}
    anew = distil(
        photos, recipe(training=slow), tmp_path / "anew.facealike", detector=CentralFace(), cache=cache
    )
    started = recipe(training=slow, network={"start": str(first)})
    more = distil(photos, started, tmp_path / "more.facealike", detector=CentralFace(), cache=cache)
    assert (
        more.agreement_learnt["error"] < (done.agreement_learnt["error"] + anew.agreement_learnt["error"]) / 2
    )
    told = Model.load(tmp_path / "more.facealike").file.card.provenance["initialisation"]
    assert told.startswith(f"the weights of model {done.model_id} (epochs 12, seed 0, commit ")
    crops = np.zeros((2, 32, 32, 3), dtype=np.uint8)
    assert Model.load(tmp_path / "more.facealike").embed_crops(crops).shape == (2, 129)


def test_another_model_under_the_same_name_cannot_resume(photos: Path, tmp_path: Path) -> None:
    """Its card would say that it began with weights which it never had."""
    cache, first, out = tmp_path / "crops", tmp_path / "first.facealike", tmp_path / "more.facealike"

    def run(out: Path, network: dict[str, Any], epochs: int = 1, resume: bool = False) -> DistilResult:
        made = recipe(training={"epochs": epochs}, network=network)
        return distil(photos, made, out, detector=CentralFace(), device="cpu", cache=cache, resume=resume)

    start = {"start": str(first)}
    run(first, {})
    whole = run(out, start)
    assert run(out, start, resume=True).model_id == whole.model_id
    run(tmp_path / "other.facealike", {}, epochs=2)
    (tmp_path / "other.facealike").replace(first)
    with pytest.raises(TrainingError, match=r"the model of network\.start changed since"):
        run(out, start, resume=True)
