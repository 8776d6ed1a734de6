"""Lists of people to enroll: a folder with one sub-folder a person, or a CSV."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..datasets.people import People
from ..errors import DataError, UsageError
from ..imaging.read import Source
from ..utils.csv_table import open_table
from ..utils.escape import shown
from .enrollment import RefusedPhoto
from .template import metadata_text, person_name

COLUMNS = {
    "person": ("name", "identity", "label", "subject"),
    "photo": ("image", "img", "picture", "file", "filename", "path"),
    "metadata": (),
}
"""Further names of the columns of a list, as ``open_table`` compares them."""


@dataclass(frozen=True)
class PeopleList:
    """Photos with the name of their person.

    Attributes:
        photos: (person, photo).
        metadata: By person.
        refused: Rows of a list that name no usable photo.
    """

    photos: tuple[tuple[str, Source], ...]
    metadata: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    refused: tuple[RefusedPhoto, ...] = ()


def read_people(source: str | os.PathLike[str]) -> PeopleList:
    """Read a folder of people (``People.from_folder``) or a CSV with the columns person, photo, metadata.

    In a CSV, photos are relative to its folder.  ``metadata``, a JSON object, may be missing or empty; the
    last row of a person counts.  A row that cannot be used is refused and does not end the list.

    Raises:
        DataError: The folder or the list cannot be read, or names no person.
    """
    path = Path(source)
    if path.is_dir():
        people = People.from_folder(path)
        names = [person_name(name) for name in people.names]
        return PeopleList(
            tuple((names[i], photo) for i, photo in zip(people.labels, people.paths, strict=True))
        )
    return _read_csv(path)


def _read_csv(path: Path) -> PeopleList:
    photos: list[tuple[str, Source]] = []
    metadata: dict[str, dict[str, Any]] = {}
    refused: list[RefusedPhoto] = []
    with open_table(path, "list of people", ("person", "photo"), COLUMNS, "surrogateescape") as table:
        if not {"person", "photo"} <= set(table.columns):
            raise DataError(
                f"{shown(path)}, line {table.line}: no columns person and photo; add a header with both"
            )
        for line, cell, problem in table.rows:
            person, photo = cell.get("person", ""), cell.get("photo", "")
            stated, wrong = parse_metadata(cell.get("metadata", ""))
            if problem is None and not (person and photo):
                problem = "a person and a photo are needed"
            if problem or wrong:
                refused.append(RefusedPhoto(person, photo, f"{shown(path)}, line {line}: {problem or wrong}"))
                continue
            person = person_name(person)
            photos.append((person, path.parent / photo))
            if stated is not None:
                metadata[person] = stated
    if not photos and not refused:
        raise DataError(f"{shown(path)}: a header and no photos; add at least one line")
    return PeopleList(tuple(photos), metadata, tuple(refused))


def parse_metadata(text: str) -> tuple[dict[str, Any] | None, str | None]:
    """Return the metadata in a cell, None where it is empty, and what is wrong with it."""
    if not text:
        return None, None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict) or not _is_json(value):
        return None, 'metadata is a JSON object such as {"team": "A"}; correct it'
    return value, None


def _is_json(value: dict[str, Any]) -> bool:
    """Return whether the metadata can be stored; Python also reads NaN, which JSON does not have."""
    try:
        metadata_text(value)
    except UsageError:
        return False
    return True
