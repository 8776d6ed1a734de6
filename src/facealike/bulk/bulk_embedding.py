"""``embed_all``: photos of any number into one Parquet file; a run that was stopped goes on."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from .._version import __version__
from ..detection.face_policy import DEFAULT_FACE, FACE_POLICIES, FacePolicy
from ..embedding.face_model import Model
from ..embedding.face_table import TABLE_VERSION, face_schema, table_writer
from ..errors import DataError, UsageError
from ..imaging.photo_warning import LEFT_OUT, left_out_summary
from ..utils.atomic_write import check_writable, flush_folder, writing_whole
from ..utils.escape import shown
from ..utils.locking import own_folder
from ..utils.result import Result
from ..utils.wording import counted
from .job import Engine, Job
from .listing import list_photos
from .local_engine import LocalEngine
from .work_folder import Work, work_folder

if TYPE_CHECKING:
    import pyarrow

BLOCK = 512
"""Photos a part: what a killed run loses at most, for each worker."""

ROW_GROUP = 16_384
"""Rows of the finished file that are read at a time."""


@dataclass(frozen=True, repr=False)
class BulkEmbedding(Result):
    """What became of the photos of a run.

    Examples:
        >>> result = embed_all(["photos"], "faces.parquet")
        >>> result.photos, result.faces, result.left_out["no_face"]
        (13233, 13230, 3)

    Attributes:
        out: The file.
        model: The id of the model.
        photos: Photos listed.
        faces: Faces embedded.
        left_out: How many photos show no face (``no_face``), cannot be read (``unreadable``), or show several
            faces where the face policy ``only`` allows one (``several_faces``); the file has the reasons.
        continued: Photos that an earlier, interrupted run had done.
    """

    ASK: ClassVar[str] = "ask for .faces or .photos"

    out: str
    model: str
    photos: int
    faces: int
    left_out: Mapping[str, int]
    continued: int = 0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        left_out = left_out_summary(self.left_out)
        before = f"; {counted(self.continued, 'photo')} done before" if self.continued else ""
        faces = f"{counted(self.faces, 'face')} of {counted(self.photos, 'photo')}"
        return f"{self.out}: {faces} by model {self.model}{left_out}{before}"


def embed_all(
    sources: Sequence[str | os.PathLike[str]], out: str | os.PathLike[str],
    model: Model | str | os.PathLike[str] | None = None, *, face: FacePolicy = DEFAULT_FACE,
    aligned: bool = False, people: bool = False, engine: Engine | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> BulkEmbedding:  # fmt: skip
    """Embed photos of any number into a Parquet file: one row a face, and one with the reason for the others.

    Memory holds a few batches of photos.  What is done is kept in a folder beside the file
    (``faces.parquet.work``), so that the same call goes on after an interruption: each photo is embedded
    once, and the file is the same as without it.  The photos are listed when the run begins.

    Args:
        sources: Photos, folders, tar files, CSV or Parquet lists with the column photo, and URLs of these;
            see ``docs/guides/bulk.md``.
        out: The file to write, replaced when all is done.
        model: A model, its file or its name; None is the default model.
        face: Which face of a photo is meant; with ``all`` there is a row for every face.
        aligned: Each photo is a face crop already, so no detector runs.
        people: Folders are named after people.
        engine: What does the work: ``LocalEngine()``, the default, or ``RayEngine()``.
        progress: Called with (done, total) photos.

    Raises:
        DataError: A source cannot be read, another run was begun there, or the file cannot be written.
        UsageError: The arguments contradict each other.
        MissingExtra: A package that is needed is not installed.

    Examples:
        >>> embed_all(["photos", "shard-{000..009}.tar"], "faces.parquet")
        <BulkEmbedding: faces.parquet: 13,230 faces of 13,233 photos by model ...>
    """
    if face not in FACE_POLICIES:
        raise UsageError(f"the face policy is one of {', '.join(FACE_POLICIES)}, not {face!r}")
    target = Path(out)
    check_writable(target)
    loaded = model if isinstance(model, Model) else Model.load(model)
    face_schema(loaded.id, 1, face)  # whether pyarrow is there shows before the work
    settings = {
        "version": __version__, "table": TABLE_VERSION, "model": loaded.id, "face": face, "aligned": aligned,
        "people": people,
        "sources": [os.fspath(source).encode("utf-8", "backslashreplace").decode() for source in sources],
    }  # fmt: skip
    folder = work_folder(target)
    try:
        with own_folder(folder):
            work = Work(folder, settings, lambda: list_photos(sources, people), BLOCK)
            continued = work.done()
            _embed(work, Job(loaded, face, aligned), engine or LocalEngine(), progress)
            merged = folder / "merged.parquet"  # in the folder, where what a kill leaves is deleted
            counts = _merge(work.parts(), merged, loaded, face)
            merged.replace(target)
            flush_folder(target.parent)
            photos = work.photos
            work.delete()
    except OSError as error:
        raise DataError(
            f"{shown(folder)}: nothing can be written there ({error.strerror or error}); free space there or "
            "choose another folder"
        ) from error
    return BulkEmbedding(
        str(out), loaded.id, photos, counts["embedded"], {kind: counts[kind] for kind in LEFT_OUT}, continued,
    )  # fmt: skip


def _embed(work: Work, job: Job, engine: Engine, progress: Callable[[int, int], None] | None) -> None:
    """Embed and store the blocks that are left."""
    done = work.done()
    with closing(engine(job, work.left())) as parts:
        for part in parts:
            done += work.store(part)
            if progress is not None:
                progress(done, work.photos)


def _merge(parts: Iterable[Path], out: Path, model: Model, face: FacePolicy) -> Counter[str]:
    """Write the rows of all parts, in order, to one file; return how many rows have each status."""
    import pyarrow as pa
    import pyarrow.parquet

    schema = face_schema(model.id, model.embedder.dimensions, face)
    counts: Counter[str] = Counter()
    held: list[pyarrow.Table] = []
    with writing_whole(out) as stream, table_writer(stream, schema) as writer:

        def write() -> None:
            writer.write_table(pa.concat_tables(held))
            held.clear()

        for part in parts:
            held.append(pyarrow.parquet.read_table(part, schema=schema))
            counts.update(held[-1]["status"].to_pylist())
            if sum(map(len, held)) >= ROW_GROUP:
                write()
        if held:
            write()
    return counts
