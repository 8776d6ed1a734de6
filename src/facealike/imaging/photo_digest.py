"""Digests of photos, of the file's bytes and of the decoded pixels, to recognize copies.

A copy has equal bytes under any name.  A photo whose metadata was edited, or that was saved again without
loss, has other bytes and equal pixels.  A photo that was compressed again or scaled has neither.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from typing import NamedTuple

import numpy as np

from ..errors import ImageError
from ..types import Image
from ..utils.ordered_threads import default_threads, map_ordered
from .read import Source, read_file, read_image

SALTED_DIGITS = 16


class PhotoDigest(NamedTuple):
    """The digests of a photo; two photos are the same where either entry is equal.

    ``file`` is the SHA-256 of the file's bytes and ``pixels`` that of the upright RGB pixels and their
    shape, both 64 hex digits.  Another JPEG decoder may round pixels differently.
    """

    file: str
    pixels: str


def photo_digest(source: Source, name: str | None = None) -> PhotoDigest:
    """Return both digests of one photo, decoded whole.

    Args:
        source: A path, the content of a file, or an array; of an array ``file`` is the digest of its pixels.
        name: What messages call a photo without a path.

    Raises:
        ImageError: The photo cannot be read.
    """
    if isinstance(source, str | os.PathLike):
        name, source = name or os.fspath(source), read_file(source)
    of_pixels = pixels_digest(read_image(source, name=name))
    content = bytes(source) if isinstance(source, bytes | bytearray | memoryview) else None
    return PhotoDigest(of_pixels if content is None else hashlib.sha256(content).hexdigest(), of_pixels)


def pixels_digest(image: Image) -> str:
    """Return the entry ``pixels`` of a photo that is decoded already, upright RGB uint8 (H, W, 3)."""
    digest = hashlib.sha256(f"{image.shape[0]}x{image.shape[1]} RGB\n".encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def photo_digests(
    paths: Sequence[str | os.PathLike[str]], threads: int | None = None,
    progress: Callable[[int, int], None] | None = None, strict: bool = False,
) -> list[PhotoDigest | None]:  # fmt: skip
    """Return the digests of each photo, in order; None for a file that cannot be read or decoded.

    Args:
        paths: Files of photos.
        threads: How many photos are decoded at a time; None for one a core.
        progress: Called with (done, total).
        strict: Raise where a photo cannot be read.

    Raises:
        ImageError: With ``strict``, the first photo that cannot be read.
    """
    count = default_threads() if threads is None else max(0, threads - 1)
    digests: list[PhotoDigest | None] = []
    with closing(map_ordered(photo_digest if strict else _or_none, paths, count)) as found:
        for digest in found:
            digests.append(digest)
            if progress is not None:
                progress(len(digests), len(paths))
    return digests


def _or_none(path: str | os.PathLike[str]) -> PhotoDigest | None:
    try:
        return photo_digest(path)
    except ImageError:
        return None


def salted(digest: str, salt: str) -> str:
    """Return the first 16 hex digits of SHA-256(salt, NUL, digest): a photo in a card.

    The salt prevents looking up a known photo in the cards of several models at once.
    """
    return hashlib.sha256(f"{salt}\0{digest}".encode()).hexdigest()[:SALTED_DIGITS]


def same_photos(digests: Iterable[PhotoDigest | None]) -> list[int]:
    """Return for each photo the index of the first photo that is the same, its own index where it is new.

    Equal bytes or equal pixels make two photos the same.  None, a photo that could not be read, equals no
    other.
    """
    first: dict[str, int] = {}
    places: list[int] = []
    for i, digest in enumerate(digests):
        # Equal bytes decode to equal pixels, so the pixels decide both.
        places.append(i if digest is None else first.setdefault(digest.pixels, i))
    return places
