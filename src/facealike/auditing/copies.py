"""Find copies: photos of equal pixels, and photos that were scaled, compressed, mirrored or cropped.

Exact copies have equal pixels (``facealike.imaging.photo_digest``).  Near copies are proposed by the cosine
of their embeddings, or by that of small gray pictures where no face was found.  Then the gray pictures of the
whole photos are compared: by their correlation, also with one of them mirrored or cropped.  Two photos of one
event differ in pose and background, and fall far below ``SAME_PIXELS`` (docs/results/audit.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..clustering.neighbors import neighbors_above
from ..imaging.photo_digest import same_photos
from .examined import SIDE, ExaminedPhoto

PROPOSED_SCORE = 0.97
"""Photos of at least this cosine are compared pixel by pixel."""

PROPOSED_CORRELATION = 0.5
"""Pictures of a lower correlation are no copies, nor is one cropped from the other."""

MOST_PROPOSED = 64
"""Neighbors of a photo that are compared."""

SAME_PIXELS = 0.95
"""Lowest correlation of the gray pictures of two copies."""

CROPS = (0.975, 0.95, 0.925, 0.9)
"""Share of the width and height of a photo that a cropped copy has left."""

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


def find_copies(photos: Sequence[ExaminedPhoto], people: Sequence[int]) -> list[Copy]:
    """Return each photo that is a copy of an earlier one, with the one it is most like.

    A photo may be there twice in the result: as a copy of one of its own person, and of one of another.

    Args:
        photos: The photos.
        people: The person of each.
    """
    own: dict[tuple[int, int], int] = {}
    exact: set[tuple[int, int]] = set()
    for i, first in enumerate(same_photos([photo.digest for photo in photos])):
        mine = own.setdefault((first, people[i]), i)
        exact |= {(earlier, i) for earlier in (first, mine) if earlier != i}
    again = {second for first, second in exact if people[first] == people[second]}
    distinct = [i for i, photo in enumerate(photos) if i not in again and photo.gray is not None]
    best: dict[tuple[int, bool], Copy] = {}
    for copy in _near(photos, distinct):
        key = copy.second, people[copy.first] == people[copy.second]
        if (copy.first, copy.second) not in exact and (
            key not in best or copy.correlation > best[key].correlation
        ):
            best[key] = copy
    equal = [Copy(first, second, 1.0, True, False) for first, second in exact]
    return sorted([*equal, *best.values()], key=lambda copy: (copy.first, copy.second))


def _near(photos: Sequence[ExaminedPhoto], distinct: Sequence[int]) -> Iterator[Copy]:
    faces = np.array([i for i in distinct if photos[i].face is not None], dtype=np.int64)
    if len(faces):
        vectors = np.stack([face.embedding for i in faces if (face := photos[i].face) is not None])
        a, b = neighbors_above(vectors, PROPOSED_SCORE, MOST_PROPOSED)
        pictures = np.stack([gray for i in faces if (gray := photos[i].gray) is not None])
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
    """Return the correlation of pairs of pictures, (n, SIDE, SIDE) each, or of one with a part of the other.

    Parts are tried where the whole pictures correlate by ``PROPOSED_CORRELATION``.
    """
    whole, other = _standardized(a), _standardized(b)
    best: Floats = np.einsum("ij,ij->i", whole, other)
    some = np.flatnonzero((best >= PROPOSED_CORRELATION) & (best < SAME_PIXELS))
    for one, parted in ((whole, b), (other, a)) if len(some) else ():
        pictures = parted[some].astype(np.float32)
        for rows, columns in _windows():
            part = _standardized(rows @ pictures @ columns.T)
            best[some] = np.maximum(best[some], np.einsum("ij,ij->i", one[some], part))
    return best


@cache
def _windows() -> list[tuple[Floats, Floats]]:
    """Return pairs of matrices, (SIDE, SIDE), that enlarge a part of the rows and of the columns."""
    return [
        (_window(share, top), _window(share, left))
        for share in CROPS
        for top in (0.0, 0.5, 1.0)
        for left in (0.0, 0.5, 1.0)
    ]


def _window(share: float, start: float) -> Floats:
    """Return the matrix that enlarges a share of a line of pixels, from 0 its beginning to 1 its end."""
    at = (np.arange(SIDE) + 0.5) * share + start * (1 - share) * SIDE - 0.5
    near = np.clip(1 - np.abs(at[:, None] - np.arange(SIDE)[None, :]), 0, None)
    return np.asarray(near / near.sum(axis=1, keepdims=True), dtype=np.float32)


def _standardized(pictures: NDArray[np.uint8] | Floats) -> Floats:
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
