"""Find the photos in a folder: one walk with the same rules for every command.

A photo is a file that can be read here (``facealike.imaging.formats``).  Entries that begin with a dot and
the files that file managers add are ignored; every other file is counted and named.  Links are followed, and
a folder that a link leads to is searched once.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError
from ..imaging.formats import cure, readable_extensions
from ..imaging.photo_warning import PhotoWarning
from ..utils.escape import shown

SYSTEM_FILES = frozenset(("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir"))
"""Files of Windows, macOS and network drives beside photos; lower case."""

MAX_EXAMPLES = 3  # of skipped files in the warning


@dataclass(frozen=True)
class Skipped:
    """A file of a folder that was skipped, and why."""

    path: Path
    why: str

    def to_dict(self) -> dict[str, str]:
        return {"path": str(self.path), "why": self.why}


def is_hidden(name: str) -> bool:
    """Return whether an entry of a folder is ignored."""
    return name.startswith(".") or name.lower() in SYSTEM_FILES


def find_photos(folder: str | os.PathLike[str]) -> tuple[list[Path], list[Skipped]]:
    """Return the photos in ``folder`` and below it, sorted, and the other files with the reason for each.

    Raises:
        DataError: The folder itself cannot be read.
    """
    root = Path(folder)
    photos: list[Path] = []
    skipped: list[Skipped] = []
    searched: set[tuple[int, int]] = set()
    waiting = [root]
    while waiting:
        place = waiting.pop()
        try:
            status = place.stat()
            if (status.st_dev, status.st_ino) in searched:
                skipped.append(Skipped(place, "a link to a folder that is searched already"))
                continue
            searched.add((status.st_dev, status.st_ino))
            some, folders = photos_in(place, skipped)
        except OSError as error:
            if place == root:
                raise _cannot_read(root, error) from None
            skipped.append(Skipped(place, f"cannot be read ({error.strerror})"))
            continue
        photos += some
        # Links last, so that a folder counts under its own name and not under that of a link to it.
        links = [inner for inner in folders if inner.is_symlink()]
        waiting = links + waiting + [inner for inner in folders if inner not in links]
    return sorted(photos), sorted(skipped, key=lambda one: one.path)


def photos_below(path: str | os.PathLike[str]) -> list[Path]:
    """Return the photos in and below a folder, sorted; any other path is a photo itself.

    A PhotoWarning names the folder's other files.

    Raises:
        DataError: The folder cannot be read, or has no photo.
    """
    if not Path(path).is_dir():
        return [Path(path)]
    found, skipped = find_photos(path)
    warn_skipped(path, skipped)
    if not found:
        raise DataError(f"{shown(path)}: no photo in this folder; check the path")
    return found


def photos_in(folder: Path, skipped: list[Skipped]) -> tuple[list[Path], list[Path]]:
    """Return the photos in ``folder`` itself and its sub-folders, both sorted.

    Other files are added to ``skipped``.

    Raises:
        OSError: The folder cannot be read.
    """
    endings = readable_extensions()
    photos: list[Path] = []
    folders: list[Path] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if is_hidden(entry.name):
                continue
            path = folder / entry.name
            ending = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122 (a third of the time of a Path's)
            try:
                folder_there, file_there = entry.is_dir(), entry.is_file()
            except OSError as error:  # a link to itself, or into a folder without permission
                skipped.append(Skipped(path, f"cannot be read ({error.strerror})"))
                continue
            if folder_there:
                folders.append(path)
            elif not file_there:
                gone = entry.is_symlink()
                skipped.append(Skipped(path, "a link that leads nowhere" if gone else "no file"))
            elif ending in endings:
                photos.append(path)
            else:
                what = f"{ending} is no photo" if ending else "no photo by its name"
                advice = cure(ending)
                skipped.append(Skipped(path, what if advice is None else f"{ending}: {advice}"))
    return sorted(photos), sorted(folders)


def warn_skipped(root: str | os.PathLike[str], skipped: Iterable[Skipped]) -> None:
    """Warn, with one PhotoWarning, of the files of ``root`` that were skipped: how many, why, which."""
    some = list(skipped)
    if not some:
        return
    reasons = Counter(one.why for one in some)
    why = ", ".join(f"{count:,} ({shown(reason)})" for reason, count in sorted(reasons.items()))
    names = ", ".join(shown(one.path.name) for one in some[:MAX_EXAMPLES])
    more = ", ..." if len(some) > MAX_EXAMPLES else ""
    files = "1 entry is" if len(some) == 1 else f"{len(some):,} entries are"
    warnings.warn(f"{shown(root)}: {files} passed over: {why}: {names}{more}", PhotoWarning, stacklevel=3)


def _cannot_read(root: Path, error: OSError) -> DataError:
    return DataError(f"{shown(root)}: this folder cannot be read ({error.strerror}); check the path")
