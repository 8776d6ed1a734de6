"""Find the links and copies in a folder of people, and the photos they stand for."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..datasets.folders import is_hidden
from ..errors import DataError
from ..utils.escape import shown
from .people_record import PeopleRecord, absolute

CHUNK = 1 << 20


@dataclass(frozen=True)
class PeopleEntries:
    """The links and copies in a folder of people.

    Attributes:
        photos: The photo of each, by its path below the folder with slashes; None for another file.
        stale: Links that lead nowhere, whose photo is elsewhere now.
    """

    photos: Mapping[str, str | None] = field(default_factory=dict)
    stale: frozenset[str] = frozenset()

    def places(self) -> dict[str, dict[str, str]]:
        """Return the photos in each folder, with their first entry."""
        found: dict[str, dict[str, str]] = {}
        for entry, photo in sorted(self.photos.items()):
            place = found.setdefault(place_of(entry), {})
            if photo is not None:
                place.setdefault(photo, entry)
        return found


def place_of(entry: str) -> str:
    """Return the folder of an entry, also where it is in a folder within that."""
    return entry.partition("/")[0]


def list_entries(folder: Path) -> list[str]:
    """Return the files in the folders of a folder of people, sorted; hidden ones are passed over.

    Raises:
        DataError: A folder cannot be read: its photos would be taken for deleted.
    """

    def unreadable(error: OSError) -> None:
        raise DataError(
            f"{shown(error.filename)}: this folder of people cannot be read ({error.strerror}); check its "
            "permissions"
        )

    entries = []
    for place, folders, files in os.walk(folder, onerror=unreadable):
        folders[:] = [name for name in folders if not is_hidden(name)]
        below = Path(place).relative_to(folder)
        if below.parts:
            entries += [(below / name).as_posix() for name in files if not is_hidden(name)]
    return sorted(entries)


def find_entries(folder: Path, digests: Mapping[str, str], record: PeopleRecord) -> PeopleEntries:
    """Return the links and copies in a folder of people.

    Args:
        folder: The folder of people.
        digests: The digests of the photos' files, by their paths.
        record: What the folder held.

    Raises:
        DataError: A folder cannot be read.
    """
    by_path = {absolute(photo): photo for photo in digests}
    by_real = {os.path.realpath(photo): photo for photo in digests}
    by_digest: dict[str, list[str]] = {}
    for one, digest in digests.items():
        by_digest.setdefault(digest, []).append(one)
    moved = {rows[0].photo: one for one, rows in record.of_photos(digests).items()}
    before = {row.entry: moved.get(row.photo) for row in record.faces if row.entry}
    photos: dict[str, str | None] = {}
    stale = set()
    photo: str | None
    for entry in list_entries(folder):
        path = folder / entry
        if path.is_symlink():
            target = absolute(path.parent / path.readlink())
            photo = by_path.get(target) or by_real.get(os.path.realpath(path)) or moved.get(target)
            if photo is not None and not path.exists():
                stale.add(entry)
        else:
            same = by_digest.get(_digest(path), [])
            photo = before.get(entry)
            if photo not in same:
                same.sort(key=lambda one: Path(one).name != path.name)
                photo = same[0] if same else None
        photos[entry] = photo
    return PeopleEntries(photos, frozenset(stale))


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file; empty where it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    except OSError:
        return ""
    return digest.hexdigest()
