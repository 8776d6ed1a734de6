"""What the two programs share: the photos they are given, one result a line, an error in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import numpy as np
import typer

from ...cli.console import say
from ...datasets.folders import photos_in
from ...embedding.batching import helpers
from ...errors import FacealikeError, ImageError, UsageError
from ...types import Image
from ...utils.escape import shown
from ...utils.ordered_threads import map_ordered
from .api import load_image_file

T = TypeVar("T")

CpusOption = Annotated[int, typer.Option("--cpus", help="Threads that share the photos; -1 for one a core.")]


def photos_of(path: Path) -> list[Path]:
    """Return the photos of a folder, by name, or the photo itself.

    Raises:
        UsageError: There is no such file or folder.
    """
    if path.is_dir():
        return sorted(photos_in(path, [])[0])
    if not path.exists():
        raise UsageError(f"{shown(path)}: no such photo or folder; check the path")
    return [path]


def each_photo(path: Path, cpus: int, look: Callable[[Path, Image], T]) -> list[T]:
    """Return what ``look`` makes of each photo of a folder; one that cannot be read is reported and left out.

    Raises:
        ImageError: ``path`` is a single photo and cannot be read.
        UsageError: There is no such file or folder, or ``cpus`` is no number of threads.
    """
    if cpus != -1 and cpus < 1:
        raise UsageError(f"--cpus is 1 or more, or -1 for one a core, not {cpus}")
    alone = not path.is_dir()

    def work(photo: Path) -> T | FacealikeError:
        try:
            return look(photo, np.asarray(load_image_file(photo)))
        except ImageError as error:
            return error

    threads = helpers(None if cpus == -1 else cpus) if cpus != 1 else 0
    found: list[T] = []
    for result in map_ordered(work, photos_of(path), threads):
        if not isinstance(result, FacealikeError):
            found.append(result)
        elif alone:
            raise result
        else:
            say(f"warning: {result}")
    return found
