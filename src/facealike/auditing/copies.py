"""Find copies: photos of equal pixels, and photos that were scaled, compressed, mirrored or cropped.

Exact copies have equal pixels (``facealike.imaging.photo_digest``).  Near copies are proposed by the cosine
of their embeddings, or of their gray pictures where no face was found.  Then their pixels are compared: the
correlation of the two gray pictures, of the aligned face crops or else of the whole photos, at the best of a
few shifts, also with one of them mirrored.  Two photos that were taken one moment after the other differ in
expression or pose, and fall below ``SAME_PIXELS``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..clustering.neighbors import neighbors_above
from ..imaging.photo_digest import same_photos
from .examined import SIDE, ExaminedPhoto

PROPOSED_SCORE = 0.97
"""Photos of at least this cosine are compared pixel by pixel."""

MOST_PROPOSED = 64
"""Neighbors of a photo that are compared."""

SAME_PIXELS = 0.97
"""Lowest correlation of the gray pictures of two copies; see docs/results/audit.md."""

SHIFT = 2
"""Pixels of the gray pictures by which one is moved on the other, either way."""

PROPOSED_CORRELATION = 0.9
"""Photos without a face are compared at several shifts from this correlation on."""

AT_ONCE = 2048
"""Pairs that are compared at a time."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


class Copy(NamedTuple):
    """Two photos, ``first`` before ``second``, that are one; ``correlation`` is 1 for equal pixels."""

    first: int
    second: int
    correlation: float
    exact: bool
    mirrored: bool


def find_copies(photos: Sequence[ExaminedPhoto]) -> list[Copy]:
    """Return each photo that is a copy of an earlier one, once, with the one it is most like."""
    places = same_photos([photo.digest for photo in photos])
    copies = [Copy(first, i, 1.0, True, False) for i, first in enumerate(places) if first != i]
    distinct = [i for i, first in enumerate(places) if first == i and photos[i].gray is not None]
    best: dict[int, Copy] = {}
    for copy in _near(photos, distinct):
        known = best.get(copy.second)
        if known is None or copy.correlation > known.correlation:
            best[copy.second] = copy
    return sorted([*copies, *best.values()], key=lambda copy: (copy.first, copy.second))


def _near(photos: Sequence[ExaminedPhoto], distinct: Sequence[int]) -> Iterator[Copy]:
    faces = np.array([i for i in distinct if photos[i].face is not None], dtype=np.int64)
    if len(faces):
        vectors = np.stack([face.embedding for i in faces if (face := photos[i].face) is not None])
        a, b = neighbors_above(vectors, PROPOSED_SCORE, MOST_PROPOSED)
        pictures = np.stack([face.gray for i in faces if (face := photos[i].face) is not None])
        yield from _compared(pictures, a, b, faces)
    lonely = np.array([i for i in distinct if photos[i].face is None], dtype=np.int64)
    if len(lonely):
        pictures = np.stack([gray for i in lonely if (gray := photos[i].gray) is not None])
        a, b = _alike_pictures(pictures)
        yield from _compared(pictures, a, b, lonely)


def _compared(pictures: NDArray[np.uint8], a: Ints, b: Ints, names: Ints) -> Iterator[Copy]:
    for start in range(0, len(a), AT_ONCE):
        one, other = a[start : start + AT_ONCE], b[start : start + AT_ONCE]
        plain = correlations(pictures[one], pictures[other])
        turned = correlations(pictures[one], pictures[other][:, :, ::-1])
        alike = np.maximum(plain, turned)
        for i in np.flatnonzero(alike >= SAME_PIXELS):
            first, second = sorted((int(names[one[i]]), int(names[other[i]])))
            yield Copy(first, second, float(min(alike[i], 1.0)), False, bool(turned[i] > plain[i]))


def correlations(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> Floats:
    """Return the highest correlation of each pair of pictures, (n, SIDE, SIDE) each, over a few shifts."""
    inner = slice(SHIFT, SIDE - SHIFT)
    fixed = _standardized(a[:, inner, inner])
    best = np.full(len(a), -1, dtype=np.float32)
    for down in range(2 * SHIFT + 1):
        for right in range(2 * SHIFT + 1):
            height, width = SIDE - 2 * SHIFT + down, SIDE - 2 * SHIFT + right
            moved = _standardized(b[:, down:height, right:width])
            best = np.maximum(best, np.einsum("ij,ij->i", fixed, moved))
    return best


def _standardized(pictures: NDArray[np.uint8]) -> Floats:
    """Return rows of mean 0 and length 1; zeros for a picture of one color."""
    rows = pictures.reshape(len(pictures), -1).astype(np.float32)
    rows -= rows.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, 1.0), dtype=np.float32)


def _alike_pictures(pictures: NDArray[np.uint8]) -> tuple[Ints, Ints]:
    """Return pairs (a, b), a < b, of pictures that are alike without a shift, also if mirrored."""
    count = len(pictures)
    both = np.concatenate([_standardized(pictures), _standardized(pictures[:, :, ::-1])])
    a, b = neighbors_above(both, PROPOSED_CORRELATION, MOST_PROPOSED)
    pairs = np.unique(np.sort(np.stack([a % count, b % count], axis=1), axis=1), axis=0)
    pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    return pairs[:, 0], pairs[:, 1]
