"""Every kind of store of a gallery, for the tests that all of them pass."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

from facealike.gallery import location
from facealike.gallery.base import GalleryStore
from facealike.gallery.gallery_key import write_new_key
from support.postgres_server import postgres_url

KINDS = ("sqlite", "encrypted", "postgresql", "milvus")
_numbers = itertools.count()


def new_place(kind: str, folder: Path) -> str:
    """Return where a gallery of a kind can be made that is not there yet."""
    number = next(_numbers)
    places: dict[str, Callable[[], str]] = {
        "sqlite": lambda: str(folder / f"g{number}.db"),
        "encrypted": lambda: str(folder / f"e{number}.db"),
        "postgresql": lambda: postgres_url(f"g{number}"),
        "milvus": lambda: f"milvus://{folder}/milvus.db?gallery=g{number}",
    }
    return places[kind]()


def open_store(place: str, model: str | None) -> GalleryStore:
    """Open a store; an encrypted one with the key beside it."""
    path = Path(place)
    if not path.name.startswith("e"):
        return location.open_store(place, model)
    key = path.with_name("gallery.key")
    if not key.exists():
        write_new_key(key)
    return location.open_store(place, model, key)


def new_store(kind: str, folder: Path, model: str = "m") -> GalleryStore:
    """Return a new, empty store."""
    return open_store(new_place(kind, folder), model)
