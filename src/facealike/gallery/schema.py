"""Open the SQLite file of a gallery: its header, its tables, and their migration from older versions."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from ..errors import DataError, MixedModels
from ..utils.escape import shown
from .template import now

APPLICATION_ID = 0x46414C47  # "FALG", in the header of the file
MIGRATIONS = (
    """
    CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE people (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, metadata TEXT NOT NULL DEFAULT '{}');
    CREATE TABLE templates (
        id INTEGER PRIMARY KEY, person INTEGER NOT NULL REFERENCES people(id) ON DELETE CASCADE,
        vector BLOB NOT NULL, digest TEXT NOT NULL, quality REAL, time TEXT NOT NULL, source TEXT NOT NULL,
        UNIQUE (person, digest));
    CREATE TABLE audit (
        id INTEGER PRIMARY KEY, time TEXT NOT NULL, action TEXT NOT NULL, templates INTEGER NOT NULL);
    """,
    """
    CREATE TABLE corrections (
        id INTEGER PRIMARY KEY, person INTEGER NOT NULL REFERENCES people(id) ON DELETE CASCADE,
        digest TEXT NOT NULL, time TEXT NOT NULL, UNIQUE (person, digest));
    """,
    """
    ALTER TABLE templates ADD COLUMN origin TEXT NOT NULL DEFAULT '';
    """,
)
"""SQL that leads from each schema version (``user_version``) to the next."""

BUSY_TIMEOUT = 30_000
"""Milliseconds that a write waits for another process."""


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Run the block in one transaction, which an error undoes."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # SQLite itself ends it where the disk is full
            db.execute("ROLLBACK")
        raise


def prepare(db: sqlite3.Connection, path: Path, model_id: str | None) -> str:
    """Check or create the tables, migrate those of an older version, and return the id of the model.

    Args:
        db: A connection without implicit transactions.
        path: Its file, for messages.
        model_id: The model whose embeddings are expected; None takes that of an existing gallery.

    Raises:
        DataError: The file is no gallery or is of a newer version.
        MixedModels: The file holds templates of another model.
        sqlite3.Error: The file cannot be read or written.
    """
    db.execute("PRAGMA foreign_keys = ON")
    db.execute("PRAGMA secure_delete = ON")
    with transaction(db):
        owner = db.execute("PRAGMA application_id").fetchone()[0]
        tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if owner != APPLICATION_ID and (owner or tables):
            raise DataError(f"{shown(path)}: a database of another program; name another file")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version > len(MIGRATIONS):
            raise DataError(f"{shown(path)}: a gallery of a newer facealike; update facealike")
        if not version and model_id is None:
            raise DataError(
                f"{shown(path)}: an empty file and no gallery; facealike gallery enroll makes one"
            )
        if version < len(MIGRATIONS):
            _migrate(db, version)
        if not version:
            db.execute("INSERT INTO about VALUES ('model', ?), ('created', ?)", (model_id, now()))
        row = db.execute("SELECT value FROM about WHERE key = 'model'").fetchone()
        held = "" if row is None else str(row[0])
    if model_id is not None and held != model_id:
        raise MixedModels(
            f"{shown(path)}: holds templates of the model {held}, not {model_id}; open it with that model, "
            "or enroll the photos again in a new gallery"
        )
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA temp_store = MEMORY")  # VACUUM leaves no copy in a folder for temporary files
    erase(db, wait=False)
    return held


def _migrate(db: sqlite3.Connection, version: int) -> None:
    for script in MIGRATIONS[version:]:
        for statement in filter(str.strip, script.split(";")):
            db.execute(statement)
    if version:
        mark_deleted(db)  # version 1 left copies of deleted rows in the gaps of pages
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def mark_deleted(db: sqlite3.Connection) -> None:
    """Note, within the transaction that deletes rows, that their bytes are still to be erased."""
    db.execute("INSERT OR REPLACE INTO about VALUES ('erase', 'pending')")


def erase(db: sqlite3.Connection, wait: bool = True) -> bool:
    """Erase the bytes of deleted rows from the file and from the write-ahead log.

    ``secure_delete`` overwrites a deleted row where it stands, and not copies of it that stay in the gaps of
    pages when SQLite moves rows between them.  So the file is rewritten (VACUUM), which takes time in
    proportion to its size.  A process that was killed before it had done so has left its mark.

    Args:
        db: The connection.
        wait: Wait for other processes; without, what they hinder is left for the next time.

    Returns:
        Whether nothing is left.
    """
    db.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT if wait else 0}")
    try:
        pending = db.execute("SELECT 1 FROM about WHERE key = 'erase'").fetchone()
        if pending:
            db.execute("VACUUM")
        if db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            return False
        if pending:
            db.execute("DELETE FROM about WHERE key = 'erase'")
    except sqlite3.OperationalError:
        if wait:
            raise
        return False  # such as a file that may only be read: whoever writes next does it
    finally:
        db.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT}")
    return True


def failure(path: Path, error: sqlite3.Error) -> DataError:
    """Return an error of SQLite as one sentence with what to do."""
    todo = cure(error, "facealike gallery check examines it")
    return DataError(f"{shown(path)}: the gallery cannot be used ({error}); {todo}")


def cure(error: sqlite3.Error, otherwise: str) -> str:
    """Return what to do about an error of SQLite."""
    return next((todo for part, todo in _CURES.items() if part in str(error)), otherwise)


_CURES = {
    "locked": "another process is writing in it: wait until it is done, and try again",
    "full": "free some space on the disk, and try again",
    "readonly": "allow writing the file and its folder",
    "disk I/O": "check the disk, and try again",
    "not a database": "name another file",
    "malformed": "the file is damaged: restore a copy, or import an exported file",
    "unable to open": "check the path and its permissions",
    "closed database": "open the gallery again",
}
