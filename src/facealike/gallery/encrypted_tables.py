"""The tables of an encrypted gallery in SQLite, behind views that decrypt and encrypt.

The names of the tables end with the id of the data key.  Temporary views take their plain names: they decrypt
what is read, and their triggers encrypt what is written, so that all other code is that of a plain gallery
and only ciphertext ever reaches the file, its write-ahead log or the disk's cache.  A process whose key is
no longer that of the gallery finds no tables any more, so it cannot write rows that no one could read.

Not encrypted are ids, the times of rows, how a template came to this model, and the counts in ``about``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

from ..utils.escape import shown
from .gallery_key import KEY_VARIABLE, GalleryKey
from .record_cipher import NotAuthentic, RecordCipher, Value
from .row_file import WORD, mark_of, mixed_one
from .schema import APPLICATION_ID, ENCRYPTED_ID, transaction
from .unusable import UnusableGallery

ENCRYPTED = {
    "people": ("name",),
    "templates": ("vector", "digest", "quality", "source"),
    "descriptions": ("metadata",),
    "corrections": ("digest",),
}
"""The encrypted columns of each table."""

MARKED = {("people", "name"): "name marks", ("templates", "vector"): "vector marks"}
"""Columns whose marks are summed up, and the key of the sum in ``about``."""

CHUNK = 5_000
"""Rows that are encrypted again together."""


def unlock(db: sqlite3.Connection, path: Path, model_id: str, key: GalleryKey | None) -> RecordCipher | None:
    """Return the cipher of a gallery, None for a plain one; an empty one becomes encrypted with a key.

    Raises:
        DataError: The key is missing or another one, or there is a key and the gallery is plain.
        MissingExtra: cryptography is not installed.
    """
    wrapped = db.execute("SELECT value FROM about WHERE key = 'cipher'").fetchone()
    if wrapped is None:
        if key is None:
            return None
        with transaction(db):
            if any(db.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() for table in ENCRYPTED):
                raise UnusableGallery(
                    f"{shown(path)}: not encrypted; facealike gallery encrypt does that, or open it without "
                    f"a key (--key-file, {KEY_VARIABLE})",
                    "not encrypted",
                )
            return change_cipher(db, model_id, None, key)
    if key is None:
        raise UnusableGallery(
            f"{shown(path)}: encrypted; give its key by --key-file or the variable {KEY_VARIABLE}", "no key"
        )
    try:
        cipher = RecordCipher.unwrap(str(wrapped[0]), key, _gallery(db), model_id)
    except NotAuthentic:
        raise UnusableGallery(
            f"{shown(path)}: encrypted with another key; give the right one", "wrong key"
        ) from None
    return cipher


def change_cipher(
    db: sqlite3.Connection, model_id: str, old: RecordCipher | None, key: GalleryKey | None
) -> RecordCipher | None:
    """Encrypt all values anew, within a transaction; free space of the file then holds copies of old ones.

    The views of the old cipher are gone then.

    Args:
        db: The connection.
        model_id: The model of the gallery.
        old: The cipher so far; None for a plain gallery.
        key: Encrypts the new data key; None decrypts the gallery.

    Returns:
        The new cipher, to ``attach``; None for a plain gallery.

    Raises:
        NotAuthentic: A value cannot be decrypted.
    """
    new = None if key is None else RecordCipher.new(_gallery(db), model_id)
    for table in ENCRYPTED if old is not None else ():
        db.execute(f"DROP VIEW temp.{table}")
    for table, columns in ENCRYPTED.items():
        held = _stored_name(table, old)
        _encrypt_again(db, table, held, columns, old, new)
        db.execute(f"ALTER TABLE {held} RENAME TO {_stored_name(table, new)}")
    db.execute("DELETE FROM about WHERE key = 'cipher'")
    if new is not None and key is not None:
        db.execute("INSERT INTO about VALUES ('cipher', ?)", (new.wrap(key, _gallery(db)),))
    db.execute(f"PRAGMA application_id = {APPLICATION_ID if new is None else ENCRYPTED_ID}")
    return new


def _encrypt_again(
    db: sqlite3.Connection, table: str, held: str, columns: tuple[str, ...], old: RecordCipher | None,
    new: RecordCipher | None,
) -> None:  # fmt: skip
    mark = mark_of if new is None else new.mark
    sums = {column: 0 for column in columns if (table, column) in MARKED}
    select = (
        f"SELECT id, {_person(table)}, {', '.join(columns)} FROM {held} "
        f"WHERE id > ? AND {columns[0]} IS NOT NULL ORDER BY id LIMIT {CHUNK}"
    )
    update = f"UPDATE {held} SET {', '.join(f'{column} = ?' for column in columns)} WHERE id = ?"
    last = 0
    while rows := db.execute(select, (last,)).fetchall():
        changed: list[tuple[object, ...]] = []
        for row, person, *values in rows:
            cells: list[Value | None] = []
            for column, value in zip(columns, values, strict=True):
                place = (f"{table}.{column}", row, person)
                plain = value if old is None else old.unseal(*place, value)
                cells.append(plain if new is None else new.seal(*place, plain))
                if column in sums:
                    content = plain if isinstance(plain, bytes) else str(plain).encode()
                    sums[column] = (sums[column] + mixed_one(row, mark(content))) & WORD
            changed.append((*cells, row))
        db.executemany(update, changed)
        last = rows[-1][0]
    for column, total in sums.items():
        db.execute("UPDATE about SET value = ? WHERE key = ?", (str(total), MARKED[table, column]))


def unreadable_rows(db: sqlite3.Connection, cipher: RecordCipher) -> list[str]:
    """Return one sentence for each row that cannot be decrypted."""
    found = []
    for table, columns in ENCRYPTED.items():
        rows = db.execute(
            f"SELECT id, {_person(table)}, {', '.join(columns)} FROM {_stored_name(table, cipher)}"
        )
        for row, person, *values in rows:
            try:
                for column, value in zip(columns, values, strict=True):
                    cipher.unseal(f"{table}.{column}", row, person, value)
            except NotAuthentic:
                found.append(f"row {row} of {table} cannot be decrypted: it is damaged or was changed")
    cipher.failed = ""  # reported here
    return found


def attach(db: sqlite3.Connection, cipher: RecordCipher) -> None:
    """Create the views of the encrypted tables in a connection."""
    functions: tuple[tuple[str, Callable[..., Value | None]], ...] = (
        ("seal", cipher.seal), ("unseal", cipher.unseal),
    )  # fmt: skip
    for name, function in functions:
        db.create_function(f"facealike_{name}", 4, function)
    for table in ENCRYPTED:
        stored = _stored_name(table, cipher)
        columns = [str(row[1]) for row in db.execute(f"PRAGMA main.table_info({stored})")]
        read = _cells(table, columns, "unseal", "id", "")
        written = _cells(table, columns, "seal", "OLD.id", "NEW.")
        added = _cells(table, columns, "seal", "row", "NEW.")
        selected = ", ".join(f"{cell} AS {name}" for name, cell in zip(columns, read, strict=True))
        changed = ", ".join(f"{name} = {cell}" for name, cell in zip(columns, written, strict=True))
        following = f"coalesce(NEW.id, (SELECT coalesce(max(id), 0) + 1 FROM {stored}))"
        for statement in (
            f"CREATE TEMP VIEW {table} AS SELECT {selected} FROM main.{stored}",
            f"CREATE TEMP TRIGGER {table}_insert INSTEAD OF INSERT ON {table} BEGIN INSERT INTO {stored} "
            f"({', '.join(columns)}) SELECT {', '.join(added)} FROM (SELECT {following} AS row); END",
            f"CREATE TEMP TRIGGER {table}_update INSTEAD OF UPDATE ON {table} BEGIN UPDATE {stored} "
            f"SET {changed} WHERE id = OLD.id; END",
            f"CREATE TEMP TRIGGER {table}_delete INSTEAD OF DELETE ON {table} BEGIN "
            f"DELETE FROM {stored} WHERE id = OLD.id; END",
        ):
            db.execute(statement)


def _cells(table: str, columns: Sequence[str], function: str, row: str, prefix: str) -> list[str]:
    """Return SQL for each column of a row: encrypted ones go through ``seal`` or ``unseal``.

    Args:
        table: The table.
        columns: All of its columns.
        function: ``seal`` or ``unseal``.
        row: SQL for the id of the row.
        prefix: Before the name of a column, such as ``NEW.``.
    """
    person = _person(table)
    owner = person if person.isdigit() else prefix + person
    cells = []
    for name in columns:
        if name in ENCRYPTED[table]:
            cells.append(f"facealike_{function}('{table}.{name}', {row}, {owner}, {prefix}{name})")
        else:
            cells.append(row if name == "id" else prefix + name)
    return cells


def _stored_name(table: str, cipher: RecordCipher | None) -> str:
    return table if cipher is None else f"{table}_{cipher.id}"


def _person(table: str) -> str:
    """Return SQL for the person of a row; a row of people is bound by its own id."""
    return "0" if table == "people" else "person"


def _gallery(db: sqlite3.Connection) -> str:
    return str(db.execute("SELECT value FROM about WHERE key = 'store'").fetchone()[0])
