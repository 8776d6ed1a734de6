"""Read a photo safely: any usual format in, upright RGB out, or one sentence that says why not.

Limits on bytes and pixels are checked before anything is decoded, and the decoders are picked by
the first bytes of the file rather than through ``PIL.Image.open``: that function knows some forty
formats and obeys a process-wide pixel limit, and a library has no business changing either for
the program around it.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
from PIL import Image as PillowImage

from .errors import ImageNotFound, ImageTooLarge, UnreadableImage, UsageError
from .escape import one_line
from .types import Image

Source: TypeAlias = "str | os.PathLike[str] | bytes | NDArray[Any]"
"""What a photo can be given as: a path, the content of a file, or an array."""

MAX_BYTES = 64 * 2**20
MAX_PIXELS = 100_000_000

IMAGE_EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
"""Lower case; compare case-insensitively."""

FORMATS = "JPEG, PNG, WebP, BMP, TIFF or GIF"

_OPENERS: dict[str, Callable[[io.BytesIO], Any]] = {
    "JPEG": JpegImagePlugin.jpeg_factory,
    "PNG": PngImagePlugin.PngImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "GIF": GifImagePlugin.GifImageFile,
}

# What people hand over by mistake, by its first bytes; only to make the message more helpful.
_STRANGERS = (
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"<svg", "an SVG drawing"),
    (b"<?xml", "an XML or SVG document"),
    (b"<!doctype html", "a web page"),
    (b"<html", "a web page"),
    (b"{", "JSON text"),
    (b"[", "JSON text"),
    (b"version https://git-lfs", "a Git LFS pointer: run git lfs pull"),
)

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


def shown(name: str | os.PathLike[str]) -> str:
    """``name`` fit for a one-line message: non-printable characters escaped, the middle of a very
    long name left out."""
    text = os.fspath(name) or "''"
    text = one_line(text)
    return text if len(text) <= 1000 else f"{text[:500]}...{text[-200:]}"


def read_file(path: str | os.PathLike[str], max_bytes: int = MAX_BYTES) -> bytes:
    """The content of an image file; never hangs on a pipe and never reads more than ``max_bytes``.

    Raises ImageNotFound, UnreadableImage or ImageTooLarge.
    """
    name = shown(path)
    # Without O_NONBLOCK, opening a named pipe waits for a writer that may never come.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        with os.fdopen(os.open(path, flags), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise UnreadableImage(f"{name}: a pipe or device, not a file; save the image to a file first")
            if status.st_size > max_bytes:
                raise _too_many_bytes(name, max_bytes)
            data = file.read(max_bytes + 1)  # the file may have grown since
    except (OSError, ValueError) as error:
        raise _cannot_open(path, name, error) from None
    if len(data) > max_bytes:
        raise _too_many_bytes(name, max_bytes)
    if not data:
        raise UnreadableImage(f"{name}: the file is empty; copy or download it again")
    return data


def _too_many_bytes(name: str, max_bytes: int) -> ImageTooLarge:
    return ImageTooLarge(
        f"{name}: too large, over the limit of {max_bytes / 2**20:.3g} MiB; save it smaller first"
    )


def _cannot_open(path: str | os.PathLike[str], name: str, error: Exception) -> Exception:
    """The error of our tree for a file that the operating system would not open."""
    if not isinstance(error, OSError):  # a NUL or a character that no file system can hold
        return ImageNotFound(f"{name}: not a possible file name; check the path")
    if isinstance(error, IsADirectoryError) or os.path.isdir(path):  # noqa: PTH112
        return UnreadableImage(f"{name}: a folder, not an image; give the path of one image file")
    if error.errno == errno.ENOENT and os.path.islink(path):  # noqa: PTH114
        return ImageNotFound(f"{name}: a link to a file that does not exist; check where it leads")
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return ImageNotFound(f"{name}: no such file; check the path")
    if error.errno in (errno.ELOOP, errno.ENAMETOOLONG):
        return ImageNotFound(f"{name}: no such file ({os.strerror(error.errno)}); check the path")
    if error.errno in (errno.EACCES, errno.EPERM):
        return UnreadableImage(f"{name}: permission denied; allow reading it (chmod +r) or copy it")
    if error.errno == errno.ENXIO:
        return UnreadableImage(f"{name}: a socket or device, not a file; save the image to a file first")
    return UnreadableImage(f"{name}: cannot be read ({error.strerror}); check the disk and copy it again")


def read_image(
    source: Source, *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS, name: str | None = None,
    reduce: int = 1,
) -> Image:  # fmt: skip
    """The photo as upright RGB, uint8 of shape (H, W, 3).

    ``source`` is a path, the content of a JPEG, PNG, WebP, BMP, TIFF or GIF file (the first frame),
    or an array: uint8 of shape (H, W), (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGBA.  ``name`` is how
    messages call it where it has no path.  The orientation that EXIF states is applied.  Transparent
    parts become white: that is what a page shows behind them, and dark hair would melt into black.
    16-bit and floating-point greys are scaled to 8 bits.  Colour profiles are not applied.

    ``reduce`` 2, 4 or 8 asks for that fraction of the pixels a side, rounded up, and is heeded for JPEG
    only, whose decoder averages them in half the time; see ``facealike.photo``.

    Decoding takes about ten bytes a pixel for a moment, one gigabyte at the limit.  The result may be
    read-only, and is the given array itself where that is RGB already.

    Raises ImageNotFound, UnreadableImage (empty, truncated, damaged, no image), ImageTooLarge, and
    UsageError for a source or an array of another kind.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, max_pixels, name or "the array")
    if isinstance(source, (bytes, bytearray, memoryview)):
        label = shown(name or "the image")
        data = bytes(source)
        if not data:
            raise UnreadableImage(f"{label}: the file is empty; copy or download it again")
        if len(data) > max_bytes:
            raise _too_many_bytes(label, max_bytes)
    elif isinstance(source, (str, os.PathLike)):
        label = shown(name or source)
        data = read_file(source, max_bytes)
    else:
        raise UsageError(f"an image is a path, bytes or an array, not {type(source).__name__}")
    return _decode(data, max_pixels, label, reduce)


