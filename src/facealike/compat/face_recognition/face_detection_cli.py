"""The program ``face_detection``: where the faces of a photo are.

    python -m facealike.compat.face_recognition.face_detection_cli photo.jpg

A line of the result is the photo, and top, right, bottom and left of a face in pixels.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ...cli.console import command, show
from ...cli.program import run
from ...types import Image
from .api import face_locations
from .programs import CpusOption, each_photo

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command("face_detection")
@command
def face_detection(
    image_to_check: Annotated[Path, typer.Argument(help="A photo, or a folder of photos.")],
    cpus: CpusOption = 1,
    model: Annotated[
        str, typer.Option("--model", help="hog or cnn; here both are the model's own detector.")
    ] = "hog",
) -> int:
    """List the faces in photos: one line a face, PHOTO,TOP,RIGHT,BOTTOM,LEFT."""

    def lines(photo: Path, image: Image) -> list[str]:
        found = face_locations(image, number_of_times_to_upsample=0, model=model)
        return [",".join(map(str, (photo, *location))) for location in found]

    for photo in each_photo(image_to_check, cpus, lines):
        for line in photo:
            show(line)
    return 0


main = typer.main.get_command(app)

if __name__ == "__main__":
    sys.exit(run(app))
