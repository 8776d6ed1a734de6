"""Stores of a gallery by where they are: a file, or a server by its URL."""

from __future__ import annotations

import os

from ..errors import UsageError
from .base import GalleryStore
from .sqlite_store import SQLiteStore
from .store_url import StoreURL, is_url


def open_store(place: str | os.PathLike[str], model_id: str | None) -> GalleryStore:
    """Open or create the store of a gallery.

    Args:
        place: The path of an SQLite file, ``postgresql://user@host/database?gallery=name``, or
            ``milvus://host:port/name`` or ``milvus:///path/to/file.db``.
        model_id: The model whose embeddings are expected; None opens an existing gallery of any model.

    Raises:
        UsageError: A URL of an unknown kind.
        DataError: The gallery cannot be opened.
        MissingExtra: The client of the server is not installed.
        MixedModels: It holds templates of another model.
    """
    if not is_url(place):
        return SQLiteStore(place, model_id)
    url = StoreURL.parse(str(place))
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
