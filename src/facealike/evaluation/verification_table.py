"""A table of evaluations, as Markdown and for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from ..imaging.photo_warning import unused_summary
from ..utils.escape import markdown
from ..utils.markdown_table import markdown_table
from ..utils.wording import copies_note

if TYPE_CHECKING:
    from .verification_result import Evaluation

FEW_PEOPLE = 10  # with a false non-match; docs/results/interval-coverage.md has the measured coverage

HEADER = (
    "Split", "F1", "Accuracy", "ROC AUC", "FMR", "FNMR", "Pairs", "People", "Threshold", "Chosen on",
)  # fmt: skip


def table_markdown(evaluations: Sequence[Evaluation]) -> str:
    """Return a Markdown table with one row an evaluation, followed by notes.

    Raises:
        UsageError: There is no evaluation.
    """
    _check(evaluations)
    rows = [_row(evaluation) for evaluation in evaluations]
    table = markdown_table(HEADER, rows, text_columns=(0, len(HEADER) - 1), pad=True)
    notes = [note for evaluation in evaluations for note in _notes(evaluation)]
    if any(evaluation.first is not None for evaluation in evaluations):
        notes.insert(0, "In brackets: 95 % intervals from resampling people, the threshold held fixed.")
    lines = ["", *(f"- {note}" for note in notes)] if notes else []
    return "\n".join([table, *lines]) + "\n"


def table_dict(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """Return the same for JSON: ``{"evaluations": [...]}`` with the summary of each, in their order.

    Raises:
        UsageError: There is no evaluation.
    """
    _check(evaluations)
    return {"evaluations": [evaluation.to_dict() for evaluation in evaluations]}


def _check(evaluations: Sequence[Evaluation]) -> None:
    if not evaluations:
        raise UsageError("a table needs at least one evaluation")


def _row(evaluation: Evaluation) -> tuple[str, ...]:
    return (
        markdown(evaluation.name),
        *(evaluation.text_of(rate) for rate in ("f1", "accuracy", "auc", "fmr", "fnmr")),
        f"{evaluation.pairs:,}",
        "?" if evaluation.people is None else f"{evaluation.people:,}",
        f"{evaluation.threshold:.3f}",
        markdown(evaluation.threshold_from),
    )


def _notes(evaluation: Evaluation) -> list[str]:
    name, notes = markdown(evaluation.name), []
    if evaluation.leaked:
        notes.append(f"{name}: people of these pairs took part in training; no estimate for others.")
    if evaluation.leaked is None:
        notes.append(f"{name}: it is not known whether people of these pairs took part in training.")
    if evaluation.fold_accuracy is not None:
        notes.append(f"{name}: {evaluation.fold_accuracy}.")
    if evaluation.ece is not None:
        notes.append(f"{name}: expected calibration error (ECE) of the probabilities {evaluation.ece:.3f}.")
    if evaluation.threshold_from == evaluation.name:
        notes.append(f"{name}: the threshold was chosen on the same people, which flatters all but the AUC.")
    if evaluation.failures:
        notes.append(f"{name}: {evaluation.failures_text()}.")
    if (few := evaluation.people_rejected) is not None and few <= FEW_PEOPLE:
        notes.append(
            f"{name}: the false non-matches are those of {few} people. Of 4 to {FEW_PEOPLE} people, 95 % "
            "intervals of F1, AUC and FNMR held the truth in 86 to 94 of 100 simulated tests."
        )
    if copies := copies_note(evaluation.copies, evaluation.copied_pairs, evaluation.shared):
        notes.append(f"{name}: {copies.removeprefix('; ')}.")
    if evaluation.skipped:
        reasons = unused_summary(evaluation.unused)
        notes.append(
            f"{name}: {evaluation.skipped:,} more pairs were left out, for a face was not found{reasons}."
        )
    return notes
