"""Image formats that can be read: file extensions, first bytes and decoders.

A decoder is chosen by the first bytes of a file, never by its name.  AVIF needs a Pillow that has it (11.3
or later), HEIC the extra ``facealike[heic]``; both are imported when the first such photo is met.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache
from typing import Any

from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from ..utils.extras import install_command

IMAGE_EXTENSIONS = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif",
)  # fmt: skip
"""Extensions that can be read everywhere; lower case, compare case-insensitively."""

AVIF_EXTENSIONS = (".avif",)
HEIC_EXTENSIONS = (".heic", ".heif", ".hif")

FORMATS = "JPEG, PNG, WebP, AVIF, BMP, TIFF or GIF"

CURES = {"AVIF": "update Pillow to 11.3 or later", "HEIC": install_command("heic")}
"""What to do where one of these formats cannot be read here."""

# The brands of ISO base media files (ISO/IEC 14496-12) that hold a picture.
_AVIF_BRANDS = frozenset((b"avif", b"avis"))
_HEIC_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"))

# Other files by their first bytes, for a more helpful message.
_OTHERS = (
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"8BPS", "a file of Photoshop"),
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


class NoDecoder(Exception):
    """A known format that cannot be read here; the message states what to do."""


def sniff(data: bytes) -> str | None:
    """Return the format by the first bytes, or None."""
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
    if data[4:8] == b"ftyp":
        return _media(data)
    return "BMP" if data[:2] == b"BM" else None


def _media(data: bytes) -> str | None:
    """AVIF or HEIC, by the brands in the first box; None for a film or anything else."""
    end = min(int.from_bytes(data[:4], "big"), 256, len(data))
    brands = {data[8:12], *(data[i : i + 4] for i in range(16, end - 3, 4))}
    if brands & _AVIF_BRANDS:
        return "AVIF"
    return "HEIC" if brands & _HEIC_BRANDS else None


def looks_like(data: bytes) -> str | None:
    """Return in words what a file that is no photo seems to be; None where it is unknown."""
    if data[4:8] == b"ftyp":
        return "a film (MP4 or MOV)"
    head = data[:64].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return next((what for magic, what in _OTHERS if head.startswith(magic.lower())), None)


def open_photo(kind: str, data: bytes) -> Any:
    """Return the Pillow image of ``data`` with its header read and nothing decoded.

    Raises:
        NoDecoder: This format cannot be read here.
        Exception: Nearly any class, for damaged content.
    """
    return _OPENERS[kind](io.BytesIO(data))


@cache
def readable_extensions() -> tuple[str, ...]:
    """Return the file extensions that can be read here, lower case."""
    avif = AVIF_EXTENSIONS if _avif() is not None else ()
    return (*IMAGE_EXTENSIONS, *avif, *(HEIC_EXTENSIONS if _heic() is not None else ()))


def cure(extension: str) -> str | None:
    """Return what to do where photos of this extension, lower case, cannot be read here; else None."""
    if extension in readable_extensions():
        return None
    if extension in AVIF_EXTENSIONS:
        return CURES["AVIF"]
    return CURES["HEIC"] if extension in HEIC_EXTENSIONS else None


@cache
def _avif() -> Callable[[io.BytesIO], Any] | None:
    try:
        from PIL import AvifImagePlugin
    except ImportError:  # Pillow before 11.3
        return None
    return AvifImagePlugin.AvifImageFile if AvifImagePlugin.SUPPORTED else None


@cache
def _heic() -> Callable[[io.BytesIO], Any] | None:
    try:
        import pillow_heif
    except ImportError:
        return None
    opener: Callable[[io.BytesIO], Any] = pillow_heif.HeifImageFile
    return opener


def _late(kind: str, find: Callable[[], Callable[[io.BytesIO], Any] | None]) -> Callable[[io.BytesIO], Any]:
    def opened(stream: io.BytesIO) -> Any:
        opener = find()
        if opener is None:
            raise NoDecoder(CURES[kind])
        return opener(stream)

    return opened


_OPENERS: dict[str, Callable[[io.BytesIO], Any]] = {
    "JPEG": JpegImagePlugin.jpeg_factory,
    "PNG": PngImagePlugin.PngImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "AVIF": _late("AVIF", _avif),
    "HEIC": _late("HEIC", _heic),
}


def webp_size(data: bytes) -> tuple[int, int] | None:
    """Return width and height from a WebP header (RFC 9649); None where it is damaged.

    Pillow's WebP decoder allocates the whole canvas when it opens a file, so the size is checked before.
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
