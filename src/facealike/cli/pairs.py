"""``facealike pairs``: draw genuine and impostor pairs as a model receives them."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import DataError, UsageError
from ..utils.wording import counted
from .console import command, print_json, report_error, show
from .options import (
    DEFAULT_FACE_CHOICE,
    PEOPLE_FOLDER,
    DetectorOption,
    FaceOption,
    JsonOption,
    ModelOption,
    check_picture,
)

if TYPE_CHECKING:
    from ..embedding.cropper import FaceCropper


class PairSplit(str, Enum):
    """A split, or all of them."""

    train = "train"
    validation = "validation"
    calibration = "calibration"
    test = "test"
    all = "all"


@command
def pairs(
    people: Annotated[Path, typer.Argument(metavar="DIR", show_default=False, help=PEOPLE_FOLDER)],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE.png", show_default=False, help="Where to write.")
    ],
    split: Annotated[PairSplit, typer.Option("--split", help="Whose pairs.")] = PairSplit.train,
    count: Annotated[int, typer.Option("--count", min=1, max=200, help="Pairs of each kind.")] = 8,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another seed draws other pairs.")] = 0,
    model: ModelOption = None,
    detector: DetectorOption = None,
    face: FaceOption = DEFAULT_FACE_CHOICE,
    as_json: JsonOption = False,
) -> int:
    """Draw a picture of pairs as a model receives them, with the names of their folders and files.

    The crops are those of the model, or those that fit the detector named with --detector.

    Exit code: 0, or 2 on an error.
    """
    from ..datasets.people import People
    from ..imaging.photo_warning import left_out_counts, left_out_rows, left_out_summary
    from ..plotting.drawing import save_picture
    from ..reports.pair_sheet import pair_sheet

    check_picture(out)
    every_person = People.from_folder(people)
    chosen = every_person if split is PairSplit.all else every_person.split(split.value)
    if len(chosen) == 0:
        raise DataError(
            f"{people}: no person in this folder belongs to the split {split.value}; choose --split all"
        )
    title = "Pairs of all people" if split is PairSplit.all else f"Pairs of the split {split.value}"
    sheet = pair_sheet(chosen, title, _cropper(model, detector), face.policy, count, seed, report_error)
    save_picture(sheet.picture, out)
    pairs = sheet.pairs
    genuine = int(pairs.same.sum())
    if as_json:
        rows = [
            {"a": str(chosen.paths[a]), "b": str(chosen.paths[b]), "same": bool(same)}
            for a, b, same in zip(pairs.a, pairs.b, pairs.same, strict=True)
        ]
        found = {"out": str(out), "split": split.value, "seed": seed, "pairs": rows}
        print_json({**found, **left_out_rows(sheet.unused)})
    else:
        left_out = left_out_summary(left_out_counts(sheet.unused))
        show(f"{out}: {counted(genuine, 'pair')} of one person, {len(pairs.same) - genuine} of two{left_out}")
    return 0


def _cropper(model: Path | None, detector: str | None) -> FaceCropper:
    """The cropper of a model, or of a detector with the crop that fits it."""
    from ..detection.registry import named_detector
    from ..embedding.cropper import FaceCropper
    from ..model_file.locate import read_model_file
    from ..model_file.preprocessing import Preprocessing

    if model is not None and detector is not None:
        raise UsageError("give --model or --detector, not both: a model brings its own detector")
    if detector is None:
        return FaceCropper.of_file(read_model_file(model))
    finder = named_detector(detector)
    return FaceCropper(finder, Preprocessing(112, "landmarks" if finder.has_landmarks else "box"))
