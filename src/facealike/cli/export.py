"""``facealike export``: a model in fewer bits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import command, one_line, print_json, progress_bar
from .options import AlignedOption, CacheOption, FaceChoice, FaceOption, JsonOption, check_folder


@command
def export(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", show_default=False, help="A .facealike file, or a name of facealike models list."
        ),
    ],
    photos: Annotated[
        Path,
        typer.Argument(metavar="DIR", show_default=False, help="Photos of faces, some hundreds, of anybody."),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="FILE", show_default=False, help="The .facealike file to write."),
    ],
    bits: Annotated[int, typer.Option("--bits", metavar="8|16", help="What the network is stored in.")] = 8,
    face: FaceOption = FaceChoice.largest,
    aligned: AlignedOption = False,
    cache: CacheOption = None,
    as_json: JsonOption = False,
) -> int:
    """Write a model in fewer bits: with 8 a quarter of the size, and faster.

    The photos show what numbers occur between its layers.  The result has an id of its own and no
    threshold: facealike calibrate learns one.

    Needs facealike[train].  Exit code: 0, or 2 on an error.
    """
    from ..embed import Model
    from ..train import export_model

    check_folder(out)
    with progress_bar("cropping faces") as progress:
        found = export_model(Model.load(model), photos, bits, face.policy, aligned, cache, progress)
    found.file.write(out)
    if as_json:
        print_json({"out": str(out), **found.to_dict()})
    else:
        print(one_line(str(found)))
        print(one_line(str(out)))
    return 0
