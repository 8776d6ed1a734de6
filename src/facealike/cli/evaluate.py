"""``facealike evaluate``: measure a model on people it has not seen in training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from ..detection.face_policy import DEFAULT_FACE, LFW_FACE
from ..errors import DataError, UsageError
from .console import command, print_json, progress_bar, say
from .evaluation_runs import PASSES, Asked, EvaluationSplit, Protocol, Run, run_of
from .evaluation_tables import show_difference
from .options import (
    PEOPLE_FOLDER,
    CacheOption,
    DetectorOption,
    DuplicatesOption,
    FaceChoice,
    JsonOption,
    StrictOption,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..embedding.face_model import Model
    from ..evaluation.evaluator import EvaluationResult
    from ..evaluation.model_difference import ModelDifference
    from ..evaluation.verification_result import Evaluation


@command
def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            show_default=False,
            help="A .facealike file, or 'default' for the default model.",
        ),
    ],
    people: Annotated[
        Path | None,
        typer.Argument(
            metavar="DIR",
            show_default=False,
            help=PEOPLE_FOLDER,
        ),
    ] = None,
    protocol: Annotated[
        Protocol,
        typer.Option(
            "--protocol",
            help="split: balanced pairs; lfw: View 2, ten folds of --pairs; exhaustive: every pair; "
            "identification: search in a gallery; clustering: group photos by person; "
            "groups: false matches within each group of --groups; "
            "discard: FNMR as the photos of lowest quality are left out; "
            "full: all figures of a test report, and with --out an HTML page of them; "
            "templates: pairs of templates of several photos, DIR is that of IJB-B or IJB-C.",
        ),
    ] = Protocol.balanced,
    split: Annotated[
        EvaluationSplit,
        typer.Option("--split", help="Whose photos, with DIR: people by a hash of their name, or all."),
    ] = EvaluationSplit.test,
    pairs: Annotated[
        Path | None,
        typer.Option(
            "--pairs",
            metavar="FILE",
            help="Pairs to score instead: LFW's, CALFW's or CPLFW's list, a CSV, "
            "the folder of CFP, or a .bin file of InsightFace.",
        ),
    ] = None,
    root: Annotated[
        Path | None, typer.Option("--root", metavar="DIR", help="Where the photos of --pairs are.")
    ] = None,
    groups: Annotated[
        Path | None,
        typer.Option(
            "--groups", metavar="CSV", help="Photos with the groups of each, as FairFace lists them."
        ),
    ] = None,
    detector: DetectorOption = None,
    face: Annotated[
        FaceChoice | None,
        typer.Option(
            "--face",
            help="Which face of a photo is meant, if it shows several.",
            show_default=f"{DEFAULT_FACE}; {LFW_FACE} with --protocol lfw, which needs it",
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            "--against", metavar="MODEL", help="Also evaluate this model, and state what the two differ by."
        ),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option("--threshold", "-t", metavar="X", help="Replaces the model's own.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another seed draws other pairs.")] = 0,
    allow_overlap: Annotated[
        bool, typer.Option("--allow-overlap", help="Accept people of the training, and mark the result.")
    ] = False,
    allow_duplicates: DuplicatesOption = False,
    strict: StrictOption = False,
    cache: CacheOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", help="Write the result and its curve here."),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Score pairs of photos, or searches, of people the model has not seen in training.

    Give a folder of people, from which pairs are drawn, or a list of pairs, or a list of photos with
    demographic groups.  People who took part in training are refused.  Photos that cannot be read are left
    out and reported.

    Exit code: 0, or 2 on an error.
    """
    from ..embedding.face_model import Model
    from ..utils.atomic_write import check_writable_folder

    _check(model, protocol, people, pairs, root, threshold)
    _check_groups(protocol, groups, detector)
    _check_duplicates(protocol, pairs, allow_duplicates)
    if against is not None and protocol is not Protocol.balanced:
        raise UsageError(f"--against compares scores of pairs, not --protocol {protocol.value}; leave it out")
    if out is not None:
        check_writable_folder(out)
    loaded = Model.load(None if model == "default" else model)
    passes = PASSES.get(protocol, ("looking for copies", "embedding"))
    with progress_bar(*passes * (1 if against is None else 2)) as progress:
        asked = Asked(
            people, pairs, root, groups, detector, split, face, threshold, seed, allow_overlap,
            allow_duplicates, strict, cache, progress,
        )  # fmt: skip
        run = run_of(protocol, asked)
        result = run.evaluator(loaded)
        difference = None if against is None else _difference(run, loaded, result, against)
    table = run.table(result)
    if difference is not None:
        table["difference"] = difference.to_dict()
    if out is not None:
        _write(out, run, result, table, difference)
    if as_json:
        print_json({"model": loaded.id, **table})
    else:
        run.show(result)
        if difference is not None:
            show_difference(difference)
    return 0


