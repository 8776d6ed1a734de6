"""``facealike evaluate``: how well a model does on people it has never seen."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from ..detection.face_policy import DEFAULT_FACE, LFW_FACE
from ..errors import DataError, UsageError
from .console import command, print_json, print_table, progress_bar, say, show
from .options import CacheOption, DetectorOption, FaceChoice, JsonOption, StrictOption

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..embedding.face_model import Model
    from ..evaluation.verification_result import Evaluation
    from ..metrics.demographics import GroupEvaluation


class Protocol(str, Enum):
    """How photos become comparisons; see ``protocols.py`` and ``set_protocols.py``."""

    balanced = "split"
    lfw = "lfw"
    exhaustive = "exhaustive"
    identification = "identification"
    groups = "groups"


class Whose(str, Enum):
    """``data.Split`` once more, and everybody."""

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
            help="A .facealike file, or 'default' for the one that ships with facealike.",
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
            "identification: search in a gallery; groups: false matches within each group of --groups.",
        ),
    ] = Protocol.balanced,
    split: Annotated[
        Whose, typer.Option("--split", help="Whose photos, with DIR: people by a hash of their name.")
    ] = Whose.test,
    pairs: Annotated[
        Path | None,
        typer.Option("--pairs", metavar="FILE", help="Pairs to score instead: LFW's pairs.txt, or a CSV."),
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
    threshold: Annotated[
        float | None, typer.Option("--threshold", "-t", metavar="X", help="Replaces the model's own.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another seed draws other pairs.")] = 0,
    allow_overlap: Annotated[
        bool, typer.Option("--allow-overlap", help="Accept people of the training, and mark the result.")
    ] = False,
    strict: StrictOption = False,
    cache: CacheOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", help="Write the result and its curve here."),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Score pairs of photos, or searches, of people the model has never seen.

    Give a folder of people, whose pairs are then drawn, or a list of pairs, or of photos with their
    groups.  People who took part in training are refused.  Photos that cannot be read are left out and told.

    Exit code: 0, or 2 on an error.
    """
    from ..embedding.face_model import Model
    from ..utils.atomic_write import check_writable_folder

    where = _check(protocol, people, pairs, root, threshold)
    _check_groups(protocol, groups, detector)
    chosen = face or FaceChoice(LFW_FACE if protocol is Protocol.lfw else DEFAULT_FACE)
    if out is not None:
        check_writable_folder(out)
    loaded = Model.load(None if model == "default" else model)
    passes = ("embedding",) if protocol is Protocol.groups else ("looking for copies", "embedding")
    with progress_bar(*passes) as progress:
        how: dict[str, Any] = {"face": chosen.policy, "cache": cache, "progress": progress, "strict": strict}
        of_people = {**how, "allow_overlap": allow_overlap}
        if protocol is Protocol.balanced:
            if pairs is not None:
                shown = _plain(_listed(loaded, pairs, root, threshold=threshold, **of_people))
            else:
                shown = _plain(_drawn(loaded, where, split, seed=seed, threshold=threshold, **of_people))
        elif protocol is Protocol.lfw:
            assert pairs is not None
            shown = _view2(loaded, where, pairs, **of_people)
        elif protocol is Protocol.exhaustive:
            shown = _exhaustive(loaded, where, split, threshold=threshold, **of_people)
        elif protocol is Protocol.groups:
            assert groups is not None
            shown = _groups(loaded, groups, people, detector, threshold=threshold, seed=seed, **how)
        else:
            shown = _identification(loaded, where, split, seed=seed, **of_people)
    if out is not None:
        shown.write(out)
    if as_json:
        print_json({"model": loaded.id, **shown.table})
    else:
        shown.show()
    return 0


def _check(
    protocol: Protocol, people: Path | None, pairs: Path | None, root: Path | None, threshold: float | None
) -> Path:
    """Where the photos are, once all arguments fit together."""
    if threshold is not None and not -1 <= threshold <= 1:
        raise UsageError(f"the threshold is a cosine between -1 and 1, not {threshold}")
    if protocol is Protocol.lfw:
        if pairs is None or (people is None) == (root is None):
            raise UsageError("--protocol lfw needs the folder of LFW's people and --pairs FILE")
        if threshold is not None:
            raise UsageError("--protocol lfw chooses a threshold for each fold; leave out --threshold")
        return cast("Path", people or root)
    if protocol is Protocol.groups:
        if pairs is not None or root is not None:
            raise UsageError(
                "--protocol groups compares all photos of --groups; leave out --pairs and --root"
            )
        return people or Path()
    if root is not None and pairs is None:
        raise UsageError("--root says where the photos of --pairs are; give --pairs too, or leave it out")
    if protocol is not Protocol.balanced and (pairs is not None or people is None):
        raise UsageError(f"--protocol {protocol.value} needs a folder of people, and no --pairs")
    if protocol is Protocol.identification and threshold is not None:
        raise UsageError("--protocol identification reports at false positive rates; leave out --threshold")
    if (people is None) == (pairs is None):
        raise UsageError("give a folder of people, or --pairs FILE with --root DIR, and not both")
    return people or root or Path()


