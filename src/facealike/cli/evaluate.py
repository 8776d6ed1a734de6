"""``facealike evaluate``: how well a model does on people it has never seen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ..errors import DataError, UsageError
from .console import Progress, command, one_line, print_json, print_table, progress_bar, say
from .options import CacheOption, FaceChoice, FaceOption, JsonOption, SplitChoice

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..embed import Model
    from ..evaluate import Evaluation


@command
def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            show_default=False,
            help="A .facealike file, or 'default' for the one that ships with facealike.",
        ),
    ],
    people: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", show_default=False, help="One sub-folder of photos a person."),
    ] = None,
    split: Annotated[
        SplitChoice, typer.Option("--split", help="Whose pairs, with DIR: people by a hash of their name.")
    ] = SplitChoice.test,
    pairs: Annotated[
        Path | None,
        typer.Option("--pairs", metavar="FILE", help="Pairs to score instead: LFW's pairs.txt, or a CSV."),
    ] = None,
    root: Annotated[
        Path | None, typer.Option("--root", metavar="DIR", help="Where the photos of --pairs are.")
    ] = None,
    face: FaceOption = FaceChoice.central,
    threshold: Annotated[
        float | None, typer.Option("--threshold", "-t", metavar="X", help="Replaces the model's own.")
    ] = None,
    allow_overlap: Annotated[
        bool, typer.Option("--allow-overlap", help="Accept people of the training, and mark the result.")
    ] = False,
    cache: CacheOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", help="Write table.md, table.json and roc.png here."),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Score labelled pairs of photos and hold the scores against the model's threshold.

    Give a folder of people, whose pairs are then drawn, or a list of pairs.  People who took part in
    training are refused.  Exit code: 0, or 2 on an error.
    """
    from ..embed import Model

    if (people is None) == (pairs is None):
        raise UsageError("give a folder of people, or --pairs FILE with --root DIR, and not both")
    if root is not None and pairs is None:
        raise UsageError("--root says where the photos of --pairs are; give --pairs too, or leave it out")
    if threshold is not None and not -1 <= threshold <= 1:
        raise UsageError(f"the threshold is a cosine between -1 and 1, not {threshold}")
    loaded = Model.load(None if model == "default" else model)
    with progress_bar("embedding") as progress:
        if pairs is not None:
            result = _pairs(loaded, pairs, root, face, allow_overlap, cache, progress, threshold)
        else:
            assert people is not None
            result = _split(loaded, people, split, face, allow_overlap, cache, progress, threshold)
    if out is not None:
        _write(result, out)
    if as_json:
        print_json({"model": loaded.id, "evaluations": [result.to_dict()]})
    else:
        _print(result)
    return 0


def _pairs(
    model: Model, file: Path, root: Path | None, face: FaceChoice, allow_overlap: bool,
    cache: Path | None, progress: Progress, threshold: float | None,
) -> Evaluation:  # fmt: skip
    from ..data import read_pairs
    from ..evaluate import evaluate_pairs

    listed = read_pairs(file, root)
    return evaluate_pairs(
        model, listed, file.stem, face.policy, allow_overlap, cache, progress, threshold=threshold
    )


def _split(
    model: Model, people: Path, split: SplitChoice, face: FaceChoice, allow_overlap: bool,
    cache: Path | None, progress: Progress, threshold: float | None,
) -> Evaluation:  # fmt: skip
    from ..evaluate import evaluate_split

    return evaluate_split(
        model, people, split.value, face=face.policy, allow_overlap=allow_overlap, cache=cache,
        progress=progress, threshold=threshold,
    )  # fmt: skip


def _print(result: Evaluation) -> None:
    columns = ["pairs of", "F1", "accuracy", "ROC AUC", "FMR", "FNMR", "pairs"]
    row = [
        one_line(result.name), f"{result.f1:.4f}", f"{result.accuracy:.4f}", f"{result.auc:.4f}",
        f"{result.fmr:.2%}", f"{result.fnmr:.2%}", f"{result.pairs:,}",
    ]  # fmt: skip
    print_table(columns, [row])
    print(one_line(str(result)))


def _write(result: Evaluation, folder: Path) -> None:
    import json

    from ..errors import MissingExtra
    from ..files import write_text
    from ..report import save_figure, table_dict, table_markdown

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: this folder cannot be made ({error.strerror}); choose another") from None
    write_text(folder / "table.md", table_markdown([result]))
    write_text(folder / "table.json", json.dumps(table_dict([result]), indent=2) + "\n")
    try:
        figure = cast("Figure", result.plot().figure)
    except MissingExtra as error:
        say(f"no roc.png: {error}")
        return
    save_figure(figure, folder / "roc.png")
