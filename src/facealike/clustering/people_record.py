"""What a folder of people held when it was written, so that the next run can continue it.

The record is a JSON file in the folder.  It says where the photo of each face was put, so that what the user
has moved, renamed or deleted since then shows.  It holds paths and digests of photos, and no embedding.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import DataError, UsageError
from ..utils.atomic_write import write_text
from ..utils.escape import shown

RECORD = ".facealike.json"
VERSION = 1


class RecordedFace(NamedTuple):
    """Where a face was put.

    Attributes:
        photo: The absolute path of its photo.
        digest: The SHA-256 of the photo's file.
        box: Left, top, right, bottom in pixels; None for a photo without a face.
        person: The number of the person; None for a face without one.
        entry: The link or copy, below the folder of people; empty where there is none.
        fixed: Whether the user has put it apart: alone into ``single``, into ``not-grouped``, or nowhere.
    """

    photo: str
    digest: str
    box: tuple[float, float, float, float] | None
    person: int | None
    entry: str
    fixed: bool


@dataclass(frozen=True)
class PeopleRecord:
    """What a folder of people held.

    Attributes:
        faces: Every face, and every photo without one.
        folders: The folder of each person who has one, by number.
        names: The names of people, by number.
        next: The number of the next new person: no number is given twice.
        apart: Pairs of faces that are two people by corrections, by their places in ``faces``.
    """

    faces: tuple[RecordedFace, ...] = ()
    folders: Mapping[int, str] = field(default_factory=dict)
    names: Mapping[int, str] = field(default_factory=dict)
    next: int = 1
    apart: tuple[tuple[int, int], ...] = ()

    def of_photos(self, digests: Mapping[str, str]) -> dict[str, list[RecordedFace]]:
        """Return what was recorded of photos, given the digests of their files.

        A photo is known by its path and content, and where it has moved by its content alone.  One that was
        changed is a new one.
        """
        rows: dict[tuple[str, str], list[RecordedFace]] = {}
        for row in self.faces:
            rows.setdefault((row.photo, row.digest), []).append(row)
        found = {}
        for photo, digest in digests.items():
            known = rows.pop((absolute(photo), digest), None)
            if known is not None:
                found[photo] = known
        moved: dict[str, list[list[RecordedFace]]] = {}
        for (_, digest), known in sorted(rows.items(), reverse=True):
            moved.setdefault(digest, []).append(known)
        for photo, digest in digests.items():
            if photo not in found and moved.get(digest):
                found[photo] = moved[digest].pop()
        return found

    def write(self, folder: Path) -> None:
        """Write the record into a folder of people."""
        value = {
            "version": VERSION,
            "next": self.next,
            "people": [
                {"person": person, "folder": self.folders[person], "name": self.names.get(person)}
                for person in sorted(self.folders)
            ],
            "faces": [row._asdict() for row in self.faces],
            "apart": [list(pair) for pair in self.apart],
        }
        write_text(folder / RECORD, json.dumps(value, indent=1))


def read_record(folder: Path) -> PeopleRecord:
    """Read the record of a folder of people.

    Raises:
        DataError: It cannot be read.
    """
    path = folder / RECORD
    try:
        value = json.loads(path.read_text("utf-8"))
        if value["version"] != VERSION:
            raise ValueError(f"version {value['version']}")
        people, faces = value["people"], tuple(_face(row) for row in value["faces"])
        apart = tuple((int(a), int(b)) for a, b in value["apart"])
        if any(not 0 <= row < len(faces) for pair in apart for row in pair):
            raise ValueError("a pair of faces that are not there")
        return PeopleRecord(
            faces,
            {int(one["person"]): _text(one["folder"]) for one in people},
            {int(one["person"]): _text(one["name"]) for one in people if one["name"] is not None},
            int(value["next"]),
            apart,
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DataError(
            f"{shown(path)}: this record of a folder of people cannot be read ({error}); write the people to "
            "another folder"
        ) from None


def check_people(folder: Path) -> PeopleRecord | None:
    """Return the record of a folder of people, or None where a new one can be made there.

    Raises:
        DataError: It holds files and no record, or a record that cannot be read.
        UsageError: The folder that it is in does not exist.
    """
    if not folder.absolute().parent.is_dir():
        raise UsageError(f"{shown(folder)}: the folder to write this to does not exist; create it first")
    try:
        if not folder.is_symlink() and folder.is_dir() and (folder / RECORD).is_file():
            return read_record(folder)
        if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
            raise DataError(
                f"{shown(folder)}: something is there already, without a record of its people, and nothing "
                "is replaced; choose another folder"
            )
    except OSError as error:
        raise DataError(f"{shown(folder)}: this folder cannot be read ({error.strerror})") from None
    return None


def absolute(path: str | os.PathLike[str]) -> str:
    """Return an absolute path, without following links, as links are written."""
    return os.path.abspath(path)  # noqa: PTH100 (resolve would follow links)


def existing_photos(rows: Iterable[RecordedFace]) -> list[str]:
    """Return the recorded photos that are still there."""
    return [photo for photo in dict.fromkeys(row.photo for row in rows) if Path(photo).is_file()]


def _face(row: Mapping[str, Any]) -> RecordedFace:
    box = row["box"]
    if box is not None:
        left, top, right, bottom = (float(value) for value in box)
        box = left, top, right, bottom
    person = row["person"]
    return RecordedFace(
        _text(row["photo"]), _text(row["digest"]), box, None if person is None else int(person),
        _text(row["entry"]), bool(row["fixed"]),
    )  # fmt: skip


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value
