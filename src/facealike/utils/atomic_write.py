"""Write a file whole or not at all.

The bytes go to a hidden file beside the target, are flushed to the disk and then renamed over it.
POSIX renames within a folder are atomic, so whoever looks, and whenever the process dies, finds
the old file or the new one and never half of either.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from ..errors import DataError


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Put ``data`` into the file ``path``, replacing what is there; the folder must exist.

    Raises DataError if the file cannot be written (no such folder, no permission, full disk); the
    old file, if there is one, is then untouched and nothing else is left behind.
    """
    target = Path(path)
    beside = _beside(target)
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
        raise _cannot_write(target, error) from error
    flush_folder(target.parent)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Refuse a file that could not be written in the end, before the work and not after it.

    A file beside it is made and removed again.  Raises DataError where the folder or the name does not
    allow it.
    """
    target = Path(path)
    try:
        with contextlib.suppress(FileNotFoundError):
            target.lstat()  # a name that is too long shows here
        _probe(_beside(target))
    except OSError as error:
        raise _cannot_write(target, error) from None


def check_writable_folder(path: str | os.PathLike[str]) -> None:
    """Refuse a folder that could not be made or written to; nothing of it is made yet.

    Raises DataError.
    """
    folder = Path(path).absolute()
    try:
        there = next(place for place in (folder, *folder.parents) if place.exists())
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        _probe(_beside(there / "x"))
    except OSError as error:
        raise DataError(
            f"{path}: nothing can be written there ({error.strerror}); choose another folder"
        ) from None


def _probe(path: Path) -> None:
    path.open("xb").close()
    path.unlink()


def _beside(target: Path) -> Path:
    """A hidden name in the same folder, of its own for each writer, so that two never write into one file."""
    # File systems count bytes, mostly up to 255: a character of a name may be four of them.
    name = os.fsencode(target.name)[:100].decode("utf-8", "ignore")
    return target.with_name(f".{name}.{os.getpid()}-{secrets.token_hex(4)}.part")


def _cannot_write(target: Path, error: OSError) -> DataError:
    reason = error.strerror or str(error)
    return DataError(
        f"{target}: the file cannot be written ({reason}); check the folder, its permissions "
        "and the free space"
    )


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
