"""A stand-in model whose faces are flat colours, and a folder of such people."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from facealike.calibration.calibration import Calibration
from facealike.datasets.seen import identity_hash
from facealike.embedding.face_model import Model
from facealike.imaging.read import read_image
from facealike.model_file.card import ModelCard
from facealike.model_file.preprocessing import Preprocessing
from facealike.types import Box, Face

SALT = "salt"


class ColourDetector:
    """A face fills every photo that is not black; a photo with a blue corner shows two."""

    has_landmarks = False
    spec = {"kind": "colour"}  # noqa: RUF012

    def detect(self, image: NDArray[np.uint8]) -> list[Face]:
        if not image.any():
            return []
        height, width = image.shape[:2]
        face = Face(Box(0, 0, width, height), 1.0)
        return [face, face] if image[0, 0].tolist() == [0, 0, 255] else [face]


class ColourModel(Model):
    """A Model whose embedding is the direction of a crop's mean colour."""

    def __init__(self, trained_on: tuple[str, ...] = ("Somebody",), threshold: float = 0.9) -> None:
        hashes = tuple(identity_hash(SALT, name) for name in trained_on)
        card = ModelCard("fake", "", {}, {}, {}, {}, {}, SALT, hashes, "", "")
        calibration = Calibration(threshold, "best F1", "validation", 10)
        self.file: Any = SimpleNamespace(card=card, calibration=calibration)
        self.id, self.threshold = "colours", threshold
        self.preprocessing = Preprocessing(8, "box", 0.0, "clip", (0.0,) * 3, (1.0,) * 3)
        self.detector = ColourDetector()
        self.embedded = 0

    def embed_crops(self, crops: NDArray[np.uint8], batch: int = 64) -> NDArray[np.float32]:
        self.embedded += len(crops)
        mean = crops.reshape(len(crops), -1, 3).mean(axis=1)
        return (mean / np.linalg.norm(mean, axis=1, keepdims=True)).astype(np.float32)

    embed_many = embed_crops


def colour(rng: np.random.Generator) -> NDArray[np.float64]:
    return rng.uniform(20, 230, 3)


def make_coloured(folder: Path, people: int = 60) -> Path:
    """A folder of people with three photos each: their colour, somewhat changed."""
    rng = np.random.default_rng(0)
    for number in range(people):
        person = folder / f"Person_{number:02d}"
        person.mkdir()
        own = colour(rng)
        for k in range(3):
            shade = np.clip(own + rng.normal(0, 25, 3), 1, 255).astype(np.uint8)
            PillowImage.fromarray(np.full((12, 12, 3), shade)).save(person / f"{k}.png")
    return folder


def by_hand(paths: list[Path]) -> Any:
    model = ColourModel()
    whole = [read_image(path) for path in paths]
    return np.concatenate([model.embed_crops(model.resize(image)[None]) for image in whole])
