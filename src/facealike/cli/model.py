"""``facealike model``: what is in a model file."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import command, print_json, show
from .options import DeviceOption, JsonOption

if TYPE_CHECKING:
    from ..model_file.model_file import ModelFile

app = typer.Typer(help="Look into a model file.", no_args_is_help=True)


@app.command()
@command
def info(
    path: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE", help="A model file or name; by default the one that ships with facealike."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Show what a model is for, how it decides, how well, and of what it is made, on one page.

    With --json everything that its file states.  The file is verified on the way.

    Exit code: 0, or 2 for a file that is not whole.
    """
    from ..model_file.locate import read_model_file
    from ..model_file.page import model_page

    file = read_model_file(path)
    if as_json:
        print_json(_describe(file))
    else:
        for line in model_page(file, min(shutil.get_terminal_size().columns, 100)):
            show(line)
    return 0


@app.command()
@command
def verify(
    path: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE", help="A model file or name; by default the one that ships with facealike."
        ),
    ] = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> int:
    """Check every hash of a model, and that it runs here: it embeds drawn crops and looks for faces.

    Exit code: 0, or 2 for a file that is not whole or does not run.
    """
    from ..model_zoo.self_test import verify_model

    found = verify_model(path, device)
    if as_json:
        print_json(found.to_dict())
    else:
        show(str(found))
    return 0


def _describe(file: ModelFile) -> dict[str, Any]:
    from ..datasets.seen import counts

    card = file.card.to_dict()
    # Thousands of digests are of no use to a reader.
    card["identity_hashes"] = len(file.card.identity_hashes)
    if file.card.trained_on:
        card["trained_on"] = counts(file.card.trained_on)
    return {
        "id": file.id,
        "card": card,
        "calibration": file.calibration.summary(),
        "preprocessing": file.preprocessing.to_dict(),
        "detector": file.detector_spec,
        "embedder_bytes": len(file.embedder),
    }