def _from_array(array: NDArray[Any], max_pixels: int, name: str) -> Image:
    if array.dtype != np.uint8 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))):
        raise UsageError(
            f"{name}: an image array is uint8 of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), "
            f"not {array.dtype} of shape {array.shape}"
        )
    _check_size(array.shape[1], array.shape[0], max_pixels, name)
    if array.ndim == 2:
        array = array[:, :, None]
    if array.shape[2] == 1:
        array = np.repeat(array, 3, axis=2)
    if array.shape[2] == 4:
        return _over_white(array)
    return np.ascontiguousarray(array)


def _check_size(width: int, height: int, max_pixels: int, name: str) -> None:
    if width < 1 or height < 1:
        raise UnreadableImage(f"{name}: an image of zero size ({width} x {height}); use another file")
    if width * height > max_pixels:
        raise ImageTooLarge(
            f"{name}: too large, {width} x {height} pixels are over the limit of "
            f"{max_pixels / 1e6:.3g} megapixels; scale it down first"
        )


def _sniff(data: bytes) -> str | None:
    """The format that the first bytes announce, or None."""
    if data[:3] == b"\xff\xd8\xff":
        return "JPEG"
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return "PNG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return "GIF"
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "TIFF"
    return "BMP" if data[:2] == b"BM" else None


def _stranger(data: bytes, name: str) -> UnreadableImage:
    head = data[:64].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    looks = next((what for magic, what in _STRANGERS if head.startswith(magic.lower())), None)
    if data[4:8] == b"ftyp":
        looks = "a HEIC, AVIF or MP4 file"
    hint = f" (it looks like {looks})" if looks else ""
    return UnreadableImage(f"{name}: not an image that can be read{hint}; use {FORMATS}")


