"""``facealike explain``: which regions of two faces carry the score of their comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .compare import DEFAULT_PAIR_FACE, PairFaceChoice
from .console import command, print_json, show
from .options import AlignedOption, DeviceOption, JsonOption, ModelOption, ThresholdOption, check_picture


@command
def explain(
    a: Annotated[str, typer.Argument(metavar="A", show_default=False, help="A photo.")],
    b: Annotated[str, typer.Argument(metavar="B", show_default=False, help="Another photo.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--draw",
            "--out",
            "-o",
            metavar="FILE.png",
            help="Draw both faces with their maps, .png or .jpg.",
        ),
    ] = None,
    model: ModelOption = None,
    threshold: ThresholdOption = None,
    device: DeviceOption = "auto",
    face: Annotated[
        PairFaceChoice,
        typer.Option("--face", help="Which face of a photo is meant; any explains the best pair of all."),
    ] = DEFAULT_PAIR_FACE,
    aligned: AlignedOption = False,
    as_json: JsonOption = False,
) -> int:
    """Explain a comparison: which regions of each face carry the score.

    Places of one face are covered, one at a time, while the other face stays as it is; then the reverse.
    The map and the table show by how much the score changes.  They describe what the model used in these two
    photos, and are no evidence of their own.

    Exit code: 0, whatever the verdict, 2 an error, 3 no face found, 4 several faces where --face only allows
    one.
    """
    from ..verification.explain import explain as run

    if out is not None:
        check_picture(out, (a, b))
    result = run(a, b, model, threshold, face.policy, device=device, aligned=aligned)
    if out is not None:
        result.save_picture(out, (a, b))
    if as_json:
        print_json(result.to_dict())
        return 0
    for line in (*result.lines((a, b)), *result.comparison.warnings):
        show(line)
    for region in result.regions:
        show(
            f"  {region.name}: {-region.first:+.3f} covered in the first, {-region.second:+.3f} in the second"
        )
    if out is not None:
        show(str(out))
    return 0
