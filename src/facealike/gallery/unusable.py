"""``UnusableGallery``: a gallery that cannot be used until somebody mends its file, its key or its disk."""

from __future__ import annotations

import errno
from typing import Literal, TypeAlias

from ..errors import DataError

Fault: TypeAlias = Literal[
    "no key", "wrong key", "not encrypted", "key changed", "read-only", "full", "busy", "unreachable",
    "damaged", "newer",
]  # fmt: skip
"""What is wrong, without a place or a name."""

_OF_ERRNO: dict[int | None, Fault] = {
    errno.ENOSPC: "full", errno.EDQUOT: "full", errno.EROFS: "read-only", errno.EACCES: "read-only",
    errno.EPERM: "read-only",
}  # fmt: skip


class UnusableGallery(DataError):
    """A gallery that cannot be used as it is.

    The message names the file, and may name a person; ``fault`` says what is wrong to those who may see
    neither.
    """

    def __init__(self, message: str, fault: Fault) -> None:
        super().__init__(message)
        self.fault: Fault = fault


class NotErased(DataError):
    """What was removed is in no result any more, but its bytes are not erased from the file yet."""


def fault_of(error: OSError) -> Fault:
    """Return what is wrong where the operating system refused a file."""
    return _OF_ERRNO.get(error.errno, "unreachable")
