"""``facealike data``: photos of people on the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .console import command, print_json, print_table, progress_bar, show
from .options import PEOPLE_FOLDER, JsonOption

app = typer.Typer(help="Unpack and look at folders of people.", no_args_is_help=True)


@app.command()
@command
def lfw(
    archive: Annotated[
        Path, typer.Argument(metavar="ARCHIVE", show_default=False, help="The .tgz of LFW, as downloaded.")
    ],
    to: Annotated[
        Path, typer.Option("--to", metavar="DIR", show_default=False, help="The folder to unpack into.")
    ],
    as_json: JsonOption = False,
) -> int:
    """Unpack Labeled Faces in the Wild into one folder of photos a person.

    What an earlier, interrupted run has unpacked is kept.  Exit code: 0, or 2 on an error.
    """
    from ..datasets.lfw import unpack_lfw

    with progress_bar("unpacking", unit="bytes") as progress:
        folder = unpack_lfw(archive, to, progress=progress)
    if as_json:
        print_json(_summary(folder))
    else:
        show(str(folder))
    return 0


@app.command()
@command
def summary(
    people: Annotated[Path, typer.Argument(metavar="DIR", show_default=False, help=PEOPLE_FOLDER)],
    as_json: JsonOption = False,
) -> int:
    """Count people, photos and genuine pairs, in all and in each split.

    People fall into a split by a hash of their name, so no one is in two of them.  Exit code: 0, or
    2 on an error.
    """
    found = _summary(people)
    if as_json:
        print_json(found)
    else:
        rows = [
            [name, *(f"{value:,}" for value in counts.values())] for name, counts in found["splits"].items()
        ]
        print_table(["split", "people", "photos", "genuine pairs", "one photo only"], rows)
    return 0


def _summary(folder: Path) -> dict[str, Any]:
    import numpy as np

    from ..datasets.people import People
    from ..datasets.splits import SPLITS

    people = People.from_folder(folder)
    splits: dict[str, dict[str, int]] = {}
    for name, part in (*((split, people.split(split)) for split in SPLITS), ("all", people)):
        photos = np.bincount(part.labels, minlength=len(part.names))
        splits[name] = {
            "people": len(part.names),
            "photos": len(part),
            "genuine_pairs": int((photos * (photos - 1) // 2).sum()),
            "people_with_one_photo": int((photos == 1).sum()),
        }
    skipped = [each.to_dict() for each in people.skipped]
    return {"folder": str(folder), "splits": splits, "skipped": skipped}
