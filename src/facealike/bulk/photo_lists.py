"""Lists of photos: CSV and Parquet with the column photo and, where wanted, person, key and metadata."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..gallery.people_list import COLUMNS
from ..utils.csv_table import open_table
from ..utils.escape import shown
from ..utils.extras import needs_extra
from .photo_file import PhotoRef
from .places import is_url, join, opened, parent

LIST_ENDINGS = (".csv", ".tsv", ".parquet")
"""A source of one of these is a list of photos."""

ROWS = 10_000
"""Rows of a Parquet file that are read at a time."""


def photos_in_list(place: str) -> Iterator[PhotoRef]:
    """Yield the photos that a list names, in its order; relative paths are relative to its folder.

    A row without a photo, or that cannot be read, is a photo with a ``problem``.

    Raises:
        DataError: The list cannot be read or has no column photo.
        MissingExtra: It is a Parquet file, and pyarrow is not installed.
    """
    folder = parent(place)
    rows = _parquet_rows(place) if place.lower().endswith(".parquet") else _csv_rows(place)
    for where, cells, problem in rows:
        photo = cells.get("photo", "")
        if problem is None and not photo:
            problem = "a photo is needed"
        key = cells.get("key") or photo or where
        yield PhotoRef(
            key, join(folder, photo) if photo else place,
            person=cells.get("person") or None, metadata=cells.get("metadata") or None,
            problem=None if problem is None else f"{shown(place)}, {where}: {problem}",
        )  # fmt: skip


def _csv_rows(place: str) -> Iterator[tuple[str, Mapping[str, str], str | None]]:
    with (
        _local(place) as path,
        open_table(path, "list of photos", ("photo",), COLUMNS, "surrogateescape") as table,
    ):
        _check_columns(place, table.columns)
        for line, cells, problem in table.rows:
            yield f"line {line}", cells, problem


def _parquet_rows(place: str) -> Iterator[tuple[str, Mapping[str, str], str | None]]:
    with needs_extra("bulk", "reading a Parquet file"):
        import pyarrow
        import pyarrow.parquet
    with opened(place, "list of photos") as stream:
        try:
            file = pyarrow.parquet.ParquetFile(stream)
            names = _columns(file.schema_arrow.names)
            _check_columns(place, tuple(names))
            row = 0
            for batch in file.iter_batches(ROWS, columns=list(names.values())):
                for cells in batch.to_pylist():
                    row += 1
                    texts = {name: _text(cells[column]) for name, column in names.items()}
                    yield f"row {row}", texts, None
        except (pyarrow.ArrowException, OSError) as error:
            raise DataError(
                f"{shown(place)}: no Parquet file can be read ({str(error).splitlines()[0]}); check the path"
            ) from None


def _columns(present: list[str]) -> dict[str, str]:
    """Return the columns of a Parquet file by their names here."""
    lower = {name.lower(): name for name in present}
    found = {}
    for name, others in {**COLUMNS, "key": ()}.items():
        named = [lower[each] for each in (name, *others) if each in lower]
        if named:
            found[name] = named[0]
    return found


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _check_columns(place: str, columns: tuple[str, ...]) -> None:
    if "photo" not in columns:
        raise DataError(f"{shown(place)}: no column photo; name one so in its header")


@contextmanager
def _local(place: str) -> Iterator[Path]:
    """Give a local file of the same content and name."""
    if not is_url(place):
        yield Path(place)
        return
    with tempfile.TemporaryDirectory() as folder, opened(place, "list of photos") as stream:
        path = Path(folder) / place.rpartition("/")[2]
        with path.open("wb") as copy:
            while piece := stream.read(1 << 20):
                copy.write(piece)
        yield path
