"""List the photos of sources: folders, tar files, lists, single photos, each by path or by URL."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..datasets.aged_photos import aged_names
from ..datasets.folders import Skipped, is_hidden, photos_below, warn_skipped
from ..errors import DataError, UsageError
from ..imaging.formats import readable_extensions
from ..utils.escape import shown
from .photo_file import PhotoRef
from .photo_lists import LIST_ENDINGS, photos_in_list
from .places import file_system, files_below, is_url
from .tar_files import expand_range, photos_in_tar


def list_photos(sources: Sequence[str | os.PathLike[str]], people: bool = False) -> Iterator[PhotoRef]:
    """Yield the photos of sources, in order.

    Args:
        sources: Each a photo, a folder, a tar file (``shard-{000..009}.tar`` stands for ten), a CSV or
            Parquet list with the column photo, or a URL of one of these; in a URL ``*`` stands for any text.
        people: A photo for which its source states no person shows whom its folder is named after, or its
            file name in a folder of AgeDB or FG-NET; not that of a list, which states people in a column.

    Raises:
        DataError: A source cannot be read, or a folder has no photo.
        MissingExtra: A package that a source needs is not installed.
    """
    if isinstance(sources, str | os.PathLike):
        raise UsageError("sources are given as a list; put a single one in a list")
    for source in sources:
        for place in _places(os.fspath(source)):
            folder = not is_url(place) and Path(place).is_dir()
            named = people and not folder and not place.lower().endswith(LIST_ENDINGS)
            for ref in _photos_of(place, people):
                if named and ref.person is None and ref.problem is None:
                    ref = ref._replace(person=_folder_name(ref))
                yield ref


def _places(source: str) -> list[str]:
    """Return the files and folders that a source stands for."""
    if not is_url(source):
        return [source] if os.path.exists(source) else expand_range(source)  # noqa: PTH110
    names = expand_range(source)
    return [place for name in names for place in (files_below(name) if "*" in name else [name])]


def _photos_of(place: str, people: bool) -> Iterator[PhotoRef]:
    ending = posixpath.splitext(place)[1].lower()
    if is_url(place):
        if ending not in (".tar", *LIST_ENDINGS, *readable_extensions()):
            return _photos_at(place)
    elif Path(place).is_dir():
        return _photos_in_folder(place, people)
    if ending in LIST_ENDINGS:
        return photos_in_list(place)
    # A compressed archive is named here, so that the message says what to do and not "no image".
    if ending == ".tar" or place.lower().endswith((".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")):
        return photos_in_tar(place)
    return iter([PhotoRef(place, place)])


def _photos_in_folder(folder: str, people: bool) -> Iterator[PhotoRef]:
    photos = photos_below(folder)
    flat = people and all(path.parent == Path(folder) for path in photos)
    stated = aged_names(photos) if flat else None
    for number, path in enumerate(photos):
        ref = PhotoRef(path.relative_to(folder).as_posix(), str(path))
        if stated is not None:
            name = stated[number]
            ref = ref._replace(person=None if name is None else name.person)
        elif people:
            ref = ref._replace(person=_folder_name(ref))
        yield ref


def _photos_at(url: str) -> Iterator[PhotoRef]:
    endings = readable_extensions()
    system, path = file_system(url)
    root = str(system.unstrip_protocol(path)).rstrip("/") + "/"
    skipped: list[Skipped] = []
    count = 0
    for place in files_below(url):
        key = place.removeprefix(root)
        if any(is_hidden(part) for part in key.split("/")):
            continue
        ending = posixpath.splitext(key)[1].lower()
        if ending in endings:
            count += 1
            yield PhotoRef(key, place)
        else:
            skipped.append(Skipped(Path(key), f"{ending} is no photo" if ending else "no photo by its name"))
    warn_skipped(url, skipped)
    if not count:
        raise DataError(f"{shown(url)}: no photo below this address; check it")


def _folder_name(ref: PhotoRef) -> str | None:
    """Return the name of the folder that a photo lies in; None at the top of a tar file."""
    path = ref.member or ref.place
    return posixpath.basename(posixpath.dirname(path.replace(os.sep, "/"))) or None
