"""A stand-in model for tables of embeddings, and photos for it."""

from __future__ import annotations

import io
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from support.flat_color_model import ColourModel


class TableModel(ColourModel):
    """``ColourModel`` with what a table of embeddings states of its model."""

    def __init__(self, id: str = "colour") -> None:
        super().__init__()
        self.id = id
        self.embedder: Any = SimpleNamespace(dimensions=3)
        self.device = "cpu"

    def __reduce__(self) -> tuple[Any, ...]:
        return TableModel, (self.id,)


class FatalModel(TableModel):
    """A ``TableModel`` whose first process kills itself at its second batch, as ``marker`` then says."""

    def __init__(self, marker: Path, id: str = "colour") -> None:
        super().__init__(id)
        self.marker, self.batches = marker, 0

    def __reduce__(self) -> tuple[Any, ...]:
        return FatalModel, (self.marker, self.id)

    def embed_crops(self, crops: Any, batch: int = 64) -> Any:
        self.batches += 1
        if self.batches == 2 and not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().embed_crops(crops, batch)

    embed_many = embed_crops


def png(number: int, corner: bool = False) -> bytes:
    """A photo of one color, of its own for each number; with a blue corner the model sees two faces."""
    image = np.full((12, 12, 3), np.random.default_rng(number).integers(20, 230, 3), np.uint8)
    if corner:
        image[0, 0] = (0, 0, 255)
    return encoded(image)


def encoded(image: Any) -> bytes:
    stream = io.BytesIO()
    PillowImage.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


BLACK = encoded(np.zeros((12, 12, 3), np.uint8))
"""A photo without a face."""


def write_photos(folder: Path, count: int) -> Path:
    """Write ``count`` photos, among them one without a face, one with two and one that is damaged."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"{number:04d}.png").write_bytes(png(number))
    (folder / "black.png").write_bytes(BLACK)
    (folder / "cut.png").write_bytes(png(count)[:60])
    (folder / "two.png").write_bytes(png(count + 1, corner=True))
    return folder
