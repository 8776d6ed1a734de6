"""Encrypt the values of a gallery's rows one by one with AES-256-GCM (NIST SP 800-38D).

Each gallery has a random data key of its own, which it holds encrypted with the user's key.  So one user key
can serve many galleries, a wrong key is noticed before anything is read, and no two galleries share nonces.
Every value has a fresh random nonce of 96 bits; the standard allows 2**32 values under one data key.  The
associated data names the gallery, the model, the table, the column, the row and its person: a value that is
moved elsewhere is not accepted.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
import struct
from typing import TYPE_CHECKING

from ..utils.extras import needs_extra
from .gallery_key import BYTES, GalleryKey

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE = 12

Value = str | bytes | float
"""What a cell of a table holds."""


class NotAuthentic(Exception):
    """A value is not what was encrypted for its place, or the key is another one."""


class RecordCipher:
    """The cipher of a gallery.

    Args:
        data_key: 32 bytes.
        gallery: The id of the gallery.
        model_id: The id of its model.

    Raises:
        MissingExtra: cryptography is not installed.

    Attributes:
        id: Names the data key, and reveals nothing of it.
        failed: Where a value was last found not to be authentic; empty before.
    """

    def __init__(self, data_key: bytes, gallery: str, model_id: str) -> None:
        self._cipher = _aes_gcm(data_key)
        self._data_key, self._context = data_key, f"{gallery} {model_id}"
        self._mark_key = hashlib.blake2b(b"facealike marks", key=data_key, digest_size=32).digest()
        self.id = hashlib.blake2b(b"facealike key id", key=data_key, digest_size=8).hexdigest()
        self.failed = ""

    @classmethod
    def new(cls, gallery: str, model_id: str) -> RecordCipher:
        """Return a cipher with a new data key."""
        return cls(secrets.token_bytes(BYTES), gallery, model_id)

    @classmethod
    def unwrap(cls, wrapped: str, key: GalleryKey, gallery: str, model_id: str) -> RecordCipher:
        """Return the cipher whose data key ``wrap`` has encrypted.

        Raises:
            NotAuthentic: With another key, or for another gallery.
        """
        try:
            content = base64.b64decode(wrapped, validate=True)
        except (binascii.Error, ValueError):
            raise NotAuthentic from None
        return cls(_decrypt(_aes_gcm(key.value), content, _key_place(gallery)), gallery, model_id)

    def wrap(self, key: GalleryKey, gallery: str) -> str:
        """Return the data key, encrypted, as text."""
        nonce = os.urandom(NONCE)
        sealed = _aes_gcm(key.value).encrypt(nonce, self._data_key, _key_place(gallery))
        return base64.b64encode(nonce + sealed).decode("ascii")

    def seal(self, column: str, row: int, person: int | None, value: Value | None) -> bytes | None:
        """Return a value encrypted for its place; None stays None.

        Args:
            column: Table and column.
            row: The id of the row.
            person: The person of the row.
            value: What is encrypted.
        """
        if value is None:
            return None
        nonce = os.urandom(NONCE)
        return nonce + bytes(self._cipher.encrypt(nonce, _packed(value), self._place(column, row, person)))

    def unseal(self, column: str, row: int, person: int | None, sealed: bytes | None) -> Value | None:
        """Return what ``seal`` has encrypted for this place.

        Raises:
            NotAuthentic: It is something else.
        """
        if sealed is None:
            return None
        try:
            packed = _decrypt(self._cipher, sealed, self._place(column, row, person))
        except NotAuthentic:
            self.failed = f"row {row} of {column.partition('.')[0]}"
            raise
        return _unpacked(packed)

    def mark(self, data: bytes) -> int:
        """Return a mark like ``row_file.mark_of``, which reveals nothing of the data without the key."""
        digest = hashlib.blake2b(data, key=self._mark_key, digest_size=8).digest()
        return int.from_bytes(digest, "little") or 1

    def _place(self, column: str, row: int, person: int | None) -> bytes:
        return f"{self._context} {column} {row} {person}".encode()


def check_cipher() -> None:
    """Check that cryptography is installed.

    Raises:
        MissingExtra: It is not.
    """
    _aes_gcm(bytes(BYTES))


def _aes_gcm(key: bytes) -> AESGCM:
    with needs_extra("encryption", "an encrypted gallery"):
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    return AESGCM(key)


def _decrypt(cipher: AESGCM, content: object, place: bytes) -> bytes:
    from cryptography.exceptions import InvalidTag

    if not isinstance(content, bytes) or len(content) < NONCE:
        raise NotAuthentic
    try:
        return bytes(cipher.decrypt(content[:NONCE], content[NONCE:], place))
    except InvalidTag:
        raise NotAuthentic from None


def _key_place(gallery: str) -> bytes:
    return f"facealike data key of {gallery}".encode()


def _packed(value: Value) -> bytes:
    if isinstance(value, str):
        return b"t" + value.encode()
    return b"r" + struct.pack("<d", value) if isinstance(value, int | float) else b"b" + value


def _unpacked(packed: bytes) -> Value:
    kind, content = packed[:1], packed[1:]
    if kind == b"t":
        return content.decode()
    return float(struct.unpack("<d", content)[0]) if kind == b"r" else content
