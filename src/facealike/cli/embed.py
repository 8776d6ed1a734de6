"""``facealike embed``: embed many photos into a file."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import DataError
from .console import command, error_dict, print_json, progress_bar, report_error, say, show
from .options import (
    DEFAULT_FACE_CHOICE,
    AlignedOption,
    DeviceOption,
    FaceOption,
    JsonOption,
    ModelOption,
    StrictOption,
    check_folder,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..imaging.photo_warning import UnusedPhoto
    from ..types import Face


@command
def embed(
    inputs: Annotated[
        list[Path],
        typer.Argument(metavar="IMAGE|FOLDER", show_default=False, help="Photos, and folders of them."),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE.npz", show_default=False, help="Where to write.")
    ],
    model: ModelOption = None,
    face: FaceOption = DEFAULT_FACE_CHOICE,
    aligned: AlignedOption = False,
    device: DeviceOption = "auto",
    batch: Annotated[int, typer.Option("--batch", min=1, help="Faces to embed at a time.")] = 64,
    strict: StrictOption = False,
    as_json: JsonOption = False,
) -> int:
    """Embed photos and write vectors, paths, boxes and the model's id to an .npz file.

    Folders are searched recursively.  With --face all, a photo has one vector a face.  A photo without the
    face asked for, or that cannot be read, is named and left out.

    Exit code: 0 every photo was embedded; otherwise that of the first that was not: 2 an error,
    3 no face found, 4 several faces where --face only allows one.
    """
    import numpy as np

    from ..embedding.embeddings_file import save_embeddings
    from ..embedding.face_model import Model
    from ..embedding.unused_photos import UNUSED, unused_photo
    from ..imaging.photo_warning import left_out_summary, unused_counts, unused_rows

    check_folder(out)
    photos = [photo for path in inputs for photo in photos_below(path)]
    loaded = Model.load(model, device)
    code = 0
    failures: list[dict[str, Any]] = []
    unused: list[UnusedPhoto] = []
    paths: list[str] = []
    faces: list[Face | None] = []
    vectors: list[NDArray[np.float32]] = []

    stream = loaded.stream(photos, face=face.policy, aligned=aligned, batch=batch, quality=False)
    with progress_bar("embedding") as progress, closing(stream) as rows:
        for row in rows:
            if row.error is not None:
                path = photos[row.index]
                if isinstance(row.error, UNUSED):
                    if strict:
                        raise row.error
                    unused.append(unused_photo(path, row.error))
                code = code or row.error.exit_code
                failures.append({"path": str(path), **error_dict(row.error)})
                report_error(row.error)
            paths += [str(photos[row.index])] * len(row.faces)
            faces += [each.face for each in row.faces]
            vectors += [each.embedding for each in row.faces]
            progress(row.index + 1, len(photos))
    if vectors:
        save_embeddings(out, np.stack(vectors), paths, loaded, faces)
    report = {
        "out": str(out) if vectors else None, "model": loaded.id, "device": loaded.device,
        "photos": len(photos), "vectors": len(paths), "dimensions": loaded.embedder.dimensions,
        "failed": failures, "no_face": len(failures) - len(unused), **unused_rows(unused),
    }  # fmt: skip
    if as_json:
        print_json(report)
    elif vectors:
        done = len(photos) - len(failures)
        left_out = left_out_summary({"no_face": len(failures) - len(unused), **unused_counts(unused)})
        show(f"{out}: {len(paths)} vectors of {done} photos by model {loaded.id}{left_out}")
    else:
        say(f"none of {len(photos)} photos could be embedded, so nothing is written")
    return code


def photos_below(path: Path) -> list[Path]:
    """Return the photos in and below a folder, sorted; any other path is a photo itself."""
    from ..datasets.folders import find_photos, warn_skipped

    if not path.is_dir():
        return [path]
    found, skipped = find_photos(path)
    warn_skipped(path, skipped)
    if not found:
        raise DataError(f"{path}: no photo in this folder; check the path")
    return found
