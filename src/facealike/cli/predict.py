"""``facealike predict``: ``compare`` with the arguments of the old script."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .compare import report
from .console import command, say
from .options import DEFAULT_FACE_CHOICE, JsonOption


@command
def predict(
    img1: Annotated[str, typer.Option("-img1", metavar="A", show_default=False, help="A photo.")],
    img2: Annotated[str, typer.Option("-img2", metavar="B", show_default=False, help="Another photo.")],
    weights: Annotated[
        Path | None,
        typer.Option("-w", metavar="FILE", help="A .facealike model; the old script's .pt is refused."),
    ] = None,
    gpu: Annotated[
        int | None, typer.Option("-g", metavar="N", help="Number of the GPU, -1 for the CPU.")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option("-t", metavar="X", help="Ignored: it is a distance of the old network."),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Compare two photos with the arguments of the old script; use facealike compare in new scripts.

    Old thresholds are distances of another network, so the threshold of the model is used.

    Exit code: 0 the same person, 1 different people, 2 an error, 3 no face found.
    """
    from ..verification.compare import compare

    if threshold is not None:
        say(
            f"-t {threshold:g} is a distance of the old network and does not apply to this model, whose own "
            "threshold is used; facealike compare --fmr or --threshold chooses another"
        )
    device = "auto" if gpu is None else "cpu" if gpu < 0 else f"cuda:{gpu}"
    return report(
        compare(img1, img2, weights, device=device), img1, img2, DEFAULT_FACE_CHOICE, False, as_json
    )
