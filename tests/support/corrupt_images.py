"""A corpus of files that are no usable photo, made on the spot; shared by tests of every surface."""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image as PillowImage

OVER_MAX_BYTES = 64 * 2**20 + 1

# Each format, and what a message about a damaged file of it says.
FORMATS = {"jpg": "JPEG", "png": "PNG", "webp": "WebP", "gif": "GIF", "bmp": "BMP", "tif": "TIFF"}


class BadInput(NamedTuple):
    """``expect`` are words that the message must contain; ``argument`` tells whether ``path`` can
    be an argument of a program at all (one with a NUL cannot)."""

    name: str
    path: str
    expect: tuple[str, ...]
    argument: bool = True


def encoded(extension: str, array: np.ndarray | None = None, **options: object) -> bytes:
    """A good image of this format; by default noise, which no format can shorten much."""
    if array is None:
        array = np.random.default_rng(7).integers(0, 256, (64, 48, 3), dtype=np.uint8)
    stream = io.BytesIO()
    pillow_name = {"jpg": "JPEG", "tif": "TIFF"}.get(extension, extension.upper())
    PillowImage.fromarray(array).save(stream, pillow_name, **options)
    return stream.getvalue()


def png_chunk(kind: bytes, data: bytes, crc: int | None = None) -> bytes:
    crc = zlib.crc32(kind + data) if crc is None else crc
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)


def png(width: int, height: int, pixels: bytes = b"\0" * 100) -> bytes:
    """A PNG whose header may claim anything."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(pixels))
        + png_chunk(b"IEND", b"")
    )


def gif(width: int, height: int, frame: tuple[int, int] | None = None) -> bytes:
    """A GIF whose logical screen and first frame may claim anything."""
    data = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    data += b"," + struct.pack("<HHHHB", 0, 0, *(frame or (width, height)), 0)
    return data + b"\x02\x02\x44\x01\x00;"


def bmp(width: int, height: int) -> bytes:
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 2835, 2835, 0, 0)
    return b"BM" + struct.pack("<IHHI", 154, 0, 0, 54) + head + b"\x80" * 100


def tiff(width: int, height: int, tile: int | None = None) -> bytes:
    """A small uncompressed RGB TIFF whose tags may claim anything."""
    tags = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 1), (262, 3, 1), (277, 3, 1)]
    if tile is None:
        tags += [(273, 4, 8), (278, 4, height), (279, 4, 16)]
    else:
        tags += [(322, 4, tile), (323, 4, tile), (324, 4, 8), (325, 4, 16)]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in sorted(tags))
    return b"II*\0" + struct.pack("<I", 24) + b"\x40" * 16 + struct.pack("<H", len(tags)) + entries + bytes(4)


def jpeg_of_size(width: int, height: int) -> bytes:
    """A good JPEG whose frame header is overwritten with another size."""
    data = bytearray(encoded("jpg"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def webp_of_size(width: int, height: int) -> bytes:
    """An extended WebP that claims a canvas of this size around a good small image."""
    body = encoded("webp")[12:]
    canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"VP8X" + struct.pack("<I", 10) + bytes(4) + canvas + body
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def _strangers() -> dict[str, tuple[bytes, str]]:
    """Content that is no image: file name -> (bytes, word of the message)."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("photo.jpg", encoded("jpg"))
    not_image = "not an image"
    return {
        "empty.jpg": (b"", "empty"),
        "one-byte.jpg": (b"\xff", not_image),
        "text.txt": ("Just some words, größer than none.\n".encode(), not_image),
        "html.jpg": (b"<!DOCTYPE html><html><body>404</body></html>", "web page"),
        "json.png": (b'{"error": "not found"}', "JSON"),
        "program": (b"\x7fELF\x02\x01\x01" + bytes(200), "program"),
        "zip.jpg": (stream.getvalue(), "zip archive"),
        "gzip.png": (b"\x1f\x8b\x08\0" + bytes(50), "gzip"),
        "document.pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "PDF"),
        "scan.jp2": (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40), "JPEG 2000"),
        "bare.jxl": (b"\xff\x0a" + bytes(40), "JPEG XL"),
        "drawing.svg": (b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', "SVG"),
        "declared.svg": (b'<?xml version="1.0"?><svg/>', "SVG"),
        "phone.jpg": (b"\0\0\0\x18ftypheic" + bytes(100), "HEIC"),
        "pointer.png": (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        "script.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", not_image),
        "portable.ppm": (b"P6 2 2 255\n" + bytes(12), not_image),
        "garbage.jpg": (np.random.default_rng(0).bytes(5000), not_image),
        "zeros.png": (bytes(5000), not_image),
    }


