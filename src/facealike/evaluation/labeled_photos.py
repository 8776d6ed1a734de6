"""The age and the groups of the photos of a set, from a list such as FairFace's."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..datasets.demographic_labels import read_groups
from ..errors import DataError
from ..utils.escape import shown
from .embedded_set import EmbeddedSet

AGE = "age"


class LabeledPhotos(NamedTuple):
    """Those photos of a set that a list has.

    Args:
        rows: Their indices among all photos of the set, (n,).
        columns: For each kind of groups the group of every one, (n,).
        years: The age on each in years, (n,); None where the list has ranges of ages, which are groups.
    """

    rows: NDArray[np.int64]
    columns: dict[str, tuple[str, ...]]
    years: NDArray[np.int64] | None


def labeled_photos(found: EmbeddedSet, groups: str | Path, root: str | Path) -> LabeledPhotos:
    """Return the photos of a set that a list has, with their groups.

    Args:
        found: The set.
        groups: A CSV as ``read_groups`` reads it.
        root: Where its paths are looked up.

    Raises:
        DataError: The list cannot be used, or has none of these photos.
    """
    listed = read_groups(groups, root)
    place = {path.resolve(): i for i, path in enumerate(listed.paths)}
    both = [(row, place[known]) for row, path in enumerate(found.paths) if (known := path.resolve()) in place]
    if not both:
        raise DataError(
            f"{shown(groups)}: none of its photos is one of those evaluated; give the list of the same folder"
        )
    rows, entries = np.array(both, dtype=np.int64).T
    columns = {
        column: tuple(values[i] for i in entries)
        for column, values in zip(listed.columns, listed.values, strict=True)
    }
    years = None
    if all(age.isascii() and age.isdigit() for age in columns[AGE]):
        years = np.array([int(age) for age in columns.pop(AGE)], dtype=np.int64)
    return LabeledPhotos(rows, columns, years)
