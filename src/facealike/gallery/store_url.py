"""The URL of a gallery on a server, and what of it may be shown."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from ..errors import UsageError
from ..utils.escape import shown

GALLERY_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
DEFAULT_GALLERY = "people"
INDEXES = ("exact", "hnsw")
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")  # of two letters or more: C: is a drive


def is_url(place: str | os.PathLike[str]) -> bool:
    """Return whether a gallery is named by a URL, and not by the path of an SQLite file."""
    return isinstance(place, str) and SCHEME.match(place) is not None


def shown_place(place: str) -> str:
    """Return a path or a URL for messages, without a password."""
    return StoreURL.parse(place).shown if is_url(place) else shown(place)


@dataclass(frozen=True)
class StoreURL:
    """A URL, taken apart.

    Attributes:
        scheme: Such as ``postgresql``.
        user: The user, empty without one.
        password: The password, empty without one; no message holds it.
        host: Host and port; empty for what lies on this machine.
        path: What follows the host, with its slash.
        options: The query, without what is ours: ``gallery`` and ``index``.
        gallery: The name of the gallery; empty where none is stated.
        index: ``exact``, or ``hnsw`` for approximate searches.
    """

    scheme: str
    user: str
    password: str = field(repr=False)
    host: str
    path: str
    options: dict[str, str] = field(repr=False)
    gallery: str
    index: str

    @classmethod
    def parse(cls, url: str) -> StoreURL:
        """Take a URL apart.

        Raises:
            UsageError: It is none, or names an impossible gallery or index.
        """
        try:
            parts = urlsplit(url)
            options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        except ValueError:  # the text of the error may hold the password
            raise UsageError(
                "the address of the gallery is no URL; escape special characters in it, such as %40 for an @"
            ) from None
        login, _, host = parts.netloc.rpartition("@")
        user, _, password = login.partition(":")
        gallery, index = options.pop("gallery", ""), options.pop("index", INDEXES[0])
        found = cls(
            parts.scheme, unquote(user), unquote(password), host, unquote(parts.path), options, gallery, index
        )
        if gallery and not GALLERY_NAME.fullmatch(gallery):
            raise UsageError(
                f"{found.shown}: the name of a gallery has small letters, digits and underscores, 40 at most"
            )
        if index not in INDEXES:
            raise UsageError(f"{found.shown}: index is one of {', '.join(INDEXES)}, not {shown(index)!r}")
        return found

    @property
    def address(self) -> str:
        """The whole URL, with the password and without what is ours."""
        user, password = quote(self.user, safe=""), quote(self.password, safe="")
        login = f"{user}:{password}@" if password else f"{user}@" if user else ""
        query = f"?{urlencode(self.options, quote_via=quote)}" if self.options else ""
        return f"{self.scheme}://{login}{self.host}{quote(self.path)}{query}"

    @property
    def shown(self) -> str:
        """The URL for messages, without a password and without options that may hold one."""
        user = f"{quote(self.user)}@" if self.user else ""
        kept = {"gallery": self.gallery} if self.gallery else {}
        kept |= {"index": self.index} if self.index != INDEXES[0] else {}
        query = f"?{urlencode(kept)}" if kept else ""
        return shown(f"{self.scheme}://{user}{self.host}{self.path}{query}")
