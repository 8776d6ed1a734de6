"""``facealike evaluate``: measure a model on people it has not seen in training."""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, cast

import typer

from ..detection.face_policy import DEFAULT_FACE, LFW_FACE
from ..errors import DataError, UsageError
from .console import command, print_json, progress_bar, say, show
from .evaluation_tables import show_difference, show_folds, show_groups, show_pairs
from .options import CacheOption, DetectorOption, DuplicatesOption, FaceChoice, JsonOption, StrictOption

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..embedding.face_model import Model
    from ..evaluation.evaluator import EvaluationOptions, EvaluationResult, Evaluator
    from ..evaluation.model_difference import ModelDifference
    from ..evaluation.verification_result import Evaluation
    from ..types import Progress


class Protocol(str, Enum):
    """How photos become comparisons; see ``facealike.evaluation``."""

    balanced = "split"
    lfw = "lfw"
    exhaustive = "exhaustive"
    identification = "identification"
    clustering = "clustering"
    groups = "groups"
    discard = "discard"


class EvaluationSplit(str, Enum):
    """``datasets.splits.Split``, which would import NumPy for ``--help``, and all people."""

    train = "train"
    validation = "validation"
    calibration = "calibration"
    test = "test"
    all = "all"


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
        typer.Argument(metavar="DIR", show_default=False, help="One sub-folder of photos a person."),
    ] = None,
    protocol: Annotated[
        Protocol,
        typer.Option(
            "--protocol",
            help="split: balanced pairs; lfw: View 2, ten folds of --pairs; exhaustive: every pair; "
            "identification: search in a gallery; clustering: group photos by person; "
            "groups: false matches within each group of --groups; "
            "discard: FNMR as the photos of lowest quality are left out.",
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

    _check(protocol, people, pairs, root, threshold)
    _check_groups(protocol, groups, detector)
    _check_duplicates(protocol, pairs, allow_duplicates)
    if against is not None and protocol is not Protocol.balanced:
        raise UsageError(f"--against compares scores of pairs, not --protocol {protocol.value}; leave it out")
    if out is not None:
        check_writable_folder(out)
    loaded = Model.load(None if model == "default" else model)
    passes = PASSES.get(protocol, ("looking for copies", "embedding"))
    with progress_bar(*passes * (1 if against is None else 2)) as progress:
        asked = _Asked(
            people, pairs, root, groups, detector, split, face, threshold, seed, allow_overlap,
            allow_duplicates, strict, cache, progress,
        )  # fmt: skip
        run = _listed(asked) if protocol is Protocol.balanced and pairs else RUNS[protocol](asked)
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
    protocol: Protocol, people: Path | None, pairs: Path | None, root: Path | None, threshold: float | None
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
    if (people is None) == (pairs is None):
        raise UsageError("give a folder of people, or --pairs FILE with --root DIR, and not both")


def _check_groups(protocol: Protocol, groups: Path | None, detector: str | None) -> None:
    if protocol is Protocol.groups:
        if groups is None:
            raise UsageError("--protocol groups needs --groups CSV, a list of photos with the groups of each")
    elif groups is not None or detector is not None:
        raise UsageError("--groups and --detector belong to --protocol groups; leave them out")


def _check_duplicates(protocol: Protocol, pairs: Path | None, allow_duplicates: bool) -> None:
    if allow_duplicates and (pairs is not None or protocol is Protocol.groups):
        raise UsageError("--allow-duplicates belongs to a folder of people; a list keeps all its photos")


class _Asked(NamedTuple):
    """The arguments of the command."""

    people: Path | None
    pairs: Path | None
    root: Path | None
    groups: Path | None
    detector: str | None
    split: EvaluationSplit
    face: FaceChoice | None
    threshold: float | None
    seed: int
    allow_overlap: bool
    allow_duplicates: bool
    strict: bool
    cache: Path | None
    progress: Progress

    @property
    def folder(self) -> Path:
        return self.people or self.root or Path()

    def options(self, *used: str) -> EvaluationOptions:
        """The options that every evaluator uses, and those named."""
        from ..evaluation.evaluator import EvaluationOptions

        return EvaluationOptions(
            face=None if self.face is None else self.face.policy,
            cache=self.cache,
            progress=self.progress,
            strict=self.strict,
            **{name: getattr(self, name) for name in used},
        )


class _Run(NamedTuple):
    """An evaluator, how its files are named, and how its result is printed."""

    evaluator: Evaluator[Any]
    name: str
    picture: str = "roc.png"
    show: Callable[[Any], None] = lambda result: show(str(result))
    table: Callable[[Any], dict[str, Any]] = lambda result: cast("dict[str, Any]", result.to_dict())


def _drawn(asked: _Asked) -> _Run:
    from ..evaluation.verification import SplitEvaluator
    from ..evaluation.verification_table import table_dict

    options = asked.options("seed", "threshold", "allow_overlap", "allow_duplicates")
    evaluator = SplitEvaluator(asked.folder, asked.split.value, options=options)
    return _Run(evaluator, "table", show=show_pairs, table=lambda result: table_dict([result]))


def _listed(asked: _Asked) -> _Run:
    from ..datasets.insightface_bin import is_insightface_bin
    from ..datasets.pair_lists import read_pairs
    from ..evaluation.insightface_bin import BinEvaluator
    from ..evaluation.verification import PairEvaluator
    from ..evaluation.verification_table import table_dict

    assert asked.pairs is not None
    options = asked.options("threshold", "allow_overlap")
    evaluator: Evaluator[Evaluation]
    if is_insightface_bin(asked.pairs):
        evaluator = BinEvaluator(asked.pairs, options)
    else:
        evaluator = PairEvaluator(read_pairs(asked.pairs, asked.root), asked.pairs.stem, options)
    return _Run(evaluator, "table", show=show_pairs, table=lambda result: table_dict([result]))


def _view2(asked: _Asked) -> _Run:
    from ..evaluation.lfw_view2 import View2Evaluator

    assert asked.pairs is not None
    evaluator = View2Evaluator(asked.folder, asked.pairs, asked.options("allow_overlap"))
    return _Run(evaluator, "view2", show=show_folds)


def _exhaustive(asked: _Asked) -> _Run:
    from ..evaluation.all_pairs import AllPairsEvaluator

    options = asked.options("threshold", "allow_overlap", "allow_duplicates")
    return _Run(AllPairsEvaluator(asked.folder, asked.split.value, options), "exhaustive")


def _identification(asked: _Asked) -> _Run:
    from ..evaluation.identification import IdentificationEvaluator

    options = asked.options("seed", "allow_overlap", "allow_duplicates")
    evaluator = IdentificationEvaluator(asked.folder, asked.split.value, options)
    return _Run(evaluator, "identification", "identification.png")


def _clustering(asked: _Asked) -> _Run:
    from ..clustering.evaluation import ClusteringEvaluator

    options = asked.options("threshold", "seed", "allow_overlap", "allow_duplicates")
    evaluator = ClusteringEvaluator(asked.folder, asked.split.value, options)
    return _Run(evaluator, "clustering", "clustering.png")


def _discard(asked: _Asked) -> _Run:
    from ..evaluation.discard import DiscardEvaluator

    options = asked.options("threshold", "seed", "allow_overlap", "allow_duplicates")
    return _Run(DiscardEvaluator(asked.folder, asked.split.value, options), "discard", "discard.png")


def _groups(asked: _Asked) -> _Run:
    from ..detection.registry import named_detector
    from ..evaluation.demographics import GroupEvaluator

    assert asked.groups is not None
    evaluator = GroupEvaluator(
        asked.groups,
        asked.people,
        detector=None if asked.detector is None else named_detector(asked.detector),
        options=asked.options("threshold", "seed"),
    )
    return _Run(evaluator, "groups", "groups.png", show_groups)


RUNS: dict[Protocol, Callable[[_Asked], _Run]] = {
    Protocol.balanced: _drawn,
    Protocol.lfw: _view2,
    Protocol.exhaustive: _exhaustive,
    Protocol.identification: _identification,
    Protocol.clustering: _clustering,
    Protocol.groups: _groups,
    Protocol.discard: _discard,
}
PASSES = {Protocol.groups: ("embedding",)}
"""What the progress bar counts, where it is not a search for copies and then embedding."""


def _difference(run: _Run, model: Model, result: Evaluation, against: str) -> ModelDifference:
    from ..embedding.face_model import Model
    from ..evaluation.model_difference import model_difference

    other = Model.load(None if against == "default" else against)
    return model_difference(result, run.evaluator(other), model.id, other.id)


def _write(
    folder: Path, run: _Run, result: EvaluationResult, table: dict[str, Any],
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
    if difference is not None:
        write_text(folder / "difference.md", difference.to_markdown())
    try:
        figure = cast("Figure", result.plot().figure)
    except MissingExtra as error:
        say(f"no {run.picture}: {error}")
        return
    save_figure(figure, folder / run.picture)
