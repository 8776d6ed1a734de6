"""Open the SQLite file of a gallery: its header, its tables, and their migration from older versions.

What a person is known by (name, metadata, vectors, digests, sources) stands only in rows of tables that grow
at the end, and in no index.  Such a row is never moved: SQLite appends it to the last page of the table, and
moves rows only where one in the middle grows or is deleted.  To forget is to empty the row where it stands;
``secure_delete`` overwrites what it held.  So no copy of it is left anywhere else in the file.
"""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from ..errors import DataError, MixedModels
from ..utils.escape import shown
from .row_file import WORD, mark_of, mixed_one
from .template import now
from .unusable import Fault, UnusableGallery

APPLICATION_ID = 0x46414C47  # "FALG", in the header of the file
ENCRYPTED_ID = 0x46414C45  # "FALE", of an encrypted one, which older versions then refuse
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
    """
    ALTER TABLE people RENAME TO old_people;
    ALTER TABLE templates RENAME TO old_templates;
    ALTER TABLE corrections RENAME TO old_corrections;
    CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT);
    CREATE TABLE descriptions (id INTEGER PRIMARY KEY, person INTEGER, metadata TEXT);
    CREATE TABLE templates (
        id INTEGER PRIMARY KEY, person INTEGER, vector BLOB, digest TEXT, quality REAL, time TEXT,
        source TEXT, origin TEXT);
    CREATE TABLE corrections (id INTEGER PRIMARY KEY, person INTEGER, digest TEXT, time TEXT);
    CREATE TABLE erasures (kind TEXT NOT NULL, row INTEGER NOT NULL);
    INSERT INTO people SELECT id, name FROM old_people ORDER BY id;
    INSERT INTO descriptions (person, metadata)
        SELECT id, metadata FROM old_people WHERE metadata != '{}' ORDER BY id;
    INSERT INTO templates
        SELECT id, person, vector, digest, quality, time, source, origin FROM old_templates ORDER BY id;
    INSERT INTO corrections SELECT id, person, digest, time FROM old_corrections ORDER BY id;
    DROP TABLE old_templates;
    DROP TABLE old_corrections;
    DROP TABLE old_people;
    CREATE INDEX templates_person ON templates (person);
    CREATE INDEX descriptions_person ON descriptions (person);
    """,
)
"""SQL that leads from each schema version (``user_version``) to the next."""

BUSY_TIMEOUT = 30_000
"""Milliseconds that a write waits for another process."""

RETRY = 0.002
"""Seconds between two attempts to truncate the write-ahead log."""


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Run the block in one transaction, which an error undoes; it is the lock of the index files, too."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # SQLite itself ends it where the disk is full
            db.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def reading(db: sqlite3.Connection) -> Iterator[None]:
    """Let all reads of the block see one state of the file."""
    outer = bool(db.in_transaction)
    if not outer:
        db.execute("BEGIN")
    try:
        yield
    finally:
        if not outer:
            db.execute("COMMIT")


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
    db.execute("PRAGMA secure_delete = ON")
    with transaction(db):
        owner = db.execute("PRAGMA application_id").fetchone()[0]
        tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if owner not in (APPLICATION_ID, ENCRYPTED_ID) and (owner or tables):
            raise UnusableGallery(
                f"{shown(path)}: a database of another program; name another file", "damaged"
            )
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version > len(MIGRATIONS):
            raise UnusableGallery(f"{shown(path)}: a gallery of a newer facealike; update facealike", "newer")
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
        mark_deleted(db)  # older versions left copies of deleted rows in the gaps of pages
    _count(db)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _count(db: sqlite3.Connection) -> None:
    """State in ``about`` what the tables hold: see ``Totals``."""
    templates, vectors, names, length = 0, 0, 0, 0
    for key, vector in db.execute("SELECT id, CAST(vector AS BLOB) FROM templates"):
        templates, length = templates + 1, length or len(vector)
        vectors = (vectors + mixed_one(key, mark_of(vector))) & WORD
    for key, name in db.execute("SELECT id, name FROM people"):
        names = (names + mixed_one(key, mark_of(name.encode()))) & WORD
    (people,) = db.execute("SELECT count(DISTINCT person) FROM templates").fetchone()
    values = {
        "templates": templates, "people": people, "vector marks": vectors, "name marks": names,
        "dimensions": length // 4, "store": secrets.token_hex(16),
    }  # fmt: skip
    db.executemany("INSERT INTO about VALUES (?, ?)", [(key, str(value)) for key, value in values.items()])


def mark_deleted(db: sqlite3.Connection) -> None:
    """Note, within a transaction, that the file is to be rewritten: pages may hold copies of deleted rows."""
    db.execute("INSERT OR REPLACE INTO about VALUES ('erase', 'pending')")


def erase(db: sqlite3.Connection, wait: bool = True) -> bool:
    """Erase deleted bytes from the write-ahead log, and from the file where ``mark_deleted`` asks for it.

    A process that was killed before it had done so has left its mark.

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
        # For another process at a checkpoint SQLite does not wait itself.
        until = time.monotonic() + (BUSY_TIMEOUT / 1000 if wait else 0)
        while db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            if time.monotonic() >= until:
                return False
            time.sleep(RETRY)
        if pending:
            db.execute("DELETE FROM about WHERE key = 'erase'")
    except sqlite3.OperationalError:
        if wait:
            raise
        return False  # such as a file that may only be read: whoever writes next does it
    finally:
        db.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT}")
    return True


def failure(
    path: Path, error: Exception, what: str = "the gallery cannot be used",
    otherwise: str = "facealike gallery check examines it",
) -> UnusableGallery:  # fmt: skip
    """Return an error of SQLite as one sentence with what to do.

    Args:
        path: The file.
        error: What SQLite says.
        what: What could not be done.
        otherwise: What to do about an error that is not foreseen.
    """
    unforeseen: tuple[Fault, str] = ("damaged", otherwise)
    fault, todo = next((cure for part, cure in _CURES.items() if part in str(error)), unforeseen)
    reason = str(error).partition(". ")[0]  # SQLite's error of a wrong thread goes on with two numbers
    return UnusableGallery(f"{shown(path)}: {what} ({reason}); {todo}", fault)


_CURES: dict[str, tuple[Fault, str]] = {
    "locked": ("busy", "another process is writing in it: wait until it is done, and try again"),
    "full": ("full", "free some space on the disk, and try again"),
    "readonly": ("read-only", "allow writing the file and its folder"),
    "disk I/O": ("unreachable", "check the disk, and try again"),
    "not a database": ("damaged", "name another file"),
    "malformed": ("damaged", "the file is damaged: restore a copy, or import an exported file"),
    "unable to open": ("unreachable", "check the path and its permissions"),
    "closed database": ("unreachable", "open the gallery again"),
    "same thread": (
        "unreachable", "a gallery serves the thread that opened it: open it again in each thread"
    ),
    "no such table": (
        "key changed", "another process has changed its key: open the gallery again with the new one"
    ),
}  # fmt: skip
