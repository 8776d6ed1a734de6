"""Salted digests of the people and photos that took part in training or calibration.

A model file holds digests, never names or photos: 8 bytes for each person, of the salted and normalized name,
and 8 for each photo, of the salted digest of its decoded pixels.  The name finds people under another
spelling, the photo finds copies under any name.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..errors import ModelError
from ..imaging.photo_digest import PhotoDigest, salted
from ..utils.json_fields import check_types, checked_table, in_words
from ..utils.result import Shown

DIGEST_BYTES = 8
"""With 64 bits, 100,000 photos tested against 100,000 kept match by chance once in a billion times."""

VERSION = 2
"""The rule by which names are normalized; in version 1, of older cards, a name stands as it was written."""

_HASH = re.compile(r"[0-9a-f]{16}")


def identity_hash(salt: str, name: str) -> str:
    """Return the first 16 hex digits of SHA-256(salt, NUL, name): a person in a card, without the name."""
    return hashlib.sha256(f"{salt}\0{name}".encode(errors="surrogateescape")).hexdigest()[:16]


def composed(name: str) -> str:
    """Return ``name`` without blanks around it and with accents composed (NFC).

    File systems disagree about accents: a folder copied from one to another may change its spelling.
    """
    return unicodedata.normalize("NFC", name.strip())


def normal_name(name: str) -> str:
    """Return the normalized name: composed, trimmed, and case folded, so that all spellings are equal.

    Source: Unicode Standard 16.0, section 3.13, canonical caseless matching (D145).
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", composed(name)).casefold())


def spellings(name: str) -> set[str]:
    """Return the spellings to try against hashes of version 1, which have a name as it was written."""
    trimmed = name.strip()
    cases = {trimmed, trimmed.lower(), trimmed.upper(), trimmed.title()}
    return {name} | {unicodedata.normalize(form, each) for form in ("NFC", "NFD") for each in cases}


@dataclass(frozen=True, repr=False)
class Seen(Shown):
    """People and photos that took part in something, as salted digests.

    Args:
        salt: Hashed with every name and photo.
        people: Digests of ``DIGEST_BYTES`` each, sorted and joined; may be empty where they are not known.
        photos: The same of the photos.
        version: How names were normalized.

    Raises:
        ModelError: A value makes no sense.
    """

    salt: str
    people: bytes = b""
    photos: bytes = b""
    version: int = VERSION

    def __post_init__(self) -> None:
        check_types(self, "seen", salt=str, people=bytes, photos=bytes)
        if type(self.version) is not int or not 1 <= self.version <= VERSION:
            raise ModelError(f"seen: version {in_words(self.version)} is unknown; update facealike")
        if len(self.people) % DIGEST_BYTES or len(self.photos) % DIGEST_BYTES:
            raise ModelError(f"seen: people and photos must be digests of {DIGEST_BYTES} bytes each")

    @classmethod
    def of(cls, names: Iterable[str], digests: Iterable[PhotoDigest | None]) -> Seen:
        """Return the record of people with these ``names`` and of photos with these ``digests``.

        A None, a photo that could not be read, is left out.  The salt follows from what is recorded, so
        that equal runs give equal files; it differs from data set to data set.
        """
        people = sorted({normal_name(name) for name in names})
        photos = sorted({digest.pixels for digest in digests if digest is not None})
        whole = "\n".join([*people, "", *photos])
        salt = hashlib.sha256(whole.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        return cls(
            salt,
            _packed(identity_hash(salt, name) for name in people),
            _packed(salted(pixels, salt) for pixels in photos),
        )

    @classmethod
    def of_hashes(cls, salt: str, hashes: Iterable[str]) -> Seen:
        """Return the record in a card of version 1: ``identity_hash(salt, name)`` of each person."""
        return cls(salt, _packed(each for each in hashes if _HASH.fullmatch(each)), version=1)

    @cached_property
    def _people(self) -> frozenset[bytes]:
        return _unpacked(self.people)

    @cached_property
    def _photos(self) -> frozenset[bytes]:
        return _unpacked(self.photos)

    @property
    def people_count(self) -> int:
        """The number of people recorded."""
        return len(self.people) // DIGEST_BYTES

    @property
    def photo_count(self) -> int:
        """The number of photos recorded."""
        return len(self.photos) // DIGEST_BYTES

    def knows_person(self, name: str) -> bool:
        """Return whether a person of this name is recorded, in any spelling (version 1: in a few)."""
        tried = {normal_name(name)} if self.version > 1 else spellings(name)
        return any(bytes.fromhex(identity_hash(self.salt, each)) in self._people for each in tried)

    def knows_photo(self, digest: PhotoDigest | None) -> bool:
        """Return whether a photo of equal pixels is recorded; False for None, a photo that cannot be read."""
        return digest is not None and bytes.fromhex(salted(digest.pixels, self.salt)) in self._photos

    def to_dict(self) -> dict[str, Any]:
        return {
            "version": self.version,
            "salt": self.salt,
            "people": base64.b64encode(self.people).decode(),
            "photos": base64.b64encode(self.photos).decode(),
        }

    @classmethod
    def from_dict(cls, values: Any, what: str = "seen") -> Seen:
        """Return the record that ``to_dict`` wrote.

        Raises:
            ModelError: The entries are others.
        """
        table = checked_table(values, what)
        if set(table) != {"version", "salt", "people", "photos"}:
            raise ModelError(f"{what}: entries are version, salt, people and photos; make the model again")
        people, photos = (_decoded(table[name], f"{what}: {name}") for name in ("people", "photos"))
        return cls(table["salt"], people, photos, table["version"])

    def __str__(self) -> str:
        return f"{self.people_count:,} people and {self.photo_count:,} photos, as salted digests"


def read_records(values: Any, what: str) -> tuple[Seen, ...]:
    """Return the records of a file; records are returned unchanged.

    Raises:
        ModelError: The values are anything else.
    """
    if not isinstance(values, list | tuple):
        raise ModelError(f"{what} must be a list; make the model again")
    return tuple(each if isinstance(each, Seen) else Seen.from_dict(each, what) for each in values)


def counts(records: Iterable[Seen]) -> dict[str, int]:
    """Return how many people and photos are recorded, for output."""
    each = list(records)
    return {"people": sum(r.people_count for r in each), "photos": sum(r.photo_count for r in each)}


def _decoded(text: Any, what: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise ModelError(f"{what} must be text in base64; make the model again") from None


def _packed(digests: Iterable[str]) -> bytes:
    return b"".join(sorted({bytes.fromhex(digest) for digest in digests}))


def _unpacked(digests: bytes) -> frozenset[bytes]:
    return frozenset(digests[i : i + DIGEST_BYTES] for i in range(0, len(digests), DIGEST_BYTES))
