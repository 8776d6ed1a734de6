"""Files of embeddings: an .npz without pickle that names its model."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Sequence

import numpy as np

from ..errors import DataError, UsageError
from ..types import Embeddings, Face
from ..utils.atomic_write import write_bytes
from ..utils.escape import shown
from .face_model import Model
from .face_table import mixed_models, read_vectors


def save_embeddings(
    path: str | os.PathLike[str],
    embeddings: Embeddings,
    paths: Sequence[str],
    model: Model,
    faces: Sequence[Face | None] | None = None,
) -> None:
    """Write embeddings, their photos and the model's id to an .npz without pickle.

    The arrays are ``embeddings``, ``paths``, ``boxes`` (n, 4; NaN for a face crop) and ``model``.

    Args:
        path: The file to write.
        embeddings: Unit vectors, float32 (n, d).
        paths: The n photos.
        model: The model that embedded them.
        faces: The n faces, for their boxes.

    Raises:
        UsageError: The lengths differ.

    Examples:
        >>> save_embeddings("faces.npz", model.embed(paths), paths, model)
    """
    if len(paths) != len(embeddings) or (faces is not None and len(faces) != len(paths)):
        raise UsageError(f"{len(embeddings)} embeddings do not fit {len(paths)} paths")
    boxes = np.full((len(paths), 4), np.nan)
    for row, face in enumerate(faces or ()):
        if face is not None:
            boxes[row] = face.box
    buffer = io.BytesIO()
    np.savez(
        buffer,
        embeddings=embeddings.astype(np.float32, copy=False),
        paths=np.array([str(p) for p in paths], dtype=np.str_),
        boxes=boxes,
        model=np.array(model.id),
    )
    write_bytes(path, buffer.getvalue())


def load_embeddings(path: str | os.PathLike[str], model: Model) -> tuple[Embeddings, tuple[str, ...]]:
    """Return the embeddings (n, d) in a file and their photos.

    Args:
        path: What ``save_embeddings`` (``.npz``) or ``embed_all`` (``.parquet``) has written; photos without
            a face are left out.
        model: The model that made them.

    Raises:
        MixedModels: Another model made them, so scores between the two would be meaningless.
        DataError: It is no file of embeddings.
        MissingExtra: It is a Parquet file, and pyarrow is not installed.

    Examples:
        >>> vectors, paths = load_embeddings("faces.npz", model)
    """
    if os.fspath(path).lower().endswith(".parquet"):
        return read_vectors(path, model)
    try:
        with np.load(path, allow_pickle=False) as content:
            made_by, paths = str(content["model"]), tuple(str(p) for p in content["paths"])
            embeddings: Embeddings = content["embeddings"]
    except (OSError, ValueError, KeyError, EOFError, TypeError, MemoryError, zipfile.BadZipFile) as error:
        raise DataError(f"{shown(path)}: no file of embeddings; make one with facealike embed") from error
    if made_by != model.id:
        raise mixed_models(path, made_by, model)
    if embeddings.dtype != np.float32 or embeddings.shape != (len(paths), model.embedder.dimensions):
        raise DataError(
            f"{shown(path)}: {embeddings.shape} embeddings for {len(paths)} photos; embed them again"
        )
    return embeddings, paths
