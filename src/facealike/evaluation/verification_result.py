"""The result of scored pairs."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..detection.face_policy import FacePolicy
from ..errors import DataError
from ..imaging.photo_warning import UnusedPhoto, left_out_counts
from ..metrics.bootstrap import Interval, RocBand, intervals, pair_intervals, roc_band
from ..metrics.calibration_error import Reliability, reliability
from ..metrics.intervals import Method
from ..metrics.verification import Confusion, Roc, confusion, eer, roc, supported_fmrs
from ..metrics.verification import auc as area_under_curve
from ..metrics.weighted_pairs import Pairs
from ..plotting.error_curves import ErrorCurve, draw_roc, rate_grid
from ..plotting.style import new_axes
from ..utils.escape import figure_text
from ..utils.result import Result
from ..utils.wording import rate_text
from . import verification_text
from .fold_accuracy import FoldAccuracy, fold_accuracy
from .verification_checks import ARRAYS, checked_arrays
from .verification_table import table_markdown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FAILURE_SCORE = -1.0
"""The score of a pair in which a face was not found; no pair can score lower."""

BOOTSTRAP_RESAMPLES = 1000
MAX_PAIRS_FULL = 50_000  # fewer resamples above this
MIN_RESAMPLES = 200
BAND_POINTS = 40

RATES = ("f1", "accuracy", "auc", "fmr", "fnmr", "eer")


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation(Result):
    """Scores of labeled pairs, a threshold set beforehand, and the rates that follow from the two.

    Terms as in ISO/IEC 19795-1:2021.  FMR, FNMR, F1, accuracy, AUC, EER and the ROC curve are of the
    comparisons made; ``far`` and ``frr`` are of all pairs, of which those without a comparison are rejected.
    ``fta``, the failure-to-acquire rate, is the share of photos that are ``missing``.  A rate is NaN where a
    kind of pairs has no comparison.  The arrays cannot be written to.

    Examples:
        >>> result = evaluate_split(Model.load(), "people", "all")
        >>> print(result.fmr, result.intervals()["fmr"])

    Args:
        name: Of the pairs.
        scores: float64 (n,), of both kinds of pairs.
        same: Whether each pair shows one person, bool (n,).
        threshold: A score; pairs that score at least as high match.
        threshold_from: The pairs that the threshold was chosen on, in words.
        people: How many different people are in the pairs; None where the paths do not tell.
        leaked: Whether some people took part in training or calibration; None where that is not known.
        failures: How many of the n pairs score ``FAILURE_SCORE`` because a face was not found.
        skipped: How many more pairs were left out for that reason.
        first: A number for the person of one side of each pair, int64 (n,).  Without it there are no
            intervals, for those are made by resampling people.
        second: The same of the other side.
        probability: The probability of each pair by the model's calibration at even odds, float64 (n,).
        photos: How many different photos are in the pairs; None where that is not known.
        missing: How many of them gave no face; None where that is not known.
        copies: How many photos were left out as copies of others.
        copied_pairs: How many of the n pairs are of a photo with itself or its copy.
        face: The face policy of each photo; None where it is not known.
        unused: The missing photos, with the reasons; empty where they are not known.
        shared: How many photos lie in the folders of several people.
        learned_faces: The face policies of the calibration that was used.
        fold: The fold of each pair, int64 (n,), where the list has folds.

    Raises:
        UsageError: The scores cannot be evaluated, or the arrays contradict each other.
    """

    name: str
    scores: NDArray[np.float64]
    same: NDArray[np.bool_]
    threshold: float
    threshold_from: str
    people: int | None = None
    leaked: bool | None = False
    failures: int = 0
    skipped: int = 0
    first: NDArray[np.int64] | None = None
    second: NDArray[np.int64] | None = None
    probability: NDArray[np.float64] | None = None
    photos: int | None = None
    missing: int | None = None
    copies: int = 0
    copied_pairs: int = 0
    face: FacePolicy | None = None
    unused: tuple[UnusedPhoto, ...] = ()
    shared: int = 0
    learned_faces: tuple[str, ...] = ()
    fold: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        for name, array in checked_arrays(self).items():
            object.__setattr__(self, name, array)
        object.__setattr__(self, "_intervals", {})

    @cached_property
    def compared(self) -> NDArray[np.bool_]:
        """Which pairs were compared, bool (n,): those with a face in both photos."""
        return self.scores != FAILURE_SCORE if self.failures else np.ones(self.pairs, dtype=np.bool_)

    @cached_property
    def _of_both_kinds(self) -> bool:
        made = self.same[self.compared]
        return bool(made.any() and not made.all())

    @cached_property
    def confusion(self) -> Confusion:
        """The confusion counts of the comparisons made, at the threshold."""
        return confusion(self.scores[self.compared], self.same[self.compared], self.threshold)

    @cached_property
    def roc(self) -> Roc:
        """All operating points, not only that of the threshold; UsageError where a kind has no comparison."""
        return roc(self.scores[self.compared], self.same[self.compared])

    @cached_property
    def auc(self) -> float:
        """The area under the ROC curve; it does not depend on the threshold."""
        made = self.compared
        return area_under_curve(self.scores[made], self.same[made]) if self._of_both_kinds else math.nan

    @cached_property
    def eer(self) -> float:
        """The equal error rate, where FMR and FNMR meet; it does not depend on the threshold."""
        made = self.compared
        return eer(self.scores[made], self.same[made])[0] if self._of_both_kinds else math.nan

    @property
    def fta(self) -> float | None:
        """The failure-to-acquire rate: the share of photos without a face; None where that is not known.

        Photos that could not be read or show several faces are among them.
        """
        return None if self.missing is None or not self.photos else self.missing / self.photos

    @property
    def left_out(self) -> dict[str, int] | None:
        """How many photos show no face, could not be read or show several; None where that is not known."""
        return left_out_counts(self.unused) if self.missing == len(self.unused) else None

    @property
    def people_rejected(self) -> int | None:
        """How many people have a false non-match; None where the people are not known."""
        if self.first is None or not self._of_both_kinds:
            return None
        return len(np.unique(self.first[self.compared & self.same & (self.scores < self.threshold)]))

    @cached_property
    def _attempts(self) -> Confusion:
        return confusion(self.scores, self.same, self.threshold)

    @property
    def far(self) -> float:
        """The false accept rate: false matches over all pairs of different people, compared or not."""
        return self._attempts.fmr

    @property
    def frr(self) -> float:
        """The false reject rate: pairs of one person rejected or not compared, over all of them."""
        return self._attempts.fnmr

    @cached_property
    def fold_accuracy(self) -> FoldAccuracy | None:
        """The accuracy over the folds, as papers quote it; None without two folds of both kinds of pairs."""
        try:
            return None if self.fold is None else fold_accuracy(self, self.fold)
        except DataError:
            return None

    @property
    def f1(self) -> float:
        return self.confusion.f1

    @property
    def accuracy(self) -> float:
        return self.confusion.accuracy

    @property
    def fmr(self) -> float:
        """The share of comparisons of different people that match."""
        return self.confusion.fmr

    @property
    def fnmr(self) -> float:
        """The share of comparisons of one person that do not match."""
        return self.confusion.fnmr

    @property
    def pairs(self) -> int:
        return len(self.scores)

    @property
    def genuine(self) -> int:
        """The number of pairs that show one person."""
        return int(self.same.sum())

    @property
    def impostor(self) -> int:
        """The number of pairs that show two people."""
        return self.pairs - self.genuine

    @property
    def _resamples(self) -> int:
        full = BOOTSTRAP_RESAMPLES * MAX_PAIRS_FULL // max(MAX_PAIRS_FULL, self.pairs)
        return max(MIN_RESAMPLES, full)

    @property
    def metrics(self) -> dict[str, float]:
        """The figures by name: F1 and the error rates, the FNMR at each FMR, and the ECE."""
        known = {name: getattr(self, name) for name in (*RATES, "far", "frr", "fta", "ece")}
        if self.fold_accuracy is not None:
            known["fold_accuracy"] = self.fold_accuracy.accuracy
        known |= {f"fnmr@{fmr:g}": self.roc.fnmr_at_fmr(fmr) for fmr in self.fmrs}
        return {name: value for name, value in known.items() if value is not None}

    @property
    def primary(self) -> str:
        """The name of the figure to compare models by: F1 at the threshold."""
        return "f1"

    @property
    def fmrs(self) -> tuple[float, ...]:
        """The FMRs, from 0.1 downwards, that the impostor comparisons support (rule of 3)."""
        return supported_fmrs(int(np.sum(~self.same[self.compared]))) if self._of_both_kinds else ()

    def intervals(
        self, level: float = 0.95, resamples: int | None = None, method: Method = "percentile"
    ) -> dict[str, Interval]:
        """Return intervals of ``f1 accuracy auc fmr fnmr eer`` and of ``fnmr@F`` for each of ``fmrs``.

        Where faces were not found also of ``far`` and ``frr``.  The threshold is held fixed.  Empty where the
        people of the pairs are not known.  See ``pair_intervals``.

        Args:
            level: The coverage.
            resamples: None for 1,000, fewer above 50,000 pairs, but at least 200.
            method: ``percentile`` or ``bca``.
        """
        if self.first is None or self.second is None or not self._of_both_kinds:
            return {}
        count = self._resamples if resamples is None else resamples
        known: dict[Any, dict[str, Interval]] = self.__dict__["_intervals"]
        key = (level, count, method)
        if key not in known:
            made = self.compared
            known[key] = pair_intervals(
                self.scores[made], self.same[made], self.first[made], self.second[made], self.threshold,
                self.fmrs, level=level, resamples=count, method=method,
            )  # fmt: skip
            if not made.all():
                attempts = Pairs(self.scores, self.same, self.first, self.second)
                rates = {
                    "fmr": lambda block: block.fmr(self.threshold),
                    "fnmr": lambda block: block.fnmr(self.threshold),
                }
                both = intervals(attempts, rates, level=level, resamples=count, method=method)
                known[key] |= {"far": both["fmr"], "frr": both["fnmr"]}
        return known[key]

    @cached_property
    def reliability(self) -> Reliability | None:
        """The predicted probabilities against the observed frequencies; None where the model predicts none.

        Genuine and impostor pairs have equal total weight, as the even odds of the probabilities assume.  A
        pair in which a face was not found has no probability and is left out.
        """
        if self.probability is None:
            return None
        compared = self.compared
        truth = self.same[compared]
        weights = np.where(truth, 1 / max(1, truth.sum()), 1 / max(1, (~truth).sum()))
        return reliability(self.probability[compared], truth, weights) if len(truth) else None

    @property
    def ece(self) -> float | None:
        """The expected calibration error of the probabilities; None where the model predicts none."""
        return None if self.reliability is None else self.reliability.ece

    def to_dict(self, arrays: bool = False) -> dict[str, Any]:
        """Return the summary for JSON, with ``arrays`` also those that are known."""
        summary: dict[str, Any] = {
            "name": self.name,
            **{name: _number(getattr(self, name)) for name in (*RATES, "far", "frr")},
            "fta": None if self.fta is None else _number(self.fta),
            "fnmr_at_fmr": {f"{fmr:g}": round(self.roc.fnmr_at_fmr(fmr), 6) for fmr in self.fmrs},
            "ece": None if self.ece is None else round(self.ece, 6),
            "folds": None if self.fold_accuracy is None else self.fold_accuracy.to_dict(),
            "intervals": {name: interval.to_dict() for name, interval in self.intervals().items()},
            "pairs": self.pairs,
            "genuine": self.genuine,
            "impostor": self.impostor,
            "people": self.people,
            "threshold": self.threshold,
            "threshold_from": self.threshold_from,
            "leaked": self.leaked,
            "failures": self.failures,
            "skipped": self.skipped,
            "photos": self.photos,
            "missing": self.missing,
            "left_out": self.left_out,
            "unused": [one.to_dict() for one in self.unused],
            "copies": self.copies,
            "copied_pairs": self.copied_pairs,
            "face": self.face,
            "shared": self.shared,
            "learned_faces": list(self.learned_faces),
        }
        if arrays:
            summary |= {name: v.tolist() for name, _ in ARRAYS if (v := getattr(self, name)) is not None}
        return summary

    def for_card(self) -> dict[str, Any]:
        """Return the summary for a model card, which counts the photos left out and names none."""
        return {name: value for name, value in self.to_dict().items() if name != "unused"}

    def _brief(self) -> str:
        return f"F1 {self.f1:.3f}, AUC {self.auc:.3f} on {self.pairs:,} pairs of {self.name}"

    def text_of(self, name: str) -> str:
        """Return the figure of that name with its interval, if it has one: ``0.881 [0.868, 0.893]``.

        Error rates are in percent: ``1.6 % [1.1 %, 2.1 %]``.
        """
        return verification_text.figure_of(self, name)

    def told(self, name: str) -> str:
        """Deprecated: ``text_of``."""
        warnings.warn("Evaluation.told is now text_of", DeprecationWarning, stacklevel=2)
        return self.text_of(name)

    def failures_text(self) -> str:
        """Return how many pairs were not compared, in words; empty where all were compared."""
        return verification_text.failures(self)

    def __str__(self) -> str:
        return verification_text.sentence(self)

    def to_markdown(self) -> str:
        """Return a table of one row, followed by notes."""
        return table_markdown([self])

    def roc_band(self, points: int = BAND_POINTS) -> RocBand | None:
        """Return the ROC curve with a 95 % interval at each FMR; None where the people are not known."""
        if self.first is None or self.second is None or not self._of_both_kinds:
            return None
        grid = rate_grid(self.impostor, points)[:-1]  # at FMR 1 nothing is uncertain
        made = self.compared
        sides = self.first[made], self.second[made]
        return roc_band(self.scores[made], self.same[made], *sides, grid, resamples=self._resamples)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the ROC curve, FMR on a logarithmic axis, with the operating point of the threshold.

        Shaded is its 95 % interval from resampling people, where those are known.

        Args:
            ax: The axes to draw into; None for a new figure (``.figure.savefig(...)``).

        Raises:
            MissingExtra: matplotlib is not installed.
        """
        ax = new_axes() if ax is None else ax
        label = f"threshold {self.threshold:.3f}: FMR {rate_text(self.fmr)}, FNMR {rate_text(self.fnmr)}"
        curve = ErrorCurve(
            self.roc, self.impostor, self.genuine, label, band=self.roc_band(), point=(self.fmr, self.fnmr)
        )
        draw_roc(ax, [curve])
        ax.set_title(f"{figure_text(self.name)}: {verification_text.title(self)}")
        return ax


def _number(value: float) -> float | None:
    """A value for JSON: None in place of NaN."""
    return None if math.isnan(value) else round(value, 6)
