"""Photos whose file names state person and age: AgeDB and FG-NET.

AgeDB (Moschoglou et al., CVPR Workshops 2017): one folder of ``number_Name_age_gender.jpg``, such as
``0_MariaCallas_35_f.jpg``.  FG-NET (Lanitis, Taylor and Cootes, IEEE TPAMI 24(4), 2002): one folder of
``001A02.JPG``, person 1 at 2 years, with a letter behind where there are several photos of one age.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

FORMS = (
    re.compile(r"[0-9]+_(?P<person>.+)_(?P<age>[0-9]{1,3})_[mf]", re.IGNORECASE),
    re.compile(r"(?P<person>[0-9]{3})A(?P<age>[0-9]{2})[a-z]?", re.IGNORECASE),
)


class AgedName(NamedTuple):
    """Whom a photo shows, and at what age in years, by the name of its file."""

    person: str
    age: int


def aged_names(photos: Sequence[Path]) -> list[AgedName | None] | None:
    """Return what the file names of the photos of one folder state, None for each that states nothing.

    None for all if no form is that of more than half of them: this is no such folder.
    """
    for form in FORMS:
        found = [form.fullmatch(photo.stem) for photo in photos]
        if 2 * sum(match is not None for match in found) > len(photos):
            return [match and AgedName(match["person"], int(match["age"])) for match in found]
    return None
