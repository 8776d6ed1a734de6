"""Write files atomically.

The bytes go to a hidden file beside the target, are flushed to the disk, and the file is renamed over the
target.  POSIX renames within a folder are atomic: a reader finds the old file or the new one, even if the
process dies.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TextIO

from ..errors import DataError


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write ``data`` to the file ``path``, replacing it; the folder must exist.

    Raises:
        DataError: The file cannot be written (no such folder, no permission, full disk).  An old file is
            then unchanged, and nothing else is left behind.
    """
    with writing_whole(path) as stream:
        try:
            stream.write(data)
        except OSError as error:
            raise _cannot_write(Path(path), error) from error


def check_writable(path: str | os.PathLike[str]) -> None:
    """Check before long work that the file ``path`` can be written, by opening a file without a name there.

    Raises:
        DataError: The folder or the name does not allow it.
    """
    target = Path(path)
    try:
        with contextlib.suppress(FileNotFoundError):
            target.lstat()  # a name that is too long shows here
        _probe(target.parent)
    except OSError as error:
        raise _cannot_write(target, error) from None


def check_writable_folder(path: str | os.PathLike[str]) -> None:
    """Check that the folder ``path`` can be created or written to, without creating it.

    Raises:
        DataError: It cannot.
    """
    folder = Path(path).absolute()
    try:
        there = next(place for place in (folder, *folder.parents) if place.exists())
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        _probe(there)
    except OSError as error:
        raise DataError(
            f"{path}: nothing can be written there ({error.strerror}); choose another folder"
        ) from None


def _probe(folder: Path) -> None:
    # On Linux the file has no name at any moment, so that a process that is killed here leaves nothing.
    tempfile.TemporaryFile(dir=folder).close()


def _beside(target: Path) -> Path:
    """Return a hidden name in the same folder, unique to each writer."""
    # File systems limit a name's bytes, mostly to 255; one character may take four.
    name = os.fsencode(target.name)[:100].decode("utf-8", "ignore")
    return target.with_name(f".{name}.{os.getpid()}-{secrets.token_hex(4)}.part")


def _cannot_write(target: Path, error: OSError) -> DataError:
    reason = error.strerror or str(error)
    return DataError(
        f"{target}: the file cannot be written ({reason}); check the folder, its permissions "
        "and the free space"
    )


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` to the file ``path`` as UTF-8, with line ends unchanged; see ``write_bytes``.

    Surrogate escapes, as in names of files that are not UTF-8, become their original bytes.
    """
    write_bytes(path, text.encode("utf-8", "surrogateescape"))


@contextlib.contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[TextIO]:
    """Open a text file to write line by line; it replaces ``path`` when the block ends without an error.

    UTF-8 and surrogate escapes as in ``write_text``.  An error in the block leaves the old file unchanged.

    Raises:
        DataError: The file cannot be written.
    """
    with writing_whole(path) as raw:
        stream = io.TextIOWrapper(raw, encoding="utf-8", errors="surrogateescape", newline="")
        yield stream
        try:
            stream.flush()
        except OSError as error:
            raise _cannot_write(Path(path), error) from error
        stream.detach()


@contextlib.contextmanager
def writing_whole(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a binary file to write in pieces; otherwise as ``written_whole``."""
    target = Path(path)
    with _put_in_place(target) as beside:
        try:
            stream = beside.open("xb")  # and not tempfile, whose files only their owner may read
        except OSError as error:
            raise _cannot_write(target, error) from error
        with stream:
            yield stream
            try:
                stream.flush()
                os.fsync(stream.fileno())
            except OSError as error:
                raise _cannot_write(target, error) from error


@contextlib.contextmanager
def file_beside(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield the path of a hidden file that another library writes; see ``written_whole``.

    It replaces ``path`` when the block ends without an error, and is removed after one.

    Raises:
        DataError: The file cannot be put in place.
    """
    target = Path(path)
    with _put_in_place(target) as beside:
        yield beside
        try:
            with beside.open("rb") as stream:
                os.fsync(stream.fileno())
        except OSError as error:
            raise _cannot_write(target, error) from error


@contextlib.contextmanager
def _put_in_place(target: Path) -> Iterator[Path]:
    """Yield the path of a hidden file beside ``target``, which it replaces; after an error it is removed."""
    beside = _beside(target)
    try:
        yield beside
        try:
            beside.replace(target)
        except OSError as error:
            raise _cannot_write(target, error) from error
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
    flush_folder(target.parent)


def flush_folder(folder: Path) -> None:
    """Flush a folder, where the system can, so that a rename in it survives a power cut."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
