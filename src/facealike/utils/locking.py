"""Lock a folder, so that one process at a time writes in it.

Training runs, the unpacking of LFW, crop caches and the model store each lock a folder.  The owner holds
``flock`` on a small file in it, which names the owner's process.  The system releases the lock of a process
that dies, so a file that a killed process left behind locks out no other process.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from ..errors import DataError, FacealikeError

try:
    import fcntl
except ImportError:  # Windows has no flock: no process is locked out there
    LOCKS = False
else:
    LOCKS = True

HELD = (errno.EACCES, errno.EAGAIN)
"""Errors of ``flock`` if another process holds the lock; a file system without locks has others."""


@contextmanager
def own_folder(
    folder: Path, cure: str = "wait until it is done", wait: bool = False, name: str = "lock",
    error: type[FacealikeError] = DataError,
) -> Iterator[None]:  # fmt: skip
    """Lock ``folder`` against other processes until the block ends; create the folder if needed.

    The lock file is removed afterwards, and so is a folder that was created here and stayed empty.

    Args:
        folder: The folder to lock.
        cure: What to do if another process holds the lock, for the error message.
        wait: Wait for another process, with one line on stderr, instead of raising an error.
        name: The name of the lock file.
        error: The class of the error to raise.

    Raises:
        FacealikeError: ``error``, if another process holds the lock and ``wait`` is false.
        OSError: The folder cannot be written.
    """
    made = _make(folder)
    path = folder / name
    try:
        file = _acquire(path, folder, cure, wait, error)
        try:
            yield
        finally:
            # Unlinked while still held: a process that opened it meanwhile sees that the name has changed.
            with contextlib.suppress(OSError):
                path.unlink()
            file.close()
    finally:
        if made:
            with contextlib.suppress(OSError):
                folder.rmdir()


def try_lock(file: IO[Any]) -> bool:
    """Lock an open file without waiting; return False if another process holds the lock."""
    if not LOCKS:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as problem:
        return problem.errno not in HELD
    return True


def owner(path: Path) -> str:
    """Return who holds the lock file: "process 123", with the host name if it is another machine."""
    try:
        number, _, host = path.read_text("utf-8").strip().partition(" ")
    except (OSError, ValueError):
        number, host = "", ""
    if not number.isdigit():
        return "another process"  # it has not written its number yet
    return f"process {number}" + (f" on {host}" if host and host != socket.gethostname() else "")


def _make(folder: Path) -> bool:
    """Create the folder; return whether it was missing."""
    if folder.is_dir():
        return False
    folder.mkdir(parents=True, exist_ok=True)
    return True


def _acquire(path: Path, folder: Path, cure: str, wait: bool, error: type[FacealikeError]) -> IO[str]:
    """Return the lock file, open and locked, with this process written in it."""
    announced = False
    while True:
        file = path.open("a+", encoding="utf-8")
        try:
            if not try_lock(file):
                if not wait:
                    raise error(f"{folder}: {owner(path)} is at work in this folder; {cure}")
                if not announced:
                    print(
                        f"waiting for {owner(path)}, which is at work in {folder}",
                        file=sys.stderr,
                        flush=True,
                    )
                    announced = True
                fcntl.flock(file, fcntl.LOCK_EX)
            if _still_there(file, path):
                file.truncate(0)
                file.write(f"{os.getpid()} {socket.gethostname()}\n")
                file.flush()
                return file
        except BaseException:
            file.close()
            raise
        file.close()  # its owner has just removed it: try again


def _still_there(file: IO[str], path: Path) -> bool:
    """Return whether ``path`` is still this open file; an unlinked file locks out no process."""
    if not LOCKS:
        return True
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