def _damaged() -> dict[str, tuple[bytes, str]]:
    """Broken structure: file name -> (bytes, word of the message)."""
    good, damaged, too_large = encoded("png"), "damaged or truncated", "too large"
    pixels = good.index(b"IDAT")
    bad_pixel_crc = good[:-16] + bytes([good[-16] ^ 1]) + good[-15:]
    small_frame = gif(4, 4)
    good_webp = encoded("webp")
    nan = encoded("tif", np.full((4, 4), np.nan, dtype=np.float32))
    lab = io.BytesIO()
    PillowImage.new("LAB", (8, 8)).save(lab, "TIFF")
    return {
        "header-crc.png": (good[:29] + bytes([good[29] ^ 1]) + good[30:], damaged),
        "pixel-crc.png": (bad_pixel_crc, damaged),
        "pixels-flipped.png": (good[: pixels + 900] + b"\0\0\0\0" + good[pixels + 904 :], damaged),
        "length.png": (good[: pixels - 4] + b"\x7f\xff\xff\xff" + good[pixels:], damaged),
        "no-pixels.png": (good[: pixels - 4] + png_chunk(b"IEND", b""), damaged),
        "no-end.png": (good[:-12], damaged),
        "deflate.png": (good[: pixels - 4] + png_chunk(b"IDAT", b"junk") + png_chunk(b"IEND", b""), damaged),
        "few-rows.png": (png(100, 100), damaged),
        "lying.png": (png(9000, 9000), damaged),
        "zero.png": (png(0, 10), damaged),
        "bomb.png": (png(60000, 60000), too_large),
        "negative.png": (png(2**31 - 1, 2**31 - 1), too_large),
        "no-tables.jpg": (b"\xff\xd8\xff\xda" + bytes(50), damaged),
        "no-frame.jpg": (b"\xff\xd8\xff\xd9", damaged),
        "markers.jpg": (b"\xff\xd8" + b"\xff\xe0\x00\x02" * 200, damaged),
        "zero.jpg": (jpeg_of_size(0, 0), damaged),
        "bomb.jpg": (jpeg_of_size(65500, 65500), too_large),
        "lying.jpg": (jpeg_of_size(9000, 9000)[:-2], damaged),
        "code-size.gif": (small_frame.replace(b"\x02\x02\x44", b"\x20\x02\x44"), damaged),
        "no-frames.gif": (b"GIF89a" + struct.pack("<HHBBB", 9, 9, 0, 0, 0) + b";", damaged),
        "zero.gif": (gif(0, 0), damaged),
        "bomb.gif": (gif(65535, 65535), too_large),
        "bomb-frame.gif": (gif(4, 4, frame=(65535, 65535)), too_large),
        "lying.gif": (gif(9000, 9000), damaged),
        "bomb.bmp": (bmp(60000, 60000), too_large),
        "lying.bmp": (bmp(9000, 9000), damaged),
        "zero.bmp": (bmp(0, 5), damaged),
        "bomb.tif": (tiff(60000, 60000), too_large),
        "bomb-tile.tif": (tiff(4, 4, tile=60000), too_large),
        "lying.tif": (tiff(9000, 9000), damaged),
        "zero.tif": (tiff(0, 4), damaged),
        "no-directory.tif": (b"II*\0\xff\xff\xff\x7f", damaged),
        "nan.tif": (nan, "not all finite"),
        "lab.tif": (lab.getvalue(), "LAB"),
        "bomb.webp": (webp_of_size(16384, 16384), too_large),
        "lying.webp": (webp_of_size(9000, 9000), damaged),
        "length.webp": (good_webp[:4] + b"\xff\xff\xff\x7f" + good_webp[8:], damaged),
        "kind.webp": (good_webp[:12] + b"XXXX" + good_webp[16:], damaged),
    }


