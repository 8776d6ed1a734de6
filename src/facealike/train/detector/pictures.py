"""Compose pictures for detector distillation: faces at every size and angle, crowds, and no face at all.

Pictures need no labels, because the teacher's output is the target (``dense_distillation``).  ``compose``
is a pure function of its random generator.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFilter

from ...embedding.unused_photos import readable_photos
from ...errors import DataError
from ...types import Image
from ...utils.atomic_write import write_bytes
from .crowds import dressed, packed
from .photometric import augment_photometric
from .placing import placed

SIDE = 320
FACES = {"photos": (250, 104.0), "chips": (144, 112.0)}
"""Side of the stored images, and the typical size of their central face, in pixels."""
SCENERY = 640
"""Side of the stored pictures without people, in pixels."""
HARD_SIDE = 128
"""Side of what surrounds a hard place, in pixels."""
HARD = 0.15
"""Share of the pictures that show hard places, if the pool has any (``hard_negatives``)."""

PACKED = 60
"""Different people of a picture of rows of people."""
MASKED = 0.12
"""Share of single faces behind masks."""


@dataclass(frozen=True)
class Pool:
    """The images to compose pictures of: memory-mapped uint8 arrays (n, side, side, 3).

    ``hard`` is None before ``hard_negatives`` filled it.
    """

    photos: NDArray[np.uint8]
    chips: NDArray[np.uint8]
    scenery: NDArray[np.uint8]
    hard: NDArray[np.uint8] | None = None

    @classmethod
    def open(cls, folder: Path) -> Pool:
        """Open the arrays of ``collect_images`` in ``folder``; raise DataError if one is missing."""
        names = ["photos", "chips", "scenery", *(["hard"] if (folder / "hard.npy").exists() else [])]
        try:
            return cls(*(np.load(folder / f"{name}.npy", mmap_mode="r") for name in names))
        except (OSError, ValueError) as error:
            raise DataError(
                f"{folder}: the images to compose of are missing ({error}); collect them again"
            ) from None


def collect_images(paths: Iterable[Path], side: int, out: Path) -> int:
    """Write the images of ``paths`` as one array (n, side, side, 3); return n.

    The central square of each is resized.  Images that cannot be read are left out, with a warning.

    Raises:
        DataError: None of the images can be read.
    """
    images = []
    for _, image in readable_photos(paths):
        short = min(image.shape[:2])
        top, left = (image.shape[0] - short) // 2, (image.shape[1] - short) // 2
        square = PillowImage.fromarray(image[top : top + short, left : left + short])
        images.append(square.resize((side, side), PillowImage.Resampling.BILINEAR, reducing_gap=2.0))
    if not images:
        raise DataError(f"{out.name}: no image to compose pictures of; check the folders")
    whole = io.BytesIO()
    np.save(whole, np.stack([np.asarray(image) for image in images]))
    write_bytes(out, whole.getvalue())
    return len(images)


def compose(rng: np.random.Generator, pool: Pool) -> Image:
    """Return a random picture, RGB uint8 (SIDE, SIDE, 3)."""
    if pool.hard is not None and rng.random() < HARD:
        return augment_photometric(rng, _hard(rng, pool.hard))
    kinds, shares = zip(*KINDS, strict=True)
    image = kinds[int(rng.choice(len(kinds), p=shares))](rng, pool)
    if rng.random() < 0.12:
        image = _shapes(rng, image, int(rng.integers(1, 4)))
    return augment_photometric(rng, image)


def _one_face(rng: np.random.Generator, pool: Pool) -> Image:
    """A photo or chip whose central face is anything from tiny to larger than the picture."""
    name = "photos" if rng.random() < 0.7 else "chips"
    under = _scenery(rng, pool) if rng.random() < 0.4 else _plain(rng)
    image = _layer(rng, pool, name, under, _log_uniform(rng, 24, 370), SIDE / 2 + rng.uniform(-90, 90, 2))
    return _occlude(rng, image) if rng.random() < 0.15 else image


def _tiles(rng: np.random.Generator, pool: Pool) -> Image:
    """Photos side by side, as in a group or a contact sheet."""
    n = int(rng.integers(2, 8))
    side = -(-SIDE // n)
    image = _plain(rng)
    for row in range(n):
        for column in range(n):
            name = "photos" if rng.random() < 0.6 else "chips"
            whole, face = FACES[name]
            size = face * side / whole * rng.uniform(0.8, 2.0)
            tile = _view(
                _draw(rng, pool, name), size / face, _roll(rng), (side / 2, side / 2), (side, side), rng
            )
            part = image[row * side : (row + 1) * side, column * side : (column + 1) * side]
            part[:] = np.asarray(tile)[: part.shape[0], : part.shape[1]]
    return image


def _crowd(rng: np.random.Generator, pool: Pool) -> Image:
    """Many heads with soft edges on scenery or on an enlarged part of a photo."""
    image = _scenery(rng, pool) if rng.random() < 0.6 else _part(rng, pool)
    largest = _log_uniform(rng, 20, 110)
    for _ in range(int(rng.integers(3, 30))):
        size = _log_uniform(rng, 8, largest)
        name = "photos" if rng.random() < 0.6 else "chips"
        image = _layer(rng, pool, name, image, size, rng.uniform(0, SIDE, 2), soft=True)
    return image


def _packed(rng: np.random.Generator, pool: Pool) -> Image:
    """Rows of people who cover each other, some behind masks."""
    under = _scenery(rng, pool) if rng.random() < 0.7 else _part(rng, pool)
    names = ["photos" if rng.random() < 0.75 else "chips" for _ in range(PACKED)]
    images = tuple(_draw(rng, pool, name) for name in names)
    return packed(rng, under, images, tuple(FACES[name][1] for name in names), 8.0)


def _scenery(rng: np.random.Generator, pool: Pool) -> Image:
    """A square of a picture without people, at any scale."""
    whole = pool.scenery[int(rng.integers(len(pool.scenery)))]
    side = int(_log_uniform(rng, 60, SCENERY))
    return _square(rng, whole, side)


def _part(rng: np.random.Generator, pool: Pool) -> Image:
    """A part of a photo enlarged: an eye, an ear, hair, a collar, a hand, a background."""
    name = "photos" if rng.random() < 0.7 else "chips"
    whole = _draw(rng, pool, name)
    return _square(rng, whole, int(_log_uniform(rng, 16, 0.5 * whole.shape[0])))


def _hard(rng: np.random.Generator, places: NDArray[np.uint8]) -> Image:
    """Hard places side by side."""
    n = int(rng.integers(1, 7))
    drawn = [places[int(rng.integers(len(places)))][:, :: int(rng.choice([-1, 1]))] for _ in range(n * n)]
    return mosaic(drawn, SIDE)


def mosaic(images: Sequence[Image], side: int) -> Image:
    """Return n * n square pictures side by side in one of ``side`` pixels."""
    n = math.isqrt(len(images))
    whole = PillowImage.new("RGB", (side, side))
    edges = [k * side // n for k in range(n + 1)]
    for k, image in enumerate(images):
        row, column = divmod(k, n)
        size = edges[column + 1] - edges[column], edges[row + 1] - edges[row]
        small = PillowImage.fromarray(np.ascontiguousarray(image)).resize(
            size, PillowImage.Resampling.BILINEAR
        )
        whole.paste(small, (edges[column], edges[row]))
    return np.array(whole)


def _drawing(rng: np.random.Generator, pool: Pool) -> Image:
    """Large plain shapes, which are no faces."""
    under = _plain(rng) if rng.random() < 0.7 else _scenery(rng, pool)
    return _shapes(rng, under, int(rng.integers(1, 10)))


KINDS: tuple[tuple[Callable[[np.random.Generator, Pool], Image], float], ...] = (
    (_one_face, 0.36), (_tiles, 0.1), (_crowd, 0.1), (_packed, 0.22), (_scenery, 0.09), (_part, 0.08),
    (_drawing, 0.05),
)  # fmt: skip


def _draw(rng: np.random.Generator, pool: Pool, name: str) -> Image:
    images: NDArray[np.uint8] = getattr(pool, name)
    image: Image = images[int(rng.integers(len(images)))]
    return image


def _layer(
    rng: np.random.Generator, pool: Pool, name: str, under: Image, size: float, middle: NDArray[np.float64],
    soft: bool = False,
) -> Image:  # fmt: skip
    """Put one image over ``under`` so that its face is ``size`` pixels and its center at ``middle``."""
    scale = size / FACES[name][1]
    source = np.asarray(dressed(rng, _draw(rng, pool, name), FACES[name][1], MASKED))
    # Only what the image covers is rendered: a crowd is thirty small faces.
    reach = 1 + scale * math.hypot(*source.shape[:2]) / 2
    low = np.clip(np.floor(middle - reach), 0, SIDE).astype(int)
    high = np.clip(np.ceil(middle + reach), 0, SIDE).astype(int)
    roll = _roll(rng)
    if (low < high).all():
        part = under[low[1] : high[1], low[0] : high[0]]
        place = (float(middle[0] - low[0]), float(middle[1] - low[1]))
        part[:] = np.asarray(
            _view(source, scale, roll, place, (part.shape[1], part.shape[0]), rng, soft, part)
        )
    return under


def _view(
    source: Image, scale: float, degrees: float, middle: tuple[float, float], shape: tuple[int, int],
    rng: np.random.Generator, soft: bool = False, under: Image | None = None,
) -> PillowImage.Image:  # fmt: skip
    """``source`` scaled, turned about its center, perhaps mirrored, with its center at ``middle``.

    The picture is ``shape`` (width, height) pixels.
    """
    picture = PillowImage.fromarray(np.ascontiguousarray(source[:, ::-1] if rng.random() < 0.5 else source))
    shrink = int(1 / scale)
    if shrink > 1:
        picture, scale = picture.reduce(shrink), scale * shrink
    layer = placed(picture, scale, degrees, middle, shape)
    if under is None:
        return layer
    x, y = picture.width / 2, picture.height / 2
    mask = PillowImage.new("L", picture.size, 0 if soft else 255)
    if soft:
        grow = rng.uniform(0.3, 0.42, 2) * picture.width
        ImageDraw.Draw(mask).ellipse(
            [x - grow[0] * 0.8, y - grow[1], x + grow[0] * 0.8, y + grow[1]], fill=255
        )
        mask = mask.filter(ImageFilter.GaussianBlur(0.03 * picture.width))
    result = PillowImage.fromarray(np.ascontiguousarray(under))
    result.paste(layer, (0, 0), placed(mask, scale, degrees, middle, shape))
    return result


def _square(rng: np.random.Generator, whole: Image, side: int) -> Image:
    """A random square of ``whole``, ``side`` pixels, at the size of a picture; turned by quarters."""
    side = max(8, min(side, *whole.shape[:2]))
    y, x = (int(rng.integers(0, length - side + 1)) for length in whole.shape[:2])
    part = np.rot90(whole[y : y + side, x : x + side], int(rng.integers(4)) if rng.random() < 0.3 else 0)
    picture = PillowImage.fromarray(np.ascontiguousarray(part))
    return np.array(picture.resize((SIDE, SIDE), PillowImage.Resampling.BILINEAR))


def _plain(rng: np.random.Generator) -> Image:
    image = np.empty((SIDE, SIDE, 3), np.uint8)
    image[:] = 0 if rng.random() < 0.3 else 255 if rng.random() < 0.2 else rng.integers(0, 256, 3)
    return image


def _shapes(rng: np.random.Generator, image: Image, count: int) -> Image:
    """Ellipses, rings, boxes, polygons and bars of any size, filled or not."""
    picture = PillowImage.fromarray(image)
    draw = ImageDraw.Draw(picture)
    for _ in range(count):
        x, y = rng.uniform(-40, SIDE, 2)
        w, h = (_log_uniform(rng, 6, 300) for _ in range(2))
        h = w * rng.uniform(0.7, 1.5) if rng.random() < 0.7 else h
        color = tuple(rng.integers(0, 256, 3).tolist())
        fill, line = (color, None) if rng.random() < 0.6 else (None, color)
        kind, width = int(rng.integers(4)), int(rng.integers(1, 12))
        if kind < 2:
            draw.ellipse([x, y, x + w, y + h], fill, line, width)
        elif kind == 2:
            draw.rectangle([x, y, x + w, y + h], fill, line, width)
        else:
            corners = [
                tuple(p) for p in rng.uniform([x, y], [x + w, y + h], (int(rng.integers(3, 7)), 2)).tolist()
            ]
            draw.polygon(corners, fill, line)
    return np.array(picture)


def _occlude(rng: np.random.Generator, image: Image) -> Image:
    """A mask, glasses, a hat or a patch of color near the middle of the picture."""
    picture = PillowImage.fromarray(image)
    draw = ImageDraw.Draw(picture)
    x, y = SIDE / 2 + rng.uniform(-70, 70, 2)
    w, h = rng.uniform(20, 160), rng.uniform(10, 90)
    color = tuple(rng.integers(0, 256, 3).tolist())
    kind = int(rng.integers(3))
    if kind == 0:
        draw.rounded_rectangle([x - w / 2, y, x + w / 2, y + h], 8, color)
    elif kind == 1:
        for side in (-1, 1):
            draw.ellipse([x + side * w / 3 - h / 2, y - h / 2, x + side * w / 3 + h / 2, y + h / 2], color)
        draw.line([(x - w / 3, y), (x + w / 3, y)], color, 3)
    else:
        draw.ellipse([x - w / 2, y - h / 2, x + w / 2, y + h / 2], color)
    return np.array(picture)


def _roll(rng: np.random.Generator) -> float:
    """Degrees: mostly small, often up to 45 either way; quarter turns are made of whole pictures."""
    return float(rng.normal(0, 8) if rng.random() < 0.55 else rng.uniform(-45, 45))


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
