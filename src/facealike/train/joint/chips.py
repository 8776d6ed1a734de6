"""Pack the face chips of FairFace into one file, with the sampling weight of each face."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...datasets.demographic_labels import read_groups
from ...errors import DataError
from ...imaging.read import read_image
from ...utils.escape import shown

AGE_WEIGHTS = {"0-2": 2.5, "3-9": 1.3, "60-69": 1.5, "more than 70": 2.5}
"""How often a face comes in a round, on average.  FairFace has few of the youngest and the oldest."""


def pack_chips(listed: Path, to: Path) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Return the chips in a CSV of FairFace, uint8 (n, S, S, 3) as a memory map, and their weights (n,).

    Args:
        listed: The CSV file.
        to: The file of the memory map; it is written once.

    Raises:
        DataError: The list cannot be used, or the chips differ in size.
    """
    photos = read_groups(listed, by=("age",))
    weights = np.array([AGE_WEIGHTS.get(age, 1.0) for age in photos.values[0]])
    first = read_image(photos.paths[0])
    shape = (len(photos), *first.shape)
    if not to.is_file():
        _pack(photos.paths, shape, to)
    chips: NDArray[np.uint8] = np.load(to, mmap_mode="r")
    if chips.shape != shape:
        raise DataError(f"{shown(to)}: chips of another list; delete it, or choose another --work")
    return chips, weights


def _pack(paths: tuple[Path, ...], shape: tuple[int, ...], to: Path) -> None:
    part = to.with_name(f".{to.name}.part")
    packed = np.lib.format.open_memmap(part, "w+", np.uint8, shape)
    for row, path in enumerate(paths):
        image = read_image(path)
        if image.shape != shape[1:]:
            raise DataError(f"{shown(path)}: a chip of {image.shape[:2]}, where others have {shape[1:3]}")
        packed[row] = image
    packed.flush()
    del packed
    part.replace(to)
