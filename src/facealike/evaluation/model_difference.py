"""Compare two models on the same pairs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..errors import UsageError
from ..metrics.bootstrap import Interval, difference_interval
from ..metrics.verification import confusion, eer, roc
from ..utils.escape import markdown
from ..utils.markdown_table import markdown_table
from ..utils.result import Result
from ..utils.wording import rate_text
from .verification_result import Evaluation

ERRORS = ("fmr", "fnmr", "eer")


class Difference(NamedTuple):
    """One figure of two models, and the interval of the first minus the second."""

    ours: float
    other: float
    interval: Interval

    @property
    def clear(self) -> bool:
        """Whether the interval excludes zero."""
        return bool(self.interval.low > 0 or self.interval.high < 0)


@dataclass(frozen=True, repr=False)
class ModelDifference(Result):
    """What two models differ by on the same pairs, with paired intervals.

    The same resamples of people are taken for both models: a resample that is hard for one is hard for the
    other, so the interval of the difference is narrower than the two intervals side by side suggest.

    Attributes:
        name: Of the pairs.
        model: The id of the model.
        against: The id of the other one.
        pairs: The pairs that both models compared.
        left_out: The pairs in which one of them found no face.
        people: The people in the pairs that both compared.
        figures: F1, FMR and FNMR, each model at its own threshold; AUC and EER; and the FNMR at each FMR that
            the pairs support, each model at its own threshold of that FMR.
    """

    name: str
    model: str
    against: str
    pairs: int
    left_out: int
    people: int
    figures: dict[str, Difference]

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "model": self.model,
            "against": self.against,
            "pairs": self.pairs,
            "left_out": self.left_out,
            "people": self.people,
            "figures": {
                name: {"model": one.ours, "against": one.other, "difference": one.interval.to_dict()}
                for name, one in self.figures.items()
            },
        }

    def rows(self) -> list[list[str]]:
        """Return a row for each figure: its name, that of each model, the difference and its interval."""
        found = []
        for name, one in self.figures.items():
            low, high = one.interval.low, one.interval.high
            known = math.isfinite(low + high)
            interval = f"{_signed(name, low)} to {_signed(name, high)}" if known else "not measured"
            difference = _signed(name, one.interval.estimate)
            found.append([_label(name), _text(name, one.ours), _text(name, one.other), difference, interval])
        return found

    def to_markdown(self) -> str:
        """Return a table with one row a figure, and the result in one sentence."""
        header = ["Figure", self.model, self.against, "Difference", "95 % interval"]
        return f"{markdown_table(header, self.rows())}\n\n{markdown(str(self))}\n"

    def __str__(self) -> str:
        clear = [_label(name) for name, one in self.figures.items() if one.clear]
        verdict = f"differ clearly in {', '.join(clear)}" if clear else "do not differ clearly in any figure"
        f1 = self.figures["f1"]
        missing = f"; {self.left_out:,} more pairs left out because one of them found no face" * bool(
            self.left_out
        )
        return (
            f"{self.name}: {self.model} and {self.against} {verdict}, on the same {self.pairs:,} pairs of "
            f"{self.people:,} people; F1 {f1.ours:.3f} and {f1.other:.3f}, difference "
            f"{_signed('f1', f1.interval.estimate)} [{_signed('f1', f1.interval.low)}, "
            f"{_signed('f1', f1.interval.high)}] (95 % interval from resampling people){missing}"
        )


def model_difference(ours: Evaluation, other: Evaluation, model: str, against: str) -> ModelDifference:
    """Return what two models differ by on the same pairs.

    Args:
        ours: The evaluation of the first model.
        other: The evaluation of the second one, of the same pairs in the same order.
        model: The id of the first model.
        against: The id of the second one.

    Raises:
        UsageError: The pairs are not the same, their people are not known, or not both kinds were compared.
    """
    if ours.first is None or ours.second is None or other.first is None or other.second is None:
        raise UsageError(
            f"{ours.name}: models are compared by resampling people, and these pairs do not tell the "
            "people; give photos in one folder a person"
        )
    same_pairs = all(
        np.array_equal(a, b)
        for a, b in ((ours.same, other.same), (ours.first, other.first), (ours.second, other.second))
    )
    if not same_pairs:
        raise UsageError(
            "two models are compared on the same pairs in the same order; evaluate both on one list"
        )
    made = ours.compared & other.compared
    same, first, second = ours.same[made], ours.first[made], ours.second[made]
    if same.all() or not same.any():
        raise UsageError(f"{ours.name}: both models compared no pairs of both kinds; give more pairs")
    fmrs = [fmr for fmr in ours.fmrs if fmr in other.fmrs]
    of = (ours.scores[made], ours.threshold), (other.scores[made], other.threshold)
    values = [_figures(scores, same, threshold, fmrs) for scores, threshold in of]
    (a, limit), (b, other_limit) = of
    figures = {
        name: Difference(
            values[0][name], values[1][name],
            difference_interval(a, limit, b, other_limit, same, first, second, name),
        )
        for name in values[0]
    }  # fmt: skip
    people = len(np.unique(np.concatenate([first, second])))
    return ModelDifference(ours.name, model, against, int(made.sum()), int(np.sum(~made)), people, figures)


def _figures(scores: Any, same: Any, threshold: float, fmrs: list[float]) -> dict[str, float]:
    table, curve = confusion(scores, same, threshold), roc(scores, same)
    found = {
        "f1": table.f1,
        "auc": curve.auc,
        "fmr": table.fmr,
        "fnmr": table.fnmr,
        "eer": eer(scores, same)[0],
    }
    return found | {f"fnmr@{fmr:g}": curve.fnmr_at_fmr(fmr, supported=False) for fmr in fmrs}


def _label(name: str) -> str:
    rate, _, fmr = name.partition("@")
    return f"{rate.upper()} at FMR {rate_text(float(fmr))}" if fmr else rate.upper()


def _is_error(name: str) -> bool:
    return name.partition("@")[0] in ERRORS


def _text(name: str, value: float) -> str:
    return rate_text(value) if _is_error(name) else f"{value:.4f}"


def _signed(name: str, value: float) -> str:
    if not math.isfinite(value):
        return "not measured"
    return f"{'+' if value >= 0 else '-'}{_text(name, abs(value))}"
