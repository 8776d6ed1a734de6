"""Crops to train the orientation network on: faces as a detector finds them, and places without a face."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ...detection.crop_network import crop_matrix
from ...detection.orientation import SIZE, TURNS, VIEW
from ...detection.yunet import YuNetDetector
from ...imaging.boxes import iou
from ...imaging.geometry import warp
from ...types import Box, Image

STORED = 96
"""Side of the stored crops: twice the network's view, so that they can be turned and shifted."""
FAINT = 0.3
"""Confidence of the teacher from which on a place may be a face; negatives keep away from it."""
PER_PHOTO = 3
"""Places without a face taken from a photo or chip."""


def stored(image: Image, box: Box) -> Image:
    """Return the crop to store for ``box``, uint8 (STORED, STORED, 3)."""
    return warp(image, crop_matrix(box, STORED, 2 * VIEW), STORED)


def collect(
    images: Iterable[Image], teacher: YuNetDetector, rng: np.random.Generator, places: int = PER_PHOTO
) -> Iterator[tuple[Image, bool]]:
    """Yield stored crops of ``images`` and whether each is a face.

    A face is one of which the teacher is sure.  Places without one are squares of any size that overlap
    nothing the teacher suspects, ``places`` of each image, and parts of faces: eyes, mouths, ears.
    """
    for image in images:
        found = teacher.detect(image)
        boxes = np.array([face.box for face in found], dtype=np.float64).reshape(-1, 4)
        for face in found:
            if face.confidence > 0.85 and face.box.height > 20:
                yield stored(image, face.box), True
                yield stored(image, part_of(rng, face.box)), False
        for _ in range(places):
            box = square(rng, image.shape[:2])
            if not (iou(np.array([box]), boxes)[0] > 0.03).any():
                yield stored(image, box), False


def square(rng: np.random.Generator, shape: tuple[int, ...]) -> Box:
    """Return a random square in an image."""
    side = float(np.exp(rng.uniform(np.log(16), np.log(0.7 * min(shape)))))
    x, y = rng.uniform(0, shape[1] - side), rng.uniform(0, shape[0] - side)
    return Box(x, y, x + side, y + side)


def part_of(rng: np.random.Generator, box: Box) -> Box:
    """Return a square of a fifth to two fifths of a face's side somewhere in it or at its edge."""
    side = rng.uniform(0.2, 0.4) * max(box.width, box.height)
    x = rng.uniform(box.left - side / 2, box.right - side / 2)
    y = rng.uniform(box.top - side / 2, box.bottom - side / 2)
    return Box(x, y, x + side, y + side)


def examples(images: Tensor, face: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """Return network crops, (n, 3, SIZE, SIZE) in 0..1, and their classes (n,).

    Each crop is turned by a random quarter and up to 40 degrees more, shifted, scaled, mirrored, changed in
    tone, and often reduced to a few pixels and enlarged again.

    Args:
        images: Stored crops, uint8 (n, 3, STORED, STORED).
        face: Whether each is a face, (n,).
        generator: Source of the draws.
    """
    n = len(images)
    draw = torch.rand(n, 8, generator=generator)
    quarter = torch.randint(TURNS, (n,), generator=generator)
    # Pixel rows count downwards: a counterclockwise turn of the picture samples it clockwise.
    angle = quarter * (np.pi / 2) + (draw[:, 0] * 2 - 1) * np.radians(40)
    zoom = 0.5 * torch.exp((draw[:, 1] * 2 - 1) * 0.3)
    mirror = torch.where(draw[:, 2] < 0.5, -1.0, 1.0)
    shift = (draw[:, 3:5] * 2 - 1) * 0.07
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    place = torch.stack(
        [torch.stack([mirror * cos, -mirror * sin, shift[:, 0]], 1), torch.stack([sin, cos, shift[:, 1]], 1)],
        1,
    )
    grid = F.affine_grid(place, [n, 3, SIZE, SIZE], align_corners=False)
    crops = F.grid_sample(images.float(), grid, align_corners=False) / 255
    gain, offset = torch.exp((draw[:, 5] * 2 - 1) * 0.5), (draw[:, 6] * 2 - 1) * 0.2
    crops = (crops - 0.5) * gain.view(-1, 1, 1, 1) + 0.5 + offset.view(-1, 1, 1, 1)
    gray = crops.mean(dim=1, keepdim=True)
    crops = torch.where((draw[:, 7] < 0.15).view(-1, 1, 1, 1), gray, crops)
    few = int(torch.randint(8, SIZE, (), generator=generator))
    low = n // 3
    small = F.interpolate(crops[:low], size=(few, few), mode="bilinear", antialias=True, align_corners=False)
    crops[:low] = F.interpolate(small, size=(SIZE, SIZE), mode="bilinear", align_corners=False)
    crops += torch.randn(crops.shape, generator=generator) * (
        0.05 * torch.rand(n, 1, 1, 1, generator=generator)
    )
    return crops.clamp_(0, 1), torch.where(face, quarter, torch.full_like(quarter, TURNS))