def _webp_size(data: bytes) -> tuple[int, int] | None:
    """Width and height from the header (RFC 9649); None where it is too damaged to tell.

    Pillow's WebP decoder claims memory for the whole canvas as soon as it opens a file, so the
    header has to be read before that.
    """
    kind, head = data[12:16], data[20:30]
    if len(head) < 10:
        return None
    if kind == b"VP8X":
        return 1 + int.from_bytes(head[4:7], "little"), 1 + int.from_bytes(head[7:10], "little")
    if kind == b"VP8 ":
        size = int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")
        return size[0] & 0x3FFF, size[1] & 0x3FFF
    if kind == b"VP8L":
        bits = int.from_bytes(head[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return None


def _decode(data: bytes, max_pixels: int, name: str, reduce: int) -> Image:
    kind = _sniff(data)
    if kind is None:
        raise _stranger(data, name)
    if kind == "WebP" and (size := _webp_size(data)) is not None:
        _check_size(*size, max_pixels, name)
    try:
        with _OPENERS[kind](io.BytesIO(data)) as image:
            _check_size(image.width, image.height, max_pixels, name)
            if kind == "TIFF":  # a tile is decoded whole, however small the image it belongs to
                _check_size(image.tag_v2.get(322, 1), image.tag_v2.get(323, 1), max_pixels, name)
            if kind == "PNG":  # Pillow skips the checksums of pixel data unless asked to verify
                with PngImagePlugin.PngImageFile(io.BytesIO(data)) as twin:
                    twin.verify()
            if kind == "JPEG" and reduce > 1:
                image.draft(None, (max(1, image.width // reduce), max(1, image.height // reduce)))
            image.load()
            _check_size(image.width, image.height, max_pixels, name)
            return _turn(_to_rgb(image, name), _orientation(image))
    except (UnreadableImage, ImageTooLarge):
        raise
    except (MemoryError, PillowImage.DecompressionBombError, PillowImage.DecompressionBombWarning):
        raise ImageTooLarge(f"{name}: too large to decode in memory; scale it down first") from None
    except Exception as error:  # damaged files make Pillow raise nearly every class of error there is
        raise UnreadableImage(
            f"{name}: a damaged or truncated {kind} image; copy or download it again"
        ) from error


def jpeg_size(data: bytes) -> tuple[int, int, int] | None:
    """Width, height and EXIF orientation that a JPEG's header states, as it lies; None for other content.

    Nothing is checked: that is for ``read_image``, which also says what is wrong.
    """
    if _sniff(data) != "JPEG":
        return None
    try:
        with _OPENERS["JPEG"](io.BytesIO(data)) as image:
            return image.width, image.height, _orientation(image)
    except Exception:  # damaged files make Pillow raise nearly every class of error there is
        return None


def _turn(array: Image, orientation: int) -> Image:
    if orientation not in _UPRIGHT:
        return array
    return np.ascontiguousarray(_UPRIGHT[orientation](array))


def _orientation(image: PillowImage.Image) -> int:
    """The EXIF orientation, 1 to 8.

    Asked after loading: Pillow turns a TIFF upright itself and then forgets the tag, and a PNG may
    state it behind the pixels.
    """
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # damaged metadata of an undamaged image: every viewer shows it as it lies
        return 1


def _to_rgb(image: PillowImage.Image, name: str) -> Image:
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
        return _over_white(np.asarray(strip.convert("RGBA")))
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


def _over_white(rgba: NDArray[np.uint8]) -> Image:
    """(H, W, 4) with straight alpha, laid over white and rounded to nearest."""
    out = np.empty((*rgba.shape[:2], 3), dtype=np.uint8)
    for top in range(0, len(rgba), _ROWS_AT_ONCE):
        strip = rgba[top : top + _ROWS_AT_ONCE].astype(np.uint32)
        colour, alpha = strip[:, :, :3], strip[:, :, 3:]
        out[top : top + _ROWS_AT_ONCE] = (colour * alpha + 255 * (255 - alpha) + 127) // 255
    return out


def resize_square(image: Image, size: int) -> Image:
    """``image`` stretched to (size, size, 3), averaged where it shrinks: a crop that was cut already."""
    if image.shape[:2] == (size, size):
        return image
    return np.asarray(PillowImage.fromarray(image).resize((size, size), PillowImage.Resampling.BILINEAR))
