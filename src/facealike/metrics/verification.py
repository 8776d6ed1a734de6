"""How well scores tell same from different: counts, rates, the ROC curve and its area.

Throughout, ``scores`` is (n,) and rises with likeness, ``same`` is (n,) and true for a genuine
pair (two images of one person), false for an impostor pair, and the decision is "same" where
``score >= threshold``.  The names of the rates are those of ISO/IEC 19795-1:2021: FMR, the share
of impostor pairs taken for the same person, and FNMR, the share of genuine pairs taken for
different people.  Equal scores always fall on the same side of a threshold, so every curve here
has one point a distinct score and no luck of the sorting in it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import UsageError
from ..utils.result import Result
from ..utils.wording import rate_text

RULE_OF_3 = 3.0


@dataclass(frozen=True, repr=False)
class Confusion(Result):
    """The four counts at one threshold, and the rates that follow from them.

    A rate over an empty set was not measured and is NaN: ``recall`` and ``fnmr`` without genuine
    pairs, ``fmr`` without impostor pairs.  ``precision`` and ``f1`` are 0 where no genuine pair
    was accepted, also where nothing was accepted at all: a system that accepts nobody finds nobody.
    """

    tp: int
    fp: int
    tn: int
    fn: int

    def __post_init__(self) -> None:
        if min(self.tp, self.fp, self.tn, self.fn) < 0 or self.total == 0:
            raise UsageError("the counts of a confusion table are not negative and not all zero")

    @property
    def total(self) -> int:
        return self.tp + self.fp + self.tn + self.fn

    @property
    def accuracy(self) -> float:
        return (self.tp + self.tn) / self.total

    @property
    def precision(self) -> float:
        """The share of genuine pairs among the accepted ones."""
        return self.tp / (self.tp + self.fp) if self.tp else 0.0

    @property
    def recall(self) -> float:
        """The share of genuine pairs that are accepted: the true match rate, 1 - FNMR."""
        return _rate(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall, 2 tp / (2 tp + fp + fn)."""
        return 2 * self.tp / (2 * self.tp + self.fp + self.fn) if self.tp else 0.0

    @property
    def fmr(self) -> float:
        """False match rate: the share of impostor pairs that are accepted."""
        return _rate(self.fp, self.fp + self.tn)

    @property
    def fnmr(self) -> float:
        """False non-match rate: the share of genuine pairs that are rejected."""
        return _rate(self.fn, self.tp + self.fn)

    def to_dict(self) -> dict[str, int | float | None]:
        """Counts and rates for JSON, which knows no NaN: a rate that was not measured is None."""
        rates = {
            name: getattr(self, name) for name in ("f1", "accuracy", "precision", "recall", "fmr", "fnmr")
        }
        return {**asdict(self), **{k: None if math.isnan(v) else v for k, v in rates.items()}}

    def __str__(self) -> str:
        return (
            f"F1 {self.f1:.3f}, accuracy {self.accuracy:.3f}, FMR {rate_text(self.fmr)}, FNMR "
            f"{rate_text(self.fnmr)} on {self.total:,} pairs"
        )


def _rate(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


@dataclass(frozen=True, eq=False, repr=False)
class Roc(Result):
    """Every operating point that the scores allow, from "accept nobody" to "accept everybody".

    ``thresholds`` (k,) fall strictly: infinity first, then each distinct score; ``fmr`` and
    ``tmr`` (k,) are the false and the true match rate of ``score >= threshold`` and never fall.
    ``impostors`` is the number of impostor pairs: it bounds the false match rates that can be spoken
    of.  The arrays cannot be written to.
    """

    fmr: NDArray[np.float64]
    tmr: NDArray[np.float64]
    thresholds: NDArray[np.float64]
    impostors: int

    def __post_init__(self) -> None:
        for array in (self.fmr, self.tmr, self.thresholds):
            array.setflags(write=False)

    @property
    def fnmr(self) -> NDArray[np.float64]:
        """The false non-match rate at each threshold, 1 - tmr."""
        return 1.0 - self.tmr

    @property
    def auc(self) -> float:
        """The area under the curve by the trapezoidal rule; ``auc`` says what it means."""
        widths = np.diff(self.fmr)
        return float(np.sum(widths * (self.tmr[1:] + self.tmr[:-1])) / 2)

    def fnmr_at_fmr(self, limit: float, supported: bool = True) -> float:
        """The lowest FNMR that keeps the FMR at or under ``limit``; 1.0 where none but "reject all" does.

        Raises UsageError where the impostor pairs are too few for that FMR (``check_fmr``).  With
        ``supported=False`` any rate may be asked for: under 1/n the answer is then the FNMR at which
        not one of the n impostor pairs is accepted.
        """
        if supported:
            check_fmr(limit, self.impostors)
        return float(1.0 - self.tmr[np.searchsorted(self.fmr, checked_rate(limit), side="right") - 1])


FMR_CANDIDATES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)


