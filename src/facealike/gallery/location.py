"""Stores of a gallery by where they are: a file, or a server by its URL."""

from __future__ import annotations

import os

from ..errors import UsageError
from .base import GalleryStore
from .gallery_key import find_key
from .sqlite_store import SQLiteStore
from .store_url import StoreURL, is_url


def open_store(
    place: str | os.PathLike[str], model_id: str | None, key_file: str | os.PathLike[str] | None = None,
    search_device: str = "cpu",
) -> GalleryStore:  # fmt: skip
    """Open or create the store of a gallery.

    Args:
        place: The path of an SQLite file, ``postgresql://user@host/database?gallery=name``, or
            ``milvus://host:port/name`` or ``milvus:///path/to/file.db``.
        model_id: The model whose embeddings are expected; None opens an existing gallery of any model.
        key_file: The key of an encrypted gallery; None takes that of ``FACEALIKE_GALLERY_KEY``, if any.
        search_device: Where a file is searched: ``cpu`` or ``cuda:N``.

    Raises:
        UsageError: A URL of an unknown kind, or a key or a search device for a server.
        DataError: The gallery cannot be opened.
        DeviceError: The search device is not there.
        MissingExtra: The client of the server, or torch for a search device, is not installed.
        MixedModels: It holds templates of another model.
    """
    key = find_key(key_file)
    if not is_url(place):
        return SQLiteStore(place, model_id, key=key, search_device=search_device)
    url = StoreURL.parse(str(place))
    if search_device != "cpu":
        raise UsageError(f"{url.shown}: a server searches by itself; leave the search device out")
    if key is not None:
        raise UsageError(
            f"{url.shown}: only a gallery in a file is encrypted by facealike; let the server encrypt its "
            "disk, and leave out the key (--key-file, FACEALIKE_GALLERY_KEY)"
        )
    if url.scheme in ("postgresql", "postgres"):
        from .adapters.pgvector import PostgresStore

        return PostgresStore(url, model_id)
    if url.scheme == "milvus":
        from .adapters.milvus import MilvusStore

        return MilvusStore(url, model_id)
    raise UsageError(
        f"{url.scheme}:// is no place for a gallery; give a file, or a URL of postgresql:// or milvus://"
    )


def compact_store(store: GalleryStore) -> int:
    """Rewrite a file without the space of removed people; return how many bytes that frees.

    Raises:
        UsageError: The store is on a server.
        DataError: Another process reads the gallery.
    """
    if not isinstance(store, SQLiteStore):
        raise UsageError(f"{store.name}: a server frees the space itself; only a file is compacted")
    return store.compact()


def check_plain(store: GalleryStore, plain: bool) -> None:
    """Refuse to write what an encrypted store holds to a plain file, unless ``plain`` asks for it.

    Raises:
        UsageError: The store is encrypted.
    """
    if isinstance(store, SQLiteStore) and store.key is not None and not plain:
        raise UsageError(
            f"{store.name}: encrypted, and an exported file is not; ask for plain text with --plain "
            "(in Python plain=True)"
        )
