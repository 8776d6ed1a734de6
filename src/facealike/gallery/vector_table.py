"""Templates as a Parquet table: one row a template, for galleries of vectors that other programs made.

The file's metadata names the model under ``facealike.model``, so that embeddings of two models are never
mixed.  The columns are

    person    the name
    vector    the embedding, a unit vector, a list of float of fixed or of any size
    digest    of the photo's pixels, 64 hex digits; without it, a hash of the vector takes its place
    quality   of the face in [0, 1]
    source    where the photo is
    time      when it was enrolled: a timestamp, or ISO 8601
    origin    how the template was moved from another model; see ``Template``
    metadata  of the person, a JSON object; the last row of a person counts

All but the first two may be missing or null.  ``facealike embed --to`` writes such tables, too.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Set
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._version import __version__
from ..embedding.face_table import MODEL_KEY, VERSION_KEY
from ..errors import DataError, MixedModels
from ..utils.atomic_write import writing_whole
from ..utils.escape import shown
from ..utils.extras import needs_extra
from .base import GalleryStore
from .intake import CORRECTED, Taken
from .people_list import is_parquet, opened_parquet, parquet_unreadable, parse_metadata
from .template import DIGEST, Template, metadata_text, person_name, vector_problems

if TYPE_CHECKING:
    import pyarrow

BATCH = 10_000
"""Templates that are stored together."""

SCREENED = 512
"""Templates that are stored together where each is compared with all others."""

COPIED = ("digest", "quality", "source", "time", "origin")
"""Columns that are attributes of a template."""

READ = ("person", *COPIED, "metadata", "reason")
"""Columns that are read beside the vectors."""


class VectorTable:
    """A Parquet file of templates, open; its rows are read in ``batches``.

    Args:
        path: The file.
        model_id: The model whose embeddings are expected.
        dimensions: How wide they are.
        min_quality: Rows of a lower quality are refused.
        corrected: Digests of photos that do not show a person.

    Attributes:
        rows: How many there are.
        people: The names of all rows read so far.
        metadata: That of the rows read so far, by person.

    Raises:
        MissingExtra: pyarrow is not installed.
        DataError: The file is none of these, or has vectors of another width.
        MixedModels: It holds embeddings of another model.
    """

    def __init__(
        self, path: Path, model_id: str, dimensions: int, min_quality: float,
        corrected: Mapping[str, Set[str]],
    ) -> None:  # fmt: skip
        self._name, self._dimensions = shown(path), dimensions
        self._min_quality, self._corrected = min_quality, corrected
        self.people: set[str] = set()
        self.metadata: dict[str, dict[str, Any]] = {}
        self._file = opened_parquet(path)
        schema = self._file.schema_arrow
        if missing := [name for name in ("person", "vector") if name not in schema.names]:
            raise DataError(f"{self._name}: no column {missing[0]}; name one so")
        made_by = (schema.metadata or {}).get(MODEL_KEY)
        if made_by is None:
            raise DataError(
                f"{self._name}: does not state its model; write the model's id into the file's metadata as "
                f"{MODEL_KEY.decode()}"
            )
        if made_by.decode("utf-8", "replace") != model_id:
            raise MixedModels(
                f"{self._name}: holds embeddings of the model {shown(made_by.decode('utf-8', 'replace'))}, "
                f"and the gallery those of {model_id}; embed the photos with that model"
            )
        kind = schema.field("vector").type
        width = getattr(kind, "list_size", dimensions)
        if not hasattr(kind, "value_type") or str(kind.value_type) not in ("float", "double", "halffloat"):
            raise DataError(f"{self._name}: the column vector holds {kind} and no lists of float; cast it")
        self.rows: int = self._file.metadata.num_rows
        if self.rows and width != dimensions:
            raise DataError(f"{self._name}: vectors of {width} numbers, where the model has {dimensions}")

    def batches(self, size: int = BATCH) -> Iterator[list[Taken]]:
        """Yield the rows as templates, or with the reason why one is refused.

        Raises:
            DataError: The file is damaged.
        """
        import pyarrow

        columns = [name for name in self._file.schema_arrow.names if name in ("vector", *READ)]
        first = 1
        try:
            for batch in self._file.iter_batches(size, columns=columns):
                yield self._taken(batch, first)
                first += len(batch)
        except (pyarrow.ArrowException, OSError) as error:
            raise parquet_unreadable(self._name, error) from None

    def _taken(self, batch: pyarrow.RecordBatch, first: int) -> list[Taken]:
        vectors = _vectors(batch["vector"])
        wrong = vector_problems([b"" if one is None else one.tobytes() for one in vectors], self._bytes)
        cells = {name: batch[name].to_pylist() for name in batch.schema.names if name != "vector"}
        rows = (dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True))
        taken = []
        for i, (row, vector) in enumerate(zip(rows, vectors, strict=True)):
            problem = row.get("reason") or f"no vector in row {first + i}" if vector is None else wrong.get(i)
            one = self._one(row, vector, problem)
            if one.reason is not None and vector is not None:
                one = one._replace(reason=f"{self._name}, row {first + i}: {one.reason}")
            taken.append(one)
        return taken

    @property
    def _bytes(self) -> int:
        return 4 * self._dimensions

    def _one(self, row: Mapping[str, Any], vector: NDArray[np.float32] | None, problem: str | None) -> Taken:
        name, source = str(row.get("person") or ""), str(row.get("source") or "")
        digest, quality = row.get("digest"), row.get("quality")
        if problem is None and not name.strip():
            problem = "no person is stated"
        if problem is None and digest is not None and not DIGEST.fullmatch(str(digest)):
            problem = "the digest is no SHA-256"
        if problem is None and quality is not None and not 0 <= quality <= 1:
            problem = "the quality is no number between 0 and 1"
        if problem is None and quality is not None and quality < self._min_quality:
            problem = f"a quality of {quality:.2f}, below {self._min_quality:.2f}"
        stated, not_json = parse_metadata(row.get("metadata") or "")
        if (problem := problem or not_json) is not None or vector is None:
            return Taken(name, source, reason=problem)
        person = person_name(name)
        digest = digest or hashlib.sha256(vector.tobytes()).hexdigest()
        if digest in self._corrected.get(person, ()):
            return Taken(person, source, reason=CORRECTED)
        self.people.add(person)
        if stated is not None:
            self.metadata[person] = stated
        time, origin = _time(row.get("time")), str(row.get("origin") or "")
        return Taken(person, source, Template(vector, str(digest), quality, source, time, origin))


def is_vector_table(path: Path) -> bool:
    """Return whether a file is Parquet and has a column of vectors.

    Raises:
        MissingExtra: It is Parquet by its name, and pyarrow is not installed.
        DataError: It is Parquet by its name, and cannot be read.
    """
    return is_parquet(path) and "vector" in opened_parquet(path).schema_arrow.names


def export_table(store: GalleryStore, out: Path) -> int:
    """Write the templates of a store to a Parquet file, and return how many they are.

    Corrections, and people without a template, are not part of a table.

    Raises:
        MissingExtra: pyarrow is not installed.
        DataError: The store is damaged, or the file cannot be written.
    """
    with needs_extra("parquet", "a Parquet file"):
        import pyarrow as pa
        import pyarrow.parquet
    if store.damaged_templates():
        raise DataError(f"{store.name}: some templates are damaged; facealike gallery check lists them")
    real, text = pa.float32(), pa.string()
    fields = {
        "person": text, "vector": pa.list_(real, store.dimensions()), "digest": text, "quality": real,
        "source": text, "time": text, "origin": text, "metadata": text,
    }  # fmt: skip
    schema = pa.schema(fields, metadata={MODEL_KEY: store.model_id, VERSION_KEY: __version__})
    count = 0
    with (
        store.snapshot(),
        writing_whole(out) as stream,
        pyarrow.parquet.ParquetWriter(stream, schema, compression="zstd") as writer,
    ):
        described = {person: metadata_text(values) for person, values in store.metadata().items()}
        rows = iter(store.each_template())
        while part := list(itertools.islice(rows, BATCH)):
            held = [one for _, one in part]
            flat = np.concatenate([one.vector for one in held])
            columns = [
                pa.array([person for person, _ in part], text),
                pa.FixedSizeListArray.from_arrays(pa.array(flat, real), store.dimensions()),
                *(pa.array([getattr(one, name) for one in held], fields[name]) for name in COPIED),
                pa.array([described.get(person) for person, _ in part], text),
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
            count += len(part)
    return count


def _vectors(column: pyarrow.Array) -> list[NDArray[np.float32] | None]:
    """Return each list of a column as float32 (d,), None for a null."""
    lengths = column.value_lengths().to_numpy(zero_copy_only=False)
    sizes = np.nan_to_num(lengths.astype(np.float64)).astype(int)
    flat = column.flatten().to_numpy(zero_copy_only=False).astype("<f4")
    offsets = np.concatenate([[0], np.cumsum(sizes)]).tolist()
    there = column.is_valid().to_pylist()
    return [flat[a:b] if ok else None for a, b, ok in zip(offsets, offsets[1:], there, strict=False)]


def _time(value: Any) -> str:
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=timezone.utc)
        return aware.astimezone(timezone.utc).isoformat(timespec="seconds")
    return str(value or "")
