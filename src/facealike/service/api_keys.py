"""API keys: random, shown once, kept as SHA-256, each with a scope, and revoked for good.

A key is ``fa_ID_SECRET``.  The secret has 256 random bits, so a plain hash protects it at rest: there is
nothing to guess.  The file is read again when it changes, so that a revocation counts at once.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

from ..errors import DataError, UsageError
from ..utils.atomic_write import write_text
from ..utils.escape import shown
from ..utils.locking import own_folder

Scope: TypeAlias = Literal["read", "enroll", "admin"]
"""What a key allows; each scope includes those before it."""

SCOPES: tuple[Scope, ...] = get_args(Scope)
KEY = re.compile(r"fa_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
LONGEST_NAME = 100
NO_HASH = hashlib.sha256(b"no key").hexdigest()
"""Compared where there is no key of that id, so that the check takes the same steps."""


@dataclass(frozen=True)
class KeyRecord:
    """What is kept of a key: never the key itself."""

    id: str
    name: str
    scope: Scope
    sha256: str
    created: str
    revoked: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return all but the hash."""
        return {name: value for name, value in asdict(self).items() if name != "sha256"}


class NewKey(NamedTuple):
    """A key, in the only moment in which it is known, and its record."""

    key: str
    record: KeyRecord


def allows(scope: Scope, needed: Scope) -> bool:
    """Return whether a key of ``scope`` may do what needs ``needed``."""
    return SCOPES.index(scope) >= SCOPES.index(needed)


class KeyFile:
    """The keys of a service, in one JSON file.

    Args:
        path: The file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._state: tuple[int, ...] | None = None
        self._records: dict[str, KeyRecord] = {}

    def records(self) -> list[KeyRecord]:
        """Return all keys, revoked ones too, in the order in which they were made.

        Raises:
            DataError: The file cannot be read.
        """
        return list(self._read().values())

    def any(self) -> bool:
        """Return whether there is a key, revoked or not: a service with keys never falls open again."""
        return bool(self._read())

    def usable(self) -> bool:
        """Return whether there is a key that is not revoked."""
        return any(record.revoked is None for record in self._read().values())

    def add(self, name: str, scope: Scope) -> NewKey:
        """Make a key and keep its hash.

        Raises:
            UsageError: The name is empty, too long or has control characters.
            DataError: The file cannot be read or written.
        """
        if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
            raise UsageError(f"a key needs a name of 1 to {LONGEST_NAME} printable characters")
        with self._changing() as records:
            number, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
            record = KeyRecord(number, name, scope, _hash(secret), _now())
            records[number] = record
        return NewKey(f"fa_{number}_{secret}", record)

    def revoke(self, number: str) -> KeyRecord:
        """Revoke a key for good; its record stays.

        Raises:
            DataError: There is no such key, or the file cannot be written.
        """
        with self._changing() as records:
            if number not in records:
                raise DataError(f"{shown(number)}: no such key; facealike serve keys list shows all")
            record = records[number]
            if record.revoked is None:
                record = KeyRecord(**{**asdict(record), "revoked": _now()})
                records[number] = record
        return record

    def check(self, key: str) -> KeyRecord | None:
        """Return the record of a valid key; None for every other text.

        One hash and one comparison in constant time are made, whether or not there is a key of that id.
        """
        records = self._read()
        match = KEY.fullmatch(key)
        number, secret = match.groups() if match else ("", key)
        record = records.get(number)
        equal = hmac.compare_digest(_hash(secret), NO_HASH if record is None else record.sha256)
        return record if record is not None and equal and record.revoked is None else None

    def _read(self) -> dict[str, KeyRecord]:
        try:
            status = self.path.stat()
            state = (status.st_mtime_ns, status.st_size, status.st_ino)
            if state != self._state:
                self._records = _parsed(self.path.read_text("utf-8"))
                self._state = state
        except FileNotFoundError:
            self._records, self._state = {}, None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{shown(self.path)}: no file of API keys that can be read ({error}); restore a copy"
            ) from None
        return self._records

    @contextmanager
    def _changing(self) -> Iterator[dict[str, KeyRecord]]:
        """Yield the records to change, alone among all processes, and write them."""
        with own_folder(self.path.parent, wait=True, name="keys.lock"):
            records = dict(self._read())
            yield records
            rows = [asdict(record) for record in records.values()]
            write_text(self.path, json.dumps({"version": 1, "keys": rows}, indent=1) + "\n")
            self.path.chmod(0o600)


def _parsed(text: str) -> dict[str, KeyRecord]:
    records = [KeyRecord(**row) for row in json.loads(text)["keys"]]
    for record in records:
        if record.scope not in SCOPES or not re.fullmatch("[0-9a-f]{64}", record.sha256):
            raise ValueError(f"key {record.id!r} is damaged")
    return {record.id: record for record in records}


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
