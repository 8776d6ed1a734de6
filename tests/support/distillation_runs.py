"""A small student, a stand-in teacher, and drawn photos to distil on."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image as PillowImage
from torch import Tensor, nn

from facealike.detection.landmarks import default_landmarks
from facealike.imaging.align import DLIB_CHIP_SIZE, DLIB_CHIP_TEMPLATE
from facealike.train.distillation import run as room
from facealike.train.recipe.load import recipe_from_dict
from facealike.train.recipe.schema import Recipe
from facealike.types import Box, Face, Image
from support.drawn_people import CentralBox, draw_face

CHIP = DLIB_CHIP_SIZE


TEMPLATE_64 = DLIB_CHIP_TEMPLATE * (64 / CHIP)


class CentralFace(CentralBox):
    """Five landmarks in the middle of every photo."""

    has_landmarks = True
    spec = {"kind": "dlib-landmarks", "min_confidence": 0.0, "max_side": 800}  # noqa: RUF012

    def __init__(self) -> None:
        self.weights = default_landmarks()
        self.spec = {**self.spec, "sha256": hashlib.sha256(self.weights).hexdigest()}

    def detect(self, image: Image) -> list[Face]:
        points = tuple((float(x), float(y)) for x, y in TEMPLATE_64)
        return [Face(Box(8, 8, 56, 56), 1.0, points)]


class Teacher(nn.Module):
    """Random projections of a coarse picture of the face, about a large mean."""

    def __init__(self) -> None:
        super().__init__()
        drawn = torch.Generator().manual_seed(5)
        self.matrix = nn.Parameter(torch.randn(128, 108, generator=drawn) / 40, requires_grad=False)

    def forward(self, chips: Tensor) -> Tensor:
        small = nn.functional.adaptive_avg_pool2d(chips.float(), 6).flatten(1) / 128 - 1
        return small @ self.matrix.T + 0.1

    @classmethod
    def load(cls) -> Teacher:
        return cls()


def recipe(**changes: Any) -> Recipe:
    table: dict[str, Any] = {
        "name": "tiny-student",
        "crop": {"size": 32, "align": "chip"},
        "network": {"widths": [8, 8], "blocks": [1], "dimensions": 128, "dropout": 0.0, "mirror": True},
        "teacher": {"name": "dlib", "faces": 64, "passes": 2},
        "training": {"epochs": 3, "batch_size": 16, "ema": 0.9, "learning_rate": 5e-3},
        "augment": {"flip": 0.5, "rotation": 5.0, "bend": 0.02, "brightness": 0.2},
        "student": {"noise": 2.0},
    }
    for name, values in changes.items():
        table[name] = {**table.get(name, {}), **values}
    return recipe_from_dict(table)


@pytest.fixture(scope="module", name="photos")
def drawn_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    (root / "more").mkdir()
    for number in range(110):
        folder = root if number % 2 else root / "more"
        PillowImage.fromarray(draw_face(number, 0)).save(folder / f"{number}.png")
    return root


@pytest.fixture(autouse=True, name="teacher")
def stand_in_teacher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "DlibTeacher", Teacher)
