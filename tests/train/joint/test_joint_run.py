"""The command that makes the next default model, from chips to a file."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

from facealike.embedding.face_model import Model
from facealike.train.joint import run as joint_run
from facealike.train.joint.stored_maps import stored_maps
from facealike.train.joint.targets import Teacher
from support.dlib_file import dlib_weights


def listed(folder: Path, count: int, seed: int) -> Path:
    rng = np.random.default_rng(seed)
    folder.mkdir()
    with (folder / "list.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["file", "age"])
        for number in range(count):
            pixels = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8).repeat(24, 0).repeat(24, 1)
            PillowImage.fromarray(pixels).save(folder / f"{number}.png")
            writer.writerow([f"{number}.png", "20-29"])
    return folder / "list.csv"


def teacher(name: str, weight: float) -> Teacher:
    """A linear network of eight numbers."""
    matrix = np.random.default_rng(len(name)).normal(size=(48, 8))

    def embed(crops: torch.Tensor) -> np.ndarray:
        cells = torch.nn.functional.adaptive_avg_pool2d(crops, 4).flatten(1).numpy()
        return ((cells - 100) @ matrix).astype(np.float32)

    return Teacher(name, 112, embed, weight)


@pytest.fixture
def arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    dlib_weights()
    monkeypatch.setattr(joint_run, "named_teacher", teacher)
    monkeypatch.setattr(joint_run, "HELD_OUT", 9)
    monkeypatch.setattr("facealike.train.joint.model.teacher_digest", lambda name: "abc")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    return [
        "--chips", str(listed(tmp_path / "train", 16, 0)), "--held-out", str(listed(tmp_path / "val", 10, 1)),
        "--teacher", "one=0.6", "--teacher", "second=0.4", "--work", str(tmp_path / "work"),
        "--out", str(tmp_path / "made.facealike"), "--rounds", "1", "--batch", "8", "--every", "1",
    ]  # fmt: skip


def test_from_chips_to_a_model_and_on_from_there(arguments: list[str], tmp_path: Path) -> None:
    work = tmp_path / "work"
    joint_run.main([*arguments, "--only", "targets"])
    assert stored_maps(work / "targets") == [(0, 0, 0), (0, 0, 1)] and not (work / "state.pt").exists()
    joint_run.main([*arguments, "--only", "training", "--steps", "1"])
    assert len((work / "log.csv").read_text().splitlines()) == 2  # a header and a row
    first = Model.load(tmp_path / "made.facealike", device="cpu")
    assert first.embedder.dimensions == 16 + 130 and first.file.card.provenance["steps"] == 1
    joint_run.main([*arguments, "--steps", "2"])  # goes on; nothing is stored again
    assert len((work / "log.csv").read_text().splitlines()) == 3
    assert Model.load(tmp_path / "made.facealike", device="cpu").file.card.provenance["steps"] == 2


@pytest.mark.parametrize("text", ["sface", "sface=", "=0.5", "sface=0", "sface=-1", "sface=nan", "sface=inf"])
def test_a_teacher_needs_a_weight(text: str, arguments: list[str]) -> None:
    arguments[arguments.index("one=0.6")] = text
    with pytest.raises(SystemExit, match="NAME=WEIGHT"):
        joint_run.main(arguments)


def test_targets_of_other_teachers_are_not_continued(arguments: list[str]) -> None:
    joint_run.main([*arguments, "--only", "targets"])
    arguments[arguments.index("one=0.6")] = "one=0.5"
    with pytest.raises(SystemExit, match="targets of other teachers"):
        joint_run.main([*arguments, "--only", "targets"])
