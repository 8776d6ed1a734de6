"""Write a folder a person with links to their photos, or copies; no photo is moved or changed.

    people/person-0001/     photos of a person with several faces, the person of the most faces first
    people/Ann/             those of a person with a name
    people/single/          photos of people with a single face
    people/not-grouped/     photos without a face, or with faces below the lowest quality only
    people/index.html       a page of faces
    people/faces.csv        every face with its person
    people/.facealike.json  where each face was put

A new folder is built under a hidden name beside its place and renamed when it is whole: a run that is killed
leaves nothing under the name asked for, and the next run removes what is left of it.  Into a folder that is
continued, links and copies are put one by one, each whole or not at all, and the record last: what a killed
run has put there counts for the next one as if the user had put it there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import DataError
from ..utils.atomic_write import flush_folder, write_text
from ..utils.escape import shown
from ..utils.locking import own_folder
from ..utils.result import Result
from ..utils.wording import counted
from .folder_names import PAGE, TABLE
from .kept_groups import KeptGroups
from .people_entries import list_entries, place_of
from .people_page import people_page
from .people_plan import PeoplePlan, people_plan
from .people_record import check_people, read_record

if TYPE_CHECKING:
    from .result import Clustering

PART = ".facealike-part"
"""The end of the hidden name of what is not whole yet."""


@dataclass(frozen=True, repr=False)
class PeopleFolders(Result):
    """What was written into a folder of people, or would be (``written`` is false).

    Attributes:
        folder: The folder that holds them.
        entries: The name of each new link or copy within it, with the photo it leads to.
        copied: Whether photos are copied, and not linked to.
        written: Whether they are there.
        kept: How many links and copies were there before.
        moved: Those of ``single`` and ``not-grouped`` whose photo went to another folder: old and new name.
        renamed: Folders that were named after a person: old and new name.

    Examples:
        >>> cluster("photos").save("people").entries[0]
        ('person-0001/a.jpg', 'photos/a.jpg')
    """

    ASK: ClassVar[str] = "ask for .entries"

    folder: Path
    entries: tuple[tuple[str, str], ...]
    copied: bool = False
    written: bool = True
    kept: int = 0
    moved: tuple[tuple[str, str], ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()

    @property
    def folders(self) -> int:
        """The number of folders with a new link or copy."""
        return len({place_of(name) for name, _ in self.entries})

    def to_dict(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder),
            "copied": self.copied,
            "written": self.written,
            "folders": self.folders,
            "entries": [{"name": name, "photo": photo} for name, photo in self.entries],
            "kept": self.kept,
            "moved": [{"from": old, "to": new} for old, new in self.moved],
            "renamed": [{"from": old, "to": new} for old, new in self.renamed],
        }

    def __str__(self) -> str:
        done = "" if self.written else " would be written"
        if not self.kept:
            what = "copies" if self.copied else "links"
            return f"{shown(self.folder)}: {self.folders:,} folders with {len(self.entries):,} {what}{done}"
        one, many = ("new copy", "new copies") if self.copied else ("new link", "new links")
        parts = [counted(len(self.entries), one, many) + done]
        if self.moved:
            parts.append(f"{len(self.moved):,} moved")
        if self.renamed:
            parts.append(f"{counted(len(self.renamed), 'folder')} renamed")
        return f"{shown(self.folder)}: {', '.join(parts)}, {self.kept:,} kept"


def plan_people(clustering: Clustering, folder: Path, copy: bool) -> PeopleFolders:
    """Return what ``save_people`` would write."""
    clustering, plan = _planned(clustering, folder)
    return _result(plan, folder, copy, written=False)


def save_people(clustering: Clustering, folder: Path, copy: bool) -> PeopleFolders:
    """Write the folders of people, the page of faces and the table.

    Args:
        clustering: The people.
        folder: A folder that is empty or not there, or the one whose groups were kept.
        copy: Copy the photos instead of linking to them.

    Raises:
        DataError: The folder cannot be written, holds files, or was changed since its groups were kept.
        UsageError: The folder that it is in does not exist.
    """
    clustering, plan = _planned(clustering, folder)
    target = folder.absolute()
    with _errors(folder), own_folder(target.parent, name=f".{target.name}.facealike-lock"):
        if clustering.kept is None or clustering.kept.folder is None:
            _write_new(clustering, plan, target, copy)
        else:
            _check_unchanged(clustering, folder)
            _add(clustering, plan, target, copy)
    return _result(plan, folder, copy, written=True)


def _planned(clustering: Clustering, folder: Path) -> tuple[Clustering, PeoplePlan]:
    """Return what is to be written, and the clustering without the groups of another folder."""
    kept = clustering.kept
    if kept is None or kept.folder != folder.absolute():
        _check_new(folder)
        if kept is not None:
            alone = KeptGroups(apart=kept.apart, digests=kept.digests, embeddings=kept.embeddings)
            clustering = replace(clustering, kept=alone)
    with _errors(folder):
        return clustering, people_plan(clustering)


def _result(plan: PeoplePlan, folder: Path, copy: bool, written: bool) -> PeopleFolders:
    return PeopleFolders(folder, plan.added, copy, written, plan.kept, plan.moved, plan.renamed)


def _check_new(folder: Path) -> None:
    """Refuse a folder that holds files, or that cannot be made."""
    if check_people(folder) is not None:
        raise DataError(
            f"{shown(folder)}: something is there already, and nothing is replaced; group with the people of "
            "this folder to continue it, or choose another one"
        )


def _check_unchanged(clustering: Clustering, folder: Path) -> None:
    """Refuse to continue a folder that is not as it was when its groups were kept."""
    kept = clustering.kept
    assert kept is not None
    if read_record(folder) != kept.record or list_entries(folder) != sorted(kept.entries.photos):
        raise DataError(
            f"{shown(folder)}: this folder was changed while the photos were grouped; run the command again"
        )


def _write_new(clustering: Clustering, plan: PeoplePlan, target: Path, copy: bool) -> None:
    """Write a new folder, whole or not at all."""
    part = target.with_name(f".{target.name}{PART}")
    if part.exists():
        shutil.rmtree(part)
    try:
        part.mkdir()
        for entry, photo in plan.added:
            _put(part / entry, Path(photo).absolute(), copy)
        _describe(clustering, plan, part)
        _check_new(target)
        if target.exists():
            target.rmdir()
        part.rename(target)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    flush_folder(target.parent)


def _add(clustering: Clustering, plan: PeoplePlan, target: Path, copy: bool) -> None:
    """Add to a folder that is continued; the record comes last."""
    for left in target.glob(f"*/.*{PART}"):
        left.unlink()
    for old, new in plan.renamed:
        (target / old).rename(target / new)
    for entry, photo in plan.relinked:
        with _beside(target / entry) as part:
            part.symlink_to(Path(photo).absolute())
    for entry, photo in plan.added:
        (target / entry).parent.mkdir(exist_ok=True)
        with _beside(target / entry) as part:
            _put(part, Path(photo).absolute(), copy)
    for old, new in plan.moved:
        (target / new).parent.mkdir(exist_ok=True)
        (target / old).rename(target / new)
    for entry in plan.removed:
        (target / entry).unlink()
    for place in {target / place_of(entry) for entry, _ in (*plan.added, *plan.moved)}:
        flush_folder(place)
    flush_folder(target)
    _describe(clustering, plan, target)


def _describe(clustering: Clustering, plan: PeoplePlan, folder: Path) -> None:
    """Write the table, the page and the record."""
    write_text(folder / TABLE, clustering.to_csv())
    write_text(folder / PAGE, people_page(clustering))
    plan.record.write(folder)


def _put(path: Path, photo: Path, copy: bool) -> None:
    path.parent.mkdir(exist_ok=True)
    if copy:
        shutil.copy2(photo, path)
    else:
        path.symlink_to(photo)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """Yield a hidden name beside a path, which it gets at the end."""
    # Of the photo's name only a part: a name may be as long as the system allows.
    part = path.with_name(f".{os.getpid()}{PART}")
    part.unlink(missing_ok=True)
    try:
        yield part
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


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
