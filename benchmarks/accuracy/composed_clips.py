"""Clips composed of still photos: two people at a time who move, tilt, grow, blur, cross and swap places.

There is no footage here whose people are known, so photos of LFW stand in for it.  What real footage has and
these clips lack: heads that turn, expressions that change, bodies, crowds, and motion blur along a path.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageEnhance, ImageFilter

WIDTH, HEIGHT, RATE = 640, 360, 25
SECONDS = 4.0
SHOWN = 1.0
"""Seconds for which each photo of a person is shown."""

FACE_SIDE = 150
"""Pixels of a photo of 250 x 250 around its middle, where LFW has the face."""

SIDES = (50, 190)
"""Pixels to which that is scaled; a face is about 0.6 of it wide."""

BLUR = 2.5
"""Highest standard deviation of the blur, in pixels of the clip."""


@dataclass(frozen=True)
class Actor:
    """A person of a clip; ``places`` (n, 6) has center x and y, side, blur, gain and angle at each frame."""

    name: str
    photos: Sequence[Path]
    places: NDArray[np.float64]


def actors(people: Sequence[tuple[str, Sequence[Path]]], swap: bool, rng: np.random.Generator) -> list[Actor]:
    """Return two people with their ways through a clip.

    They go from one side to the other and cross in the middle; with ``swap`` they stay on their sides, and a
    hard cut in the middle of the clip swaps their places.
    """
    count = round(SECONDS * RATE)
    time = np.linspace(0, 1, count)
    found = []
    for number, (name, photos) in enumerate(people):
        start, end = (0.22, 0.78) if number == 0 else (0.78, 0.22)
        x = np.where(time < 0.5, start, end) if swap else start + (end - start) * time
        wobble = [_smooth(rng, count) for _ in range(6)]
        places = np.stack(
            [
                WIDTH * x + 25 * wobble[0],
                HEIGHT * (0.5 + 0.06 * (number - 0.5)) + 20 * wobble[1],
                np.exp(np.interp(wobble[2], [-2, 2], np.log(SIDES))),
                BLUR * np.clip(wobble[3], 0, 1),
                1 + 0.3 * np.clip(wobble[4], -1, 1),
                10 * np.clip(wobble[5], -1, 1),
            ],
            axis=1,
        )  # fmt: skip
        found.append(Actor(name, photos, places))
    return found


def frames(cast: Sequence[Actor], rng: np.random.Generator) -> Iterator[NDArray[np.uint8]]:
    """Yield the pictures of a clip; the last actor is in front."""
    background = PillowImage.fromarray(
        rng.integers(40, 200, (9, 16, 3), dtype=np.uint8)
    ).resize((WIDTH, HEIGHT), PillowImage.Resampling.BICUBIC)  # fmt: skip
    faces = {
        (actor.name, number): _middle(path) for actor in cast for number, path in enumerate(actor.photos)
    }
    for frame in range(round(SECONDS * RATE)):
        picture = background.copy()
        for actor in cast:
            x, y, side, blur, gain, angle = map(float, actor.places[frame])
            shown = int(frame / RATE / SHOWN) % len(actor.photos)
            face = faces[actor.name, shown].resize((round(side), round(side)), PillowImage.Resampling.LANCZOS)
            mask = PillowImage.new("L", face.size, 255).rotate(angle)
            face = face.rotate(angle, PillowImage.Resampling.BILINEAR)
            face = ImageEnhance.Brightness(face).enhance(gain).filter(ImageFilter.GaussianBlur(blur))
            picture.paste(face, (round(x - face.width / 2), round(y - face.height / 2)), mask)
        yield np.asarray(picture)


def person_at(cast: Sequence[Actor], frame: int, x: float, y: float) -> str | None:
    """Return whose face is at a place of a frame, the front one of two; None where there is none."""
    for actor in reversed(cast):
        center_x, center_y, side = actor.places[frame, :3]
        if np.hypot(x - center_x, y - center_y) < 0.3 * side:
            return actor.name
    return None


def _middle(path: Path) -> PillowImage.Image:
    photo = PillowImage.open(path).convert("RGB")
    left, top = (photo.width - FACE_SIDE) // 2, (photo.height - FACE_SIDE) // 2
    return photo.crop((left, top, left + FACE_SIDE, top + FACE_SIDE))


def _smooth(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Return a random curve of mean 0 and standard deviation 1 that turns about twice a second."""
    knots = rng.normal(size=round(SECONDS * 2) + 2)
    at = np.linspace(0, len(knots) - 1, count)
    return np.asarray(np.interp(at, np.arange(len(knots)), knots))
