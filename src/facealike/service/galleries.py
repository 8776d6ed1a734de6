"""The galleries of a service: one file each in one folder, all of them used by one thread.

SQLite's connections belong to a thread, and a write waits for the disk.  Photos are embedded before, by the
queue, so that this thread only searches and writes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import sqlite3
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

from ..client.fields import GALLERY_NAME
from ..embedding.face_model import Model
from ..errors import DataError, MixedModels, ServiceError, UsageError
from ..gallery.base import NoSuchPerson, NoTemplateLeft
from ..gallery.gallery import Gallery
from ..gallery.gallery_key import find_key
from ..gallery.unusable import NotErased, UnusableGallery
from ..utils.escape import shown
from .gallery_faults import UNREADABLE_KEY, GalleryUnavailable, unavailable
from .problems import NotFound

R = TypeVar("R")

LOG = logging.getLogger("facealike.service")

SUFFIX = ".db"
MOST_OPEN = 32
"""Galleries that are open at a time; the one that was used least recently is closed for another."""

TRY_AGAIN = 5
"""Seconds until ``problem`` opens galleries again that could not be used; or so many times what it took."""

Stamp = tuple[int, int]
"""The device and the inode of a file: another file of the same name has others."""


class Opened(NamedTuple):
    """An open gallery, and which file it is."""

    gallery: Gallery
    stamp: Stamp


class Galleries:
    """Galleries by name.

    Args:
        folder: Where their files are; created for the first one.
        model: The model of them all.
        key_file: The key that they are encrypted with; None takes that of the environment, if any.
    """

    def __init__(self, folder: Path, model: Model, key_file: Path | None = None) -> None:
        self._folder, self._model, self._key_file = folder, model, key_file
        self._open: OrderedDict[str, Opened] = OrderedDict()
        self._thread = ThreadPoolExecutor(1, "galleries")
        self._known: dict[str, str | None] = {}  # why a gallery cannot be used; None where it can
        self._next_try = 0.0

    async def run(self, name: str, use: Callable[[Gallery], R], create: bool = False) -> R:
        """Return what ``use`` returns for a gallery, in the thread of the galleries.

        Args:
            name: The gallery.
            use: Called with it.
            create: Make it, if there is none.

        Raises:
            NotFound: There is no such gallery, or no such person in it.
            GalleryUnavailable: It cannot be used until its operator mends something.
            FacealikeError: What ``use`` raises.
        """
        path = self._path(name)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._used, name, path, use, create)

    async def names(self) -> list[str]:
        """Return the names of all galleries.

        Raises:
            ServiceError: Their folder cannot be read.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._names)

    async def problem(self) -> str | None:
        """Return why no gallery can be used; None where one can, or there is none."""
        try:
            names = await asyncio.to_thread(self._names)
        except ServiceError as error:
            return str(error)
        if not names or any(self._known.get(name, "") is None for name in names):
            return None
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._problem, names)

    def unusable(self) -> int:
        """Return how many galleries could not be used when they were last."""
        return sum(reason is not None for reason in list(self._known.values()))

    def close(self) -> None:
        """Finish what was begun, and close all files."""
        self._thread.submit(self._close_all).result()
        self._thread.shutdown()

    def _names(self) -> list[str]:
        try:
            found = [path.stem for path in self._folder.iterdir() if path.suffix == SUFFIX]
        except FileNotFoundError:
            return []
        except OSError as error:
            LOG.error("the folder of the galleries cannot be read: %s", error.strerror)
            raise ServiceError(
                "the folder of the galleries cannot be read; allow the service to read it", 503
            ) from None
        return sorted(name for name in found if re.fullmatch(GALLERY_NAME, name))

    def _path(self, name: str) -> Path:
        """Return the file of a gallery: the name is checked, so that it cannot lead elsewhere."""
        if not re.fullmatch(GALLERY_NAME, name):
            raise UsageError(f"{shown(name)}: no name of a gallery; use a to z, 0 to 9, - and _")
        return self._folder / f"{name}{SUFFIX}"

    def _used(self, name: str, path: Path, use: Callable[[Gallery], R], create: bool) -> R:
        try:
            result = use(self._gallery(name, path, create))
        except NoSuchPerson as error:
            raise NotFound(f"no person {shown(error.person)!r} is enrolled in {name}") from None
        except NoTemplateLeft as error:
            raise ServiceError(
                f"{shown(error.person)!r} has no template left in {name}; enroll a photo first", 409
            ) from None
        except (UnusableGallery, NotErased, MixedModels, OSError) as error:
            raise self._failed(name, unavailable(name, error), error) from None
        self._known[name] = None
        return result

    def _failed(self, name: str, answer: GalleryUnavailable, error: Exception) -> GalleryUnavailable:
        """Take note of a gallery that cannot be used; it is opened anew when it is used next."""
        cause = error.__cause__ or error
        # The message of facealike's own error is not logged: it may name a person.
        known = isinstance(cause, OSError | sqlite3.Error)
        LOG.error("%s%s", answer, f" ({getattr(cause, 'strerror', None) or cause})" if known else "")
        if answer.lasting:
            self._known[name] = answer.reason
            self._close(name)
        return answer

    def _gallery(self, name: str, path: Path, create: bool) -> Gallery:
        stamp = _stamp(path)
        if name in self._open and self._open[name].stamp != stamp:
            self._close(name)  # its file was removed, or replaced by another, while it was open
        if name in self._open:
            self._open.move_to_end(name)
            return self._open[name].gallery
        if stamp is None:
            self._known.pop(name, None)
            if not create:
                raise NotFound(f"no gallery {name}; enrolling a person makes it")
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._check_key(name)
        while len(self._open) >= MOST_OPEN:
            self._close(next(iter(self._open)))
        gallery = Gallery.open(path, self._model, key_file=self._key_file)
        made = _stamp(path)
        if made is None:
            gallery.close()
            raise NotFound(f"no gallery {name}; it was removed meanwhile")
        self._open[name] = Opened(gallery, made)
        return gallery

    def _check_key(self, name: str) -> None:
        try:
            find_key(self._key_file)
        except DataError as error:
            raise self._failed(name, GalleryUnavailable(name, UNREADABLE_KEY), error) from None

    def _problem(self, names: list[str]) -> str | None:
        """Open galleries until one can be used; where none could be, not again at once."""
        if time.monotonic() >= self._next_try or not set(names) <= set(self._known):
            start = time.monotonic()
            for name in names:
                with contextlib.suppress(ServiceError):
                    self._used(name, self._path(name), lambda _: None, create=False)
                    return None
            now = time.monotonic()
            self._next_try = now + TRY_AGAIN * max(1.0, now - start)
        return next((reason for name in names if (reason := self._known.get(name))), None)

    def _close(self, name: str) -> None:
        if name in self._open:
            self._open.pop(name).gallery.close()

    def _close_all(self) -> None:
        for name in list(self._open):
            self._close(name)


def _stamp(path: Path) -> Stamp | None:
    """Return which file a path leads to; None where there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
