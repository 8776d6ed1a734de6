"""What tests of whole training runs share: drawn people, a calm run, and ways to look at and stop runs.

A plugin of pytest, so that the fixtures are made once for all files that name it.  It asserts
nothing (PYTEST_DONT_REWRITE).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from facealike.train import TrainResult, train
from facealike.train.embedder import run as run_module
from facealike.train.embedder.finalize import FinalizedRun
from support.drawn_people import CentralBox, make_people, tiny_recipe
from support.tiny_model import tiny_model_file

PICTURES = {"loss.png", "pairs.png", *(f"predictions-{s}.png" for s in ("train", "validation", "test"))}
PROMISED = PICTURES | {
    "run.json", "log.csv", "results.md", "results.json", "scores.npz", "model.facealike",
    "checkpoints/last.ckpt", "checkpoints/best.ckpt",
}  # fmt: skip
CHANGES: dict[str, Any] = {"training": {"epochs": 4}}  # of the run that is killed


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Equal to the last bit is promised on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_people(tmp_path_factory.mktemp("train") / "people")


@pytest.fixture(scope="session")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("crops")


@pytest.fixture(scope="session")
def whole(root: Path, crops: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """A run that nobody disturbed, on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("whole") / "m.facealike"
    result = train(root, tiny_recipe(**CHANGES), out, detector=CentralBox(), device="cpu", cache=crops)
    torch.set_num_threads(before)
    return result


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what follows on the last epoch: export, evaluation and pictures."""
    monkeypatch.setattr(run_module, "export_embedder", lambda *_: b"")
    monkeypatch.setattr(run_module, "finalize_run", lambda *_: FinalizedRun(tiny_model_file(), (), None, ()))


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "log.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def numbers(run: Path) -> list[dict[str, str]]:
    """The log without what the clock decides."""
    return [{k: v for k, v in row.items() if k not in ("seconds", "images_per_second")} for row in rows(run)]


def weights(run: Path, name: str = "last") -> dict[str, torch.Tensor]:
    loaded = torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)
    state: dict[str, torch.Tensor] = loaded["state_dict"]
    return state


def same_weights(one: Path, other: Path, name: str = "last") -> bool:
    a, b = weights(one, name), weights(other, name)
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


class Stop(Exception):
    """Ends a run as a kill would, but within the process."""


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int, action: Any) -> None:
    real = run_module.SiameseModule.training_step

    def training_step(self: Any, batch: Any, batch_idx: int) -> Any:
        if self.global_step == step:
            action()
        return real(self, batch, batch_idx)

    monkeypatch.setattr(run_module.SiameseModule, "training_step", training_step)


def stop() -> None:
    raise Stop
