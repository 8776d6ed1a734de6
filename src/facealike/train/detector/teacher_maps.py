"""The output of a detector for a square picture, and how it changes when the picture is turned or mirrored.

Landmarks refer to pixel centers and boxes to pixel edges, so they move about points half a pixel apart.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ...detection.yunet import STRIDES
from ...types import Image

MIRRORED_POINTS = (1, 0, 2, 4, 3)
"""The landmark that each becomes in a mirror: eyes, nose, corners of the mouth."""

Maps = NDArray[np.float32]
"""Confidence, bbox (4) and kps (10) of each cell as in ``network.Prediction``, (cells, 15)."""


def turn(image: Image, maps: Maps, quarters: int) -> tuple[Image, Maps]:
    """Turn a square picture and its maps by ``quarters`` times 90 degrees, counter-clockwise."""
    for _ in range(quarters % 4):
        image, maps = np.rot90(image), _rearranged(maps, image.shape[0], np.rot90, _turn_cells)
    return np.ascontiguousarray(image), maps


def mirrored(maps: Maps, side: int) -> Maps:
    """Return the maps of the mirror image of a picture of ``side`` pixels."""
    return _rearranged(maps, side, np.fliplr, _mirror_cells)


def _turn_cells(part: Maps, stride: int) -> Maps:
    # (x, y) -> (y, side - x); a cell's corner moves to its bottom left, hence the 1.
    new: Maps = part.copy()
    new[:, 1], new[:, 2] = part[:, 2], 1 - part[:, 1]
    new[:, 3], new[:, 4] = part[:, 4], part[:, 3]
    new[:, 5::2], new[:, 6::2] = part[:, 6::2], 1 - 1 / stride - part[:, 5::2]
    return new


def _mirror_cells(part: Maps, stride: int) -> Maps:
    new: Maps = part.copy()
    new[:, 1] = 1 - part[:, 1]
    points = part[:, 5:].reshape(-1, 5, 2)[:, MIRRORED_POINTS]
    points[:, :, 0] = 1 - 1 / stride - points[:, :, 0]
    new[:, 5:] = points.reshape(-1, 10)
    return new


def _rearranged(
    maps: Maps, side: int, grid: Callable[[Maps], Maps], cells: Callable[[Maps, int], Maps]
) -> Maps:
    """Apply ``grid`` to the cells' places and ``cells`` to their numbers, stride by stride."""
    parts, first = [], 0
    for stride in STRIDES:
        n = side // stride
        part = grid(maps[first : first + n * n].reshape(n, n, 15)).reshape(n * n, 15)
        first += n * n
        parts.append(cells(part, stride))
    return np.concatenate(parts)
