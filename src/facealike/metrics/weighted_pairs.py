"""Statistics of weighted pairs, for many sets of weights at once.

The scores are sorted once.  For a block of resamples, a row of weights each, everything else is a cumulative
sum along the rows and look-ups in it: no sorting and no loop over resamples.  With all weights 1 the rates
and rules are those of ``facealike.metrics.verification``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import UsageError
from .verification import checked_scores, midway

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Pairs:
    """Labelled pairs with the person of each side, sorted by score.

    Args:
        scores: Scores, (n,).
        same: Whether each pair shows one person, (n,).
        first: The person of one side of each pair, integers (n,).
        second: The person of the other side, (n,).
        weights: How much each pair counts, (n,); 1 if None.

    Raises:
        UsageError: The arrays do not fit.
    """

    def __init__(
        self, scores: ArrayLike, same: ArrayLike, first: ArrayLike, second: ArrayLike,
        weights: ArrayLike | None = None,
    ) -> None:  # fmt: skip
        values, truth = checked_scores(scores, same, both=True)
        sides = _checked_people(truth, first, second)
        own = None if weights is None else _checked_weights(len(values), weights)
        names, index = np.unique(sides, return_inverse=True)
        index = index.reshape(sides.shape)  # NumPy 2.0.0 may return it flat
        order = np.argsort(values, kind="stable")
        genuine, impostor = order[truth[order]], order[~truth[order]]
        self.people, self.size = len(names), len(values)
        self.distinct = np.unique(values)
        self.genuine, self.impostor = values[genuine], values[impostor]
        self._genuine_person = index[0, genuine]
        self._impostor_people = index[0, impostor], index[1, impostor]
        # The unordered pair of people that an impostor pair belongs to.
        key = np.sort(index[:, impostor], axis=0)
        dyads, self._dyad = np.unique(key[0] * len(names) + key[1], return_inverse=True)
        self.dyads = len(dyads)
        self.pairs_of_people = np.bincount(index.ravel(), minlength=len(names)).astype(np.int64)
        self._own = None if own is None else (own[genuine], own[impostor])
        self.genuine_total = float(len(genuine) if own is None else own[genuine].sum())
        self.impostor_total = float(len(impostor) if own is None else own[impostor].sum())
        if not (self.genuine_total > 0 and self.impostor_total > 0):
            raise UsageError("the weights of all genuine or of all impostor pairs are zero")
        # Lower bound of the effective sample size (Kish, 1965), reached where all pairs that share a person
        # agree.  An impostor pair shares a person with those of both its people.  A pair counts for its
        # weight: after thinning one may stand for thousands.
        heavy = (None, None) if self._own is None else self._own
        of_one = np.bincount(self._genuine_person, heavy[0]).astype(np.float64)
        both = None if heavy[1] is None else np.tile(heavy[1], 2)
        of_each = np.bincount(index[:, impostor].ravel(), both).astype(np.float64)
        of_dyads = np.bincount(self._dyad, heavy[1]).astype(np.float64)
        self.genuine_people = int(np.sum(of_one > 0))
        self.genuine_effective_size = float(self.genuine_total**2 / np.sum(of_one**2))
        self.impostor_effective_size = float(
            self.impostor_total**2 / (np.sum(of_each**2) - np.sum(of_dyads**2))
        )
        # The smallest change of a rate by the error of one pair.
        self.genuine_step = _least(heavy[0]) / self.genuine_total
        self.impostor_step = _least(heavy[1]) / self.impostor_total
        self.genuine_share = self.genuine_total / (self.genuine_total + self.impostor_total)
        # How many scores of a kind lie below each distinct score and, last, below infinity.
        self.genuine_below = np.append(np.searchsorted(self.genuine, self.distinct), len(genuine))
        self.impostor_below = np.append(np.searchsorted(self.impostor, self.distinct), len(impostor))

    def block(self, multiplicity: Floats) -> Block:
        """Return b resamples in which each person was drawn ``multiplicity`` (b, people) times."""
        one, other = self._impostor_people
        return self._block(
            multiplicity[:, self._genuine_person], multiplicity[:, one] * multiplicity[:, other]
        )

    def dyad_block(self, weights: Floats) -> Block:
        """Return b resamples in which each pair of people has the weight ``weights`` (b, dyads)."""
        return self._block(np.ones((len(weights), len(self.genuine))), weights[:, self._dyad])

    def _block(self, genuine: Floats, impostor: Floats) -> Block:
        if self._own is not None:
            genuine, impostor = genuine * self._own[0], impostor * self._own[1]
        return Block(self, genuine, impostor)


def _least(weights: Floats | None) -> float:
    """Return the lowest positive weight of a pair, 1 without weights."""
    return 1.0 if weights is None else float(weights[weights > 0].min())


def _checked_people(truth: Bools, first: ArrayLike, second: ArrayLike) -> Indices:
    """Return the people of both sides, (2, n)."""
    one, other = np.asarray(first), np.asarray(second)
    if one.shape != truth.shape or other.shape != truth.shape:
        raise UsageError(
            f"each of the {len(truth)} pairs needs the person of either side, not arrays of shapes "
            f"{one.shape} and {other.shape}"
        )
    if not (np.issubdtype(one.dtype, np.integer) and np.issubdtype(other.dtype, np.integer)):
        raise UsageError("the people of the pairs must be integers, one a person")
    if not np.array_equal(one == other, truth):
        wrong = int(np.flatnonzero((one == other) != truth)[0])
        kind = "a genuine pair of two people" if truth[wrong] else "an impostor pair of one person"
        raise UsageError(f"pair {wrong + 1} is {kind}; the people and the truth contradict each other")
    return np.stack([one, other]).astype(np.int64)


def _checked_weights(count: int, weights: ArrayLike) -> Floats:
    own = np.asarray(weights, dtype=np.float64)
    if own.shape != (count,) or not np.isfinite(own).all() or (own < 0).any():
        raise UsageError(
            f"the weights of {count} pairs must be as many finite numbers, none of them negative"
        )
    return own


class Block:
    """b resamples side by side; every statistic is (b,), NaN in a row that lacks a kind of pairs.

    The genuine and the impostor pairs keep in each row the share of the total weight that they have in the
    original pairs: it is a property of the list of pairs, and not of the people drawn.
    """

    def __init__(self, pairs: Pairs, genuine: Floats, impostor: Floats) -> None:
        self._pairs, self._weights = pairs, genuine
        # Column j: the weight of the j lowest scores.  Sums of integers are exact.
        self._genuine, self._impostor = _cumulative(genuine), _cumulative(impostor)

    def fmr(self, threshold: float) -> Floats:
        """Return the share of the impostor weight at or above the threshold."""
        return self._fmr(int(np.searchsorted(self._pairs.impostor, threshold)))

    def fnmr(self, threshold: float) -> Floats:
        """Return the share of the genuine weight below the threshold."""
        return self._fnmr(int(np.searchsorted(self._pairs.genuine, threshold)))

    def accuracy(self, threshold: float) -> Floats:
        """Return the share of correct decisions."""
        share = self._pairs.genuine_share
        return 1.0 - share * self.fnmr(threshold) - (1.0 - share) * self.fmr(threshold)

    def f1(self, threshold: float) -> Floats:
        """Return 2 tp / (2 tp + fp + fn)."""
        return _f1(self._pairs.genuine_share, self.fmr(threshold), self.fnmr(threshold))

    def auc(self) -> Floats:
        """Return the probability that a genuine pair scores above an impostor pair; a tie counts one half."""
        pairs = self._pairs
        below = self._impostor[:, np.searchsorted(pairs.impostor, pairs.genuine, "left")]
        not_above = self._impostor[:, np.searchsorted(pairs.impostor, pairs.genuine, "right")]
        wins = np.einsum("ij,ij->i", self._weights, below) + np.einsum("ij,ij->i", self._weights, not_above)
        return _share(wins, 2 * self._genuine[:, -1] * self._impostor[:, -1])

    def eer(self) -> Floats:
        """Return the rate where FMR and FNMR meet on the straight line between two operating points."""
        cut = self._first(lambda fmr, fnmr: fnmr >= fmr)
        fmr, fnmr = self._rates(cut)
        fmr_before, fnmr_before = self._rates(cut - 1)
        gap_before = fmr_before - fnmr_before
        return fmr_before + _share(gap_before, gap_before + fnmr - fmr) * (fmr - fmr_before)

    def fnmr_at_fmr(self, limit: float) -> Floats:
        """Return the lowest FNMR that keeps the FMR at or under ``limit``."""
        fmr, fnmr = self._rates(self._first(lambda fmr, fnmr: fmr <= limit))
        return np.where(np.isnan(fmr), np.nan, fnmr)

    def threshold_at_fmr(self, limit: float) -> Floats:
        """Return the lowest threshold that keeps the FMR at or under ``limit``."""
        return self._threshold(self._first(lambda fmr, fnmr: fmr <= limit))

    def best_f1_threshold(self) -> Floats:
        """Return the threshold with the highest F1, the highest of several."""
        pairs = self._pairs
        # A best cut lies at a genuine score: accepting more impostor pairs alone does not raise F1.
        lowest = np.flatnonzero(np.r_[True, np.diff(pairs.genuine) != 0])
        below = np.searchsorted(pairs.impostor, pairs.genuine[lowest])
        fp = (self._impostor[:, -1:] - self._impostor[:, below]) * self._impostor_factor()[:, np.newaxis]
        tp = self._genuine[:, -1:] - self._genuine[:, lowest]
        f1 = _share(2 * tp, tp + fp + self._genuine[:, -1:])
        best = f1.shape[1] - 1 - np.argmax(f1[:, ::-1], axis=1)
        return self._threshold(np.searchsorted(pairs.distinct, pairs.genuine[lowest[best]]))

    def _impostor_factor(self) -> Floats:
        """The factor that keeps the share of the impostor weight; exactly 1 for ones."""
        own = self._pairs.genuine_total, self._pairs.impostor_total
        return _share(own[1] * self._genuine[:, -1], own[0] * self._impostor[:, -1])

    def _fmr(self, below: Indices | int) -> Floats:
        total = self._impostor[:, -1]
        return _share(total - self._impostor[np.arange(len(total)), below], total)

    def _fnmr(self, below: Indices | int) -> Floats:
        total = self._genuine[:, -1]
        return _share(self._genuine[np.arange(len(total)), below], total)

    def _rates(self, cut: Indices) -> tuple[Floats, Floats]:
        """FMR and FNMR with the ``cut``-th distinct score of each row as threshold; the last is infinity."""
        return self._fmr(self._pairs.impostor_below[cut]), self._fnmr(self._pairs.genuine_below[cut])

    def _first(self, fits: Callable[[Floats, Floats], Bools]) -> Indices:
        """The lowest cut of each row that fits, where all above it do; infinity always does."""
        return self._bisect(lambda cut: fits(*self._rates(cut)))

    def _bisect(self, fits: Callable[[Indices], Bools]) -> Indices:
        low = np.zeros(len(self._weights), dtype=np.int64)
        high = np.full_like(low, len(self._pairs.distinct))
        while (low < high).any():
            middle = (low + high) // 2
            found = fits(middle)
            high = np.where(found, middle, high)
            low = np.where(found, low, np.minimum(middle + 1, high))
        return low

    def _threshold(self, cut: Indices) -> Floats:
        """The midpoint of the lowest accepted and the highest rejected score with a positive weight."""
        rows = np.arange(len(cut))
        empty = (self._genuine[:, -1] == 0) | (self._impostor[:, -1] == 0)

        def weight(at: Indices) -> tuple[Floats, Floats]:
            genuine, impostor = self._pairs.genuine_below[at], self._pairs.impostor_below[at]
            return self._genuine[rows, genuine], self._impostor[rows, impostor]

        genuine, impostor = weight(cut)

        def more(at: Indices) -> Bools:
            found = weight(at)
            return (found[0] > genuine) | (found[1] > impostor)

        def as_much(at: Indices) -> Bools:
            found = weight(at)
            return (found[0] >= genuine) & (found[1] >= impostor)

        # The scores from ``rejected`` to below ``accepted`` have no weight, so each is the same cut.
        last = len(self._pairs.distinct)
        accepted = np.where(more(np.full_like(cut, last)), self._bisect(more) - 1, last)
        rejected = self._bisect(as_much) - 1
        scores = self._pairs.distinct
        above = np.where(accepted < last, scores[np.minimum(accepted, last - 1)], np.inf)
        below = np.where(rejected >= 0, scores[np.maximum(rejected, 0)], -np.inf)
        thresholds = np.array([midway(low, high) for low, high in zip(below, above, strict=True)])
        return np.where(empty, np.nan, thresholds)


def _cumulative(weights: Floats) -> Floats:
    """(b, n) to (b, n + 1), the first column zero."""
    out = np.zeros((weights.shape[0], weights.shape[1] + 1))
    np.cumsum(weights, axis=1, out=out[:, 1:])
    return out


def _share(part: Floats, whole: Floats) -> Floats:
    """``part / whole``, NaN where there is no whole."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(whole > 0, part / whole, np.nan)


def _f1(share: float, fmr: Floats, fnmr: Floats) -> Floats:
    tp = share * (1.0 - fnmr)
    return 2 * tp / (tp + share + (1.0 - share) * fmr)
