"""The key of an encrypted gallery: 256 random bits, in a file or in the environment."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import DataError, UsageError
from ..utils.escape import shown

KEY_VARIABLE = "FACEALIKE_GALLERY_KEY"
"""The variable of the environment that holds a key where no file is named."""

BYTES = 32
HEX = re.compile(rf"[0-9a-fA-F]{{{2 * BYTES}}}")


@dataclass(frozen=True)
class GalleryKey:
    """A key.  It is no passphrase: a text that a person can remember is guessed too fast.

    Attributes:
        value: 32 bytes, which never appear in a message.
    """

    value: bytes = field(repr=False)

    @classmethod
    def parse(cls, text: str, name: str) -> GalleryKey:
        """Return the key of 64 hexadecimal digits; ``name`` says where they were read.

        Raises:
            DataError: The text is something else.
        """
        if not HEX.fullmatch(text.strip()):
            raise DataError(
                f"{name}: no key of a gallery, which is {2 * BYTES} hexadecimal digits; facealike gallery "
                "new-key makes one"
            )
        return cls(bytes.fromhex(text.strip()))

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> GalleryKey:
        """Return the key in a file.

        Raises:
            DataError: The file cannot be read, or holds no key.
        """
        try:
            with Path(path).open("rb") as file:
                content = file.read(4096)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise DataError(f"{shown(path)}: the key cannot be read ({reason}); check the path") from None
        return cls.parse(content.decode("ascii", "replace"), shown(path))


def find_key(path: str | os.PathLike[str] | None) -> GalleryKey | None:
    """Return the key in a file, without one that of the environment, None where neither is there.

    Raises:
        DataError: The file cannot be read, or what is there is no key.
    """
    if path is not None:
        return GalleryKey.read(path)
    text = os.environ.get(KEY_VARIABLE, "")
    return GalleryKey.parse(text, KEY_VARIABLE) if text else None


def write_new_key(path: str | os.PathLike[str]) -> None:
    """Write a new random key to a file that only its owner can read.

    Raises:
        UsageError: The file exists, and may hold the key of a gallery.
        DataError: It cannot be written.

    Examples:
        >>> write_new_key("people.key")
    """
    out = Path(path)
    try:
        number = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise UsageError(f"{shown(out)}: exists already; name a new file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{shown(out)}: cannot be written ({reason}); check the path") from None
    try:
        with os.fdopen(number, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())  # before a gallery is encrypted with it
    except OSError as error:
        with contextlib.suppress(OSError):
            out.unlink()
        raise DataError(f"{shown(out)}: cannot be written ({error.strerror}); check the disk") from None
