"""Folders whose photos name person and age: AgeDB and FG-NET.

AgeDB (Moschoglou et al., CVPR Workshops 2017): one folder of ``number_Name_age_gender.jpg``, such as
``0_MariaCallas_35_f.jpg``.  FG-NET (Lanitis, Taylor and Cootes, IEEE TPAMI 24(4), 2002): one folder of
``001A02.JPG``, person 1 at 2 years, with a letter behind where there are several photos of one age.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import numpy as np

from ..errors import DataError
from ..utils.escape import shown
from .folders import Skipped, photos_in, warn_skipped
from .people import People, people_of
from .splits import Split

FORMS = (
    re.compile(r"[0-9]+_(?P<person>.+)_(?P<age>[0-9]{1,3})_[mf]", re.IGNORECASE),
    re.compile(r"(?P<person>[0-9]{3})A(?P<age>[0-9]{2})[a-z]?", re.IGNORECASE),
)


def evaluated_people(root: str | Path, split: Split | Literal["all"]) -> People:
    """Return the people of one split of a folder, or all: with ages where the files name them.

    Args:
        root: A folder with one sub-folder of photos a person, or one of photos as AgeDB or FG-NET has them.
        split: A split by the hash of a person's name, or ``all``.

    Raises:
        DataError: There are none.
    """
    everyone = aged_people(root)
    if everyone is None:
        return people_of(root, split)
    people = everyone if split == "all" else everyone.split(split)
    if len(people) == 0:
        raise DataError(
            f"{shown(root)}: no person in this folder belongs to the split {split}; use a larger folder"
        )
    return people


def aged_people(root: str | Path) -> People | None:
    """Return the people of a folder as AgeDB or FG-NET has it; None for any other folder.

    It has no folder within, and more than half of its photos have such a name; the others are skipped and
    reported in one PhotoWarning.
    """
    skipped: list[Skipped] = []
    try:
        photos, folders = photos_in(Path(root), skipped)
    except (OSError, ValueError):
        return None  # whoever reads the folder says what is wrong with it
    if folders:
        return None
    for form in FORMS:
        found = [form.fullmatch(photo.stem) for photo in photos]
        if 2 * sum(match is not None for match in found) <= len(photos):
            continue
        named = [(photo, match) for photo, match in zip(photos, found, strict=True) if match is not None]
        skipped += [
            Skipped(photo, "a name without person and age")
            for photo, match in zip(photos, found, strict=True)
            if match is None
        ]
        warn_skipped(Path(root), skipped)
        names, labels = np.unique([match["person"] for _, match in named], return_inverse=True)
        return People(
            tuple(names.tolist()),
            tuple(photo for photo, _ in named),
            labels.reshape(-1).astype(np.int64),
            tuple(skipped),
            np.array([int(match["age"]) for _, match in named], dtype=np.int64),
        )
    return None
