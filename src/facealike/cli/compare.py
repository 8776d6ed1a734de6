"""``facealike compare``: are these two photos of the same person?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .console import command, print_json, show
from .options import AlignedOption, DeviceOption, FaceChoice, FaceOption, JsonOption, ModelOption

if TYPE_CHECKING:
    from ..types import Comparison


@command
def compare(
    a: Annotated[str, typer.Argument(metavar="A", show_default=False, help="A photo.")],
    b: Annotated[str, typer.Argument(metavar="B", show_default=False, help="Another photo.")],
    model: ModelOption = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold", "-t", metavar="X", help="Cosine from which on it counts as the same person."
        ),
    ] = None,
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
    face: FaceOption = FaceChoice.largest,
    aligned: AlignedOption = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Also tell how long each step took.")
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Tell whether two photos show the same person, how probable that is, and which faces were used.

    The threshold decides.  The probability holds for the prior; it is a guess of yours about the pairs
    you compare.  A verdict is uncertain where other people to calibrate on, or better photos of the
    same people, could have turned it; a line of its own warns of a poor face.

    Exit code: 0 the same person, 1 different people, 2 an error, 3 no face found, 4 several faces
    where --face only allows one.
    """
    from ..compare import compare as run

    result = run(a, b, model, threshold, face.policy, aligned, device, prior, fmr)
    return report(result, a, b, face, verbose, as_json)


def report(result: Comparison, a: str, b: str, face: FaceChoice, verbose: bool, as_json: bool) -> int:
    """Print a comparison of the photos ``a`` and ``b``; returns the exit code."""
    if as_json:
        print_json(result.to_dict())
    else:
        for line in (*result.lines(), *result.warnings):
            show(line)
        for photo, place in ((a, 0), (b, 1)):
            show(f"{photo}: {_face_used(result, result.found[place], place, face)}")
        show(f"model {result.model} on {result.device}")
        if verbose:
            steps = ", ".join(f"{name} {ms:.1f}" for name, ms in result.milliseconds.items())
            show(f"milliseconds: {steps}")
    return 0 if result.same else 1


def _face_used(result: Comparison, found: int | None, place: int, policy: FaceChoice) -> str:
    face = result.faces[place]
    if face is None or found is None:
        return "taken as a face crop, no face looked for"
    used = f"{face}, {result.quality[place]}"
    return used if found == 1 else f"{used}; the {policy.value} of {found} faces"
