"""Lists of photos with demographic groups, such as FairFace's.

FairFace (Karkkainen and Joo, WACV 2021) lists ``file,age,gender,race,service_test``.  Any CSV with a column
``file`` and columns of groups can be read; an optional column ``person`` names the person of each photo.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, UsageError
from ..utils.csv_table import open_table
from ..utils.escape import shown

DEFAULT_BY = ("race", "gender", "age")
FILE, PERSON = "file", "person"
ALIASES = {
    FILE: ("path", "filename", "filepath", "image", "imagepath", "img", "photo"),
    PERSON: ("personid", "identity", "subject", "subjectid"),
}
"""Further names of the columns, as ``open_table`` compares them."""

# FairFace's labels went through a spreadsheet, which took "3-9" for the third of September and "10-19" for
# October 2019, and wrote 03-Sep and Oct-19; 0-2 and 20-29 onwards are no dates.  Other months are restored by
# the same rule, for lists with other age bands.
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAY_MONTH = re.compile(rf"(\d{{1,2}})-({'|'.join(_MONTHS)})", re.IGNORECASE)
_MONTH_YEAR = re.compile(rf"({'|'.join(_MONTHS)})-(\d{{1,2}})", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class GroupedPhotos:
    """n photos with the groups of each.

    Args:
        paths: The photos.
        columns: The kinds of groups.
        values: For each of them the group of every photo, (n,).
        person: A number for the person of each photo, int64 (n,).
        named: Whether the list has persons; if not, every photo counts as a person of its own.
    """

    paths: tuple[Path, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]
    person: NDArray[np.int64]
    named: bool = False

    def __len__(self) -> int:
        return len(self.paths)


def read_groups(
    path: str | Path, root: str | Path | None = None, by: Sequence[str] = DEFAULT_BY
) -> GroupedPhotos:
    """Read the photos of a CSV with their groups.

    Age bands that a spreadsheet made into dates ("03-Sep") are restored.

    Args:
        path: The CSV.
        root: Where relative paths are looked up; None for the folder of the CSV.
        by: The columns of groups.

    Raises:
        UsageError: ``by`` is empty or names a column twice.
        DataError: The list lacks a column, a photo does not exist or is listed twice, or a line cannot be
            used.
    """
    names = [name.strip().lower() for name in by]
    if not names or len(set(names)) < len(names) or {FILE, PERSON} & set(names):
        raise UsageError(
            f"groups are made by one or more different columns, such as race,age, not {list(by)}"
        )
    file = Path(path)
    folder = file.parent if root is None else Path(root)
    cells: list[dict[str, str]] = []
    with open_table(file, "list of groups", (FILE, *names), ALIASES) as table:
        columns = table.columns
        missing = [name for name in (FILE, *names) if name not in columns]
        if missing:
            there = shown(", ".join(columns))
            raise _wrong(file, table.line, f"no column {', '.join(missing)}; those there are: {there}")
        for row in table.whole_rows():
            _check(file, row.line, row.cells, folder, [*names, *({PERSON} & set(columns))])
            cells.append(row.cells)
        if not cells:
            raise _wrong(file, table.line, "a header and no photos; add at least two lines")
    paths = tuple(folder / cell[FILE] for cell in cells)
    _check_different(file, paths)
    named = PERSON in columns
    people = [cell[PERSON] for cell in cells] if named else [str(each) for each in paths]
    return GroupedPhotos(
        paths=paths,
        columns=tuple(names),
        values=tuple(tuple(_group(name, cell[name]) for cell in cells) for name in names),
        person=np.unique(people, return_inverse=True)[1].reshape(-1).astype(np.int64),
        named=named,
    )


def age_band(text: str) -> str:
    """Return an age band that a spreadsheet took for a date: 03-Sep is 3-9, Oct-19 is 10-19."""
    day = _DAY_MONTH.fullmatch(text)
    if day:
        return f"{int(day[1])}-{_month(day[2])}"
    year = _MONTH_YEAR.fullmatch(text)
    return f"{_month(year[1])}-{int(year[2])}" if year else text


def _month(name: str) -> int:
    return _MONTHS.index(name.capitalize()) + 1


def _group(column: str, text: str) -> str:
    return age_band(text) if column == "age" else text


def _check(file: Path, number: int, cell: dict[str, str], folder: Path, needed: Sequence[str]) -> None:
    empty = [name for name in needed if not cell[name]]
    if empty:
        raise _wrong(file, number, f"{', '.join(empty)} is empty; correct it, or leave the photo out")
    name = cell[FILE]
    if not name or "\0" in name:
        raise _wrong(file, number, "the photo is missing; name one")
    try:
        there = (folder / name).is_file()
    except OSError:  # a name that is too long
        there = False
    if not there:
        raise _wrong(file, number, f"no photo {shown(name)} in {shown(folder)}; check the folder")


def _check_different(file: Path, paths: Sequence[Path]) -> None:
    if len(set(paths)) < len(paths):
        raise DataError(f"{shown(file)}: a photo is listed twice, and would match itself; correct it")


def _wrong(file: Path, line: int, what: str) -> DataError:
    return DataError(f"{shown(file)}, line {line}: {what}")
