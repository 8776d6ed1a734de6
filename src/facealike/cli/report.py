"""``facealike report``: write the report of a training run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import command, print_json, progress_bar, show
from .options import JsonOption, check_folder


@command
def report(
    run: Annotated[
        Path,
        typer.Argument(metavar="RUN", show_default=False, help="The folder of a run of facealike train."),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE.html", help="Write this; by default report.html in RUN."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="The folder of people, if it was moved since the run."),
    ] = None,
    thumbnails: Annotated[
        bool | None,
        typer.Option(
            "--thumbnails/--no-thumbnails", show_default=False,
            help="Photos of mistakes in the Markdown too, or nowhere; else in the HTML only.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> int:  # fmt: skip
    """Write a self-contained HTML file, and the same as Markdown: results, curves, mistakes.

    Exit code: 0, or 2 on an error.
    """
    from ..reports.run_report import report as write_report

    if out is not None:
        check_folder(out)
    with progress_bar("cropping faces") as progress:
        result = write_report(run, out, data, thumbnails, progress=progress)
    if as_json:
        print_json(result.to_dict())
    else:
        show(str(result))
    return 0
