"""The galleries of a service: one file each in one folder, all of them used by one thread.

SQLite's connections belong to a thread, and a write waits for the disk.  Photos are embedded before, by the
queue, so that this thread only searches and writes.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from ..client.fields import GALLERY_NAME
from ..embedding.face_model import Model
from ..errors import ServiceError, UsageError
from ..gallery.base import NoSuchPerson, NoTemplateLeft
from ..gallery.gallery import Gallery
from ..utils.escape import shown
from .problems import NotFound

R = TypeVar("R")

SUFFIX = ".db"
MOST_OPEN = 32
"""Galleries that are open at a time; the one that was used least recently is closed for another."""


class Galleries:
    """Galleries by name.

    Args:
        folder: Where their files are; created for the first one.
        model: The model of them all.
        key_file: The key that they are encrypted with; None takes that of the environment, if any.
    """

    def __init__(self, folder: Path, model: Model, key_file: Path | None = None) -> None:
        self._folder, self._model, self._key_file = folder, model, key_file
        self._open: OrderedDict[str, Gallery] = OrderedDict()
        self._thread = ThreadPoolExecutor(1, "galleries")

    async def run(self, name: str, use: Callable[[Gallery], R], create: bool = False) -> R:
        """Return what ``use`` returns for a gallery, in the thread of the galleries.

        Args:
            name: The gallery.
            use: Called with it.
            create: Make it, if there is none.

        Raises:
            NotFound: There is no such gallery, or no such person in it.
            FacealikeError: What ``use`` raises.
        """
        path = self._path(name)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._used, name, path, use, create)

    async def names(self) -> list[str]:
        """Return the names of all galleries."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._names)

    def close(self) -> None:
        """Finish what was begun, and close all files."""
        self._thread.submit(self._close_all).result()
        self._thread.shutdown()

    def _names(self) -> list[str]:
        found = (path.stem for path in self._folder.glob(f"*{SUFFIX}"))
        return sorted(name for name in found if re.fullmatch(GALLERY_NAME, name))

    def _path(self, name: str) -> Path:
        """Return the file of a gallery: the name is checked, so that it cannot lead elsewhere."""
        if not re.fullmatch(GALLERY_NAME, name):
            raise UsageError(f"{shown(name)}: no name of a gallery; use a to z, 0 to 9, - and _")
        return self._folder / f"{name}{SUFFIX}"

    def _used(self, name: str, path: Path, use: Callable[[Gallery], R], create: bool) -> R:
        gallery = self._gallery(name, path, create)
        try:
            return use(gallery)
        except NoSuchPerson as error:
            raise NotFound(f"no person {shown(error.person)!r} is enrolled in {name}") from None
        except NoTemplateLeft as error:
            raise ServiceError(
                f"{shown(error.person)!r} has no template left in {name}; enroll a photo first", 409
            ) from None

    def _gallery(self, name: str, path: Path, create: bool) -> Gallery:
        if name in self._open and path.is_file():
            self._open.move_to_end(name)
            return self._open[name]
        if not path.is_file():
            if name in self._open:  # its file was removed while it was open
                self._open.pop(name).close()
            if not create:
                raise NotFound(f"no gallery {name}; enrolling a person makes it")
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        while len(self._open) >= MOST_OPEN:
            self._open.popitem(last=False)[1].close()
        self._open[name] = Gallery.open(path, self._model, key_file=self._key_file)
        return self._open[name]

    def _close_all(self) -> None:
        while self._open:
            self._open.popitem()[1].close()
