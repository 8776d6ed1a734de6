"""Measure how much of a JPEG without its end is missing, and add the end marker.

libjpeg fills the missing part of a file that has an end marker with gray.  To measure that part, the file is
decoded twice, once with nothing and once with noise after its last byte.  The picture ends at the first row
of pixels in which the two differ.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageChops

MOST_MISSING = 0.05
"""A photo that lacks a larger part of its height is refused."""

MOST_PIXELS = 12_000_000  # of a picture that is decoded to measure this

_END = b"\xff\xd9"
_NOISE = np.random.default_rng(0).integers(0, 255, 4096, dtype=np.uint8).tobytes()  # no byte of a marker
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_PROGRESSIVE = (0xC2, 0xCA)
_FRAMES = (0xC0, 0xC1, *_PROGRESSIVE, 0xC9)


def with_end(
    data: bytes, size: tuple[int, int], decode: Callable[[bytes, int], PillowImage.Image]
) -> tuple[bytes, float] | None:
    """Return a JPEG with an end marker added, and the share of its height that is missing.

    Args:
        data: A JPEG file without its end.
        size: (W, H).
        decode: Returns the picture of a file at 1, 1/2, 1/4 or 1/8 of its size.

    Returns:
        The file and the share of rows that are gray, or in a progressive JPEG coarse.  None where a whole
        scan is missing: a color, or the fine detail of a progressive JPEG.
    """
    scans = _scans(data)
    if not scans.complete:
        return None
    # Means of 8 x 8 pixels suffice unless the last scan is one of fine detail; memory stays bounded.
    reduce = 8
    if scans.progressive:
        reduce = next((k for k in (1, 2, 4) if size[0] * size[1] <= MOST_PIXELS * k * k), 8)
    body = data.rstrip(b"\xff")
    ended = body + _END
    picture, noisy = decode(ended, reduce), decode(body + _NOISE + _END, reduce)
    box = ImageChops.difference(picture, noisy).getbbox()
    return ended, 0.0 if box is None else 1 - box[1] / picture.height


class _Scans(NamedTuple):
    progressive: bool
    complete: bool


def _scans(data: bytes) -> _Scans:
    """Whether each color has a scan, and in a progressive JPEG each coefficient its last bit."""
    progressive = False
    left: dict[int, set[int]] = {}  # coefficients of each color that are not complete to the last bit
    for marker, content in _segments(data):
        if marker in _FRAMES and len(content) >= 6:
            progressive = marker in _PROGRESSIVE
            left = {content[6 + 3 * i]: set(range(64)) for i in range((len(content) - 6) // 3)}
        elif marker == 0xDA and content:
            count = content[0]
            if len(content) < 4 + 2 * count:
                break
            first, last, bits = content[1 + 2 * count : 4 + 2 * count]
            covered = set(range(first, last + 1)) if progressive else set(range(64))
            for i in range(count):
                if not progressive or not bits & 15:
                    left.get(content[1 + 2 * i], set()).difference_update(covered)
    return _Scans(progressive, bool(left) and not any(left.values()))


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Each marker with its content, as far as both are whole; the pixels of a scan are passed over."""
    at = 2
    while (found := _MARKER.search(data, at)) is not None:
        marker, at = data[found.start() + 1], found.end()
        if marker in (0x01, 0xD8, 0xD9):
            continue
        length = int.from_bytes(data[at : at + 2], "big")
        if length < 2 or at + length > len(data):
            return
        yield marker, data[at + 2 : at + length]
        at += length
