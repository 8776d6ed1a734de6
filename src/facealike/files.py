"""Write a file whole or not at all.

The bytes go to a hidden file beside the target, are flushed to the disk and then renamed over it.
POSIX renames within a folder are atomic, so whoever looks, and whenever the process dies, finds
the old file or the new one and never half of either.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from .errors import DataError


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Put ``data`` into the file ``path``, replacing what is there; the folder must exist.

    Raises DataError if the file cannot be written (no such folder, no permission, full disk); the
    old file, if there is one, is then untouched and nothing else is left behind.
    """
    target = Path(path)
    # A name of its own for each writer, so that two of them never write into one file.
    beside = target.with_name(f".{target.name[:100]}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        try:
            # "x" and not tempfile, whose files only their owner may read.
            with beside.open("xb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            beside.replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                beside.unlink()
            raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(
            f"{target}: the file cannot be written ({reason}); check the folder, its permissions "
            "and the free space"
        ) from error
    flush_folder(target.parent)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Put ``text`` into the file ``path`` as UTF-8, line ends as they are; see ``write_bytes``.

    Names of files that are no UTF-8, as Python hands them over, get their own bytes back.
    """
    write_bytes(path, text.encode("utf-8", "surrogateescape"))


@contextlib.contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[TextIO]:
    """Open a text to write line by line; it becomes the file ``path`` at the end, or nothing does.

    UTF-8, line ends as they are; names of files that are no UTF-8 get their own bytes back.  Raises
    DataError if the file cannot be written.  Whatever the caller raises leaves the old file as it was.
    """
    target = Path(path)
    beside = target.with_name(f".facealike-{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        stream = beside.open("x", encoding="utf-8", errors="surrogateescape", newline="")
    except OSError as error:
        raise _unwritable(target, error) from error
    try:
        with stream:
            yield stream
            try:
                stream.flush()
                os.fsync(stream.fileno())
            except OSError as error:
                raise _unwritable(target, error) from error
        try:
            beside.replace(target)
        except OSError as error:
            raise _unwritable(target, error) from error
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
    flush_folder(target.parent)


def _unwritable(target: Path, error: OSError) -> DataError:
    return DataError(
        f"{target}: the file cannot be written ({error.strerror or error}); check the folder, its "
        "permissions and the free space"
    )


def flush_folder(folder: Path) -> None:
    """Make a rename in ``folder`` survive a power cut, on the systems where a folder can be flushed."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
