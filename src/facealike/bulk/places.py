"""Files by path or by URL: ``s3://``, ``gs://``, ``memory://`` and the like are read by fsspec."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import DataError, FacealikeError, ImageNotFound, MissingExtra, UnreadableImage
from ..utils.escape import shown
from ..utils.extras import needs_extra

_URL = re.compile(r"(?!https?:)[a-z][a-z0-9+.-]+://", re.IGNORECASE)
"""Web addresses are no places: facealike fetches no photo from a web server."""


def is_url(place: str) -> bool:
    """Return whether a place is a URL for fsspec, and no local path."""
    return _URL.match(place) is not None


def join(folder: str, name: str) -> str:
    """Return the place of ``name``, which may be relative to a folder or be a whole path or URL."""
    if is_url(name):
        return name
    if is_url(folder):
        return name if posixpath.isabs(name) else f"{folder.rstrip('/')}/{name}"
    return os.path.join(folder, name)  # noqa: PTH118 (a fifth of the time of a Path's, for each row)


def parent(place: str) -> str:
    """Return the folder of a place."""
    return place.rpartition("/")[0] if is_url(place) else str(Path(place).parent)


def file_system(url: str) -> tuple[Any, str]:
    """Return the file system of a URL and the path in it.

    Raises:
        MissingExtra: A package is not installed.
        DataError: No such kind of URL.
    """
    protocol = url.partition("://")[0].lower()
    with needs_extra("bulk", f"reading {protocol}:// addresses"):
        from fsspec.core import url_to_fs
        from fsspec.registry import known_implementations
    try:
        system, path = url_to_fs(url)
    except ImportError:
        known = known_implementations.get(protocol, {}).get("class", "")
        package = known.partition(".")[0]
        if package in ("", "fsspec"):
            package = "what fsspec needs for it"
        raise MissingExtra(
            f"{shown(url)}: reading {protocol}:// needs {package}, which is not installed; run: "
            f"pip install {package}"
        ) from None
    except Exception as error:  # each file system has errors of its own
        raise DataError(f"{shown(url)}: this address cannot be used ({_reason(error)}); correct it") from None
    return system, str(path)


@contextmanager
def opened(place: str, what: str) -> Iterator[BinaryIO]:
    """Open a local or remote file for reading.

    Args:
        place: The path or URL.
        what: Its name in messages, such as "tar file".

    Raises:
        DataError: It cannot be opened.
    """
    try:
        if is_url(place):
            system, path = file_system(place)
            stream = system.open(path, "rb")
        else:
            stream = Path(place).open("rb")  # noqa: SIM115 (closed below)
    except FacealikeError:
        raise
    except Exception as error:  # each file system has errors of its own
        raise DataError(f"{shown(place)}: no {what} can be read ({_reason(error)}); check the path") from None
    with stream:
        yield stream


def read_range(place: str, offset: int, size: int, name: str) -> bytes:
    """Return ``size`` bytes of a file from ``offset`` on, or fewer at its end.

    Raises:
        ImageError: They cannot be read; ``name`` is what the message calls the photo.
    """
    try:
        if is_url(place):
            system, path = file_system(place)
            return bytes(system.cat_file(path, start=offset, end=offset + size))
        with Path(place).open("rb") as stream:
            stream.seek(offset)
            return stream.read(size)
    except FacealikeError:
        raise
    except FileNotFoundError:
        raise ImageNotFound(f"{name}: no such file; check the path") from None
    except Exception as error:  # each file system has errors of its own
        raise UnreadableImage(f"{name}: cannot be read ({_reason(error)}); try again") from None


def files_below(url: str) -> list[str]:
    """Return the URLs of the files below a URL, or that match the ``*`` in it; sorted.

    Raises:
        DataError: It cannot be listed, or there is nothing.
    """
    system, path = file_system(url)
    try:
        if "*" in path:
            found = [name for name in system.glob(path) if not system.isdir(name)]
        else:
            found = system.find(path)
    except Exception as error:  # each file system has errors of its own
        raise DataError(
            f"{shown(url)}: cannot be listed ({_reason(error)}); check the address and your credentials"
        ) from None
    if not found:
        raise DataError(f"{shown(url)}: nothing is there; check the address")
    return sorted(str(system.unstrip_protocol(name)) for name in found)


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0][:200]
