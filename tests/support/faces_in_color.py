"""Photos of colored squares that a detector finds as faces; squares of one color are one person.

No face and no network: what is left is everything around them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from facealike.calibration.calibration import Calibration
from facealike.embedding.cropper import FaceCropper
from facealike.embedding.face_model import Model
from facealike.imaging.scaled_jpeg import Photo
from facealike.quality.result import Quality
from facealike.types import Box, Embeddings, Face, Image
from support.tiny_model import tiny_model_file

SQUARE, GAP = 40, 10
TAIL = ((0.2, 1.0), (0.7, 0.1), (0.8, 0.01), (0.9, 0.001), (0.95, 0.0001))
"""An impostor survival function: (score, share)."""


class Squares:
    """Finds the squares of ``save_photo`` in a gray photo, from left to right."""

    has_landmarks = False
    weights: bytes | None = None
    spec = {"kind": "dlib-hog", "min_confidence": 0.0, "max_side": 4000}  # noqa: RUF012

    def detect(self, image: Image) -> list[Face]:
        return [
            Face(Box(left, GAP, left + SQUARE, GAP + SQUARE), 1.0 - left / 10_000)
            for left in range(GAP, image.shape[1] - SQUARE + 1, SQUARE + GAP)
            if self._colored(image, left)
        ]

    @staticmethod
    def _colored(image: Image, left: int) -> bool:
        pixel = image[GAP + SQUARE // 2, left + SQUARE // 2].astype(int)
        return bool(pixel.max() - pixel.min() > 30)


class SharpCropper(FaceCropper):
    """Finds that every face has one quality: a square of one color would be called blurred."""

    def _quality(self, photo: Photo, face: Face) -> Quality:
        return Quality(0.9)


class ColorFaces(Model):
    """A model whose embedding is the mean color of a crop, gray taken out, and whose threshold is known."""

    def __init__(self) -> None:
        super().__init__(tiny_model_file())
        self.calibration = Calibration(0.9, "best F1", "validation", 10, {"f1": 0.5}, tail=TAIL)
        self.embedded = 0
        vars(self)["detector"] = Squares()

    def cropper(self, aligned: bool = False, many: bool = False) -> FaceCropper:
        return SharpCropper(None if aligned else self.detector, self.preprocessing, many)

    def embed_crops(self, crops: Image, batch: int = 64) -> Embeddings:
        self.embedded += len(crops)
        size = crops.shape[1] // 4
        colors = crops[:, size:-size, size:-size].astype(np.float64).mean(axis=(1, 2))
        colors -= colors.mean(axis=1, keepdims=True)
        return (colors / np.linalg.norm(colors, axis=1, keepdims=True)).astype(np.float32)

    embed_many = embed_crops


def save_photo(path: Path, *colors: tuple[int, int, int]) -> Path:
    """Write a photo with a square of each color, from left to right."""
    width = max(1, len(colors)) * (SQUARE + GAP) + GAP
    image = np.full((SQUARE + 2 * GAP, width, 3), 128, np.uint8)
    for i, color in enumerate(colors):
        left = GAP + i * (SQUARE + GAP)
        image[GAP : GAP + SQUARE, left : left + SQUARE] = color
    path.parent.mkdir(parents=True, exist_ok=True)
    PillowImage.fromarray(image).save(path)
    return path


RED, GREEN, BLUE = (220, 40, 40), (40, 220, 40), (40, 40, 220)
"""Three people; the scores between them are -0.5."""


def groups(clustering: Any) -> set[frozenset[tuple[str, int]]]:
    """The faces of each person, each by the name of its photo and its number."""
    return {
        frozenset((Path(face.photo).name, face.number) for face in clustering.faces_of(person))
        for person in range(1, clustering.people + 1)
    }
