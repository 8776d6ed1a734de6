"""The names of what is in a folder of people."""

from __future__ import annotations

import re

SINGLE, NOT_GROUPED = "single", "not-grouped"
TABLE, PAGE = "faces.csv", "index.html"
TAKEN = frozenset((SINGLE, NOT_GROUPED, TABLE, PAGE))

FORBIDDEN = frozenset('/\\:*?"<>|')
"""Characters that some system does not allow in names."""

LONGEST = 200
"""Bytes of a folder's name, of the 255 that systems allow."""


def numbered(person: int) -> str:
    """Return the folder of a person without a name."""
    return f"person-{person:04d}"


def folder_name(name: str) -> str:
    """Return a name as that of a folder on any system; never one that is given to others."""
    plain = "".join(c if c.isprintable() and c not in FORBIDDEN else "_" for c in name).strip(" .")
    plain = plain.encode()[:LONGEST].decode(errors="ignore").rstrip(" .")
    if not plain or plain.lower() in TAKEN or re.fullmatch(r"person-\d+", plain.lower()):
        plain += "_"
    return plain


def unused_name(name: str, taken: set[str]) -> str:
    """Return a name, with a number where it is taken in upper or lower case, and take it."""
    free, count = name, 1
    while free.casefold() in taken:
        count += 1
        free = f"{name} ({count})"
    taken.add(free.casefold())
    return free