def check_fmr(fmr: float, impostors: int) -> None:
    """Refuse, by UsageError, an FMR that so many impostor pairs cannot measure.

    The rule of 3 (ISO/IEC 19795-1:2021): if not one of n independent comparisons is in error, the
    rate lies below 3/n at 95 % confidence, so n pairs say nothing of rates below 3/n.  Impostor pairs
    share people and are not independent; the rule is then a floor, and no promise above it.
    """
    _check_support(fmr, impostors, "an FMR", "impostor pairs")


def check_fpir(fpir: float, searches: int) -> None:
    """Refuse, by UsageError, an FPIR that so many searches of strangers cannot measure: the rule of 3."""
    _check_support(fpir, searches, "an FPIR", "searches of people who are not enrolled")


def _check_support(rate: float, trials: int, what: str, of: str) -> None:
    checked_rate(rate)
    if rate * trials >= RULE_OF_3 * (1 - 1e-12):
        return
    possible = supported_fmrs(trials)
    advice = f"ask for {possible[-1]:g} or higher, or give more people" if possible else "give more people"
    needed = f"at least {math.ceil(RULE_OF_3 / rate - 1e-6):,}" if rate > 0 else "more than there can be"
    raise UsageError(
        f"{what} of {rate:g} cannot be measured with {trials:,} {of}: the rule of 3 needs {needed}; {advice}"
    )


def supported_fmrs(impostors: int, candidates: Sequence[float] = FMR_CANDIDATES) -> tuple[float, ...]:
    """Those of the false match rates that so many impostor pairs can measure; see ``check_fmr``."""
    return tuple(fmr for fmr in candidates if fmr * impostors >= RULE_OF_3 * (1 - 1e-12))


def checked_rate(rate: float) -> float:
    """``rate``, or UsageError if it is no share."""
    if not 0 <= rate <= 1:
        raise UsageError(f"a false match rate or any other share lies between 0 and 1, not at {rate}")
    return float(rate)


def confusion(scores: ArrayLike, same: ArrayLike, threshold: float) -> Confusion:
    """The counts of "same" where ``score >= threshold``.

    One of the two kinds of pairs may be missing; its rates are then NaN.  Raises UsageError if the
    arrays do not fit, are empty, or hold NaN or infinity, or if the threshold is NaN.
    """
    values, genuine = checked_scores(scores, same)
    if math.isnan(threshold):
        raise UsageError("the threshold is NaN; give a number")
    accepted = values >= threshold
    tp, fp = int(np.sum(accepted & genuine)), int(np.sum(accepted & ~genuine))
    positives = int(genuine.sum())
    return Confusion(tp=tp, fp=fp, tn=len(values) - positives - fp, fn=positives - tp)


def roc(scores: ArrayLike, same: ArrayLike) -> Roc:
    """The receiver operating characteristic, one point a distinct score; O(n log n).

    Raises UsageError as ``confusion`` does, and if genuine or impostor pairs are missing.
    """
    values, genuine = checked_scores(scores, same, both=True)
    cuts, tp, fp = _cuts(values, genuine)
    return Roc(
        fmr=np.concatenate([[0.0], fp / fp[-1]]),
        tmr=np.concatenate([[0.0], tp / tp[-1]]),
        thresholds=np.concatenate([[np.inf], cuts]),
        impostors=int(fp[-1]),
    )


def auc(scores: ArrayLike, same: ArrayLike) -> float:
    """The chance that a genuine pair scores higher than an impostor pair, a tie counting one half.

    The statistic of Mann and Whitney (Annals of Mathematical Statistics 18(1), 1947) over the
    number of comparisons, which is the area under the ROC curve (Hanley and McNeil, Radiology
    143(1), 1982).  Counted in whole numbers, so exact.  Raises UsageError as ``roc`` does.
    """
    values, genuine = checked_scores(scores, same, both=True)
    impostor = np.sort(values[~genuine])
    below = np.searchsorted(impostor, values[genuine], side="left")
    not_above = np.searchsorted(impostor, values[genuine], side="right")
    twice = int(below.sum(dtype=np.int64)) + int(not_above.sum(dtype=np.int64))
    return twice / (2 * len(below) * len(impostor))


def eer(scores: ArrayLike, same: ArrayLike) -> tuple[float, float]:
    """(rate, threshold): the equal error rate, at which FMR and FNMR are the same; O(n log n).

    Scores of finitely many pairs jump over that point as a rule.  The rate is where the straight line
    between the two operating points around it meets FMR = FNMR, which is the ROC curve drawn with
    straight lines, whose area is ``auc``.  The threshold is that of the nearer of the two points,
    midway as in ``best_f1_threshold``.  Raises UsageError as ``roc`` does.
    """
    values, genuine = checked_scores(scores, same, both=True)
    cuts, tp, fp = _cuts(values, genuine)
    fmr, fnmr = np.append(0.0, fp / fp[-1]), np.append(1.0, 1 - tp / tp[-1])
    gap = fmr - fnmr  # rises strictly from -1 to 1
    after = int(np.searchsorted(gap, 0.0))
    before = after - 1
    step = -gap[before] / (gap[after] - gap[before])
    rate = float(fmr[before] + step * (fmr[after] - fmr[before]))
    nearest = after if gap[after] <= -gap[before] else before
    return rate, _cut_threshold(cuts, nearest)


