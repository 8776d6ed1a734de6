"""Backgrounds without a face: colors, clouds, stripes, drawings, and corners of photos."""

from __future__ import annotations

import itertools

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw

from ...types import Image
from .pseudo_labels import Sources


def background(rng: np.random.Generator, sources: Sources, side: int) -> Image:
    """Return a random background, RGB uint8 (side, side, 3), without a face."""
    kind = rng.random()
    if kind < 0.35:
        return _mosaic(rng, sources, side)
    if kind < 0.55:
        return _patch(rng, sources, side, side)
    if kind < 0.70:
        return _clouds(rng, side)
    if kind < 0.80:
        return _stripes(rng, side)
    if kind < 0.92:
        return _drawing(rng, side)
    plain = np.empty((side, side, 3), np.uint8)
    plain[:] = 0 if rng.random() < 0.4 else rng.integers(0, 256, 3)
    return plain


def _patch(rng: np.random.Generator, sources: Sources, width: int, height: int) -> Image:
    """Return a random part of a photo's corner, resized, turned by multiples of 90 degrees and mirrored."""
    patch = sources.patch(int(rng.integers(sources.patches)))
    part = int(rng.integers(20, patch.shape[0] + 1))
    y, x = rng.integers(0, patch.shape[0] - part + 1, 2)
    turned = np.rot90(patch[y : y + part, x : x + part], int(rng.integers(4)))
    if rng.random() < 0.5:
        turned = turned[:, ::-1]
    picture = PillowImage.fromarray(np.ascontiguousarray(turned))
    return np.array(picture.resize((width, height), PillowImage.Resampling.BILINEAR))


def _mosaic(rng: np.random.Generator, sources: Sources, side: int) -> Image:
    """Return patches side by side."""
    n = int(rng.integers(2, 6))
    cuts = np.round(np.linspace(0, side, n + 1)).astype(int)
    image = np.empty((side, side, 3), np.uint8)
    for top, bottom in itertools.pairwise(cuts):
        for left, right in itertools.pairwise(cuts):
            image[top:bottom, left:right] = _patch(rng, sources, int(right - left), int(bottom - top))
    return image


def _clouds(rng: np.random.Generator, side: int) -> Image:
    """A gradient, or noise that is smooth over many or few pixels; gray or colored."""
    n = int(rng.choice([2, 2, 3, 6, 12, 32, 96]))
    grid = rng.integers(0, 256, (n, n, 3 if rng.random() < 0.7 else 1))
    middle, contrast = rng.uniform(40, 215), rng.uniform(0.1, 1)
    values = np.clip(middle + (grid - 128) * contrast, 0, 255).astype(np.uint8)
    picture = PillowImage.fromarray(np.repeat(values, 3 // values.shape[2], axis=2))
    return np.array(picture.resize((side, side), PillowImage.Resampling.BICUBIC))


def _stripes(rng: np.random.Generator, side: int) -> Image:
    """Waves in one or two directions: fabric, bars, brickwork."""
    small = side // 2
    y, x = np.mgrid[:small, :small].astype(np.float32)
    wave = np.zeros((small, small), np.float32)
    for _ in range(int(rng.integers(1, 3))):
        angle, length = rng.uniform(0, np.pi), np.exp(rng.uniform(np.log(3), np.log(40)))
        wave += np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / length + rng.uniform(0, 6))
    if rng.random() < 0.5:
        wave = np.sign(wave)
    share = np.clip((wave + 1) / 2, 0, 1)[:, :, None]
    a, b = rng.integers(0, 256, (2, 3))
    picture = PillowImage.fromarray((a + (b - a) * share).astype(np.uint8))
    return np.array(picture.resize((side, side), PillowImage.Resampling.BILINEAR))


def _drawing(rng: np.random.Generator, side: int) -> Image:
    """Lines, boxes, discs, rings and letters: dots and bars like eyes and mouths among them."""
    picture = PillowImage.new("RGB", (side, side), tuple(rng.integers(0, 256, 3).tolist()))
    draw = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(5, 40))):
        x, y = rng.uniform(-20, side, 2)
        w, h = np.exp(rng.uniform(np.log(3), np.log(90), 2))
        color = tuple(rng.integers(0, 256, 3).tolist())
        kind = int(rng.integers(5))
        if kind == 0:
            draw.line([(x, y), tuple(rng.uniform(0, side, 2))], color, int(rng.integers(1, 8)))
        elif kind == 1:
            draw.rectangle([x, y, x + w, y + h], color)
        elif kind == 2:
            draw.ellipse([x, y, x + w, y + (w if rng.random() < 0.6 else h)], color)
        elif kind == 3:
            draw.ellipse([x, y, x + w, y + w], None, color, int(rng.integers(1, 6)))
        else:
            draw.text((x, y), "".join(chr(c) for c in rng.integers(33, 126, 8)), color)
    return np.array(picture)
