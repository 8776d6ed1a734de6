"""``facealike detect``: find the faces in photos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from ..errors import FacealikeError, NoFaceFound, UsageError
from .console import command, error_dict, print_json, report_error, show
from .options import (
    DetectorOption,
    DrawOption,
    FacesChoice,
    FacesOption,
    JsonOption,
    ModelOption,
    check_picture,
    model_detector,
)

if TYPE_CHECKING:
    from ..imaging.photo_warning import UnusedPhoto
    from ..quality.result import Quality
    from ..types import Face

    NumberedFace: TypeAlias = tuple[int, Face, Quality]
    """A face with its place among those found, from 1."""


@command
def detect(
    images: Annotated[
        list[Path],
        typer.Argument(metavar="IMAGE|FOLDER", show_default=False, help="Photos, and folders of them."),
    ],
    model: ModelOption = None,
    detector: DetectorOption = None,
    face: FacesOption = FacesChoice.all,
    min_face: Annotated[
        int | None,
        typer.Option(
            "--min-face",
            metavar="PX",
            show_default=False,
            help="Search large photos for faces down to so many pixels, which takes longer.",
        ),
    ] = None,
    draw: DrawOption = None,
    as_json: JsonOption = False,
) -> int:
    """Find the faces in photos: box, confidence, quality, landmarks; in pixels of the upright photo.

    Folders are searched recursively.  The detector is that of the model, or the one named with
    --detector.

    Exit code: 0 every photo has the face asked for; otherwise that of the first photo without it:
    2 an error, 3 no face found, 4 several faces where --face only allows one.
    """
    from ..datasets.folders import photos_below
    from ..detection.registry import named_detector
    from ..detection.yunet import YuNetDetector
    from ..embedding.cropper import FaceCropper
    from ..embedding.unused_photos import NO_FACE, UNUSED, unused_photo
    from ..imaging.photo_warning import left_out_rows, unused_summary
    from ..plotting.drawing import save_picture
    from ..reports.face_picture import faces_picture

    if model is not None and detector is not None:
        raise UsageError("give --model or --detector, not both: a model brings its own detector")
    if draw is not None:
        if len(images) > 1 or images[0].is_dir():
            raise UsageError("--draw makes a picture of one photo; give one photo, or leave out --draw")
        check_picture(draw, images)
    finder = named_detector(detector) if detector is not None else model_detector(model)
    if min_face is not None:
        if not isinstance(finder, YuNetDetector):
            raise UsageError("--min-face needs a detector of the YuNet family, such as the default one")
        finder = finder.with_min_face(min_face)
    cropper = FaceCropper(finder, None)
    code = 0
    results: list[dict[str, Any]] = []
    unused: list[UnusedPhoto] = []
    photos = [photo for each in images for photo in photos_below(each)]
    for path in photos:
        entry: dict[str, Any] = {"photo": str(path)}
        results.append(entry)
        found: list[NumberedFace] = []
        try:
            photo = cropper.photo(path)
            entry.update(height=photo.shape[0], width=photo.shape[1], faces=[])
            faces = cropper.faces(photo, face.policy, quality=True)
            found = [
                (each.number, each.face, each.quality)
                for each in faces
                if each.number is not None and each.face is not None and each.quality is not None
            ]
        except FacealikeError as error:
            code = code or error.exit_code
            if isinstance(error, (*NO_FACE, *UNUSED)):
                unused.append(unused_photo(path, error))
            if not isinstance(error, NoFaceFound) or face is not FacesChoice.all:
                entry.update(error_dict(error))
                report_error(error)
        entry["faces"] = [
            {"number": number, **each.to_dict(), "quality": quality.to_dict()}
            for number, each, quality in found
        ]
        if draw is not None and "error" not in entry:
            save_picture(faces_picture(photo, [each[1:] for each in found], str(path)), draw)
        if not as_json and "error" not in entry:
            _print_faces(path, found)
    if as_json:
        print_json({"detector": finder.spec, "images": results, **left_out_rows(unused)})
    elif len(photos) > 1 and (summary := unused_summary(unused, "", f"{len(photos):,} photos")):
        show(summary)
    return code


def _print_faces(path: Path, faces: list[NumberedFace]) -> None:
    show(f"{path}: {len(faces)} face{'' if len(faces) == 1 else 's'}")
    for number, face, quality in faces:
        left, top, right, bottom = face.box
        box = f"{left:.0f} {top:.0f} {right:.0f} {bottom:.0f}"
        show(f"  face {number}: box {box}, confidence {face.confidence:.2f}, {quality}")
        if face.landmarks is not None:
            show("    landmarks " + " ".join(f"({x:.0f}, {y:.0f})" for x, y in face.landmarks))
