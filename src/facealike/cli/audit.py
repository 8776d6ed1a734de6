"""``facealike audit``: what is wrong with a folder of people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..utils.wording import counted
from .console import command, print_json, print_table, progress_bar, say, show, show_list
from .options import DEFAULT_FACE_CHOICE, PEOPLE_FOLDER, DeviceOption, FaceOption, JsonOption, ModelOption

ALL = "--out, --csv and --json have all"

if TYPE_CHECKING:
    from ..auditing.result import Audit


@command
def audit(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", show_default=False, help=PEOPLE_FOLDER),
    ],
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="OTHER",
            help="Another folder of people, or a model file, that is to have other people and photos.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE.html", help="Write a report with pictures.")
    ] = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write the table of faults.")
    ] = None,
    fix_list: Annotated[
        Path | None,
        typer.Option(
            "--fix-list", metavar="FILE", help="Write suggested fixes, to be edited: corrections for cluster."
        ),
    ] = None,
    face: FaceOption = DEFAULT_FACE_CHOICE,
    model: ModelOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> int:
    """Find what is wrong with a folder of people: copies, wrong names, poor photos.

    Copies may be scaled, compressed, mirrored or slightly cropped. Wrong names, people who are one and
    people who are two are found by the probabilities of the model. Nothing is moved or changed.

    Exit code: 0 if no label is in doubt and there is no copy, 1 otherwise, 2 on an error, 3 if no photo has
    a face.
    """
    from ..auditing.audit import audit as examine
    from ..utils.atomic_write import write_text
    from .options import check_folder

    for file in (out, csv, fix_list):
        if file is not None:
            check_folder(file)
    with progress_bar("examining photos") as progress:
        result = examine(
            folder, None if model is None else str(model), against=against, face=face.policy,
            progress=progress, device=device,
        )  # fmt: skip
    if out is not None:
        write_text(out, result.page())
    if csv is not None:
        write_text(csv, result.to_csv())
    if fix_list is not None:
        write_text(fix_list, result.fix_list())
    if as_json:
        print_json(result.to_dict())
    else:
        _show(result)
    counts = result.counts
    if counts.get("no_face", 0) + counts.get("unreadable", 0) == result.photos:
        say(f"{folder}: no face found in any photo of this folder; check the folder")
        return 3
    return 1 if result.serious else 0


def _show(result: Audit) -> None:
    from ..auditing.faults import KINDS

    if result.counts:
        print_table(
            ["found", "count"], [[KINDS[kind].heading, f"{n:,}"] for kind, n in result.counts.items()]
        )
    show_list([str(fault) for fault in result.serious], ALL)
    others = len(result.faults) - len(result.serious)
    if others:
        show(f"{counted(others, 'fault')} of single photos not listed here; {ALL}")
    show(str(result))
