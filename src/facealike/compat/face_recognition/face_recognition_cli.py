"""The program ``face_recognition``: who of a folder of known people is in a photo.

    python -m facealike.compat.face_recognition.face_recognition_cli people photo.jpg

Each known person is one photo, named after the person.  A line of the result is the photo, a name, and with
``--show-distance`` the distance; ``unknown_person`` and ``no_persons_found`` stand for what they say.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from ...cli.console import command, say, show
from ...cli.program import run
from ...errors import UsageError
from ...types import Image
from ...utils.escape import shown
from .api import face_distance, face_encodings
from .programs import CpusOption, each_photo

app = typer.Typer(add_completion=False, rich_markup_mode=None)

TRUTH = {"1": True, "true": True, "yes": True, "on": True, "t": True, "y": True} | {
    "0": False, "false": False, "no": False, "off": False, "f": False, "n": False,
}  # fmt: skip

Known = list[tuple[str, NDArray[np.float64]]]


@app.command("face_recognition")
@command
def face_recognition(
    known_people_folder: Annotated[Path, typer.Argument(help="Photos, each named after its person.")],
    image_to_check: Annotated[Path, typer.Argument(help="A photo, or a folder of photos.")],
    cpus: CpusOption = 1,
    tolerance: Annotated[
        float, typer.Option("--tolerance", help="The largest distance of a match; lower is stricter.")
    ] = 0.6,
    show_distance: Annotated[
        str, typer.Option("--show-distance", help="Print the distance too: 1 or 0.", metavar="BOOLEAN")
    ] = "0",
) -> int:
    """Name the known people in photos: one line a match, PHOTO,NAME."""
    shows = parsed_truth(show_distance)
    known = known_people(known_people_folder, cpus)
    for lines in each_photo(
        image_to_check, cpus, lambda photo, image: matches(photo, image, known, tolerance, shows)
    ):
        for line in lines:
            show(line)
    return 0


def parsed_truth(text: str) -> bool:
    """Return whether a text says yes; the original takes a value here."""
    if text.lower() not in TRUTH:
        raise UsageError(f"--show-distance is 1 or 0, not {shown(text)}")
    return TRUTH[text.lower()]


def known_people(folder: Path, cpus: int) -> Known:
    """Return the name and encoding of each photo that shows a face, and tell which do not."""
    known: Known = []
    for photo, found in each_photo(folder, cpus, lambda photo, image: (photo, face_encodings(image))):
        if not found:
            say(f"warning: {photo}: no face found; the photo is passed over")
            continue
        if len(found) > 1:
            say(f"warning: {photo}: {len(found)} faces; the most confident one is taken")
        known.append((photo.stem, found[0]))
    return known


def matches(photo: Path, image: Image, known: Known, tolerance: float, show_distance: bool) -> list[str]:
    """Return the lines of a photo: each known person whose distance is within the tolerance."""
    found = face_encodings(image)
    if not found:
        return [_line(photo, "no_persons_found", None, show_distance)]
    lines: list[str] = []
    for encoding in found:
        distances = face_distance([vector for _, vector in known], encoding)
        near = [
            _line(photo, name, float(distance), show_distance)
            for (name, _), distance in zip(known, distances, strict=True)
            if distance <= tolerance
        ]
        lines += near or [_line(photo, "unknown_person", None, show_distance)]
    return lines


def _line(photo: Path, name: str, distance: float | None, show_distance: bool) -> str:
    return f"{photo},{name},{distance}" if show_distance else f"{photo},{name}"


main = typer.main.get_command(app)

if __name__ == "__main__":
    sys.exit(run(app))