def _check_groups(protocol: Protocol, groups: Path | None, detector: str | None) -> None:
    if protocol is Protocol.groups:
        if groups is None:
            raise UsageError("--protocol groups needs --groups CSV, a list of photos with the groups of each")
    elif groups is not None or detector is not None:
        raise UsageError("--groups and --detector belong to --protocol groups; leave them out")


class _Shown:
    """A result in all the ways this command may tell of it."""

    def __init__(
        self, name: str, table: dict[str, Any], markdown: str, show: Callable[[], None],
        plot: Callable[[], Axes], picture: str = "roc.png",
    ) -> None:  # fmt: skip
        self.name, self.table, self.markdown, self.show = name, table, markdown, show
        self.plot, self.picture = plot, picture

    def write(self, folder: Path) -> None:
        """The table as Markdown and JSON and, with matplotlib, the picture."""
        import json

        from ..errors import MissingExtra
        from ..plotting.style import save_figure
        from ..utils.atomic_write import write_text

        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(
                f"{folder}: this folder cannot be made ({error.strerror}); choose another"
            ) from None
        write_text(folder / f"{self.name}.md", self.markdown)
        write_text(folder / f"{self.name}.json", json.dumps(self.table, indent=2) + "\n")
        try:
            figure = cast("Figure", self.plot().figure)
        except MissingExtra as error:
            say(f"no {self.picture}: {error}")
            return
        save_figure(figure, folder / self.picture)


def _listed(model: Model, pairs: Path, root: Path | None, **how: Any) -> Evaluation:
    from ..datasets.pair_lists import read_pairs
    from ..evaluation.verification import evaluate_pairs

    return evaluate_pairs(model, read_pairs(pairs, root), pairs.stem, **how)


def _drawn(model: Model, people: Path, split: Whose, **how: Any) -> Evaluation:
    from ..evaluation.verification import evaluate_split

    return evaluate_split(model, people, split.value, **how)


def _plain(result: Evaluation) -> _Shown:
    from ..reports.evaluation_table import table_dict, table_markdown
    from ..utils.wording import rate_text

    def tell() -> None:
        columns = ["pairs of", "F1", "accuracy", "ROC AUC", "FMR", "FNMR", "pairs"]
        row = [
            result.name, f"{result.f1:.4f}", f"{result.accuracy:.4f}", f"{result.auc:.4f}",
            rate_text(result.fmr), rate_text(result.fnmr), f"{result.pairs:,}",
        ]  # fmt: skip
        print_table(columns, [row])
        show(str(result))

    return _Shown("table", table_dict([result]), table_markdown([result]), tell, result.plot)


def _view2(model: Model, root: Path, pairs: Path, **how: Any) -> _Shown:
    from ..evaluation.lfw_view2 import evaluate_view2

    result = evaluate_view2(model, root, pairs, **how)

    def tell() -> None:
        rows = [
            [str(fold.fold), f"{fold.accuracy:.4f}", f"{fold.threshold:.4f}", f"{fold.pairs:,}"]
            for fold in result.folds
        ]
        print_table(["fold", "accuracy", "threshold", "pairs"], rows)
        show(str(result))

    return _Shown("view2", result.to_dict(), result.to_markdown(), tell, result.plot)


def _exhaustive(model: Model, root: Path, split: Whose, **how: Any) -> _Shown:
    from ..evaluation.all_pairs import evaluate_exhaustive

    result = evaluate_exhaustive(model, root, split.value, **how)
    return _Shown(
        "exhaustive", result.to_dict(), result.to_markdown(), lambda: show(str(result)), result.plot
    )


def _identification(model: Model, root: Path, split: Whose, **how: Any) -> _Shown:
    from ..evaluation.identification import evaluate_identification

    result = evaluate_identification(model, root, split.value, **how)
    return _Shown(
        "identification", result.to_dict(), result.to_markdown(), lambda: show(str(result)), result.plot,
        "identification.png",
    )  # fmt: skip


def _groups(model: Model, groups: Path, root: Path | None, detector: str | None, **how: Any) -> _Shown:
    from ..detection.registry import named_detector
    from ..evaluation.demographics import evaluate_groups

    finder = None if detector is None else named_detector(detector)
    result = evaluate_groups(model, groups, root, detector=finder, **how)

    def tell() -> None:
        for level in result.levels:
            if len(level) < 3:  # more columns are more groups than a screen has lines
                print_table(*_group_rows(result, level))
                show()
        show(str(result))

    return _Shown("groups", result.to_dict(), result.to_markdown(), tell, result.plot, "groups.png")


def _group_rows(result: GroupEvaluation, level: tuple[str, ...]) -> tuple[list[str], list[list[str]]]:
    from ..metrics.demographic_tables import group_rate, point_name
    from ..utils.wording import rate_text

    head = [", ".join(level), "photos", "no face", "pairs", point_name(result.points[0])]
    return head, [
        [
            group.name, f"{group.photos:,}", rate_text(group.missing / group.photos),
            f"{group.pairs:,}", group_rate(group.rates[0]),
        ]
        for group in result.at(level)
    ]  # fmt: skip
