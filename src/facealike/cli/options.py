"""Options that several commands have, spelt once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..detection.face_policy import DEFAULT_FACE
from ..errors import DataError, UsageError

if TYPE_CHECKING:
    from ..detection.base import Detector
    from ..detection.face_policy import FacePolicy


class FaceChoice(str, Enum):
    """The part of ``FacePolicy`` that selects one face, as typer wants it."""

    largest = "largest"
    central = "central"
    only = "only"

    @property
    def policy(self) -> FacePolicy:
        return self.value


class FacesChoice(str, Enum):
    """``FacePolicy`` as typer wants it, for commands that can give every face of a photo."""

    largest = "largest"
    central = "central"
    only = "only"
    all = "all"

    @property
    def policy(self) -> FacePolicy:
        return self.value


class SplitChoice(str, Enum):
    """``data.Split`` once more, since importing that would cost ``--help`` a NumPy."""

    train = "train"
    validation = "validation"
    calibration = "calibration"
    test = "test"


# Option names of the last release, without dashes, and their names now, as in {"normalise": "normalize"}.
# To rename an option: rename it in its command and add one row here.  The old name then works for one release
# and is not shown in --help.  A row applies to every command, and to command names and Enum values too.
RENAMED_OPTIONS: dict[str, str] = {"licence": "license", "normalise": "normalize"}


def current_name(name: str) -> str:
    """Return what an option is called now; the command line applies it to each option that it is given."""
    return RENAMED_OPTIONS.get(name, name)


DEFAULT_FACE_CHOICE = FaceChoice(DEFAULT_FACE)
DEFAULT_FACES_CHOICE = FacesChoice(DEFAULT_FACE)

PEOPLE_FOLDER = "One sub-folder of photos a person; or AgeDB's or FG-NET's photos."
"""The help of an argument that ``People.from_folder`` reads."""

ModelOption = Annotated[
    Path | None,
    typer.Option(
        "--model", "-m", "-w", "--weights", metavar="FILE",
        help="A .facealike file, or a name of facealike models list; by default the default model.",
    ),
]  # fmt: skip
FACE_HELP = "Which face of a photo is meant, if it shows several."
FaceOption = Annotated[FaceChoice, typer.Option("--face", help=FACE_HELP)]
FacesOption = Annotated[FacesChoice, typer.Option("--face", help=FACE_HELP)]
AlignedOption = Annotated[
    bool, typer.Option("--aligned", help="The images are face crops already: look for no face in them.")
]
DeviceOption = Annotated[str, typer.Option("--device", "-d", metavar="DEVICE", help="auto, cpu or cuda:N.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
ThresholdOption = Annotated[
    float | None,
    typer.Option("--threshold", "-t", metavar="X", help="Cosine from which on it counts as the same person."),
]
CacheOption = Annotated[
    Path | None,
    typer.Option("--cache", metavar="DIR", help="Keep face crops here, so that a second run is quick."),
]
DuplicatesOption = Annotated[
    bool,
    typer.Option(
        "--allow-duplicates", help="Accept photos that lie in the folders of several people, and count them."
    ),
]
StrictOption = Annotated[
    bool,
    typer.Option(
        "--strict",
        help="End at the first photo that cannot be read, or with several faces under --face only; without "
        "it such photos are left out and listed.",
    ),
]
KeyFileOption = Annotated[
    Path | None,
    typer.Option(
        "--key-file", metavar="FILE",
        help="The key of an encrypted gallery; without it, that in the variable FACEALIKE_GALLERY_KEY.",
    ),
]  # fmt: skip
DetectorOption = Annotated[
    str | None,
    typer.Option(
        "--detector",
        metavar="NAME",
        help="facealike (ours), dlib, dlib-landmarks, or an ONNX file of the YuNet family.",
    ),
]
DrawOption = Annotated[
    Path | None,
    typer.Option(
        "--draw", metavar="FILE.png", help="Also draw a picture of what was found, as .png or .jpg."
    ),
]


def check_there(path: Path) -> None:
    """Refuse an input that is not there, before a gallery is made for it."""
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; check the path")


def check_model_file(out: Path) -> None:
    """Refuse a model file that could not be written, or not be used afterwards."""
    from ..model_file.store import SUFFIX

    check_folder(out)
    if out.suffix.lower() != SUFFIX:
        raise UsageError(f"{out}: a model file ends in {SUFFIX}; write to {out.with_suffix(SUFFIX)}")


def check_picture(out: Path, photos: Iterable[str | Path] = ()) -> None:
    """Refuse a picture that could not be written, or that would replace a photo, before the work."""
    from ..plotting.drawing import check_picture_name

    check_picture_name(out)
    check_folder(out)
    for photo in photos:
        with contextlib.suppress(OSError, ValueError):  # a photo that is not there has an error of its own
            if out.samefile(photo):
                raise UsageError(f"{out}: this is the photo itself; give another file for the picture")


def model_detector(path: Path | None) -> Detector:
    """The detector of a model file; the embedder in it is not started."""
    from ..detection.registry import make_detector
    from ..model_file.locate import read_model_file

    file = read_model_file(path)
    return make_detector(file.detector_spec, file.detector_weights)


def parse_numbers(text: str | None) -> list[int] | None:
    """``"1-3,7"`` as [1, 2, 3, 7]; None stays None."""
    if text is None:
        return None
    numbers: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        last = last if dash else first
        if not (first.isascii() and last.isascii() and first.isdigit() and last.isdigit()):
            raise UsageError(f"folds are given as 1-5 or 1,3,7, not {text!r}")
        if max(len(first), len(last)) > 4 or int(last) < int(first):
            raise UsageError(f"folds count upwards from 1, as in 1-5, not {text!r}")
        numbers += range(int(first), int(last) + 1)
    return numbers


def check_folder(out: Path) -> None:
    """Refuse a result that could not be written, before the work and not after it."""
    from ..utils.atomic_write import check_writable

    if not out.absolute().parent.is_dir():
        raise UsageError(f"{out}: the folder to write this to does not exist; create it first")
    if out.is_dir():
        raise UsageError(f"{out}: this is a folder; give the name of a file in it")
    check_writable(out)
