"""Short videos of the example portraits: moving, scaled, crossing, and with a hard cut."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from facealike.video.writing import written_video
from support.paths import ROOT

SIZE = (320, 240)  # width and height

Placed = tuple[str, float, float, float]
"""A portrait, the center of its place, and its side in pixels."""


@cache
def portrait(name: str, side: int) -> PillowImage.Image:
    picture = PillowImage.open(ROOT / "examples" / "photos" / f"{name}.jpg").convert("RGB")
    return picture.resize((side, side), PillowImage.Resampling.LANCZOS)


def scene(placed: Sequence[Placed], size: tuple[int, int] = SIZE) -> np.ndarray:
    """A picture with portraits, the later ones in front."""
    picture = PillowImage.new("RGB", size, (70, 90, 110))
    for name, x, y, side in placed:
        picture.paste(portrait(name, round(side)), (round(x - side / 2), round(y - side / 2)))
    return np.asarray(picture)


def write_clip(
    path: Path, seconds: float, script: Callable[[float], Sequence[Placed]], rate: int = 25,
    size: tuple[int, int] = SIZE,
) -> Path:  # fmt: skip
    """Write a video of what ``script`` returns for each time."""
    with written_video(path, rate) as add:
        for number in range(round(seconds * rate)):
            add(scene(script(number / rate), size), number / rate)
    return path


def two_people(time: float) -> list[Placed]:
    """Grace Hopper and Eileen Collins side by side, moving and growing."""
    return [
        ("hopper", 80 + 20 * time, 110, 110 + 10 * time),
        ("collins", 240 - 10 * time, 130 - 5 * time, 110),
    ]


def crossing(time: float) -> list[Placed]:
    """Hopper goes from left to right in front of Collins, who goes the other way."""
    return [("collins", 260 - 100 * time, 130, 105), ("hopper", 60 + 100 * time, 120, 105)]


def cut(time: float) -> list[Placed]:
    """After a second the other person is at the same place; after two the first one is back."""
    return [("collins" if 1 <= time < 2 else "hopper", 160, 120, 150)]
