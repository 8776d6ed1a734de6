"""A gallery of a folder of people in the user's cache, for one search now and then.

The name of the file holds a hash of the folder's path and one of its content: names of people, bytes of
photos, the model, and which face of a photo is meant.  Where one of these changes, the gallery is rebuilt
and the old one is deleted, so that a person who was removed from the folder does not stay in the cache.  A
build that was interrupted goes on.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from ..datasets.people import People
from ..detection.face_policy import DEFAULT_FACE, FacePolicy
from ..embedding.face_model import Model
from ..errors import DataError, ImageError
from ..imaging.read import read_file
from ..model_file.store import HOME_VARIABLE, home_folder
from ..utils.escape import shown
from ..utils.locking import own_folder
from ..utils.ordered_threads import default_threads, map_ordered
from .enrollment import BulkEnrollment
from .gallery import Gallery
from .people_list import PeopleList
from .sqlite_reading import index_folder
from .sqlite_store import SQLiteStore
from .template import person_name

LOCK = ".lock"
UNUSED_AFTER = 30 * 24 * 3600
"""Seconds after which a gallery that no search has used is deleted."""


def galleries_folder() -> Path:
    """Return the folder of the cached galleries; it may not exist yet."""
    return home_folder() / "galleries"


def folder_gallery(
    folder: str | os.PathLike[str], model: Model, face: FacePolicy = DEFAULT_FACE,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Gallery, BulkEnrollment | None]:  # fmt: skip
    """Return the cached gallery of a folder of people, built where there is none for its content.

    Args:
        folder: One sub-folder a person.
        model: Embeds the faces.
        face: Which face of a photo is meant; not ``all``.
        progress: Called with (done, total) while photos are enrolled.

    Returns:
        The gallery, and what became of the photos where it was built now.

    Raises:
        DataError: The folder has no people, or the cache cannot be written.
    """
    people = People.from_folder(Path(folder))
    content = _content(people, model.id, face)
    cache = galleries_folder()
    place = hashlib.sha256(os.fsencode(Path(folder).resolve())).hexdigest()[:16]
    path = cache / f"{place}-{content}.db"
    try:
        # The user did not ask for these copies of templates, and the photos may be for their owner alone.
        cache.parent.mkdir(parents=True, exist_ok=True)
        cache.mkdir(mode=0o700, exist_ok=True)
        with own_folder(cache, wait=True, name=LOCK):
            _delete_old(cache, place, path)
            store = _opened(path, model.id)
            gallery = Gallery(store, model)
            try:
                built = None
                if not store.note("built"):
                    built = _build(gallery, people, face, progress)
                    store.set_note("built", "yes")
            except BaseException:
                store.close()
                raise
            path.touch()
    except OSError as error:
        raise DataError(
            f"{shown(cache)}: the cache of galleries cannot be written ({error.strerror}); name another "
            f"folder with {HOME_VARIABLE}"
        ) from None
    return gallery, built


def _opened(path: Path, model_id: str) -> SQLiteStore:
    """Open the store of a cached gallery, or an empty one in place of a damaged one."""
    with contextlib.suppress(DataError):
        store = SQLiteStore(path, model_id)
        if not store.damaged_templates(unchecked=True):
            return store
        store.close()
    _delete(path)
    return SQLiteStore(path, model_id)


def _build(
    gallery: Gallery, people: People, face: FacePolicy, progress: Callable[[int, int], None] | None
) -> BulkEnrollment:
    names = [person_name(name) for name in people.names]
    photos = tuple((names[i], photo) for i, photo in zip(people.labels, people.paths, strict=True))
    return gallery.enroll_all(PeopleList(photos), face=face, progress=progress)


def _content(people: People, model_id: str, face: FacePolicy) -> str:
    """Return a hash of all that shapes the gallery of these people."""

    def entry(photo: Path) -> bytes:
        try:
            return hashlib.sha256(read_file(photo)).digest()
        except ImageError as error:
            return str(error).encode("utf-8", "backslashreplace")  # it is refused now; mended, it counts

    digest = hashlib.sha256(f"1 {model_id} {face}\n".encode())
    with closing(map_ordered(entry, people.paths, default_threads() - 1)) as entries:
        for label, path, found in zip(people.labels, people.paths, entries, strict=True):
            for part in (os.fsencode(people.names[label]), os.fsencode(path.name), found):
                digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()[:32]


def _delete_old(cache: Path, place: str, keep: Path) -> None:
    """Delete galleries of earlier contents of the folder, and those that were not used for long."""
    for path in cache.glob("*-*.db"):
        with contextlib.suppress(OSError):
            if path != keep and (
                path.name.startswith(f"{place}-") or time.time() - path.stat().st_mtime > UNUSED_AFTER
            ):
                _delete(path)


def _delete(path: Path) -> None:
    shutil.rmtree(index_folder(path), ignore_errors=True)
    for end in ("-wal", "-shm", ""):
        path.with_name(path.name + end).unlink(missing_ok=True)
