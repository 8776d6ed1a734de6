"""``facealike gallery migrate``: move a gallery to another model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import command, print_json, progress_bar, show
from .gallery import GalleryArgument
from .options import (
    DEFAULT_FACE_CHOICE,
    DeviceOption,
    FaceOption,
    JsonOption,
    KeyFileOption,
    ModelOption,
    check_folder,
)


@command
def migrate(
    gallery: GalleryArgument,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", show_default=False, help="The new gallery.")
    ],
    model: ModelOption = None,
    face: FaceOption = DEFAULT_FACE_CHOICE,
    map_photos: Annotated[
        Path | None,
        typer.Option(
            "--map-photos", metavar="DIR", help="A folder of people, to fit the map of vanished photos on."
        ),
    ] = None,
    old_model: Annotated[
        Path | None,
        typer.Option(
            "--old-model", metavar="FILE", help="The model of the old gallery, which embeds --map-photos."
        ),
    ] = None,
    max_loss: Annotated[
        float,
        typer.Option(
            "--max-loss", metavar="P", min=0, max=1, help="How much higher the FNMR of mapped faces may be."
        ),
    ] = 0.05,
    device: DeviceOption = "auto",
    key_file: KeyFileOption = None,
    as_json: JsonOption = False,
) -> int:
    """Write a gallery of another model with the people of an old one, which stays as it is.

    Photos that are still where they were enrolled from, with the same pixels, are embedded again.  The
    embeddings of all others are mapped, by a map fitted to the faces that both models have embedded; its loss
    is measured on held-out people and printed.

    Exit code: 0, or 2 on an error: too few photos to fit a map, or a map that loses too much.
    """
    from ..embedding.face_model import Model
    from ..gallery.migration import migrate_gallery

    check_folder(out)
    old = None if old_model is None else Model.load(old_model, device)
    with progress_bar("embedding") as progress:
        result = migrate_gallery(
            gallery, out, Model.load(model, device), face=face.policy, map_people=map_photos, old_model=old,
            max_loss=max_loss, progress=progress, key_file=key_file,
        )  # fmt: skip
    if as_json:
        print_json(result.to_dict())
    else:
        for number, line in enumerate(result.lines()):
            show(f"  {line}" if number else line)
    return 0
