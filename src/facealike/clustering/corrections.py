"""Corrections of a clustering: pairs of faces that are the same person, or different people.

A CSV with the columns ``a``, ``b`` (photos), ``same`` (1 or 0) and, for photos of several faces, ``face_a``
and ``face_b``: the number of the face as the table of faces has it.  Photos are written as in that table, or
relative to the folder of the CSV.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ..errors import DataError
from ..utils.csv_table import open_table
from ..utils.escape import shown
from .faces import PhotoFace

TRUTH = {"1": True, "true": True, "yes": True, "same": True} | {
    "0": False, "false": False, "no": False, "different": False,
}  # fmt: skip

ALIASES = {"a": ("photoa", "photo1"), "b": ("photob", "photo2"), "same": ("issame", "sameperson", "match")}
"""Further names of the columns, as ``open_table`` compares them."""


class Correction(NamedTuple):
    """Two faces, and whether they are one person.

    Each face is a photo and its number in it; None stands for the only face of the photo.
    """

    line: int
    a: tuple[str, int | None]
    b: tuple[str, int | None]
    same: bool


@dataclass(frozen=True)
class Corrections:
    """The corrections of a file."""

    file: Path = Path()
    rows: tuple[Correction, ...] = ()

    def pairs(
        self, faces: Sequence[PhotoFace], places: Mapping[int, int]
    ) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Return the pairs that are one person, and those that are two.

        Args:
            faces: Every face.
            places: The place of each face that is grouped; pairs of the others are left out.

        Raises:
            DataError: A correction names a photo or a face that is not there.
        """
        by_photo: dict[str, dict[int, int]] = {}
        for i, face in enumerate(faces if self.rows else ()):
            by_photo.setdefault(_name(face.photo), {})[face.number] = i
        together: list[tuple[int, int]] = []
        apart: list[tuple[int, int]] = []
        for row in self.rows:
            a, b = (self._face(row, end, by_photo) for end in (row.a, row.b))
            if a == b:
                raise self._wrong(row.line, "both faces are the same one; name two")
            if a in places and b in places:
                (together if row.same else apart).append((places[a], places[b]))
        return together, apart

    def _face(
        self, row: Correction, end: tuple[str, int | None], by_photo: Mapping[str, Mapping[int, int]]
    ) -> int:
        photo, number = end
        names = (_name(photo), _name(self.file.parent / photo))
        found = next((by_photo[name] for name in names if name in by_photo), None)
        if found is None:
            raise self._wrong(row.line, f"{shown(photo)} is no photo with a face here; check the path")
        if number is None:
            if len(found) > 1:
                raise self._wrong(
                    row.line,
                    f"{shown(photo)} shows {len(found)} faces; give face_a and face_b",
                )
            return next(iter(found.values()))
        if number not in found:
            raise self._wrong(row.line, f"{shown(photo)} has no face {number}; see the table of faces")
        return found[number]

    def _wrong(self, line: int, what: str) -> DataError:
        return DataError(f"{shown(self.file)}, line {line}: {what}")


def read_corrections(path: str | os.PathLike[str]) -> Corrections:
    """Read a file of corrections.

    Raises:
        DataError: It cannot be read, or a line cannot be used; the message names the line.
    """
    file = Path(path)
    rows: list[Correction] = []
    with open_table(file, "file of corrections", ("a", "b", "same"), ALIASES, "surrogateescape") as table:
        missing = [name for name in ("a", "b", "same") if name not in table.columns]
        if missing:
            raise DataError(
                f"{shown(file)}: no column {missing[0]}; corrections have the columns a, b, same and, where "
                "needed, face_a and face_b"
            )
        for row in table.whole_rows():
            cells = row.cells
            truth = TRUTH.get(cells["same"].lower())
            if truth is None or not cells["a"] or not cells["b"]:
                raise DataError(
                    f"{shown(file)}, line {row.line}: a correction needs two photos, and 1 or 0 in the "
                    "column same"
                )
            ends = [(cells[side], _number(cells.get(f"face_{side}", ""), file, row.line)) for side in "ab"]
            rows.append(Correction(row.line, ends[0], ends[1], truth))
    return Corrections(file, tuple(rows))


def _number(text: str, file: Path, line: int) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 7 and int(text)):
        raise DataError(
            f"{shown(file)}, line {line}: faces are numbered from 1, and {shown(text)} is no number"
        )
    return int(text)


def _name(path: str | os.PathLike[str]) -> str:
    return os.path.abspath(path)  # noqa: PTH100 (resolve would follow links, and is slow)
