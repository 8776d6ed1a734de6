"""Find photos that are there twice, so that each is counted once.

A copy is a comparison whose answer is known beforehand: it makes a model look better than it is, and an FMR
measurable that is not.  Copies have equal bytes or equal pixels (``facealike.imaging.photo_digest``); a photo
that was compressed again or scaled is not recognized.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..imaging.photo_digest import PhotoDigest, photo_digests, same_photos
from ..utils.escape import shown
from .people import People


class Distinct(NamedTuple):
    """Each photo of each person once.

    Args:
        people: The photos.
        digests: Of these photos.
        copies: How many photos were left out.
        shared: How many of the photos lie in the folders of several people.
    """

    people: People
    digests: list[PhotoDigest | None]
    copies: int
    shared: int


def without_copies(
    people: People, root: str | Path, allow: bool = False, strict: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Distinct:  # fmt: skip
    """Return each photo of each person once.

    Args:
        people: Photos, every one of which is decoded here.
        root: The folder that a message names.
        allow: Accept a photo that lies in the folders of several people: it stays once with each of them.
        strict: Raise where a photo cannot be read; else it is no copy of any other.
        progress: Called with (done, total).

    Raises:
        ImageError: With ``strict``, the first photo that cannot be read.
        DataError: A photo lies in the folders of several people, and that was not allowed.
    """
    digests = photo_digests(people.paths, progress=progress, strict=strict)
    first = np.array(same_photos(digests), dtype=np.int64)
    shared = np.flatnonzero(people.labels[first] != people.labels)
    if len(shared) and not allow:
        one, other = people.paths[first[shared[0]]], people.paths[shared[0]]
        raise DataError(
            f"{shown(root)}: {len(shared):,} {_photos(len(shared))} under two names, the first "
            f"{shown(one)} and {shown(other)}; remove one of them, or accept both "
            "(--allow-duplicates, or allow_duplicates=True in Python)"
        )
    known: set[tuple[int, int]] = set()
    kept = np.zeros(len(people), dtype=np.bool_)
    for i, key in enumerate(zip(people.labels.tolist(), first.tolist(), strict=True)):
        kept[i] = key not in known
        known.add(key)
    chosen = [digest for digest, keep in zip(digests, kept, strict=True) if keep]
    return Distinct(people.select(kept), chosen, int(np.sum(~kept)), int(kept[shared].sum()))


def _photos(count: int) -> str:
    return "photo is" if count == 1 else "photos are"


def pairs_of_copies(
    digests: Sequence[PhotoDigest | None], a: NDArray[np.int64], b: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return which pairs (n,) are of a photo and itself or its copy; ``a`` and ``b`` index ``digests``."""
    first = np.array(same_photos(digests), dtype=np.int64)
    pairs: NDArray[np.bool_] = first[a] == first[b]
    return pairs
