"""Lists of people to enroll: a folder with one sub-folder a person, a CSV or a Parquet file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ..datasets.people import People
from ..errors import DataError, UsageError
from ..imaging.read import Source
from ..utils.csv_table import open_table
from ..utils.escape import shown
from ..utils.extras import needs_extra
from .enrollment import RefusedPhoto
from .template import metadata_text, person_name

if TYPE_CHECKING:
    import pyarrow

Row: TypeAlias = "tuple[str, Mapping[str, str], str | None]"
"""Where a row of a list is, its cells by column, and what is wrong with it."""

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
    """Read a folder of people (``People.from_folder``), or a list with the columns person, photo, metadata.

    In a list (CSV or Parquet), photos are relative to its folder.  ``metadata``, a JSON object, may be
    missing or empty; the last row of a person counts.  A row that cannot be used is refused and does not end
    the list.

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
    return _listed(path, _parquet_rows(path) if is_parquet(path) else _csv_rows(path))


def is_parquet(path: Path) -> bool:
    """Return whether a file is Parquet by its name."""
    return path.suffix.lower() == ".parquet"


def _csv_rows(path: Path) -> Iterator[Row]:
    with open_table(path, "list of people", ("person", "photo"), COLUMNS, "surrogateescape") as table:
        if not {"person", "photo"} <= set(table.columns):
            raise DataError(
                f"{shown(path)}, line {table.line}: no columns person and photo; add a header with both"
            )
        for line, cell, problem in table.rows:
            yield f"line {line}", cell, problem


def _parquet_rows(path: Path) -> Iterator[Row]:
    file = opened_parquet(path)
    import pyarrow

    lower = {name.lower(): name for name in file.schema_arrow.names}
    named = {
        name: lower[each] for name, more in COLUMNS.items() for each in (*more[::-1], name) if each in lower
    }
    if not {"person", "photo"} <= set(named):
        raise DataError(f"{shown(path)}: no columns person and photo, or person and vector; name them so")
    number = 0
    try:
        for batch in file.iter_batches(columns=list(named.values())):
            for row in batch.to_pylist():
                number += 1
                yield f"row {number}", {name: str(row[key] or "") for name, key in named.items()}, None
    except (pyarrow.ArrowException, OSError) as error:
        raise parquet_unreadable(shown(path), error) from None


def opened_parquet(path: Path) -> pyarrow.parquet.ParquetFile:
    """Return a Parquet file, open.

    Raises:
        MissingExtra: pyarrow is not installed.
        DataError: The file cannot be read.
    """
    with needs_extra("parquet", "reading a Parquet file"):
        import pyarrow
        import pyarrow.parquet
    try:
        return pyarrow.parquet.ParquetFile(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise parquet_unreadable(shown(path), error) from None


def parquet_unreadable(name: str, error: Exception) -> DataError:
    """Return the error of a Parquet file that cannot be read."""
    reason = (str(error).splitlines() or ["damaged"])[0]
    return DataError(f"{name}: no Parquet file can be read ({reason}); check the path and the file")


def _listed(path: Path, rows: Iterable[Row]) -> PeopleList:
    photos: list[tuple[str, Source]] = []
    metadata: dict[str, dict[str, Any]] = {}
    refused: list[RefusedPhoto] = []
    for where, cell, problem in rows:
        person, photo = cell.get("person", ""), cell.get("photo", "")
        stated, wrong = parse_metadata(cell.get("metadata", ""))
        if problem is None and not (person and photo):
            problem = "a person and a photo are needed"
        if problem or wrong:
            refused.append(RefusedPhoto(person, photo, f"{shown(path)}, {where}: {problem or wrong}"))
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
