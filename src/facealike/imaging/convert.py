"""Convert a decoded image of any mode to upright RGB, uint8 (H, W, 3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import TiffImagePlugin

from ..errors import UnreadableImage
from ..types import Image

# What turns an image with this EXIF orientation (tag 0x0112) upright.
_UPRIGHT: dict[int, Callable[[Image], Image]] = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a[::-1].swapaxes(0, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a[:, ::-1].swapaxes(0, 1),
}

_ROWS_AT_ONCE = 256
"""Rows converted at a time, so that no step needs a second large array."""


def turn(array: Image, orientation: int) -> Image:
    """Return ``array`` turned upright from the EXIF ``orientation``."""
    if orientation not in _UPRIGHT:
        return array
    return np.ascontiguousarray(_UPRIGHT[orientation](array))


def orientation_of(image: PillowImage.Image) -> int:
    """Return the EXIF orientation, 1 to 8.

    Call it after loading: Pillow turns a TIFF upright itself and then drops the tag, and a PNG may state it
    after the pixels.
    """
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # damaged metadata of an undamaged image: viewers show it as stored
        return 1


def to_rgb(image: PillowImage.Image, name: str) -> Image:
    """Return the pixels of a loaded image as stored, transparent parts white.

    Raises:
        UnreadableImage: The pixels are no colors, or not finite.
    """
    if image.mode.startswith("I;16"):
        return _gray(np.asarray(image), 0, _full_scale(image))
    if image.mode in ("I", "F"):
        values = np.asarray(image)
        return _gray(values, *_range(values, image.format == "PNG", name))
    if image.mode == "LAB":
        raise UnreadableImage(f"{name}: its color space LAB is not supported; save it as RGB JPEG or PNG")
    if image.height <= _ROWS_AT_ONCE:
        return _strip_to_rgb(image)
    out = np.empty((image.height, image.width, 3), dtype=np.uint8)
    for top in range(0, image.height, _ROWS_AT_ONCE):
        bottom = min(top + _ROWS_AT_ONCE, image.height)
        out[top:bottom] = _strip_to_rgb(image.crop((0, top, image.width, bottom)))
    return out


def _strip_to_rgb(strip: PillowImage.Image) -> Image:
    if strip.mode == "La":  # premultiplied; Pillow only undoes that within the mode's family
        strip = strip.convert("LA")
    if strip.mode in ("LA", "PA", "RGBA", "RGBa") or "transparency" in strip.info:
        return over_white(np.asarray(strip.convert("RGBA")))
    return np.asarray(strip.convert("RGB"))


def _full_scale(image: PillowImage.Image) -> float:
    """White of an image with up to 16 bits; Pillow does not scale the 12 bits that TIFF also has."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        bits = image.tag_v2.get(258, (16,))
        return float(2 ** (bits[0] if isinstance(bits, tuple) else bits) - 1)
    return 65535.0


def _range(values: NDArray[Any], png: bool, name: str) -> tuple[float, float]:
    """Black and white of 32-bit integers and floats, which no standard fixes.

    The customary scales are recognized (0 to 1 for floats, 0 to 255, 0 to 65535); other values are
    stretched from the least to the greatest.
    """
    if png:
        return 0.0, 65535.0
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise UnreadableImage(f"{name}: its pixels are not all finite numbers; save it as 8-bit PNG")
    if low >= 0:
        scales = (1.0, 255.0, 65535.0) if values.dtype.kind == "f" else (255.0, 65535.0)
        for white in scales:
            if high <= white:
                return 0.0, white
    return low, high if high > low else low + 1


def _gray(values: NDArray[Any], black: float, white: float) -> Image:
    """Values (H, W) scaled linearly so that black is 0 and white is 255, as RGB."""
    out = np.empty((*values.shape, 3), dtype=np.uint8)
    for top in range(0, len(values), _ROWS_AT_ONCE):
        strip = values[top : top + _ROWS_AT_ONCE].astype(np.float64)
        gray = np.clip(np.rint((strip - black) * (255.0 / (white - black))), 0, 255)
        out[top : top + _ROWS_AT_ONCE] = gray[:, :, None].astype(np.uint8)
    return out


def over_white(rgba: NDArray[np.uint8]) -> Image:
    """Return RGBA (H, W, 4) with straight alpha over white, rounded to nearest."""
    out = np.empty((*rgba.shape[:2], 3), dtype=np.uint8)
    for top in range(0, len(rgba), _ROWS_AT_ONCE):
        strip = rgba[top : top + _ROWS_AT_ONCE].astype(np.uint32)
        color, alpha = strip[:, :, :3], strip[:, :, 3:]
        out[top : top + _ROWS_AT_ONCE] = (color * alpha + 255 * (255 - alpha) + 127) // 255
    return out
