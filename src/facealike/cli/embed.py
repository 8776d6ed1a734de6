"""``facealike embed``: embed many photos into a file or a gallery."""

from __future__ import annotations

from contextlib import closing
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
from ..gallery.store_url import is_url, shown_place
from ..utils.wording import counted
from .console import command, print_json, progress_bar, report_error, say, show
from .options import (
    DEFAULT_FACES_CHOICE,
    AlignedOption,
    DeviceOption,
    FacesOption,
    JsonOption,
    KeyFileOption,
    ModelOption,
    StrictOption,
    check_folder,
    check_there,
)

if TYPE_CHECKING:
    from ..bulk.job import Engine
    from ..detection.face_policy import FacePolicy
    from ..embedding.face_model import Model


class EngineChoice(str, Enum):
    """What does the work."""

    local = "local"
    ray = "ray"


@command
def embed(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            show_default=False,
            help="Photos, folders, tar files (shard-{000..009}.tar), CSV or Parquet lists with a column "
            "photo, and URLs of these (s3://bucket/photos).",
        ),
    ],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            "--out",
            "-o",
            metavar="FILE.npz|FILE.parquet|GALLERY",
            show_default=False,
            help="Where to write: vectors, a table with a row a photo, or a gallery.",
        ),
    ],
    model: ModelOption = None,
    face: FacesOption = DEFAULT_FACES_CHOICE,
    aligned: AlignedOption = False,
    people: Annotated[
        bool, typer.Option("--people", help="Folders are named after people; to a gallery they always are.")
    ] = False,
    device: DeviceOption = "auto",
    engine: Annotated[
        EngineChoice, typer.Option("--engine", help="This machine, or a Ray cluster; for .parquet.")
    ] = EngineChoice.local,
    address: Annotated[
        str | None,
        typer.Option("--address", metavar="ADDR", help="The Ray cluster; by default one of this machine."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            metavar="N",
            min=1,
            show_default="one a core",
            help="Threads, or processes of the Ray cluster.",
        ),
    ] = None,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Faces to embed at a time.")] = 64,
    strict: StrictOption = False,
    key_file: KeyFileOption = None,
    as_json: JsonOption = False,
) -> int:
    """Embed photos and write vectors and the model's id to a file, or templates to a gallery.

    The ending of --to decides.  FILE.npz holds vectors, paths and boxes.  FILE.parquet also holds quality,
    digest, person and the photos without a face, each with a reason; any number of photos fits, and a command
    that was interrupted goes on where it was.  In GALLERY.db, or a gallery's URL, photos with a person are
    enrolled.

    Folders are searched recursively.  With --face all, a photo has one vector a face.

    Exit code: 0 every photo was embedded; otherwise, with .npz, that of the first that was not: 2 an error,
    3 no face found, 4 several faces where --face only allows one; with .parquet and .db, 2 if none was.
    """  # fmt: skip
    name = shown_place(to)
    ending = ".db" if is_url(to) else Path(to).suffix.lower()
    if ending not in (".npz", ".parquet", ".db"):
        raise UsageError(
            f"{name}: the ending of --to decides what is written; use .npz, .parquet or, for a gallery, .db"
        )
    if ending != ".parquet" and (engine is not EngineChoice.local or workers is not None):
        raise UsageError(f"{name}: --engine and --workers are for a .parquet file; write one")
    if engine is EngineChoice.local and address is not None:
        raise UsageError("--address is that of a Ray cluster; add --engine ray")
    if ending in (".parquet", ".db") and strict:
        raise UsageError(f"{name}: a photo that fails ends no run here, it is listed; leave out --strict")
    if ending == ".db":
        if aligned:
            raise UsageError(f"{name}: a gallery finds the faces in photos itself; leave out --aligned")
        return _to_gallery(sources, to, model, device, face.policy, key_file, as_json)
    path = Path(to)
    check_folder(path)
    if ending == ".parquet":
        return _to_parquet(
            sources, path, model, device, _engine(engine, address, workers, batch), as_json,
            face=face.policy, aligned=aligned, people=people,
        )  # fmt: skip
    return _to_npz(
        sources, path, model, device, strict, as_json, face=face.policy, aligned=aligned, batch=batch
    )


