"""Read a CSV with a header, as spreadsheets and other programs write it.

The separator is the comma, semicolon or tab with which most of the needed columns are found.  The text is
UTF-8, with or without a byte order mark, or UTF-16 with one (a spreadsheet's "Unicode text"); a first line
``sep=;`` is honored.  Column names are case-insensitive and may have aliases (``image1`` for ``a``).  Rows
are read one at a time.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TextIO

from ..errors import DataError
from .escape import shown
from .wording import counted

SEPARATORS = (",", ";", "\t")
LONGEST_LINE = 1 << 20
"""Characters; a file with a longer first line is not a table."""

_STATED = re.compile(r"sep=(.)\s*", re.IGNORECASE)

Aliases = Mapping[str, Sequence[str]]
"""Aliases of columns, in lower case and without spaces, dashes and underscores."""


class Row(NamedTuple):
    """One row: its line number, its stripped cells by column, or its problem and no cells."""

    line: int
    cells: dict[str, str]
    problem: str | None = None


@dataclass(frozen=True)
class Table:
    """An open CSV: the line number of its header, its columns, and its rows, which can be read once."""

    file: Path
    line: int
    columns: tuple[str, ...]
    rows: Iterator[Row]

    def whole_rows(self) -> Iterator[Row]:
        """Yield the rows; raise DataError, naming the file and the line, at the first with a problem."""
        for row in self.rows:
            if row.problem is not None:
                raise DataError(f"{shown(self.file)}, line {row.line}: {row.problem}")
            yield row


@contextmanager
def open_table(
    path: str | Path, what: str, needed: Sequence[str] = (), aliases: Aliases | None = None,
    errors: str = "strict",
) -> Iterator[Table]:  # fmt: skip
    """Open the CSV ``path`` for reading.

    Args:
        path: The file.
        what: Its name in messages, such as "list of pairs".
        needed: Columns that decide which separator is taken.
        aliases: Further names of columns; used where the column itself is missing.
        errors: As for ``bytes.decode``; "surrogateescape" keeps names of files that are not UTF-8.

    Raises:
        DataError: The file cannot be read, is empty or is not text; also while reading rows.
    """
    file = Path(path)
    with _named_errors(file, what):
        stream = _opened(file, errors)
    with stream:
        with _named_errors(file, what):
            table = _table(file, stream, what, needed, aliases or {})
        yield table


@contextmanager
def _named_errors(file: Path, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(f"{shown(file)}: no {what} can be read ({error.strerror}); check the path") from None
    except UnicodeError:
        raise DataError(f"{shown(file)}: not a text file in UTF-8; save the {what} as CSV in UTF-8") from None
    except ValueError:  # a name with a NUL
        raise DataError(f"{shown(file)}: no {what} can be read (no possible name); check the path") from None


def read_text(path: str | Path) -> str:
    """Return the text of a file in UTF-8, or UTF-16 with a byte order mark; UnicodeError, OSError."""
    with _opened(Path(path), "strict") as stream:
        return stream.read()


def _opened(file: Path, errors: str) -> TextIO:
    with file.open("rb") as stream:
        head = stream.read(2)
    wide = head in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    # newline="": a quoted cell may hold a line break.
    return file.open(encoding="utf-16" if wide else "utf-8-sig", errors=errors, newline="")


def _table(file: Path, stream: TextIO, what: str, needed: Sequence[str], aliases: Aliases) -> Table:
    before, first, stated = 0, "", None
    while not first.strip():
        first = stream.readline(LONGEST_LINE)
        before += 1
        if not first:
            raise DataError(f"{shown(file)}: the file is empty; give a {what} with a header")
        if before == 1 and (match := _STATED.fullmatch(first)):
            stated, first = match[1], ""
    separators = SEPARATORS if stated is None else (stated,)
    headers = {mark: _named(_split(first, mark), aliases) for mark in separators}
    found = {mark: (len(set(needed) & set(names)), len(names)) for mark, names in headers.items()}
    mark = max(separators, key=lambda each: found[each])  # the first of equals: the comma
    columns = headers[mark]
    twice = {name for name in columns if name and columns.count(name) > 1}
    if twice:
        raise DataError(
            f"{shown(file)}, line {before}: the column {shown(min(twice))} is there twice; rename one"
        )
    return Table(file, before, columns, _rows(file, stream, what, mark, columns, before))


def _split(line: str, mark: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=mark), [])]
    except csv.Error:
        return []


def _named(header: Iterable[str], aliases: Aliases) -> tuple[str, ...]:
    """Return column names in lower case, with aliases replaced and without empty names at the end."""
    names = [name.lower() for name in header]
    while names and not names[-1]:
        names.pop()
    for name, others in aliases.items():
        if name in names:
            continue
        places = [i for i, each in enumerate(names) if re.sub(r"[\s_-]", "", each) in others]
        if len(places) == 1:
            names[places[0]] = name
    return tuple(names)


def _rows(
    file: Path, stream: TextIO, what: str, mark: str, columns: tuple[str, ...], before: int
) -> Iterator[Row]:
    reader = csv.reader(stream, delimiter=mark, strict=True)
    while True:
        try:
            with _named_errors(file, what):
                cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error as error:
            yield Row(before + reader.line_num, {}, f"not valid CSV ({error}); correct it")
            continue
        if any(cells):
            yield _row(before + reader.line_num, cells, columns)


def _row(line: int, cells: list[str], columns: tuple[str, ...]) -> Row:
    while len(cells) > len(columns) and not cells[-1]:
        cells.pop()
    if len(cells) != len(columns):
        return Row(
            line, {}, f"{counted(len(cells), 'field')} where the header has {len(columns)}; correct it"
        )
    return Row(line, dict(zip(columns, cells, strict=True)))