def threshold_at_fmr(scores: ArrayLike, same: ArrayLike, fmr: float, supported: bool = True) -> float:
    """The lowest threshold whose FMR is at most ``fmr``, midway as in ``best_f1_threshold``.

    Genuine pairs may be missing.  Where even the highest score must be rejected, it is the next number
    above that.  Raises UsageError as ``confusion`` does, without impostor pairs, and where they are too
    few for that FMR (``check_fmr``) unless ``supported=False``.
    """
    values, genuine = checked_scores(scores, same)
    impostors = int(np.sum(~genuine))
    if impostors == 0:
        raise UsageError("there are no impostor pairs; they are needed for a threshold at an FMR")
    if supported:
        check_fmr(fmr, impostors)
    cuts, _, fp = _cuts(values, genuine)
    return _cut_threshold(cuts, int(np.searchsorted(fp / impostors, checked_rate(fmr), side="right")))


def best_f1_threshold(scores: ArrayLike, same: ArrayLike) -> tuple[float, float]:
    """(threshold, F1): the cut with the highest F1 of all that the scores allow; O(n log n).

    The threshold lies midway between the lowest score accepted and the highest rejected, so that
    the last digit of a score does not decide; where everything is accepted it is the lowest
    score.  Of several best cuts the one that accepts fewest is taken.

    The F1 belongs to the pairs on which the threshold was chosen: report it on others.  Raises
    UsageError as ``roc`` does.
    """
    values, genuine = checked_scores(scores, same, both=True)
    cuts, tp, fp = _cuts(values, genuine)
    # 2 tp / (2 tp + fp + fn), and tp + fn is the number of genuine pairs.
    f1 = 2 * tp / (tp + fp + tp[-1])
    best = int(np.argmax(f1))
    return _cut_threshold(cuts, best + 1), float(f1[best])


def _cut_threshold(cuts: NDArray[np.float64], accepted: int) -> float:
    """The threshold that accepts so many of the distinct, falling scores."""
    low = float(cuts[accepted]) if accepted < len(cuts) else -math.inf
    return midway(low, float(cuts[accepted - 1]) if accepted else math.inf)


def midway(low: float, high: float) -> float:
    """A threshold that rejects ``low`` and accepts ``high``: the middle, so that no last digit decides.

    ``low`` is minus infinity where everything is accepted: the threshold is then ``high``.  ``high`` is
    infinity where nothing is: the threshold is then the next number above ``low``.
    """
    if math.isinf(low):
        return high
    if math.isinf(high):
        return math.nextafter(low, math.inf)
    middle = low / 2 + high / 2  # and not (low + high) / 2, which can be infinite
    return middle if low < middle <= high else high


def _cuts(
    values: NDArray[np.float64], genuine: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """The distinct scores, falling, and the true and false matches when each is the threshold."""
    order = np.argsort(-values)
    falling = values[order]
    last_of_ties = np.append(np.flatnonzero(falling[1:] != falling[:-1]), len(falling) - 1)
    tp = np.cumsum(genuine[order], dtype=np.int64)[last_of_ties]
    return falling[last_of_ties], tp, last_of_ties.astype(np.int64) + 1 - tp


def checked_scores(
    scores: ArrayLike, same: ArrayLike, both: bool = False
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """``scores`` as float64 and ``same`` as bool, both (n,) with n > 0; or UsageError."""
    values, truth = np.asarray(scores, dtype=np.float64), np.asarray(same)
    if values.ndim != 1 or values.shape != truth.shape:
        raise UsageError(
            f"scores and truth must be two lists of one length, not of shapes {values.shape} and "
            f"{truth.shape}"
        )
    if len(values) == 0:
        raise UsageError("there are no scores to evaluate; give at least one pair")
    if not np.isfinite(values).all():
        bad = int(np.sum(~np.isfinite(values)))
        raise UsageError(f"{bad} of {len(values)} scores are NaN or infinite; every score must be finite")
    if not np.isin(truth, (0, 1)).all():
        raise UsageError("the truth of each pair is true (same person) or false, and nothing else")
    genuine = truth.astype(np.bool_)
    if both and (genuine.all() or not genuine.any()):
        missing = "impostor" if genuine.all() else "genuine"
        raise UsageError(f"there are no {missing} pairs; both kinds are needed to evaluate")
    return values, genuine
