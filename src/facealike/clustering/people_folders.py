"""Write a folder a person with links to their photos, or copies; no photo is moved or changed.

The folder is built under a hidden name beside its place and renamed when it is whole: a run that is killed
leaves nothing under the name asked for, and the next run removes what is left of it.

    people/person-0001/     photos of a person with several faces, the person of the most faces first
    people/Ann/             those of a person with a name
    people/single/          photos of people with a single face
    people/not-grouped/     photos without a face, or with faces below the lowest quality only
    people/index.html       a page of faces
    people/faces.csv        every face with its person
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import DataError, UsageError
from ..utils.atomic_write import flush_folder, write_text
from ..utils.escape import shown
from ..utils.locking import own_folder
from ..utils.result import Result
from .names import unused_name
from .people_page import people_page

if TYPE_CHECKING:
    from .result import Clustering

SINGLE, NOT_GROUPED = "single", "not-grouped"
TABLE, PAGE = "faces.csv", "index.html"
TAKEN = frozenset((SINGLE, NOT_GROUPED, TABLE, PAGE))

FORBIDDEN = frozenset('/\\:*?"<>|')
"""Characters that some system does not allow in names."""

LONGEST = 200
"""Bytes of a folder's name, of the 255 that systems allow."""


@dataclass(frozen=True, repr=False)
class PeopleFolders(Result):
    """Folders of people that were written, or would be (``written`` is false).

    Attributes:
        folder: The folder that holds them.
        entries: The name of each link or copy within it, with the photo it leads to.
        copied: Whether photos are copied, and not linked to.
        written: Whether the folders are there.

    Examples:
        >>> cluster("photos").save("people").entries[0]
        ('person-0001/a.jpg', 'photos/a.jpg')
    """

    ASK: ClassVar[str] = "ask for .entries"

    folder: Path
    entries: tuple[tuple[str, str], ...]
    copied: bool = False
    written: bool = True

    @property
    def folders(self) -> int:
        """The number of folders."""
        return len({name.partition("/")[0] for name, _ in self.entries})

    def to_dict(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder),
            "copied": self.copied,
            "written": self.written,
            "folders": self.folders,
            "entries": [{"name": name, "photo": photo} for name, photo in self.entries],
        }

    def __str__(self) -> str:
        what = "copies" if self.copied else "links"
        done = "" if self.written else " would be written"
        return f"{shown(self.folder)}: {self.folders:,} folders with {len(self.entries):,} {what}{done}"


def plan_people(clustering: Clustering, folder: Path, copy: bool) -> PeopleFolders:
    """Return what ``save_people`` would write."""
    entries: list[tuple[str, str]] = []
    taken: set[str] = set()
    for place, photos in _places(clustering):
        entries += [(_free(place, Path(photo), taken), photo) for photo in dict.fromkeys(photos)]
    return PeopleFolders(folder, tuple(entries), copy, written=False)


def save_people(clustering: Clustering, folder: Path, copy: bool) -> PeopleFolders:
    """Write the folders of people, the page of faces and the table, whole or not at all.

    Args:
        clustering: The people.
        folder: A folder that is empty or not there.
        copy: Copy the photos instead of linking to them.

    Raises:
        DataError: The folder cannot be written, or holds files.
        UsageError: The folder that it is in does not exist.
    """
    check_free(folder)
    plan = plan_people(clustering, folder, copy)
    target = folder.absolute()
    part = target.with_name(f".{target.name}.facealike-part")
    with _errors(folder), own_folder(target.parent, name=f".{target.name}.facealike-lock"):
        if part.exists():
            shutil.rmtree(part)
        try:
            part.mkdir()
            for name, photo in plan.entries:
                _put(part / name, Path(photo).absolute(), copy)
            write_text(part / TABLE, clustering.to_csv())
            write_text(part / PAGE, people_page(clustering))
            check_free(folder)
            if target.exists():
                target.rmdir()
            part.rename(target)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
        flush_folder(target.parent)
    return PeopleFolders(folder, plan.entries, copy)


def check_free(folder: Path) -> None:
    """Refuse a folder that holds files, or that cannot be made."""
    if not folder.absolute().parent.is_dir():
        raise UsageError(f"{shown(folder)}: the folder to write this to does not exist; create it first")
    with _errors(folder):
        if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
            raise DataError(
                f"{shown(folder)}: something is there already, and nothing is replaced; choose another folder"
            )


@contextmanager
def _errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, shutil.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(
            f"{shown(folder)}: the folders of people cannot be written ({reason}); check the permissions and "
            "the free space, and copy the photos where links are not allowed"
        ) from error


def _places(clustering: Clustering) -> Iterator[tuple[str, list[str]]]:
    """Yield each folder with its photos."""
    single: list[str] = []
    taken: set[str] = set()
    for person in clustering.numbers:
        photos = [face.photo for face in clustering.faces_of(person)]
        if clustering.has_folder(person):
            name = clustering.names.get(person)
            yield unused_name(numbered(person) if name is None else folder_name(name), taken), photos
        else:
            single += photos
    yield SINGLE, single
    grouped = {face.photo for face in clustering.faces if face.person is not None}
    poor = [face.photo for face in clustering.faces if face.photo not in grouped]
    yield NOT_GROUPED, [*clustering.no_face, *poor]


def numbered(person: int) -> str:
    """Return the folder of a person without a name."""
    return f"person-{person:04d}"


def folder_name(name: str) -> str:
    """Return a name as that of a folder on any system; never one that this module gives to others."""
    plain = "".join(c if c.isprintable() and c not in FORBIDDEN else "_" for c in name).strip(" .")
    plain = plain.encode()[:LONGEST].decode(errors="ignore").rstrip(" .")
    if not plain or plain.lower() in TAKEN or re.fullmatch(r"person-\d+", plain.lower()):
        plain += "_"
    return plain


def _free(place: str, photo: Path, taken: set[str]) -> str:
    """Return a name in a folder that no other photo has, in upper or lower case."""
    name, count = f"{place}/{photo.name}", 1
    while name.lower() in taken:
        count += 1
        name = f"{place}/{photo.stem}-{count}{photo.suffix}"
    taken.add(name.lower())
    return name


def _put(path: Path, photo: Path, copy: bool) -> None:
    path.parent.mkdir(exist_ok=True)
    if copy:
        shutil.copy2(photo, path)
    else:
        path.symlink_to(photo)
