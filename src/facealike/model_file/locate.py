"""Find the model file that a name, a path or nothing stands for."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

from ..errors import ModelError
from ..utils.escape import shown
from .model_file import ModelFile
from .store import SHIPPED, find_stored, is_name, stored_names


def read_model_file(path: str | os.PathLike[str] | None = None) -> ModelFile:
    """The model file at ``path``, or of that name; without one, the one that ships with facealike.

    A text without separators and suffix is first looked up among the names of the stored models, so
    a folder that happens to be called like one of them is in nobody's way; ``./dlib`` is always a
    path.  ``default`` names the model that ships.
    """
    name = None if path is None else os.fspath(path)
    if name is None or name == SHIPPED:
        return _shipped_model()
    stored = find_stored(name)
    if stored is None and is_name(name) and not Path(name).is_file():
        known = ", ".join((SHIPPED, *stored_names()))
        raise ModelError(
            f"{shown(name)}: no model of this name, nor a file; add one with facealike models add, or choose "
            f"from {known}"
        )
    return ModelFile.read(name if stored is None else stored)


def _shipped_model() -> ModelFile:
    with resources.as_file(resources.files("facealike") / "weights" / "default.facealike") as shipped:
        if not shipped.is_file():
            raise ModelError(
                "this installation of facealike carries no model of its own; name one with --model PATH, "
                "or make one with facealike train"
            )
        return ModelFile.read(shipped)
