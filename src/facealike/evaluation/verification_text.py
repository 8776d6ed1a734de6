"""An evaluation in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..detection.face_policy import policy_difference
from ..imaging.photo_warning import unused_summary
from ..utils.wording import copies_note, rate_text, rate_with_interval

if TYPE_CHECKING:
    from .verification_result import Evaluation

ERRORS = ("fmr", "fnmr", "far", "frr", "eer")


def figure_of(result: Evaluation, name: str) -> str:
    """Return the figure of that name with its interval; error rates are in percent."""
    found = result.intervals().get(name)
    value = getattr(result, name)
    if name in ERRORS:
        return rate_text(value) if found is None else rate_with_interval(value, found.low, found.high)
    return f"{value:.3f}" if found is None else str(found)


def sentence(result: Evaluation) -> str:
    """Return the result in one sentence."""
    who = "people" if result.people is None else f"{result.people:,} people"
    leaked = {
        False: f"{who} never seen in training",
        True: f"{who}, some of whom took part in training or calibration, so no estimate for others",
        None: f"{who} of whom it is not known whether they took part in training",
    }[result.leaked]
    own = result.threshold_from == result.name
    chosen = "chosen on the same people" if own else f"from {result.threshold_from}"
    f1, accuracy, auc = (figure_of(result, name) for name in ("f1", "accuracy", "auc"))
    text = (
        f"{result.name}: F1 {f1}, accuracy {accuracy}, AUC {auc} on {result.pairs:,} pairs of {leaked} "
        f"(threshold {result.threshold:.3f} {chosen})"
    )
    if result.fold_accuracy is not None:
        text += f"; {result.fold_accuracy}"
    if result.first is not None:
        text += "; in brackets 95 % intervals, from resampling people"
    if result.failures:
        text += f"; {failures(result)}"
    if result.skipped:
        text += f"; {result.skipped:,} more pairs left out because a face was not found"
        text += unused_summary(result.unused)
    text += policy_difference(result.face, result.learned_faces, "; ")
    return text + copies_note(result.copies, result.copied_pairs, result.shared)


def failures(result: Evaluation) -> str:
    """Return how many pairs were not compared and which rates count them; empty where all were compared."""
    if not result.failures:
        return ""
    acquired = (
        ""
        if result.fta is None
        else f" (failure to acquire: {rate_text(result.fta)} of {result.photos:,} photos)"
    )
    return (
        f"in {result.failures:,} of the pairs a face was not found{acquired}; they are in FAR "
        f"{figure_of(result, 'far')} and FRR {figure_of(result, 'frr')} as rejected, and in no other rate"
        + unused_summary(result.unused, of="photos without a face")
    )


def title(result: Evaluation) -> str:
    """Return the AUC and the number of pairs, and whether people are leaked, for a figure."""
    leaked = {
        False: "",
        True: " (people seen in training or calibration)",
        None: " (people not known)",
    }[result.leaked]
    return f"AUC {result.auc:.3f}, {result.pairs:,} pairs{leaked}"
