"""Let one process at a time write in a folder.

Training runs, the unpacking of LFW, crop caches and the model store each own a folder.  The owner holds
``flock`` on a small file in it, which names the owner's process.  The system frees the lock of a process that
dies, so no lock outlives its owner, and a file that a killed process left behind keeps nobody out.
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
except ImportError:  # Windows has no flock: there nobody is kept out
    LOCKS = False
else:
    LOCKS = True

HELD = (errno.EACCES, errno.EAGAIN)
"""Errors of ``flock`` where another process holds the lock; a file system without locks has others."""


@contextmanager
def own_folder(
    folder: Path, cure: str = "wait until it is done", wait: bool = False, name: str = "lock",
    error: type[FacealikeError] = DataError,
) -> Iterator[None]:  # fmt: skip
    """Keep other processes out of ``folder`` until the block ends; the folder is made where there is none.

    ``name`` is the file that holds the lock; it goes away with it, and so does a folder that was made here
    and stayed empty.  Where another process is in the folder, ``wait`` waits for it, and says so once on
    stderr.

    Raises ``error`` without ``wait``: which folder, which process, and the ``cure``.  OSError where the
    folder cannot be written.
    """
    made = _make(folder)
    path = folder / name
    try:
        file = _acquire(path, folder, cure, wait, error)
        try:
            yield
        finally:
            # Unlinked while it is still held: whoever opened it meanwhile sees that it is another file now.
            with contextlib.suppress(OSError):
                path.unlink()
            file.close()
    finally:
        if made:
            with contextlib.suppress(OSError):
                folder.rmdir()


def try_lock(file: IO[Any]) -> bool:
    """Lock an open file against other processes, without waiting; False where one of them holds it."""
    if not LOCKS:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as problem:
        return problem.errno not in HELD
    return True


def owner(path: Path) -> str:
    """Who holds the lock file: "process 123", with the machine where it is another one."""
    try:
        number, _, host = path.read_text("utf-8").strip().partition(" ")
    except (OSError, ValueError):
        number, host = "", ""
    if not number.isdigit():
        return "another process"  # which has not said yet who it is
    return f"process {number}" + (f" on {host}" if host and host != socket.gethostname() else "")


def _make(folder: Path) -> bool:
    """Make the folder; whether it was not there before."""
    if folder.is_dir():
        return False
    folder.mkdir(parents=True, exist_ok=True)
    return True


def _acquire(path: Path, folder: Path, cure: str, wait: bool, error: type[FacealikeError]) -> IO[str]:
    """The lock file, open, locked and signed."""
    told = False
    while True:
        file = path.open("a+", encoding="utf-8")
        try:
            if not try_lock(file):
                if not wait:
                    raise error(f"{folder}: {owner(path)} is at work in this folder; {cure}")
                if not told:
                    print(
                        f"waiting for {owner(path)}, which is at work in {folder}",
                        file=sys.stderr,
                        flush=True,
                    )
                    told = True
                fcntl.flock(file, fcntl.LOCK_EX)
            if _still_there(file, path):
                file.truncate(0)
                file.write(f"{os.getpid()} {socket.gethostname()}\n")
                file.flush()
                return file
        except BaseException:
            file.close()
            raise
        file.close()  # its owner has just gone, and the file with it: once more


def _still_there(file: IO[str], path: Path) -> bool:
    """Whether the file that was opened still has the name; one that was unlinked locks nobody out."""
    if not LOCKS:
        return True
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