def _check(
    model: str,
    protocol: Protocol,
    people: Path | None,
    pairs: Path | None,
    root: Path | None,
    threshold: float | None,
) -> None:
    """Refuse arguments that do not fit together."""
    if threshold is not None and not -1 <= threshold <= 1:
        raise UsageError(f"the threshold is a cosine between -1 and 1, not {threshold}")
    if protocol is Protocol.lfw:
        if pairs is None or (people is None) == (root is None):
            raise UsageError("--protocol lfw needs the folder of LFW's people and --pairs FILE")
        if threshold is not None:
            raise UsageError("--protocol lfw chooses a threshold for each fold; leave out --threshold")
        return
    if protocol is Protocol.groups:
        if pairs is not None or root is not None:
            raise UsageError(
                "--protocol groups compares all photos of --groups; leave out --pairs and --root"
            )
        return
    if root is not None and pairs is None:
        raise UsageError("--root says where the photos of --pairs are; give --pairs too, or leave it out")
    if protocol is not Protocol.balanced and (pairs is not None or people is None):
        raise UsageError(f"--protocol {protocol.value} needs a folder of people, and no --pairs")
    if protocol is Protocol.identification and threshold is not None:
        raise UsageError("--protocol identification reports at false positive rates; leave out --threshold")
    if people is None and pairs is None and Path(model).is_dir():
        raise UsageError(f"{model}: a folder comes after the model; facealike evaluate default {model}")
    if (people is None) == (pairs is None):
        raise UsageError("give a folder of people, or --pairs FILE with --root DIR, and not both")


def _check_groups(protocol: Protocol, groups: Path | None, detector: str | None) -> None:
    if protocol is Protocol.groups:
        if groups is None:
            raise UsageError("--protocol groups needs --groups CSV, a list of photos with the groups of each")
    elif detector is not None or (groups is not None and protocol is not Protocol.full):
        raise UsageError("--groups and --detector belong to --protocol groups; leave them out")


def _check_duplicates(protocol: Protocol, pairs: Path | None, allow_duplicates: bool) -> None:
    if allow_duplicates and (pairs is not None or protocol in (Protocol.groups, Protocol.templates)):
        raise UsageError("--allow-duplicates belongs to a folder of people; a list keeps all its photos")


def _difference(run: Run, model: Model, result: Evaluation, against: str) -> ModelDifference:
    from ..embedding.face_model import Model
    from ..evaluation.model_difference import model_difference

    other = Model.load(None if against == "default" else against)
    return model_difference(result, run.evaluator(other), model.id, other.id)


def _write(
    folder: Path, run: Run, result: EvaluationResult, table: dict[str, Any],
    difference: ModelDifference | None,
) -> None:  # fmt: skip
    """Write the table as Markdown and JSON and, with matplotlib, the picture."""
    from ..errors import MissingExtra
    from ..plotting.style import save_figure
    from ..utils.atomic_write import write_text

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: this folder cannot be made ({error.strerror}); choose another") from None
    write_text(folder / f"{run.name}.md", result.to_markdown())
    write_text(folder / f"{run.name}.json", json.dumps(table, indent=2) + "\n")
    if run.page is not None:
        write_text(folder / f"{run.name}.html", run.page(result))
    if difference is not None:
        write_text(folder / "difference.md", difference.to_markdown())
    try:
        figure = cast("Figure", result.plot().figure)
    except MissingExtra as error:
        say(f"no {run.picture}: {error}")
        return
    save_figure(figure, folder / run.picture)
