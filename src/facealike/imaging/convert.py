"""From a decoded image of any kind to upright RGB, uint8 (H, W, 3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import TiffImagePlugin

from ..errors import UnreadableImage
from ..types import Image

# How the rows and columns of an image with this EXIF orientation (tag 0x0112) are put upright.
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
"""Pixels are converted in strips of rows, so that no step needs a second large array."""


def turn(array: Image, orientation: int) -> Image:
    """``array`` as the EXIF ``orientation`` wants it shown."""
    if orientation not in _UPRIGHT:
        return array
    return np.ascontiguousarray(_UPRIGHT[orientation](array))


def orientation_of(image: PillowImage.Image) -> int:
    """The EXIF orientation, 1 to 8.

    Asked after loading: Pillow turns a TIFF upright itself and then forgets the tag, and a PNG may
    state it behind the pixels.
    """
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # damaged metadata of an undamaged image: every viewer shows it as it lies
        return 1


def to_rgb(image: PillowImage.Image, name: str) -> Image:
    """The pixels of a loaded image as they lie, transparent parts white.

    Raises UnreadableImage, naming the photo by ``name``, for pixels that are no colours.
    """
    if image.mode.startswith("I;16"):
        return _grey(np.asarray(image), 0, _full_scale(image))
    if image.mode in ("I", "F"):
        values = np.asarray(image)
        return _grey(values, *_range(values, image.format == "PNG", name))
    if image.mode == "LAB":
        raise UnreadableImage(f"{name}: its colour space LAB is not supported; save it as RGB JPEG or PNG")
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
    """White of an image with up to 16 bits: TIFF also packs 12 bits, which Pillow does not scale."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        bits = image.tag_v2.get(258, (16,))
        return float(2 ** (bits[0] if isinstance(bits, tuple) else bits) - 1)
    return 65535.0


def _range(values: NDArray[Any], png: bool, name: str) -> tuple[float, float]:
    """Black and white of 32-bit integers and floats, which no standard fixes.

    The customary scales are recognised (0 to 1 for floats, 0 to 255, 0 to 65535); anything else is
    stretched from its least to its greatest value.
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


def _grey(values: NDArray[Any], black: float, white: float) -> Image:
    """(H, W) of any number type, scaled linearly so that black is 0 and white is 255."""
    out = np.empty((*values.shape, 3), dtype=np.uint8)
    for top in range(0, len(values), _ROWS_AT_ONCE):
        strip = values[top : top + _ROWS_AT_ONCE].astype(np.float64)
        grey = np.clip(np.rint((strip - black) * (255.0 / (white - black))), 0, 255)
        out[top : top + _ROWS_AT_ONCE] = grey[:, :, None].astype(np.uint8)
    return out


def over_white(rgba: NDArray[np.uint8]) -> Image:
    """(H, W, 4) with straight alpha, laid over white and rounded to nearest."""
    out = np.empty((*rgba.shape[:2], 3), dtype=np.uint8)
    for top in range(0, len(rgba), _ROWS_AT_ONCE):
        strip = rgba[top : top + _ROWS_AT_ONCE].astype(np.uint32)
        colour, alpha = strip[:, :, :3], strip[:, :, 3:]
        out[top : top + _ROWS_AT_ONCE] = (colour * alpha + 255 * (255 - alpha) + 127) // 255
    return out
