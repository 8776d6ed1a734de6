"""The model store: a folder of model files by name, for each user.

``FACEALIKE_HOME`` names the folder of all that facealike keeps for a user; by default it is in the platform's
cache folder.  Files are written atomically, and their hashes are verified on every read.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import DataError, ModelError, UsageError
from ..utils.atomic_write import write_bytes
from ..utils.escape import shown
from ..utils.locking import own_folder
from ..utils.result import Shown
from .model_file import ModelFile

HOME_VARIABLE = "FACEALIKE_HOME"
DEFAULT_MODEL = "default"  # the name of the default model, which is part of the package
SUFFIX = ".facealike"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
LOCK = ".lock"  # while a process stores a model
STALE_AFTER = 24 * 3600  # seconds; older temporary files are deleted


@dataclass(frozen=True, repr=False)
class StoredModel(Shown):
    """A model in the store.

    Attributes:
        name: Its name.
        path: Its file.
        file: Its content; None if the file cannot be used.
        problem: Why it cannot be used, or None.
    """

    name: str
    path: Path
    file: ModelFile | None = field(default=None, repr=False)
    problem: str | None = None

    def __bool__(self) -> bool:
        """Return whether the model can be used, that is, has no ``problem``."""
        return self.problem is None

    def _brief(self) -> str:
        return f"{self.name}, {'usable' if self else f'unusable: {self.problem}'}"


def home_folder() -> Path:
    """Return the folder of all that facealike keeps for this user; it may not exist yet."""
    named = os.environ.get(HOME_VARIABLE)
    if named:
        return Path(named).expanduser()
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        base = Path(local) if local else Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        # The XDG standard: relative paths are ignored.
        stated = Path(os.environ.get("XDG_CACHE_HOME") or "")
        base = stated if stated.is_absolute() else Path.home() / ".cache"
    return base / "facealike"


def models_folder() -> Path:
    """Return the folder of the stored models; it may not exist yet."""
    return home_folder() / "models"


def downloads_folder() -> Path:
    """Return the folder of unfinished downloads; it may not exist yet."""
    return home_folder() / "downloads"


def is_name(text: str) -> bool:
    """Return whether ``text`` can only be the name of a model, and not the path of a file."""
    return NAME.fullmatch(text) is not None and not text.lower().endswith(SUFFIX)


def check_name(name: str) -> str:
    """Return ``name`` if a model may be stored under it, else raise UsageError."""
    if not is_name(name):
        raise UsageError(
            f"{shown(name)}: a model's name has up to 64 letters, digits, dots, dashes and underscores, and "
            f"does not end in {SUFFIX}; choose another with --name"
        )
    if name.lower() == DEFAULT_MODEL:
        raise UsageError(f"the name {name} is that of the default model; choose another")
    return name


def stored_path(name: str) -> Path:
    """Return the path at which a model of this name is stored."""
    return models_folder() / f"{check_name(name)}{SUFFIX}"


def find_stored(name: str) -> Path | None:
    """Return the file of the model stored under ``name``, or None."""
    if not is_name(name) or name.lower() == DEFAULT_MODEL:
        return None
    path = models_folder() / f"{name}{SUFFIX}"
    return path if path.is_file() else None


def stored_names() -> tuple[str, ...]:
    """Return the names of all stored models, sorted."""
    try:
        found = [path.stem for path in models_folder().iterdir() if path.suffix == SUFFIX and path.is_file()]
    except OSError:
        return ()
    return tuple(sorted(name for name in found if is_name(name)))


def stored_models() -> list[StoredModel]:
    """Return all stored models, sorted by name and verified; a damaged one has a ``problem``."""
    models = []
    for name in stored_names():
        path = models_folder() / f"{name}{SUFFIX}"
        try:
            models.append(StoredModel(name, path, ModelFile.read(path)))
        except ModelError as error:
            models.append(StoredModel(name, path, None, str(error)))
    return models


def store_model(file: ModelFile, name: str, replace: bool = False) -> StoredModel:
    """Store ``file`` under ``name`` atomically.

    Raises:
        UsageError: The name is invalid or, without ``replace``, taken by another model.
        DataError: The folder cannot be written.
    """
    path = stored_path(name)
    content = file.to_bytes()
    if _taken(path, content, replace):  # checked without the lock, which a read-only folder does not allow
        return StoredModel(name, path, file)
    try:
        with own_folder(path.parent, wait=True, name=LOCK):
            if not _taken(path, content, replace):
                _sweep(path.parent)
                write_bytes(path, content)
    except OSError as error:
        raise DataError(
            f"{shown(path.parent)}: this folder cannot be made or written ({error.strerror}); name another "
            f"with {HOME_VARIABLE}"
        ) from None
    return StoredModel(name, path, file)


def remove_model(name: str) -> Path:
    """Delete the model stored under ``name`` and return its path.

    Raises:
        UsageError: There is none.
        DataError: It cannot be deleted.
    """
    path = stored_path(name)
    try:
        path.unlink()
    except FileNotFoundError:
        known = ", ".join(stored_names())
        raise UsageError(
            f"{name}: no model of this name is stored; "
            + (f"there are {known}" if known else "there are none")
        ) from None
    except OSError as error:
        raise DataError(
            f"{shown(path)}: the model cannot be deleted ({error.strerror}); check its permissions"
        ) from None
    return path


def _taken(path: Path, content: bytes, replace: bool) -> bool:
    """Return whether this model is stored already; UsageError if another one has its name."""
    if replace or not path.exists():
        return False
    if _same(path, content):
        return True
    raise UsageError(
        f"{path.stem}: another model has this name already; choose one with --name, or give --replace"
    )


def _same(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False


def _sweep(folder: Path) -> None:
    """Delete old temporary files of processes that were killed."""
    for part in folder.glob(".*.part"):
        with contextlib.suppress(OSError):
            if time.time() - part.stat().st_mtime > STALE_AFTER:
                part.unlink()
