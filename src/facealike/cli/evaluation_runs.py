"""The protocols of ``facealike evaluate``: the evaluator of each, and how its result is printed."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from .console import show
from .evaluation_tables import show_folds, show_groups, show_pairs, show_sentences
from .options import FaceChoice

if TYPE_CHECKING:
    from ..evaluation.evaluator import EvaluationOptions, Evaluator
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
    full = "full"
    templates = "templates"


class EvaluationSplit(str, Enum):
    """``datasets.splits.Split``, which would import NumPy for ``--help``, and all people."""

    train = "train"
    validation = "validation"
    calibration = "calibration"
    test = "test"
    all = "all"


class Asked(NamedTuple):
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


class Run(NamedTuple):
    """An evaluator, how its files are named, and how its result is printed and, as a page, shown."""

    evaluator: Evaluator[Any]
    name: str
    picture: str = "roc.png"
    show: Callable[[Any], None] = lambda result: show(str(result))
    table: Callable[[Any], dict[str, Any]] = lambda result: cast("dict[str, Any]", result.to_dict())
    page: Callable[[Any], str] | None = None


def run_of(protocol: Protocol, asked: Asked) -> Run:
    """Return the run of a protocol."""
    listed = protocol is Protocol.balanced and asked.pairs is not None
    return _listed(asked) if listed else RUNS[protocol](asked)


def _drawn(asked: Asked) -> Run:
    from ..evaluation.verification import SplitEvaluator
    from ..evaluation.verification_table import table_dict

    options = asked.options("seed", "threshold", "allow_overlap", "allow_duplicates")
    evaluator = SplitEvaluator(asked.folder, asked.split.value, options=options)
    return Run(evaluator, "table", show=show_pairs, table=lambda result: table_dict([result]))


def _listed(asked: Asked) -> Run:
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
    return Run(evaluator, "table", show=show_pairs, table=lambda result: table_dict([result]))


def _view2(asked: Asked) -> Run:
    from ..evaluation.lfw_view2 import View2Evaluator

    assert asked.pairs is not None
    evaluator = View2Evaluator(asked.folder, asked.pairs, asked.options("allow_overlap"))
    return Run(evaluator, "view2", show=show_folds)


def _exhaustive(asked: Asked) -> Run:
    from ..evaluation.all_pairs import AllPairsEvaluator

    options = asked.options("threshold", "allow_overlap", "allow_duplicates")
    return Run(AllPairsEvaluator(asked.folder, asked.split.value, options), "exhaustive")


def _identification(asked: Asked) -> Run:
    from ..evaluation.identification import IdentificationEvaluator

    options = asked.options("seed", "allow_overlap", "allow_duplicates")
    evaluator = IdentificationEvaluator(asked.folder, asked.split.value, options)
    return Run(evaluator, "identification", "identification.png")


def _clustering(asked: Asked) -> Run:
    from ..clustering.evaluation import ClusteringEvaluator

    options = asked.options("threshold", "seed", "allow_overlap", "allow_duplicates")
    evaluator = ClusteringEvaluator(asked.folder, asked.split.value, options)
    return Run(evaluator, "clustering", "clustering.png")


def _discard(asked: Asked) -> Run:
    from ..evaluation.discard import DiscardEvaluator

    options = asked.options("threshold", "seed", "allow_overlap", "allow_duplicates")
    return Run(DiscardEvaluator(asked.folder, asked.split.value, options), "discard", "discard.png")


def _groups(asked: Asked) -> Run:
    from ..detection.registry import named_detector
    from ..evaluation.demographics import GroupEvaluator

    assert asked.groups is not None
    evaluator = GroupEvaluator(
        asked.groups,
        asked.people,
        detector=None if asked.detector is None else named_detector(asked.detector),
        options=asked.options("threshold", "seed"),
    )
    return Run(evaluator, "groups", "groups.png", show_groups)


def _full(asked: Asked) -> Run:
    from ..evaluation.full import FullEvaluator
    from ..reports.evaluation_page import evaluation_page

    options = asked.options("threshold", "seed", "allow_overlap", "allow_duplicates")
    evaluator = FullEvaluator(asked.folder, asked.split.value, asked.groups, options)
    return Run(evaluator, "report", "det.png", show=show_sentences, page=evaluation_page)


def _templates(asked: Asked) -> Run:
    from ..evaluation.template_pairs import TemplateEvaluator

    return Run(TemplateEvaluator(asked.folder, asked.options("threshold", "allow_overlap")), "templates")


RUNS: dict[Protocol, Callable[[Asked], Run]] = {
    Protocol.balanced: _drawn,
    Protocol.lfw: _view2,
    Protocol.exhaustive: _exhaustive,
    Protocol.identification: _identification,
    Protocol.clustering: _clustering,
    Protocol.groups: _groups,
    Protocol.discard: _discard,
    Protocol.full: _full,
    Protocol.templates: _templates,
}
PASSES = {Protocol.groups: ("embedding",)}
"""What the progress bar counts, where it is not a search for copies and then embedding."""
