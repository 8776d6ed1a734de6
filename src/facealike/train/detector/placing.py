"""Place a picture within another: scaled, and turned about its center."""

from __future__ import annotations

import math

from PIL import Image as PillowImage


def placed(
    picture: PillowImage.Image, scale: float, degrees: float, middle: tuple[float, float],
    shape: tuple[int, int],
) -> PillowImage.Image:  # fmt: skip
    """Return ``picture`` in a frame of ``shape`` (width, height), with its center at ``middle``.

    Args:
        picture: A picture, or the mask of one.
        scale: Pixels of the frame for each of its pixels.
        degrees: Its angle, counterclockwise.
        middle: Where its center is in the frame.
        shape: The frame's size in pixels.
    """
    angle = math.radians(degrees)
    a, b = math.cos(angle) / scale, math.sin(angle) / scale
    x, y = picture.width / 2, picture.height / 2
    matrix = (a, b, x - a * middle[0] - b * middle[1], -b, a, y + b * middle[0] - a * middle[1])
    return picture.transform(shape, PillowImage.Transform.AFFINE, matrix, PillowImage.Resampling.BILINEAR)
