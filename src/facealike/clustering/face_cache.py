"""Keep the faces and embeddings of photos on disk, so that an interrupted run goes on.

A cache is one SQLite file a model and face policy in a folder.  A photo is known by the SHA-256 of its file's
bytes, so a stale entry is never used.  A batch of photos is stored in one transaction: a run that is killed
loses its last batch at most.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..detection.base import fingerprint
from ..detection.face_policy import FacePolicy
from ..embedding.face_model import Model
from ..errors import DataError
from ..types import Box, Face
from ..utils.escape import shown

VERSION = 1
"""Incremented whenever the same photo, model and settings would give other faces."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS photo (digest TEXT PRIMARY KEY, faces INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS face (
    digest TEXT NOT NULL, number INTEGER NOT NULL, face TEXT NOT NULL, quality REAL NOT NULL,
    vector BLOB NOT NULL, thumbnail BLOB NOT NULL, PRIMARY KEY (digest, number)
) WITHOUT ROWID;
"""

BUSY = 60.0
"""Seconds to wait for another process that writes to the same cache."""


class StoredFace(NamedTuple):
    """A face without the name of its photo: its place, quality, embedding and picture (JPEG)."""

    face: Face
    quality: float
    embedding: NDArray[np.float32]
    thumbnail: bytes


class FaceCache:
    """The faces of photos by the digests of their files.

    Args:
        folder: Where it is kept, created if needed; None keeps nothing.
        model: Embeds the faces.
        policy: Which faces of a photo are meant.

    Raises:
        DataError: It is damaged or cannot be written.
    """

    def __init__(self, folder: str | os.PathLike[str] | None, model: Model, policy: FacePolicy) -> None:
        self.known: frozenset[str] = frozenset()
        self._file = None if folder is None else Path(folder) / f"faces-{_key(model, policy)}.db"
        self._database: sqlite3.Connection | None = None
        if self._file is None:
            return
        with self._errors():
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(self._file, timeout=BUSY, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")
            self._database.executescript(SCHEMA)
            self.known = frozenset(digest for (digest,) in self._database.execute("SELECT digest FROM photo"))

    def faces(self, digest: str) -> list[StoredFace]:
        """Return the faces of a known photo, the most confident first."""
        assert self._database is not None
        with self._errors():
            rows = self._database.execute(
                "SELECT face, quality, vector, thumbnail FROM face WHERE digest = ? ORDER BY number",
                (digest,),
            ).fetchall()
            return [
                StoredFace(_face(face), quality, np.frombuffer(vector, "<f4").astype(np.float32), thumbnail)
                for face, quality, vector, thumbnail in rows
            ]

    def add(self, photos: Mapping[str, Sequence[StoredFace]]) -> None:
        """Store the faces of photos, by digest, in one transaction."""
        if self._database is None or not photos:
            return
        with self._errors(), self._database:
            for digest, faces in photos.items():
                self._database.execute("INSERT OR IGNORE INTO photo VALUES (?, ?)", (digest, len(faces)))
                self._database.executemany(
                    "INSERT OR IGNORE INTO face VALUES (?, ?, ?, ?, ?, ?)",
                    [
                        (digest, i, _text(one.face), one.quality, one.embedding.astype("<f4").tobytes(),
                         one.thumbnail)
                        for i, one in enumerate(faces)
                    ],
                )  # fmt: skip

    def close(self) -> None:
        """Close the file; the faces stay in it."""
        if self._database is not None:
            self._database.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, ValueError, TypeError) as error:
            raise DataError(
                f"{shown(self._file or '')}: this cache of faces cannot be used ({error}); delete the file, "
                "or choose another folder"
            ) from error


def _key(model: Model, policy: FacePolicy) -> str:
    made_by = f"{VERSION} {model.id} {fingerprint(model.detector)} {policy}"
    return hashlib.sha256(made_by.encode()).hexdigest()[:16]


def _text(face: Face) -> str:
    return json.dumps([list(face.box), face.confidence, face.landmarks])


def _face(text: str) -> Face:
    box, confidence, landmarks = json.loads(text)
    points = None if landmarks is None else tuple((float(x), float(y)) for x, y in landmarks)
    return Face(Box(*(float(value) for value in box)), float(confidence), points)