def _truncated() -> dict[str, tuple[bytes, str]]:
    """Each format cut off after its signature, in its header, halfway and near its end."""
    files: dict[str, tuple[bytes, str]] = {}
    for extension, word in FORMATS.items():
        data = encoded(extension)
        for place, length in (("signature", 12), ("header", 25), ("half", len(data) // 2)):
            files[f"{place}.{extension}"] = data[:length], word
        # The tables of a TIFF lie behind its pixels and those of a JPEG before them.
        files[f"late.{extension}"] = data[: int(len(data) * 0.9)], word
    return files


def _awkward_names() -> dict[str, tuple[bytes, tuple[str, ...]]]:
    """Broken files whose names are a test of their own: name -> (bytes, words)."""
    junk = b"no image"
    return {
        "Größe 😀 写真.jpg": (junk, ("Größe 😀 写真.jpg", "not an image")),
        "two\nlines.jpg": (junk, (r"two\nlines.jpg", "not an image")),
        "colour\x1b[31m.jpg": (junk, (r"colour\x1b[31m.jpg", "not an image")),
        "-dash.jpg": (junk, ("-dash.jpg", "not an image")),
        "with space %s {x}.jpg": (junk, ("with space %s {x}.jpg", "not an image")),
        "undecodable\udcff.jpg": (junk, ("undecodable", "not an image")),
    }


def _places(folder: Path) -> list[BadInput]:
    """Paths that lead to no regular file, or to one that cannot be opened."""
    directory = folder / "folder.jpg"
    directory.mkdir()
    (folder / "file.jpg").write_bytes(encoded("jpg"))
    bad = [
        BadInput("missing", str(folder / "missing.jpg"), ("missing.jpg", "no such file")),
        BadInput("directory", str(directory), ("folder.jpg", "folder")),
        BadInput("below-a-file", str(folder / "file.jpg" / "x.jpg"), ("x.jpg", "no such file")),
        BadInput("name-too-long", str(folder / ("long" * 200)), ("longlong", "no such file")),
        BadInput("no-name", "", ("''", "no such file")),
        BadInput("nul", str(folder / "nul\0.jpg"), (r"nul\x00.jpg", "not a possible"), argument=False),
    ]
    huge = folder / "huge.jpg"
    with huge.open("wb") as file:
        file.write(b"\xff\xd8\xff")
        file.truncate(OVER_MAX_BYTES)
    bad.append(BadInput("huge", str(huge), ("huge.jpg", "too large", "64 MiB")))
    if os.name != "posix":
        return bad
    links = {"dangling.jpg": "nowhere.jpg", "loop.jpg": "loop.jpg", "to-folder.jpg": "folder.jpg"}
    words = {"dangling.jpg": "link", "loop.jpg": "no such file", "to-folder.jpg": "folder"}
    for name, target in links.items():
        (folder / name).symlink_to(target)
        bad.append(BadInput(name, str(folder / name), (name, words[name])))
    os.mkfifo(folder / "pipe.jpg")
    bad.append(BadInput("pipe", str(folder / "pipe.jpg"), ("pipe.jpg", "not a file")))
    if Path("/dev/zero").exists():
        bad.append(BadInput("device", "/dev/zero", ("/dev/zero", "not a file")))
    if os.geteuid() != 0:  # root may read everything
        secret = folder / "secret.jpg"
        secret.write_bytes(encoded("jpg"))
        secret.chmod(0)
        bad.append(BadInput("secret", str(secret), ("secret.jpg", "permission")))
    return bad


def make_bad_inputs(folder: Path) -> list[BadInput]:
    """Fill ``folder`` (made if need be) with bad inputs, and list them with what to expect of each."""
    folder.mkdir(parents=True, exist_ok=True)
    bad = _places(folder)
    for group in (_strangers(), _damaged(), _truncated()):
        for name, (data, word) in group.items():
            (folder / name).write_bytes(data)
            bad.append(BadInput(name, str(folder / name), (name, word)))
    for name, (data, words) in _awkward_names().items():
        try:
            (folder / name).write_bytes(data)
        except (OSError, ValueError):  # not every file system takes every name
            continue
        bad.append(BadInput(words[0], str(folder / name), words))
    return bad
