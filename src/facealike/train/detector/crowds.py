"""Crowds for detector distillation: rows of people who cover each other, some behind masks or dark glasses.

Heads that are placed at random rarely cover each other, so a detector that learned from them alone is unsure
of a face of which only a part is seen.  Here nearer people are larger, lower, and in front of those behind.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFilter

from ...types import Image
from .placing import placed

SMALLEST, LARGEST = 8.0, 120.0
"""Pixels: heights of the smallest and of the largest face of a crowd."""
MASKS = ((255, 255, 255), (235, 240, 245), (190, 215, 235), (150, 190, 220), (25, 25, 28), (60, 60, 70))
"""Colors of masks; some have any other."""


def packed(
    rng: np.random.Generator, image: Image, images: tuple[Image, ...], sizes: tuple[float, ...],
    roll: float,
) -> Image:  # fmt: skip
    """Return ``image``, RGB uint8 (S, S, 3), with rows of people over it.

    Args:
        rng: The random generator.
        image: What is seen between and above the people.
        images: Squares with a face in their middle, RGB uint8 (s, s, 3); people are drawn from them.
        sizes: Height of the face in each, in pixels.
        roll: Standard deviation of the angles of heads, in degrees.
    """
    side = image.shape[0]
    picture = PillowImage.fromarray(image)
    back = math.exp(rng.uniform(math.log(SMALLEST), math.log(40)))
    front = min(LARGEST, back * math.exp(rng.uniform(0, math.log(6))))
    covered = rng.uniform(0, 1) if rng.random() < 0.35 else 0.05  # share of people with masks
    apart, y = rng.uniform(0.9, 2.6), rng.uniform(0, 0.5) * side
    while y < side + back:
        size = back + (front - back) * y / side
        x = rng.uniform(-1, 0) * size
        while x < side + size:
            drawn = int(rng.integers(len(images)))
            height = size * math.exp(rng.normal(0, 0.15))
            middle = x, y + rng.normal(0, 0.25) * size
            person = dressed(rng, images[drawn], sizes[drawn], covered)
            _put(picture, person, height / sizes[drawn], rng.normal(0, roll), middle, rng)
            x += size * apart * math.exp(rng.normal(0, 0.35))
        y += size * rng.uniform(0.5, 1.3)
    return np.array(picture)


def dressed(rng: np.random.Generator, image: Image, size: float, covered: float) -> PillowImage.Image:
    """Return a square with a face of ``size`` pixels in its middle, perhaps behind a mask or dark glasses."""
    picture = PillowImage.fromarray(np.ascontiguousarray(image[:, ::-1] if rng.random() < 0.5 else image))
    if rng.random() < covered:
        _draw_mask(rng, picture, size)
    if rng.random() < 0.06:
        _draw_glasses(rng, picture, size)
    return picture


def _draw_mask(rng: np.random.Generator, picture: PillowImage.Image, size: float) -> None:
    """Cover nose, mouth and chin; sometimes the nose is left out."""
    color = MASKS[int(rng.integers(len(MASKS)))] if rng.random() < 0.8 else _color(rng)
    x, y = picture.width / 2 + rng.normal(0, 0.02) * size, picture.height / 2
    top, chin = y + rng.uniform(-0.1, 0.12) * size, y + rng.uniform(0.44, 0.56) * size
    wide = rng.uniform(0.34, 0.44) * size
    outline = [
        (x - wide, top + 0.06 * size), (x, top), (x + wide, top + 0.06 * size),
        (x + 0.9 * wide, (top + chin) / 2 + 0.08 * size), (x + 0.4 * wide, chin), (x - 0.4 * wide, chin),
        (x - 0.9 * wide, (top + chin) / 2 + 0.08 * size),
    ]  # fmt: skip
    draw = ImageDraw.Draw(picture)
    draw.polygon(outline, color)
    shade = tuple(int(0.85 * part) for part in color)
    for share in (0.35, 0.55, 0.75) if rng.random() < 0.6 else ():
        fold = top + share * (chin - top)
        draw.line([(x - 0.7 * wide, fold), (x + 0.7 * wide, fold)], shade, max(1, round(0.02 * size)))


def _draw_glasses(rng: np.random.Generator, picture: PillowImage.Image, size: float) -> None:
    x, y = picture.width / 2, picture.height / 2 - rng.uniform(0.1, 0.2) * size
    wide, high = rng.uniform(0.13, 0.19) * size, rng.uniform(0.08, 0.14) * size
    draw = ImageDraw.Draw(picture)
    color = tuple(rng.integers(0, 60, 3).tolist())
    for middle in (x - 0.2 * size, x + 0.2 * size):
        draw.ellipse([middle - wide, y - high, middle + wide, y + high], color)
    draw.line([(x - 0.2 * size, y), (x + 0.2 * size, y)], color, max(1, round(0.03 * size)))


def _put(
    picture: PillowImage.Image, person: PillowImage.Image, scale: float, degrees: float,
    middle: tuple[float, float], rng: np.random.Generator,
) -> None:  # fmt: skip
    """Put head and shoulders of a person over ``picture``, scaled and turned, their middle at ``middle``."""
    outline = _outline(rng, person.size)
    shrink = int(1 / scale)
    if shrink > 1:
        person, outline, scale = person.reduce(shrink), outline.reduce(shrink), scale * shrink
    reach = scale * math.hypot(*person.size) / 2 + 1
    left, top = (max(0, math.floor(at - reach)) for at in middle)
    right, bottom = (min(picture.width, math.ceil(at + reach)) for at in middle)
    if left >= right or top >= bottom:
        return
    at, shape = (middle[0] - left, middle[1] - top), (right - left, bottom - top)
    layer, mask = (placed(each, scale, degrees, at, shape) for each in (person, outline))
    picture.paste(layer, (left, top), mask)


def _outline(rng: np.random.Generator, shape: tuple[int, int]) -> PillowImage.Image:
    """Return a mask of a head, and often of the shoulders below it, with soft edges."""
    width, height = shape
    mask = PillowImage.new("L", shape, 0)
    draw = ImageDraw.Draw(mask)
    across, up = rng.uniform(0.26, 0.34) * width, rng.uniform(0.34, 0.42) * height
    draw.ellipse([width / 2 - across, height / 2 - up, width / 2 + across, height / 2 + up], fill=255)
    if rng.random() < 0.7:
        neck, shoulder = rng.uniform(0.14, 0.2) * width, rng.uniform(0.8, 0.92) * height
        draw.polygon(
            [
                (width / 2 - neck, 0.72 * height), (width / 2 + neck, 0.72 * height),
                (0.97 * width, shoulder), (0.97 * width, height),
                (0.03 * width, height), (0.03 * width, shoulder),
            ],
            fill=255,
        )  # fmt: skip
    return mask.filter(ImageFilter.GaussianBlur(0.015 * width))


def _color(rng: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = rng.integers(0, 256, 3).tolist()
    return red, green, blue
