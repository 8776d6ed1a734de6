"""Composed pictures and the teacher's output for them on disk, so that a run makes each only once.

Composing a picture and asking the teacher takes as long as a training step on it.  Each use of a stored
picture differs by a reflection and a change of tone.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from ...detection.yunet import STRIDES
from ...errors import DataError
from ...types import Image
from .teacher_maps import Maps, mirrored

Make = Callable[[int, Callable[[int], Image]], tuple[Image, Maps]]
"""Returns picture i and its maps; its second argument returns a picture before i."""


class StoredPictures:
    """``count`` pictures with their maps, in memory-mapped arrays that are filled on demand.

    Args:
        folder: The arrays are created here, or opened if they exist.
        count: The number of pictures.
        side: Side of a picture in pixels.
        make: Makes a picture.

    Raises:
        DataError: The folder holds another number of pictures, or of another size.
    """

    def __init__(self, folder: Path, count: int, side: int, make: Make) -> None:
        cells = sum((side // stride) ** 2 for stride in STRIDES)
        folder.mkdir(parents=True, exist_ok=True)
        self._make = make
        self._pictures = _array(folder / "pictures.npy", np.dtype(np.uint8), (count, side, side, 3))
        self._maps = _array(folder / "maps.npy", np.dtype(np.float16), (count, cells, 15))
        self._made = _array(folder / "made.npy", np.dtype(np.uint8), (count,))

    def __len__(self) -> int:
        return len(self._made)

    def __getitem__(self, number: int) -> tuple[Image, Maps]:
        if not self._made[number]:
            image, maps = self._make(number, lambda earlier: self[earlier][0])
            self._pictures[number], self._maps[number] = image, maps
            self._made[number] = 1  # last: a killed run leaves no half of a picture that counts as made
        return np.array(self._pictures[number]), self._maps[number].astype(np.float32)


def _array(path: Path, kind: np.dtype[np.generic], shape: tuple[int, ...]) -> NDArray[np.generic]:
    """Open or create a memory-mapped array, which takes disk space only where it is written."""
    if not path.is_file():
        return np.lib.format.open_memmap(path, "w+", kind, shape)
    found: NDArray[np.generic] = np.load(path, mmap_mode="r+")
    if found.shape != shape or found.dtype != kind:
        raise DataError(f"{path}: holds other pictures; delete the folder, or choose another --work")
    return found


def varied(rng: np.random.Generator, image: Image, maps: Maps) -> tuple[Image, Maps]:
    """Return a picture and its maps, perhaps mirrored, with another brightness, contrast and color cast."""
    if rng.random() < 0.5:
        image, maps = image[:, ::-1], mirrored(maps, image.shape[0])
    level = np.arange(256, dtype=np.float32)[:, None]
    gain, offset, cast = np.exp(rng.normal(0, 0.15)), rng.normal(0, 8), np.exp(rng.normal(0, 0.04, 3))
    table = np.clip(((level - 128) * gain + 128 + offset) * cast, 0, 255).astype(np.uint8)
    picture = PillowImage.fromarray(np.ascontiguousarray(image))
    return np.asarray(picture.point(table.T.ravel().tolist())), maps


def enlarged_part(rng: np.random.Generator, image: Image) -> Image:
    """Return a random part of a square picture at the size of the whole: large faces, and parts of faces."""
    side = image.shape[0]
    part = rng.uniform(0.35, 0.9) * side
    left, top = rng.uniform(0, side - part, 2)
    box = (left, top, left + part, top + part)
    picture = PillowImage.fromarray(image).resize((side, side), PillowImage.Resampling.BILINEAR, box=box)
    return np.array(picture)
