"""Parquet tables of embedded faces: one row a face, and one row with a reason for a photo without any.

The file's metadata names the model, so that embeddings of two models are never mixed, and the version of the
table.  Tables without one are older: their faces are numbered from 0.  The columns are

    key        the name of the photo within its source
    source     where the photo is
    person     whom it shows, where that is known
    face       the place of the face among those found in its photo, from 1; null where there is none
    status     embedded, no_face, several_faces or unreadable
    reason     why there is no face, one sentence
    box        left, top, right, bottom in pixels of the whole upright photo, float32 (4,)
    landmarks  the five points as x, y, x, y ..., float32 (10,)
    confidence of the detector, float32
    quality    of the face in [0, 1], float32
    vector     the embedding, a unit vector, float32 (d,); null where there is no face
    digest     of the photo's pixels, 64 hex digits; null where it could not be decoded
    metadata   what else the source states, a JSON object
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from .._version import __version__
from ..detection.face_policy import FacePolicy
from ..errors import DataError, MixedModels
from ..types import Embeddings
from ..utils.escape import shown
from ..utils.extras import needs_extra
from .embedded_photos import EmbeddedFace
from .face_model import Model

if TYPE_CHECKING:
    import pyarrow

Status: TypeAlias = Literal["embedded", "no_face", "several_faces", "unreadable"]

MODEL_KEY, FACE_KEY, VERSION_KEY = b"facealike.model", b"facealike.face", b"facealike.version"
"""Entries of the file's metadata: the id of the model, the face policy, the facealike that wrote it."""

TABLE_KEY, TABLE_VERSION = b"facealike.table", "2"
"""The entry of the file's metadata with the version of the table, and the version that is written."""

TEXTS = ("key", "source", "person", "status", "reason", "metadata")
"""Columns that are compressed with a dictionary; vectors do not compress."""

LANDMARKS = 5


@dataclass(frozen=True)
class FaceRow:
    """One row: a face, or with ``embedded`` None a photo without one."""

    key: str
    source: str
    person: str | None = None
    face: int | None = None
    status: Status = "embedded"
    reason: str | None = None
    embedded: EmbeddedFace | None = None
    digest: str | None = None
    metadata: str | None = None


def face_schema(model_id: str, dimensions: int, face: FacePolicy) -> pyarrow.Schema:
    """Return the schema of a table, with the file's metadata.

    Raises:
        MissingExtra: pyarrow is not installed.
    """
    with needs_extra("bulk", "a Parquet file"):
        import pyarrow as pa
    real = pa.float32()
    fields = {
        "key": pa.string(), "source": pa.string(), "person": pa.string(), "face": pa.int32(),
        "status": pa.string(), "reason": pa.string(), "box": pa.list_(real, 4),
        "landmarks": pa.list_(real, 2 * LANDMARKS), "confidence": real, "quality": real,
        "vector": pa.list_(real, dimensions), "digest": pa.string(), "metadata": pa.string(),
    }  # fmt: skip
    about = {MODEL_KEY: model_id, FACE_KEY: face, VERSION_KEY: __version__, TABLE_KEY: TABLE_VERSION}
    return pa.schema(fields, metadata=about)


def table_bytes(rows: Sequence[FaceRow], model: Model, face: FacePolicy) -> bytes:
    """Return rows as the content of a Parquet file.

    Raises:
        MissingExtra: pyarrow is not installed.
    """
    schema = face_schema(model.id, model.embedder.dimensions, face)
    import pyarrow as pa

    cells = [_cells(row) for row in rows]
    columns = [pa.array([row[name] for row in cells], schema.field(name).type) for name in schema.names]
    stream = io.BytesIO()
    with table_writer(stream, schema) as writer:
        writer.write_table(pa.Table.from_arrays(columns, schema=schema))
    return stream.getvalue()


def table_writer(stream: Any, schema: pyarrow.Schema) -> pyarrow.parquet.ParquetWriter:
    """Return what writes tables of this schema to an open file, row group by row group."""
    import pyarrow.parquet

    return pyarrow.parquet.ParquetWriter(
        stream, schema, compression="zstd", use_dictionary=list(TEXTS), write_statistics=list(TEXTS)
    )


def _cells(row: FaceRow) -> dict[str, Any]:
    found = row.embedded
    face = None if found is None else found.face
    quality = None if found is None or found.quality is None else found.quality.score
    points = None if face is None or face.landmarks is None else np.ravel(face.landmarks)
    texts = {name: _unicode(getattr(row, name)) for name in TEXTS}
    return {
        **texts,
        "face": row.face,
        "box": None if face is None else list(face.box),
        "landmarks": points if points is not None and len(points) == 2 * LANDMARKS else None,
        "confidence": None if face is None else face.confidence,
        "quality": quality,
        "vector": None if found is None else found.embedding,
        "digest": row.digest,
    }


def _unicode(text: str | None) -> str | None:
    """Return a text as Parquet can hold it: bytes of a file's name that are no Unicode are escaped."""
    return None if text is None else text.encode("utf-8", "backslashreplace").decode()


def read_vectors(path: str | os.PathLike[str], model: Model) -> tuple[Embeddings, tuple[str, ...]]:
    """Return the embeddings (n, d) in a table and the n photos that they are of; see ``load_embeddings``."""
    with needs_extra("bulk", "reading a Parquet file"):
        import pyarrow
        import pyarrow.compute
        import pyarrow.parquet
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            about = file.schema_arrow.metadata or {}
            made_by = about[MODEL_KEY].decode("utf-8", "replace")
            if made_by == model.id:
                table = file.read(columns=["source", "vector"])
                table = table.filter(pyarrow.compute.is_valid(table["vector"]))
    except (OSError, KeyError, pyarrow.ArrowException) as error:
        raise DataError(
            f"{shown(path)}: no Parquet file of embeddings; make one with facealike embed"
        ) from error
    if made_by != model.id:
        raise mixed_models(path, made_by, model)
    width = getattr(table.schema.field("vector").type, "list_size", None)
    if width != model.embedder.dimensions:
        raise DataError(f"{shown(path)}: its vectors are not {model.embedder.dimensions} wide; embed again")
    flat = table["vector"].combine_chunks()
    flat = flat.flatten() if len(flat) else np.zeros(0)
    vectors = np.asarray(flat, dtype=np.float32).reshape(-1, model.embedder.dimensions)
    return vectors, tuple(table["source"].to_pylist())


def mixed_models(path: str | os.PathLike[str], made_by: str, model: Model) -> MixedModels:
    """Return the error of a file of embeddings that another model made."""
    return MixedModels(
        f"{shown(path)}: made by model {shown(made_by)}, not {model.id}, and embeddings of two "
        "models cannot be compared; embed the photos again"
    )
