"""Augmentation of the student's input only: masks, glasses, noise and JPEG.

Blur, low resolution and cut-out are in ``augment.Augmentation``.  Masks and glasses are drawn where dlib's
chip has the nose and the eyes, with a random jitter.
"""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image as PillowImage
from torch import Generator, Tensor

from ...imaging.align import DLIB_CHIP_SIZE, DLIB_CHIP_TEMPLATE
from .augment import Draw

JITTER = 0.04  # relative to the side
QUALITIES = (25, 85)  # of JPEG


def masked(images: Tensor, probability: float, generator: Generator) -> None:
    """Cover the lower half of some faces (n, 3, S, S) by a mask of one color, in place."""
    chosen = Draw(images, generator).chosen(probability)
    part = images[chosen]
    draw, side = Draw(part, generator), images.shape[-1]
    x, y = _axes(images)
    nose = float(DLIB_CHIP_TEMPLATE[2, 1]) / DLIB_CHIP_SIZE
    top = nose + draw.uniform(-0.08, 0.04) + draw.uniform(0.0, 0.6) * (x - 0.5).square()
    half = draw.uniform(0.28, 0.5)
    middle = 0.5 + draw.uniform(-JITTER, JITTER)
    inside = ((y - top) * side).clamp(0, 1) * ((half - (x - middle).abs()) * side).clamp(0, 1)
    color = draw.uniform(0, 255) + draw.normal(3, 1, 1) * 25
    shade = color * (1 + draw.uniform(-0.4, 0.4) * (x - 0.5) + draw.uniform(-0.4, 0.4) * (y - 0.7))
    images[chosen] = part.lerp(shade.clamp(0, 255), inside)


def with_glasses(images: Tensor, probability: float, generator: Generator) -> None:
    """Draw dark or clear glasses onto some faces (n, 3, S, S), in place."""
    chosen = Draw(images, generator).chosen(probability)
    part = images[chosen]
    draw, side = Draw(part, generator), images.shape[-1]
    x, y = _axes(images)
    dx, dy = draw.uniform(-JITTER, JITTER) / 2, draw.uniform(-JITTER, JITTER) / 2
    wide, high = draw.uniform(0.11, 0.17), draw.uniform(0.07, 0.14)
    inside = torch.zeros_like(part[:, :1])
    for eye in DLIB_CHIP_TEMPLATE[:2] / DLIB_CHIP_SIZE:
        across, down = (x - float(eye[0]) - dx).abs() / wide, (y - float(eye[1]) - dy).abs() / high
        distance = (across**4 + down**4) ** 0.25  # a rounded rectangle
        inside = torch.maximum(inside, ((1 - distance) * side * 0.1 + 0.5).clamp(0, 1))
    opacity = torch.where(draw.chance(0.6), draw.uniform(0.75, 1.0), draw.uniform(0.1, 0.4))
    color = (draw.uniform(0, 70) + draw.normal(3, 1, 1) * 10).clamp(0, 255)
    images[chosen] = part.lerp(color.expand_as(part), inside * opacity)


def noisy(images: Tensor, probability: float, deviation: float, generator: Generator) -> None:
    """Add Gaussian noise of up to ``deviation`` gray levels to some images (n, 3, S, S), in place."""
    chosen = Draw(images, generator).chosen(probability)
    part = images[chosen]
    draw = Draw(part, generator)
    level = draw.uniform(0, deviation)
    images[chosen] = part.addcmul(draw.normal(*images.shape[1:]), level).clamp_(0, 255)


def compressed(images: Tensor, probability: float, generator: Generator) -> None:
    """Write some images (n, 3, S, S) as JPEG of low quality and read them back, in place."""
    draw = Draw(images, generator)
    chosen, quality = draw.chosen(probability), draw.uniform(*QUALITIES).flatten()
    for row in chosen.tolist():
        pixels = images[row].permute(1, 2, 0).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
        buffer = io.BytesIO()
        PillowImage.fromarray(pixels).save(buffer, "JPEG", quality=int(quality[row]))
        with PillowImage.open(buffer) as read:
            images[row] = torch.from_numpy(np.array(read)).permute(2, 0, 1).to(images)


def _axes(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return pixel centers, relative to the side, along x (1, 1, 1, S) and y (1, 1, S, 1)."""
    side = images.shape[-1]
    axis = (torch.arange(side, device=images.device) + 0.5) / side
    return axis.view(1, 1, 1, side), axis.view(1, 1, side, 1)
