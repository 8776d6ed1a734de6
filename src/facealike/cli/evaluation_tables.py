"""Print the results of ``facealike evaluate``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .console import print_table, show

if TYPE_CHECKING:
    from ..evaluation.full_result import FullEvaluation
    from ..evaluation.lfw_view2 import View2
    from ..evaluation.model_difference import ModelDifference
    from ..evaluation.verification_result import Evaluation
    from ..metrics.demographics import GroupEvaluation


def show_pairs(result: Evaluation) -> None:
    from ..utils.wording import rate_text

    columns = ["pairs of", "F1", "accuracy", "ROC AUC", "FMR", "FNMR", "pairs"]
    row = [
        result.name, f"{result.f1:.4f}", f"{result.accuracy:.4f}", f"{result.auc:.4f}",
        rate_text(result.fmr), rate_text(result.fnmr), f"{result.pairs:,}",
    ]  # fmt: skip
    print_table(columns, [row])
    show(str(result))


def show_difference(result: ModelDifference) -> None:
    print_table(["figure", result.model, result.against, "difference", "95 % interval"], result.rows())
    show(str(result))


def show_folds(result: View2) -> None:
    rows = [
        [str(fold.fold), f"{fold.accuracy:.4f}", f"{fold.threshold:.4f}", f"{fold.pairs:,}"]
        for fold in result.folds
    ]
    print_table(["fold", "accuracy", "threshold", "pairs"], rows)
    show(str(result))


def show_groups(result: GroupEvaluation) -> None:
    for level in result.levels:
        if len(level) < 3:  # more columns are more groups than a screen has lines
            print_table(*_group_rows(result, level))
            show()
    show(str(result))


def show_sentences(result: FullEvaluation) -> None:
    show(str(result.conditions))
    for sentence in result.sentences():
        show(sentence)


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
