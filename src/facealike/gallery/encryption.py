"""Encrypt a gallery in place, decrypt it, or change its key; a crash leaves one key or the other."""

from __future__ import annotations

import os
from contextlib import closing

from ..errors import UsageError
from ..utils.escape import shown
from .gallery_key import GalleryKey, find_key
from .sqlite_store import SQLiteStore
from .store_url import StoreURL, is_url
from .unusable import UnusableGallery


def encrypt_gallery(gallery: str | os.PathLike[str], key_file: str | os.PathLike[str] | None = None) -> int:
    """Encrypt a gallery in place, and return the number of its templates.

    All of it is written anew, which needs the free space of two copies meanwhile.  Its index is then made in
    memory each time that it is opened.  No other process may use the gallery.

    Args:
        gallery: The file.
        key_file: 64 hexadecimal digits; None takes those in the variable ``FACEALIKE_GALLERY_KEY``.

    Raises:
        UsageError: There is no key, the gallery is on a server, or it is encrypted already.
        DataError: The gallery cannot be opened, or another process keeps old bytes from being erased.
        MissingExtra: cryptography is not installed.

    Examples:
        >>> write_new_key("people.key")
        >>> encrypt_gallery("people.db", "people.key")
        364
    """
    key = _needed(find_key(key_file), "--key-file")
    try:
        opened = SQLiteStore(_file(gallery))
    except UnusableGallery as error:
        if error.fault != "no key":
            raise
        raise UsageError(
            f"{shown(gallery)}: encrypted already; facealike gallery rekey gives it another key"
        ) from None
    with closing(opened) as store:
        store.change_key(key)
        return store.count()


def decrypt_gallery(gallery: str | os.PathLike[str], key_file: str | os.PathLike[str] | None = None) -> int:
    """Decrypt a gallery in place; arguments, result and errors as for ``encrypt_gallery``.

    Raises:
        DataError: The key is another one.

    Examples:
        >>> decrypt_gallery("people.db", "people.key")
        364
    """
    key = _needed(find_key(key_file), "--key-file")
    with closing(SQLiteStore(_file(gallery), key=key)) as store:
        store.change_key(None)
        return store.count()


def rekey_gallery(
    gallery: str | os.PathLike[str], new_key_file: str | os.PathLike[str],
    key_file: str | os.PathLike[str] | None = None,
) -> int:  # fmt: skip
    """Encrypt a gallery anew with another key; result and errors as for ``decrypt_gallery``.

    Every value is encrypted again with a new data key, so who has the old key cannot read the file any more,
    nor what is enrolled later.

    Args:
        gallery: The file.
        new_key_file: The new key.
        key_file: The key so far; None takes that in the variable ``FACEALIKE_GALLERY_KEY``.

    Examples:
        >>> write_new_key("new.key")
        >>> rekey_gallery("people.db", "new.key", "people.key")
        364
    """
    new = GalleryKey.read(new_key_file)
    key = _needed(find_key(key_file), "--key-file")
    with closing(SQLiteStore(_file(gallery), key=key)) as store:
        store.change_key(new)
        return store.count()


def _needed(key: GalleryKey | None, option: str) -> GalleryKey:
    if key is None:
        raise UsageError(
            f"no key is given; name its file by {option}, or put it into the variable FACEALIKE_GALLERY_KEY; "
            "facealike gallery new-key makes one"
        )
    return key


def _file(gallery: str | os.PathLike[str]) -> str | os.PathLike[str]:
    if is_url(gallery):
        url = StoreURL.parse(str(gallery))
        raise UsageError(f"{url.shown}: on a server; only a gallery in a file is encrypted by facealike")
    return gallery
