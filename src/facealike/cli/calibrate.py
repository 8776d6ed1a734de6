"""``facealike calibrate``: fit a threshold and probabilities to people of your own."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..errors import UsageError
from .console import command, print_json, print_table, progress_bar, show
from .options import (
    DEFAULT_FACE_CHOICE,
    PEOPLE_FOLDER,
    CacheOption,
    DetectorOption,
    DuplicatesOption,
    FaceOption,
    JsonOption,
    StrictOption,
    check_model_file,
)

if TYPE_CHECKING:
    from ..calibration.calibration import Calibration


class MethodChoice(str, Enum):
    """``calibration.Method``, whose import would load NumPy for ``--help``."""

    platt = "platt"
    isotonic = "isotonic"


class PeopleChoice(str, Enum):
    calibration = "calibration"
    unseen = "unseen"
    all = "all"


@command
def calibrate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            show_default=False,
            help="A .facealike file, or 'default' for the default model.",
        ),
    ],
    people: Annotated[Path, typer.Argument(metavar="DIR", show_default=False, help=PEOPLE_FOLDER)],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="FILE", show_default=False, help="The .facealike file to write."),
    ],
    rule: Annotated[
        str,
        typer.Option("--rule", metavar="f1|FMR", help="The threshold: of the best F1, or of an FMR: 0.001."),
    ] = "f1",
    method: Annotated[
        MethodChoice, typer.Option("--method", help="The curve from score to probability.")
    ] = MethodChoice.platt,
    split: Annotated[
        PeopleChoice,
        typer.Option(
            "--split", help="Whose photos: of the split calibration, of all but the test's, or of all people."
        ),
    ] = PeopleChoice.calibration,
    face: FaceOption = DEFAULT_FACE_CHOICE,
    detector: DetectorOption = None,
    allow_duplicates: DuplicatesOption = False,
    strict: StrictOption = False,
    cache: CacheOption = None,
    as_json: JsonOption = False,
) -> int:
    """Fit threshold and probabilities to a folder of people, and write the model with them.

    The model keeps its id: embeddings made with it stay valid.  With --detector it gets that one in place
    of its own, and with it a new id.  People who took part in training are refused.  Exit code: 0, or 2
    on an error.
    """
    from dataclasses import replace

    from ..detection.registry import named_detector
    from ..embedding.face_model import Model
    from ..evaluation.calibrate import calibrate as run
    from ..imaging.photo_warning import left_out_rows
    from ..model_file.model_file import with_detector

    chosen = _rule(rule)
    check_model_file(out)
    loaded = Model.load(None if model == "default" else model)
    if detector is not None:
        loaded = Model(with_detector(loaded.file, named_detector(detector)))
    with progress_bar("looking for copies", "embedding") as progress:
        found = run(
            loaded, people, chosen, method.value, split.value, face.policy, cache=cache, progress=progress,
            allow_duplicates=allow_duplicates, strict=strict,
        )  # fmt: skip
    replace(loaded.file, calibration=found).write(out)
    if as_json:
        report = {"out": str(out), "model": loaded.id, "calibration": found.to_dict()}
        print_json(report | left_out_rows(found.unused))
    else:
        _print(found)
        show(str(out))
    return 0


def _rule(text: str) -> Literal["f1"] | float:
    if text.lower() == "f1":
        return "f1"
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"the rule is f1, or a false match rate such as 0.001, not {text!r}") from None


def _print(found: Calibration) -> None:
    from ..utils.wording import rate_text

    show(str(found))
    print_table(
        ["target FMR", "threshold", "FMR of these people, 95 % interval", "FNMR of these people"],
        [
            [
                rate_text(point.fmr), f"{point.threshold:.3f}",
                f"{rate_text(point.fmr_low)} to {rate_text(point.fmr_high)}", rate_text(point.fnmr),
            ]
            for point in found.operating_points
        ],
    )  # fmt: skip
