"""Find a model file by name or path."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

from ..errors import ModelError
from ..utils.escape import shown
from .model_file import ModelFile
from .store import DEFAULT_MODEL, find_stored, is_name, stored_names


def read_model_file(path: str | os.PathLike[str] | None = None) -> ModelFile:
    """Read the model file at ``path``, or the stored model of that name.

    Args:
        path: A path, the name of a stored model, or ``default`` or None for the default model.  A text
            without separators and suffix is first looked up as a name; ``./dlib`` is always a path.

    Raises:
        ModelError: There is no such model, or it is damaged.
    """
    name = None if path is None else os.fspath(path)
    if name is None or name == DEFAULT_MODEL:
        return _default_model()
    stored = find_stored(name)
    if stored is None and is_name(name) and not Path(name).is_file():
        known = ", ".join((DEFAULT_MODEL, *stored_names()))
        raise ModelError(
            f"{shown(name)}: no model of this name, nor a file; add one with facealike models add, or choose "
            f"from {known}"
        )
    return ModelFile.read(name if stored is None else stored)


def _default_model() -> ModelFile:
    with resources.as_file(resources.files("facealike") / "weights" / "default.facealike") as path:
        if not path.is_file():
            raise ModelError(
                "this installation of facealike has no default model; name one with --model PATH, "
                "or make one with facealike train"
            )
        return ModelFile.read(path)
