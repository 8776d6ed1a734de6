"""``facealike export``: a model in fewer bits, mirrored, or with a cohort."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import command, print_json, progress_bar, show
from .options import DEFAULT_FACE_CHOICE, AlignedOption, CacheOption, FaceOption, JsonOption, check_model_file


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
    bits: Annotated[
        int | None,
        typer.Option(
            "--bits",
            metavar="8|16",
            show_default=False,
            help="What the network is stored in: 8, or with --cohort or --mirror what it is.",
        ),
    ] = None,
    cohort: Annotated[
        bool,
        typer.Option(
            "--cohort",
            help="Normalize scores with the faces in DIR as cohort: one photo per person.",
        ),
    ] = False,
    mirror: Annotated[
        bool,
        typer.Option(
            "--mirror",
            help="Embed each face and its mirror image: fewer errors, twice the time of the network.",
        ),
    ] = False,
    enlarge: Annotated[
        float,
        typer.Option(
            "--enlarge",
            metavar="PERCENT",
            help="With --mirror, enlarge the mirror image: the mean has less of the noise of alignment.",
        ),
    ] = 0,
    strength: Annotated[
        float,
        typer.Option("--strength", metavar="S", help="With --cohort, the exponent of the normalization."),
    ] = 1,
    floor: Annotated[
        float,
        typer.Option(
            "--floor",
            metavar="SHARE",
            help="With --cohort, the sparsest share of the cohort, whose scores are normalized alike.",
        ),
    ] = 0,
    face: FaceOption = DEFAULT_FACE_CHOICE,
    aligned: AlignedOption = False,
    cache: CacheOption = None,
    as_json: JsonOption = False,
) -> int:
    """Write a model in fewer bits (with 8 a quarter of the size, and faster), mirrored, or with a cohort.

    The photos show what numbers occur between its layers.  With --cohort they are 1,000 or more, each of
    another person, and one threshold means much the same among all groups of people.  With --mirror a
    cohort that the model has must be fitted anew (--cohort).  The result has an
    id of its own and no threshold: facealike calibrate learns one.

    Needs facealike[export].  Exit code: 0, or 2 on an error.
    """
    from ..embedding.face_model import Model
    from ..model_zoo.export import export_model

    check_model_file(out)
    with progress_bar("cropping faces") as progress:
        found = export_model(
            Model.load(model),
            photos,
            bits,
            cohort,
            face.policy,
            aligned,
            cache,
            progress,
            mirror,
            enlarge,
            strength,
            floor,
        )
    found.file.write(out)
    if as_json:
        print_json({"out": str(out), **found.to_dict()})
    else:
        show(str(found))
        show(str(out))
    return 0
