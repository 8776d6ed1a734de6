"""Tables of evaluations, as Markdown and for JSON.

Numbers are computed elsewhere; here they are only laid out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import UsageError
from ..evaluation.verification_result import Evaluation
from ..imaging.photo_warning import unused_told
from ..utils.escape import markdown
from ..utils.wording import copies_told

# ---- tables -----------------------------------------------------------------------------------

FEW_PEOPLE = 10  # with a false non-match; docs/results/interval-coverage.md has the measured coverage

HEADER = (
    "Split", "F1", "Accuracy", "ROC AUC", "FMR", "FNMR", "Pairs", "People", "Threshold", "Chosen on",
)  # fmt: skip


def table_markdown(evaluations: Sequence[Evaluation]) -> str:
    """One row an evaluation, as a Markdown table; what a reader must be told follows as notes."""
    if not evaluations:
        raise UsageError("a table needs at least one evaluation")
    rows = [_row(evaluation) for evaluation in evaluations]
    widths = [max(len(row[i]) for row in [HEADER, *rows]) for i in range(len(HEADER))]
    words = (0, len(HEADER) - 1)  # the columns of text, to the left; numbers go to the right
    rule = ["-" * width if i in words else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
    lines = ["| " + " | ".join(rule) + " |"]
    for row in (HEADER, *rows):
        cells = [
            text.ljust(w) if i in words else text.rjust(w)
            for i, (text, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("| " + " | ".join(cells) + " |")
    lines[0], lines[1] = lines[1], lines[0]
    notes = [note for evaluation in evaluations for note in _notes(evaluation)]
    if any(evaluation.first is not None for evaluation in evaluations):
        notes.insert(0, "In brackets: 95 % intervals from resampling people, the threshold held fixed.")
    if notes:
        lines += ["", *(f"- {note}" for note in notes)]
    return "\n".join(lines) + "\n"


def table_dict(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """The same for JSON: ``{"evaluations": [...]}`` with the summary of each, in their order."""
    if not evaluations:
        raise UsageError("a table needs at least one evaluation")
    return {"evaluations": [evaluation.to_dict() for evaluation in evaluations]}


def _row(evaluation: Evaluation) -> tuple[str, ...]:
    return (
        markdown(evaluation.name),
        *(evaluation.told(rate) for rate in ("f1", "accuracy", "auc", "fmr", "fnmr")),
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
    if evaluation.ece is not None:
        notes.append(f"{name}: expected calibration error (ECE) of the probabilities {evaluation.ece:.3f}.")
    if evaluation.threshold_from == evaluation.name:
        notes.append(f"{name}: the threshold was chosen on the same people, which flatters all but the AUC.")
    if evaluation.failures:
        notes.append(f"{name}: {evaluation.failures_told()}.")
    if (few := evaluation.people_rejected) is not None and few <= FEW_PEOPLE:
        notes.append(
            f"{name}: the false non-matches are those of {few} people. Of 4 to {FEW_PEOPLE} people, 95 % "
            "intervals of F1, AUC and FNMR held the truth in 86 to 94 of 100 simulated tests."
        )
    if copies := copies_told(evaluation.copies, evaluation.copied_pairs, evaluation.shared):
        notes.append(f"{name}: {copies.removeprefix('; ')}.")
    if evaluation.skipped:
        told = unused_told(evaluation.unused)
        notes.append(
            f"{name}: {evaluation.skipped:,} more pairs were left out, for a face was not found{told}."
        )
    return notes


# ---- the log of a training run ----------------------------------------------------------------