def _load(model: Path | None, device: str) -> Model:
    from ..embedding.face_model import Model

    return Model.load(model, device)


def _engine(choice: EngineChoice, address: str | None, workers: int | None, batch: int) -> Engine:
    from ..bulk.local_engine import LocalEngine
    from ..bulk.ray_engine import RayEngine

    if choice is EngineChoice.ray:
        return RayEngine(address, workers, batch)
    return LocalEngine(workers, batch)


def _to_parquet(
    sources: list[str], to: Path, model: Path | None, device: str, engine: Engine, as_json: bool, **how: Any
) -> int:
    from ..bulk.bulk_embedding import embed_all

    with progress_bar("embedding") as progress:
        result = embed_all(sources, to, _load(model, device), engine=engine, progress=progress, **how)
    if as_json:
        print_json(result.to_dict())
    else:
        show(str(result))
    if not result.faces:
        say(f"none of {result.photos:,} photos could be embedded; the reasons are in {to}")
    return 0 if result.faces else 2


def _to_gallery(
    sources: list[str], to: str, model: Path | None, device: str, face: FacePolicy,
    key_file: Path | None, as_json: bool,
) -> int:  # fmt: skip
    from ..bulk.listed_people import list_people
    from ..gallery.gallery import Gallery
    from .gallery import report_bulk

    if not is_url(to):
        check_folder(Path(to))
    for source in sources:
        if not is_url(source) and "{" not in source:  # one with braces stands for many
            check_there(Path(source))
    people = list_people(sources)
    with (
        closing(Gallery.open(to, _load(model, device), key_file=key_file)) as gallery,
        progress_bar("enrolling") as progress,
    ):
        result = gallery.enroll_all(people, face=face, progress=progress)
    return report_bulk(result, as_json)


def _to_npz(
    sources: list[str], to: Path, model: Path | None, device: str, strict: bool, as_json: bool, **how: Any
) -> int:
    import numpy as np

    from ..bulk.listing import list_photos
    from ..bulk.photo_file import PhotoFile
    from ..embedding.embeddings_file import save_embeddings
    from ..embedding.unused_photos import UNUSED, unused_photo
    from ..imaging.photo_warning import left_out_counts, left_out_rows, left_out_summary

    photos: list[Any] = list(map(PhotoFile, list_photos(sources)))
    names = [photo.name for photo in photos]
    loaded = _load(model, device)
    code = 0
    unused = []
    paths, faces, vectors = [], [], []
    stream = loaded.stream(photos, quality=False, **how)
    with progress_bar("embedding") as progress, closing(stream) as rows:
        for row in rows:
            path = names[row.index]
            if row.error is not None:
                if strict and isinstance(row.error, UNUSED):
                    raise row.error
                unused.append(unused_photo(path, row.error))
                code = code or row.error.exit_code
                report_error(row.error)
            paths += [path] * len(row.faces)
            faces += [each.face for each in row.faces]
            vectors += [each.embedding for each in row.faces]
            progress(row.index + 1, len(photos))
    if vectors:
        save_embeddings(to, np.stack(vectors), paths, loaded, faces)
    report = {
        "out": str(to) if vectors else None, "model": loaded.id, "device": loaded.device,
        "photos": len(photos), "vectors": len(paths), "dimensions": loaded.embedder.dimensions,
        **left_out_rows(unused),
    }  # fmt: skip
    if as_json:
        print_json(report)
    elif vectors:
        done = len(photos) - len(unused)
        left_out = left_out_summary(left_out_counts(unused))
        vectors_of = f"{counted(len(paths), 'vector')} of {counted(done, 'photo')}"
        show(f"{to}: {vectors_of} by model {loaded.id}{left_out}")
    else:
        say(f"none of {len(photos)} photos could be embedded, so nothing is written")
    return code
