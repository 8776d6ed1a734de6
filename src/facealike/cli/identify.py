"""``facealike identify``: who is on a photo, among the people of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import command, progress_bar, say
from .gallery import FpirOption, PhotoArgument, PriorOption, TopOption, report_candidates
from .options import DEFAULT_FACE_CHOICE, PEOPLE_FOLDER, DeviceOption, FaceOption, JsonOption, ModelOption


@command
def identify(
    photo: PhotoArgument,
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", show_default=False, help=PEOPLE_FOLDER),
    ],
    model: ModelOption = None,
    face: FaceOption = DEFAULT_FACE_CHOICE,
    top: TopOption = 5,
    fpir: FpirOption = 0.01,
    prior: PriorOption = 0.5,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> int:
    """Say who a face may be, among the people of a folder: match, uncertain or unknown.

    The first call enrolls the folder in a gallery in the user's cache; later calls use it as long as no photo
    has changed.  facealike gallery keeps a gallery of your own.

    Exit code: 0 match, 1 unknown or uncertain, 2 an error, 3 no face found, 4 several faces where --face
    only allows one.
    """
    from ..embedding.face_model import Model
    from ..gallery.folder_gallery import folder_gallery

    loaded = Model.load(model, device)
    with progress_bar("enrolling") as progress:
        gallery, built = folder_gallery(folder, loaded, face.policy, progress)
    for one in () if built is None else built.refused:
        say(f"not enrolled: {one}")
    return report_candidates(gallery.identify(photo, top, fpir, face.policy, prior=prior), as_json)
