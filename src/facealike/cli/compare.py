"""``facealike compare``: compare two photos, or the pairs of a list."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..detection.face_policy import DEFAULT_FACE, policy_difference
from ..errors import UsageError
from ..utils.wording import counted
from .console import command, counter, print_json, say, show
from .options import (
    AlignedOption,
    DeviceOption,
    DrawOption,
    FaceChoice,
    JsonOption,
    ModelOption,
    ThresholdOption,
    check_folder,
    check_picture,
)

if TYPE_CHECKING:
    from ..verification.best_pair import PairFacePolicy
    from ..verification.compare import CompareOptions
    from ..verification.result import Comparison


class PairFaceChoice(str, Enum):
    """``best_pair.PairFacePolicy`` as typer wants it, but for ``all``, which compares nothing."""

    largest = "largest"
    central = "central"
    only = "only"
    any = "any"

    @property
    def policy(self) -> PairFacePolicy:
        return self.value


DEFAULT_PAIR_FACE = PairFaceChoice(DEFAULT_FACE)


@command
def compare(
    a: Annotated[str | None, typer.Argument(metavar="A", show_default=False, help="A photo.")] = None,
    b: Annotated[str | None, typer.Argument(metavar="B", show_default=False, help="Another photo.")] = None,
    model: ModelOption = None,
    threshold: ThresholdOption = None,
    fmr: Annotated[
        float | None,
        typer.Option(
            "--fmr", metavar="F", help="Use the model's threshold for this false match rate, such as 0.001."
        ),
    ] = None,
    prior: Annotated[
        float,
        typer.Option("--prior", metavar="P", help="Share of compared pairs that show the same person."),
    ] = 0.5,
    device: DeviceOption = "auto",
    face: Annotated[
        PairFaceChoice,
        typer.Option(
            "--face", help="Which face of a photo is meant; any compares all and takes the best pair."
        ),
    ] = DEFAULT_PAIR_FACE,
    aligned: AlignedOption = False,
    pairs: Annotated[
        Path | None,
        typer.Option("--pairs", metavar="CSV", help="Compare the pairs of a list, with the columns a and b."),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option("--root", metavar="DIR", help="Where the photos of --pairs are; by default beside it."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="CSV", help="Where to write the scores of --pairs.")
    ] = None,
    draw: DrawOption = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Also print the time of each step.")
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Compare two photos: same person or not, the probability, and the faces used.

    The threshold decides.  The probability depends on --prior, your estimate of the share of genuine pairs.
    A verdict is uncertain where other calibration people, or better photos of the same people, could change
    it.  A poor face adds a warning.

    With --face any all faces of both photos are compared.  The best pair is reported, and its false match
    rate is that of the best of so many pairs.

    With --pairs the pairs of a list are scored and written to --out, with a reason where a pair has no score.

    Exit code: 0 the same person, 1 different people, 2 an error, 3 no face found, 4 several faces
    where --face only allows one.  With --pairs: 0 all were scored, else that of the first that was not.
    """
    from ..verification.compare import CompareOptions
    from ..verification.compare import compare as run

    if pairs is not None or out is not None or root is not None:
        if pairs is None or out is None:
            raise UsageError("scores of a list need both: --pairs CSV, and --out CSV to write them to")
        if a is not None:
            raise UsageError("give two photos or --pairs, not both")
        if draw is not None:
            raise UsageError(
                "--draw makes a picture of two photos, not of a list; leave out --pairs or --draw"
            )
        options = CompareOptions(threshold, face.policy, aligned, prior, fmr)
        return _list(pairs, root, out, model, device, as_json, options)
    if a is None or b is None:
        raise UsageError("give two photos, or a list of them with --pairs; see facealike compare --help")
    if draw is not None:
        check_picture(draw, (a, b))
    result = run(a, b, model, threshold, face.policy, device=device, aligned=aligned, prior=prior, fmr=fmr)
    if draw is not None:
        _draw(result, a, b, face, model, aligned, draw)
    return report(result, a, b, face, verbose, as_json)


def _draw(
    result: Comparison, a: str, b: str, face: PairFaceChoice, model: Path | None, aligned: bool, out: Path
) -> None:
    """Draw a comparison of the photos ``a`` and ``b`` into the picture ``out``."""
    from ..embedding.cropper import FaceCropper
    from ..model_file.locate import read_model_file
    from ..plotting.drawing import save_picture
    from ..reports.face_picture import Side, comparison_picture

    cropper = FaceCropper.of_file(read_model_file(model), aligned)
    sides = []
    for place, name in enumerate((a, b)):
        photo = cropper.photo(name)
        crop = cropper.crop(photo, result.faces[place])
        sides.append(Side(photo, name, _face_used(result, result.found[place], place, face), crop))
    save_picture(comparison_picture(result, *sides), out)


def _list(
    pairs: Path, root: Path | None, out: Path, model: Path | None, device: str, as_json: bool,
    options: CompareOptions,
) -> int:  # fmt: skip
    """Score the pairs of a list into a CSV, row by row."""
    import csv

    from ..embedding.face_model import Model
    from ..utils.atomic_write import written_whole
    from ..verification.compare_list import COLUMNS, compare_list

    check_folder(out)
    if out.exists() and pairs.exists() and out.samefile(pairs):
        raise UsageError(f"{out}: this is the list itself; give another file for the scores")
    loaded = Model.load(model, device)
    code = same = different = failed = 0
    several = False
    with written_whole(out) as stream, counter("comparing", "pairs") as done:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for pair in compare_list(pairs, loaded, root, options, done):
            writer.writerow(pair.cells())
            found = (None, None) if pair.comparison is None else pair.comparison.found
            several = several or any(count is not None and count > 1 for count in found)
            if pair.comparison is None:
                failed += 1
                code = code or (2 if pair.error is None else pair.error.exit_code)
            elif pair.comparison.same:
                same += 1
            else:
                different += 1
    if several and (differs := policy_difference(options.face, loaded.calibration.faces)):
        say(differs)
    counts = {"pairs": same + different + failed, "same": same, "different": different, "failed": failed}
    if as_json:
        print_json({"out": str(out), "model": loaded.id, "device": loaded.device, **counts})
    else:
        without = f"; {failed:,} could not be scored, the reasons are in the file" if failed else ""
        show(f"{out}: {counted(same, 'pair')} of the same person, {different:,} of different people{without}")
    return code


def report(
    result: Comparison, a: str, b: str, face: FaceChoice | PairFaceChoice, verbose: bool, as_json: bool
) -> int:
    """Print a comparison of the photos ``a`` and ``b``, and return the exit code."""
    if as_json:
        print_json(result.to_dict())
    else:
        for line in (*result.lines((a, b)), *result.warnings):
            show(line)
        for photo, place in ((a, 0), (b, 1)):
            show(f"{photo}: {_face_used(result, result.found[place], place, face)}")
        show(f"model {result.model} on {result.device}")
        if verbose:
            steps = ", ".join(f"{name} {ms:.1f}" for name, ms in result.milliseconds.items())
            show(f"milliseconds: {steps}")
    return 0 if result.same else 1


def _face_used(result: Comparison, found: int | None, place: int, policy: FaceChoice | PairFaceChoice) -> str:
    face = result.faces[place]
    if face is None or found is None:
        return "taken as a face crop, no face looked for"
    used = f"{face}, {result.quality[place]}"
    if found == 1:
        return used
    if result.face_numbers is not None:
        return f"{used}; face {result.face_numbers[place]} of {found}"
    return f"{used}; the {policy.value} of {found} faces"
