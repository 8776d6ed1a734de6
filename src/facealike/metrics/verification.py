"""Error rates of verification from arrays of scores: confusion counts, ROC, AUC, EER, thresholds.

Throughout, ``scores`` (n,) rise with similarity, ``same`` (n,) is true for a genuine pair (two images of one
person) and false for an impostor pair, and the decision is "same" where ``score >= threshold``.  Terms as in
ISO/IEC 19795-1:2021: FMR is the share of impostor pairs that match, FNMR the share of genuine pairs that do
not match.  Equal scores always fall on the same side of a threshold, so every curve has one point a distinct
score and does not depend on the order of the pairs.
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

    A rate over an empty set is NaN: ``recall`` and ``fnmr`` without genuine pairs, ``fmr`` without impostor
    pairs.  ``precision`` and ``f1`` are 0 where no genuine pair was accepted.

    Args:
        tp: Accepted genuine pairs.
        fp: Accepted impostor pairs.
        tn: Rejected impostor pairs.
        fn: Rejected genuine pairs.

    Raises:
        UsageError: A count is negative, or all are zero.
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
        """Return counts and rates for JSON, with None in place of NaN."""
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
    """Every operating point of the scores, from "accept none" to "accept all".  The arrays are read-only.

    Args:
        fmr: The FMR of ``score >= threshold``, never falling, (k,).
        tmr: The true match rate, never falling, (k,).
        thresholds: Infinity first, then each distinct score, strictly falling, (k,).
        impostors: The number of impostor pairs, which bounds the FMRs that can be measured.
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
        """The area under the curve by the trapezoidal rule; see ``auc``."""
        widths = np.diff(self.fmr)
        return float(np.sum(widths * (self.tmr[1:] + self.tmr[:-1])) / 2)

    def fnmr_at_fmr(self, limit: float, supported: bool = True) -> float:
        """Return the lowest FNMR that keeps the FMR at or under ``limit``; 1.0 where all must be rejected.

        Args:
            limit: An FMR.
            supported: Whether to refuse an FMR that the impostor pairs cannot measure.  If not, under 1/n the
                answer is the FNMR at which none of the n impostor pairs is accepted.

        Raises:
            UsageError: The impostor pairs are too few for that FMR (``check_fmr``).
        """
        if supported:
            check_fmr(limit, self.impostors)
        return float(1.0 - self.tmr[np.searchsorted(self.fmr, checked_rate(limit), side="right") - 1])


FMR_CANDIDATES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)


def check_fmr(fmr: float, impostors: int) -> None:
    """Refuse an FMR that so many impostor pairs cannot measure.

    The rule of 3 (ISO/IEC 19795-1:2021): with no error in n independent comparisons the rate lies below 3/n
    at 95 % confidence, so n pairs cannot measure rates below 3/n.  Impostor pairs share people and are not
    independent; the rule is then necessary and not sufficient.

    Raises:
        UsageError: The pairs are too few; the message has the number needed.
    """
    _check_support(fmr, impostors, "an FMR", "impostor pairs")


def check_fpir(fpir: float, searches: int) -> None:
    """Refuse an FPIR that so many non-mated searches cannot measure, by the rule of 3.

    Raises:
        UsageError: The searches are too few.
    """
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
    """Return those of the candidate FMRs that so many impostor pairs can measure; see ``check_fmr``."""
    return tuple(fmr for fmr in candidates if fmr * impostors >= RULE_OF_3 * (1 - 1e-12))


def checked_rate(rate: float) -> float:
    """Return ``rate``.

    Raises:
        UsageError: It does not lie between 0 and 1.
    """
    if not 0 <= rate <= 1:
        raise UsageError(f"a false match rate or any other share lies between 0 and 1, not at {rate}")
    return float(rate)


def confusion(scores: ArrayLike, same: ArrayLike, threshold: float) -> Confusion:
    """Count the decisions of ``score >= threshold``.

    One of the two kinds of pairs may be missing; its rates are then NaN.

    Raises:
        UsageError: The arrays do not fit, are empty, hold NaN or infinity, or the threshold is NaN.
    """
    values, genuine = checked_scores(scores, same)
    if math.isnan(threshold):
        raise UsageError("the threshold is NaN; give a number")
    accepted = values >= threshold
    tp, fp = int(np.sum(accepted & genuine)), int(np.sum(accepted & ~genuine))
    positives = int(genuine.sum())
    return Confusion(tp=tp, fp=fp, tn=len(values) - positives - fp, fn=positives - tp)


def roc(scores: ArrayLike, same: ArrayLike) -> Roc:
    """Return the receiver operating characteristic, one point a distinct score; O(n log n).

    Raises:
        UsageError: As ``confusion``, and where a kind of pairs is missing.
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
    """Return the probability that a genuine pair scores higher than an impostor pair; a tie counts one half.

    The statistic of Mann and Whitney over the number of comparisons, which is the area under the ROC curve.
    Counted in integers, so exact.

    Source: Mann and Whitney, Annals of Mathematical Statistics 18(1), 1947; Hanley and McNeil, Radiology
        143(1),
    1982.

    Raises:
        UsageError: As ``roc``.
    """
    values, genuine = checked_scores(scores, same, both=True)
    impostor = np.sort(values[~genuine])
    below = np.searchsorted(impostor, values[genuine], side="left")
    not_above = np.searchsorted(impostor, values[genuine], side="right")
    twice = int(below.sum(dtype=np.int64)) + int(not_above.sum(dtype=np.int64))
    return twice / (2 * len(below) * len(impostor))


def eer(scores: ArrayLike, same: ArrayLike) -> tuple[float, float]:
    """Return (rate, threshold) of the equal error rate, where FMR and FNMR are equal; O(n log n).

    The rate is where the straight line between the two nearest operating points meets FMR = FNMR, on the ROC
    curve whose area is ``auc``.  The threshold is that of the nearer of the two points, midway as in
    ``best_f1_threshold``.

    Raises:
        UsageError: As ``roc``.
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
    """Return the lowest threshold whose FMR is at most ``fmr``, midway as in ``best_f1_threshold``.

    Genuine pairs may be missing.  Where even the highest score must be rejected, it is the next number above
    it.

    Raises:
        UsageError: As ``confusion``; there are no impostor pairs, or, unless ``supported=False``, too few for
            that FMR (``check_fmr``).
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
    """Return (threshold, F1) of the cut with the highest F1; O(n log n).

    The threshold lies midway between the lowest score accepted and the highest rejected, so that the last
    digit of a score does not decide; where everything is accepted it is the lowest score.  Of several best
    cuts the one that accepts fewest is taken.  The F1 belongs to the pairs on which the threshold was chosen:
    report it on others.

    Raises:
        UsageError: As ``roc``.
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
    """Return a threshold that rejects ``low`` and accepts ``high``: the midpoint.

    Args:
        low: Minus infinity where everything is accepted; the threshold is then ``high``.
        high: Infinity where nothing is accepted; the threshold is then the next number above ``low``.
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
    """Return ``scores`` as float64 and ``same`` as bool, both (n,).

    Args:
        scores: Scores of pairs.
        same: Whether each pair shows one person.
        both: Whether both kinds of pairs are needed.

    Raises:
        UsageError: The arrays do not fit, are empty or not finite, or a kind is missing.
    """
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
