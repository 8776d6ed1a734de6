"""Photos with drawn faces and a teacher that finds them: enough to test what trains our detector."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from facealike.train.detector.pseudo_labels import Sources, collect
from facealike.types import Box, Face, Image

SKIN = (250, 200, 160)
EYE_LEFT, EYE_RIGHT, NOSE, MOUTH_LEFT, MOUTH_RIGHT = (
    (255, 0, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255), (255, 0, 255),
)  # fmt: skip
COLOURS = np.array([EYE_LEFT, EYE_RIGHT, NOSE, MOUTH_LEFT, MOUTH_RIGHT])
PLACES = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])


def photo(side: int, left: int, top: int, size: int, seed: int = 0) -> Image:
    """Blue noise with one face: a square of skin with five dots, ``size`` / 10 pixels each way."""
    image = np.random.default_rng(seed).integers(0, 60, (side, side, 3)).astype(np.uint8)
    image[:, :, 2] += 100
    image[top : top + size, left : left + size] = SKIN
    reach = size // 20
    for (x, y), colour in zip(PLACES * size + [left, top], COLOURS, strict=True):
        column, row = round(x), round(y)
        image[row - reach : row + reach + 1, column - reach : column + reach + 1] = colour
    return image


def landmarks(left: float, top: float, size: float) -> NDArray[np.float64]:
    return PLACES * size + [left, top]


class SquareTeacher:
    """Finds the square of skin; with ``blind_to_mirrors`` only where the red eye is on the left."""

    has_landmarks = True
    weights = None
    blind_to_mirrors = False

    def __init__(self) -> None:
        self.calls = 0
        self.spec: dict[str, Any] = {"kind": "square"}

    def detect(self, image: Image) -> list[Face]:
        self.calls += 1
        # Red is high in the skin and low in the noise; the dots are a small part of the square.
        rows, columns = np.nonzero((image[:, :, 0] > 200) & (image[:, :, 1] > 150) & (image[:, :, 2] > 120))
        if len(rows) < 50:
            return []
        left, right, top, bottom = columns.min(), columns.max() + 1, rows.min(), rows.max() + 1
        dots = []
        for colour in COLOURS:
            y, x = np.nonzero((np.abs(image.astype(int) - colour) < 8).all(axis=2))
            dots.append((float(x.mean()), float(y.mean())))
        if dots[0][0] > dots[1][0]:
            if self.blind_to_mirrors:
                return []
            dots = [dots[i] for i in (1, 0, 2, 4, 3)]
        return [Face(Box(float(left), float(top), float(right), float(bottom)), 0.9, tuple(dots))]


def write_photos(folder: Path, side: int, count: int, size: int) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for i in range(count):
        image = photo(side, side // 2 - size // 2 + i, side // 2 - size // 2 - i, size, i)
        paths.append(folder / f"{i}.png")
        PillowImage.fromarray(image).save(paths[-1])
    return paths


def made_sources(folder: Path) -> Sources:
    """Shards of three chips and three photos."""
    teacher = SquareTeacher()
    collect(write_photos(folder / "raw-chips", 144, 3, 80), "chips", teacher, folder / "sources")
    collect(write_photos(folder / "raw-photos", 250, 3, 60), "photos", teacher, folder / "sources")
    return Sources(folder / "sources")
