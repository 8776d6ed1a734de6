"""Photometric augmentation: light, color, blur, noise, low resolution, JPEG.

Pixels keep their places, so boxes and landmarks stay valid.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageFilter

from ...types import Image


def augment_photometric(rng: np.random.Generator, image: Image) -> Image:
    """Return ``image``, RGB uint8 (S, S, 3), with random photometric changes; one in ten stays."""
    if rng.random() < 0.1:
        return image
    picture = _curves(rng, PillowImage.fromarray(image))
    if rng.random() < 0.2:
        picture = _side_light(rng, picture)
    if rng.random() < 0.08:
        picture = picture.convert("L").convert("RGB")
    kind = rng.random()
    if kind < 0.12:
        picture = picture.filter(ImageFilter.BoxBlur(float(rng.uniform(0.3, 1.5))))
    elif kind < 0.22:
        picture = _smaller_and_back(picture, float(rng.uniform(1.2, 2.5)))
    if rng.random() < 0.2:
        picture = PillowImage.fromarray(_noise(rng, np.asarray(picture)))
    if rng.random() < 0.2:
        picture = _jpeg(picture, int(rng.integers(25, 95)))
    return np.asarray(picture)


def _curves(rng: np.random.Generator, picture: PillowImage.Image) -> PillowImage.Image:
    """Change brightness, contrast, gamma and color cast, as one table per channel."""
    level = np.arange(256, dtype=np.float32) / 255
    gamma, gain = np.exp(rng.normal(0, 0.25)), np.exp(rng.normal(0, 0.2))
    cast = np.exp(rng.normal(0, 0.06, 3))
    bright = rng.normal(0, 0.08)
    table = ((level[:, None] ** gamma - 0.5) * gain + 0.5 + bright) * cast
    return picture.point((np.clip(table, 0, 1) * 255).astype(np.uint8).T.reshape(-1).tolist())


def _side_light(rng: np.random.Generator, picture: PillowImage.Image) -> PillowImage.Image:
    """Apply a brightness gradient."""
    a, b = np.exp(rng.normal(0, 0.5, 2))
    ramp = np.linspace(a, b, picture.width, dtype=np.float32)
    lit = np.asarray(picture) * (ramp[:, None, None] if rng.random() < 0.4 else ramp[None, :, None])
    return PillowImage.fromarray(np.minimum(lit, 255).astype(np.uint8))


def _smaller_and_back(picture: PillowImage.Image, factor: float) -> PillowImage.Image:
    """Reduce the resolution by ``factor``."""
    side = picture.width
    small = max(8, round(side / factor))
    return picture.resize((small, small), PillowImage.Resampling.BOX).resize(
        (side, side), PillowImage.Resampling.BILINEAR
    )


def _noise(rng: np.random.Generator, image: Image) -> Image:
    """Add noise, gray or in color; one small tile of it is repeated."""
    side = image.shape[0]
    tile = 64
    grain = rng.normal(0, rng.uniform(2, 18), (tile, tile, 3 if rng.random() < 0.6 else 1))
    times = -(-side // tile)
    return np.clip(image + np.tile(grain, (times, times, 1))[:side, :side], 0, 255).astype(np.uint8)


def _jpeg(picture: PillowImage.Image, quality: int) -> PillowImage.Image:
    """Compress as JPEG."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return PillowImage.open(buffer).convert("RGB")
