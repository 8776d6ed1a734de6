"""Occlusion sensitivity: how far the score of a pair falls when a place of one face is covered.

Source: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, section 4.2.
Here the patches have soft edges, since a hard edge is a feature of its own to a network.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageFilter

from ..types import Embeddings, Image

Masks: TypeAlias = NDArray[np.float32]
"""How far each pixel is covered, (k, S, S), from 0 to 1."""

Embed: TypeAlias = Callable[[Image], Embeddings]
"""Crops, uint8 (n, S, S, 3), to unit vectors, (n, d)."""

Fill: TypeAlias = Literal["blur", "mean"]

SCALES: tuple[tuple[float, int], ...] = ((0.25, 7), (0.4, 4), (0.6, 3))
"""Side of a patch as a share of the crop's, and patches in a row: neighbors overlap by half or more."""

BLUR_RADIUS = 0.12  # of the crop's side
SOFT_EDGE = 0.25  # of a patch's side
BATCH = 16  # crops covered and embedded at a time


@cache
def patch_masks(size: int) -> Masks:
    """Return the masks of the patches of every scale in turn, float32 (k, size, size)."""
    masks = []
    for share, count in SCALES:
        side = share * size
        pixels = np.arange(size) + 0.5
        centers = np.linspace(side / 2, size - side / 2, count)
        inside = (side / 2 - np.abs(pixels - centers[:, None])) / (SOFT_EDGE * side) + 0.5
        ramp = np.clip(inside, 0, 1)  # (count, size)
        masks.append((ramp[:, None, :, None] * ramp[None, :, None, :]).reshape(-1, size, size))
    found = np.concatenate(masks).astype(np.float32)
    found.setflags(write=False)
    return found


def fill_of(crop: Image, fill: Fill = "blur") -> Image:
    """Return what covered places of a crop show, uint8 (S, S, 3).

    Args:
        crop: uint8 (S, S, 3).
        fill: ``blur``: the crop itself, strongly blurred; ``mean``: its mean color.
    """
    if fill == "mean":
        return np.broadcast_to(crop.mean(axis=(0, 1)).round().astype(np.uint8), crop.shape)
    radius = BLUR_RADIUS * len(crop)
    return np.asarray(PillowImage.fromarray(crop).filter(ImageFilter.GaussianBlur(radius)))


def covered(crop: Image, masks: Masks, fill: Image) -> Image:
    """Return a copy of the crop for each mask, uint8 (k, S, S, 3): ``fill`` where the mask is 1."""
    share = masks[..., None]
    mixed = crop * (1 - share) + fill * share
    return np.rint(mixed).astype(np.uint8)


def score_falls(
    crop: Image, vector: NDArray[np.float32], other: NDArray[np.float32], masks: Masks, embed: Embed,
    fill: Fill = "blur",
) -> NDArray[np.float64]:  # fmt: skip
    """Return how far the score falls with each mask, (k,); negative where it rises.

    Args:
        crop: The face that is covered, uint8 (S, S, 3).
        vector: Its embedding when nothing is covered, (d,).
        other: The embedding of the other face, which stays as it is, (d,).
        masks: What is covered.
        embed: Embeds crops.
        fill: See ``fill_of``.
    """
    filled, reference = fill_of(crop, fill), other.astype(np.float64)
    scores = []
    for start in range(0, len(masks), BATCH):
        vectors = embed(covered(crop, masks[start : start + BATCH], filled))
        scores.append(vectors.astype(np.float64) @ reference)
    return float(vector.astype(np.float64) @ reference) - np.concatenate(scores)


def occlusion_map(falls: NDArray[np.float64], size: int) -> NDArray[np.float32]:
    """Return the map of a face, float32 (size, size): the mean fall over the patches that cover a pixel.

    Each scale counts alike.

    Args:
        falls: How far the score falls with each of ``patch_masks(size)``, (k,).
        size: The side of the crop.
    """
    masks = patch_masks(size)
    result = np.zeros((size, size))
    start = 0
    for _, count in SCALES:
        part = slice(start, start + count * count)
        result += np.tensordot(falls[part], masks[part], axes=1) / masks[part].sum(axis=0)
        start = part.stop
    return (result / len(SCALES)).astype(np.float32)
