"""Training that begins from dlib's network: the same scores before the first step, and one run through."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from facealike import Model
from facealike.embedding.embedder import Embedder
from facealike.errors import RecipeError
from facealike.model_file.preprocessing import Preprocessing
from facealike.model_zoo.dlib_onnx import to_onnx
from facealike.model_zoo.dlib_weights import MEAN, SIZE, STD, read_dlib_resnet
from facealike.train import train
from facealike.train.networks import build
from facealike.train.recipe.load import load_recipe
from support.distillation_runs import CentralFace
from support.dlib_file import random_file
from support.drawn_people import make_people


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A file of dlib's format with random weights stands for dlib's own."""
    path = tmp_path / "random.dat"
    path.write_bytes(random_file()[0])
    monkeypatch.setattr(build, "find_dlib_weights", lambda: path)
    return path.read_bytes()


def test_network_begins_where_the_dlib_model_stands(weights: bytes) -> None:
    preprocessing = Preprocessing(SIZE, "chip", mean=MEAN, std=(STD, STD, STD))
    ready = Embedder(to_onnx(read_dlib_resnet(weights), build.DLIB_LIFT), preprocessing)
    crops = np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 3), dtype=np.uint8)
    network = build.build_network(load_recipe("dlib")).eval()
    with torch.no_grad():
        found = network(torch.from_numpy(preprocessing.normalize(crops)))
    assert np.allclose(ready.embed(crops), found.numpy(), atol=1e-5)
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_run_from_dlib_moves_its_weights_and_says_where_it_began(weights: bytes, tmp_path: Path) -> None:
    people = make_people(tmp_path / "people")
    settings = ["training.epochs=1", "training.steps_per_epoch=2", "training.batch_size=8",
                'training.precision="32"', "training.keep=last"]  # fmt: skip
    out = tmp_path / "m.facealike"
    train(people, load_recipe("dlib", settings), out, detector=CentralFace(), device="cpu")
    file = Model.load(out).file
    assert file.preprocessing == Preprocessing(SIZE, "chip", mean=MEAN, std=(STD, STD, STD))
    assert file.card.provenance["initialisation"].startswith("dlib's face network")
    begun = read_dlib_resnet(weights).matrix
    state = torch.load(tmp_path / "m-run" / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    moved = np.abs(state["network.network.matrix.weight"].numpy().T - begun).max()
    assert 0 < moved < 0.1


@pytest.mark.parametrize(
    ("setting", "key"),
    [
        ("crop.size=112", r"crop\.size"),
        ("crop.align=landmarks", r"crop\.align"),
        ("network.dimensions=128", r"network\.dimensions"),
    ],
)
def test_what_dlibs_network_cannot_be_is_refused(setting: str, key: str) -> None:
    with pytest.raises(RecipeError, match=key):
        load_recipe("dlib", [setting])
