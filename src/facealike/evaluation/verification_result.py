"""Scores of labelled pairs, and everything that follows from them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..detection.face_policy import FacePolicy, policy_told
from ..errors import UsageError
from ..imaging.photo_warning import UnusedPhoto, unused_counts, unused_rows, unused_told
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
from ..utils.wording import copies_told, rate_text, rate_with_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FAILURE_SCORE = -1.0
"""Stands for the score of a pair in which a face was not found: no pair can score lower."""

RESAMPLES, LARGE = 1000, 50_000  # of the bootstrap; of pairs, above which fewer resamples must do
BAND_POINTS = 40

ERRORS = ("fmr", "fnmr", "far", "frr", "eer")
RATES = ("f1", "accuracy", "auc", "fmr", "fnmr", "eer")

ARRAYS = (
    ("scores", np.float64), ("same", np.bool_), ("first", np.int64), ("second", np.int64),
    ("probability", np.float64),
)  # fmt: skip


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation(Result):
    """Scores of labelled pairs, the threshold set beforehand, and what follows from the two.

    ``scores`` float64 (n,) and ``same`` bool (n,), of both kinds.  ``threshold_from`` says which
    pairs the threshold was chosen on.  ``people`` counts the different people in the pairs, None
    where the paths do not tell.  ``leaked`` is true if some took part in training or calibration, None if
    that is not known.  ``failures`` counts the pairs, among the n, that score ``FAILURE_SCORE``
    because a face was not found; ``skipped`` those left out of the n for that reason.  ``photos`` is the
    number of different photos in the pairs and ``missing`` how many of them gave no face, None if not known;
    ``unused`` are those of the missing that could not be read or show several faces, each with its reason.
    ``copies`` counts the photos left out as copies of others, ``copied_pairs`` the pairs, among the n, of a
    photo with itself or its copy, ``shared`` the photos that are there under several names.  ``face`` is the
    policy for each photo, None if not known; ``learned_faces`` are those of the calibration that was used.

    Terms as in ISO/IEC 19795-1:2021.  ``fta``, the failure-to-acquire rate, is the share of photos that are
    ``missing`` for whatever reason.  FMR, FNMR, F1, accuracy, AUC, EER and the ROC curve are over the
    comparisons made; ``far`` and ``frr`` are over all pairs, of which those without a comparison are
    rejected.  NaN where a kind of pairs has no comparison.

    ``first`` and ``second``, int64 (n,), number the person of each side; without them there are no
    intervals, for those are made by resampling people.  ``probability``, float64 (n,), is what the
    model's calibration says of each pair at even odds.  The arrays cannot be written to.

    Raises UsageError for scores that cannot be evaluated, or arrays that contradict each other.
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

    def __post_init__(self) -> None:
        if not math.isfinite(self.threshold):
            raise UsageError(f"the threshold of an evaluation must be finite, not {self.threshold}")
        counts = (
            self.failures, self.skipped, self.people or 0, self.copies, self.copied_pairs, self.shared,
        )  # fmt: skip
        if min(counts) < 0 or max(self.failures, self.copied_pairs) > np.size(self.scores):
            raise UsageError("the counts of an evaluation lie between zero and the number of pairs")
        if not 0 <= (self.missing or 0) <= (self.photos or self.missing or 0):
            raise UsageError("the photos without a face are some of the photos of an evaluation")
        if self.missing is not None and len(self.unused) > self.missing:
            raise UsageError("photos that could not be used are some of those without a face")
        area_under_curve(self.scores, self.same)  # refuses what is no set of labelled scores
        for name, kind in ARRAYS:
            if getattr(self, name) is None:
                continue
            array = np.array(getattr(self, name), dtype=kind)
            if array.shape != np.shape(self.scores):
                raise UsageError(f"the {name} of an evaluation must be one a pair, not {array.shape}")
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        if (self.first is None) != (self.second is None):
            raise UsageError("an evaluation knows the people of both sides of its pairs, or of neither")
        if self.first is not None and not np.array_equal(self.first == self.second, self.same):
            raise UsageError(
                "a pair shows one person where its two sides are the same person, and only there"
            )
        if self.probability is not None and not ((self.probability >= 0) & (self.probability <= 1)).all():
            raise UsageError("every probability must lie between 0 and 1")
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
        """The counts at the threshold, of the comparisons made."""
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
    def no_face(self) -> int | None:
        """How many photos were read and no face was found in them; None where that is not known."""
        return None if self.missing is None else self.missing - len(self.unused)

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
    def fmrs(self) -> tuple[float, ...]:
        """The false match rates, from 0.1 downwards, that so many impostor comparisons can measure."""
        return supported_fmrs(int(np.sum(~self.same[self.compared]))) if self._of_both_kinds else ()

    def intervals(
        self, level: float = 0.95, resamples: int | None = None, method: Method = "percentile"
    ) -> dict[str, Interval]:
        """Of ``f1 accuracy auc fmr fnmr eer`` and ``fnmr@F`` for each of ``fmrs``; see ``pair_intervals``.

        Where faces were not found also of ``far`` and ``frr``.  The threshold is held fixed.
        By default 1,000 resamples, fewer above 50,000 pairs, but at least 200; each interval says how many.
        Empty where the people of the pairs are not known.
        """
        if self.first is None or self.second is None or not self._of_both_kinds:
            return {}
        count = max(200, RESAMPLES * LARGE // max(LARGE, self.pairs)) if resamples is None else resamples
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
                both = intervals(attempts, rates, level, count, method)
                known[key] |= {"far": both["fmr"], "frr": both["fnmr"]}
        return known[key]

    @cached_property
    def reliability(self) -> Reliability | None:
        """The stated probabilities against what came true; None where the model states none.

        Genuine and impostor pairs count alike, as the even odds of the probabilities have it.  A
        pair in which a face was not found has no probability, and is left out.
        """
        if self.probability is None:
            return None
        compared = self.compared
        truth = self.same[compared]
        weights = np.where(truth, 1 / max(1, truth.sum()), 1 / max(1, (~truth).sum()))
        return reliability(self.probability[compared], truth, weights) if len(truth) else None

    @property
    def ece(self) -> float | None:
        """The expected calibration error of the probabilities; None where the model states none."""
        return None if self.reliability is None else self.reliability.ece

    def to_dict(self, arrays: bool = False) -> dict[str, Any]:
        """Ready for JSON: the summary; with ``arrays`` also those, as far as they are there."""
        summary: dict[str, Any] = {
            "name": self.name,
            **{name: _number(getattr(self, name)) for name in (*RATES, "far", "frr")},
            "fta": None if self.fta is None else _number(self.fta),
            "fnmr_at_fmr": {f"{fmr:g}": round(self.roc.fnmr_at_fmr(fmr), 6) for fmr in self.fmrs},
            "ece": None if self.ece is None else round(self.ece, 6),
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
            "no_face": self.no_face,
            **unused_rows(self.unused),
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
        """The summary for a model card, which names no photo: those left out are counted."""
        return {**self.to_dict(), **unused_counts(self.unused)}

    def _brief(self) -> str:
        return f"F1 {self.f1:.3f}, AUC {self.auc:.3f} on {self.pairs:,} pairs of {self.name}"

    def told(self, name: str) -> str:
        """The figure of that name with its interval, if it has one: ``0.881 [0.868, 0.893]``.

        Error rates are in percent: ``1.6 % [1.1 %, 2.1 %]``.
        """
        found = self.intervals().get(name)
        value = getattr(self, name)
        if name in ERRORS:
            return rate_text(value) if found is None else rate_with_interval(value, found.low, found.high)
        return f"{value:.3f}" if found is None else str(found)

    def __str__(self) -> str:
        who = "people" if self.people is None else f"{self.people:,} people"
        seen = {
            False: f"{who} never seen in training",
            True: f"{who}, some of whom took part in training or calibration, so no estimate for others",
            None: f"{who} of whom it is not known whether they took part in training",
        }[self.leaked]
        own = self.threshold_from == self.name
        chosen = "chosen on the same people" if own else f"from {self.threshold_from}"
        text = (
            f"{self.name}: F1 {self.told('f1')}, accuracy {self.told('accuracy')}, AUC {self.told('auc')} on "
            f"{self.pairs:,} pairs of {seen} (threshold {self.threshold:.3f} {chosen})"
        )
        if self.first is not None:
            text += "; in brackets 95 % intervals, from resampling people"
        if self.failures:
            text += f"; {self.failures_told()}"
        if self.skipped:
            text += f"; {self.skipped:,} more pairs left out because a face was not found"
            text += unused_told(self.unused)
        text += policy_told(self.face, self.learned_faces, "; ")
        return text + copies_told(self.copies, self.copied_pairs, self.shared)

    def failures_told(self) -> str:
        """What was not compared and which rates count it, for a reader; empty where all was."""
        if not self.failures:
            return ""
        acquired = (
            ""
            if self.fta is None
            else f" (failure to acquire: {rate_text(self.fta)} of {self.photos:,} photos)"
        )
        return (
            f"in {self.failures:,} of the pairs a face was not found{acquired}; they are in FAR "
            f"{self.told('far')} and FRR {self.told('frr')} as rejected, and in no other rate"
            + unused_told(self.unused, of="photos without a face")
        )

    def roc_band(self, points: int = BAND_POINTS) -> RocBand | None:
        """The ROC curve with a 95 % interval at each FMR; None where the people are not known."""
        if self.first is None or self.second is None or not self._of_both_kinds:
            return None
        grid = rate_grid(self.impostor, points)[:-1]  # where everybody is accepted nothing is uncertain
        count = max(200, RESAMPLES * LARGE // max(LARGE, self.pairs))
        made = self.compared
        sides = self.first[made], self.second[made]
        return roc_band(self.scores[made], self.same[made], *sides, grid, resamples=count)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the ROC curve, FMR on a logarithmic axis, with the operating point of the threshold.

        Shaded is its 95 % interval from resampling people, where those are known.  Draws
        into ``ax``, else into a new figure (``.figure.savefig(...)``).  Raises MissingExtra without
        matplotlib.
        """
        ax = new_axes() if ax is None else ax
        label = f"threshold {self.threshold:.3f}: FMR {rate_text(self.fmr)}, FNMR {rate_text(self.fnmr)}"
        curve = ErrorCurve(
            self.roc, self.impostor, self.genuine, label, band=self.roc_band(), point=(self.fmr, self.fnmr)
        )
        draw_roc(ax, [curve])
        pairs = f"{self.pairs:,} pairs{_doubt(self.leaked)}"
        ax.set_title(f"{figure_text(self.name)}: AUC {self.auc:.3f}, {pairs}")
        return ax


def _number(value: float) -> float | None:
    """For JSON, which knows no NaN."""
    return None if math.isnan(value) else round(value, 6)


def _doubt(leaked: bool | None) -> str:
    told = {False: "", True: " (people seen in training or calibration)", None: " (people not known)"}
    return told[leaked]
