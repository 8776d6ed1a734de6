"""Accuracy over folds, the threshold of each chosen on the others: the figure that papers on pairs quote."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError
from ..metrics.verification import roc
from ..utils.result import Result, Shown

if TYPE_CHECKING:
    from .verification_result import Evaluation


@dataclass(frozen=True, repr=False)
class Fold(Result):
    """One fold of a list of pairs.

    Args:
        fold: Its number.
        accuracy: At ``threshold``; a pair without a comparison counts as wrong.
        threshold: The best one on the comparisons of all other folds.
        pairs: The number of pairs.
        failures: How many of them were not compared, because a face was not found.
    """

    fold: int
    accuracy: float
    threshold: float
    pairs: int
    failures: int = 0

    def to_dict(self) -> dict[str, Any]:
        return {
            "fold": self.fold,
            "accuracy": round(self.accuracy, 6),
            "threshold": self.threshold,
            "pairs": self.pairs,
            "failures": self.failures,
        }


@dataclass(frozen=True, repr=False)
class FoldAccuracy(Shown):
    """The accuracies of folds, and what papers quote of them.

    Args:
        folds: The result of each fold.
    """

    folds: tuple[Fold, ...]

    @cached_property
    def accuracy(self) -> float:
        """The mean of the folds' accuracies."""
        return float(np.mean([fold.accuracy for fold in self.folds]))

    @cached_property
    def standard_error(self) -> float:
        """The standard error of that mean: the folds' standard deviation (n - 1) over sqrt(n).

        The folds share nine tenths of the pairs that their thresholds are chosen on, so it is slightly too
        low.
        """
        return float(np.std([fold.accuracy for fold in self.folds], ddof=1) / math.sqrt(len(self.folds)))

    def to_dict(self) -> dict[str, Any]:
        return {
            "accuracy": round(self.accuracy, 6),
            "standard_error": round(self.standard_error, 6),
            "count": len(self.folds),
        }

    def __str__(self) -> str:
        return (
            f"accuracy {self.accuracy:.2%} +- {self.standard_error:.2%} (mean and standard error of "
            f"{len(self.folds)} folds, each at the threshold that is best on the others)"
        )


def fold_accuracy(evaluation: Evaluation, folds: NDArray[np.int64]) -> FoldAccuracy:
    """Evaluate each fold at the threshold that is best on all others.

    Args:
        evaluation: The scores of all pairs.
        folds: The fold of each pair, (n,).

    Raises:
        DataError: There are fewer than two folds, or one has no pairs of both kinds.
    """
    each = np.unique(folds)
    if len(each) < 2:
        raise DataError(f"{evaluation.name}: the protocol needs two folds or more, as LFW's pairs.txt has")
    results: list[Fold] = []
    for fold in each.tolist():
        mine = folds == fold
        truth = evaluation.same[mine]
        if truth.all() or not truth.any():
            raise DataError(f"{evaluation.name}: fold {fold} has no pairs of both kinds; check the list")
        made = evaluation.compared
        others = ~mine & made
        if evaluation.same[others].all() or not evaluation.same[others].any():
            raise DataError(
                f"{evaluation.name}: outside fold {fold} no pairs of both kinds were compared; check "
                "the photos"
            )
        threshold, _ = best_accuracy_threshold(evaluation.scores[others], evaluation.same[others])
        right = ((evaluation.scores[mine] >= threshold) == truth) & made[mine]
        results.append(Fold(fold, float(right.mean()), threshold, len(right), int(np.sum(~made[mine]))))
    return FoldAccuracy(tuple(results))


def best_accuracy_threshold(scores: ArrayLike, same: ArrayLike) -> tuple[float, float]:
    """Return (threshold, accuracy) of the cut with the most correct decisions; O(n log n).

    Midway between two scores, as in ``best_f1_threshold``; of several best cuts the one that accepts fewest.
    The accuracy belongs to the pairs it was chosen on: report it on others.
    """
    curve = roc(scores, same)
    truth = np.asarray(same, dtype=np.bool_)
    genuine, impostor = int(truth.sum()), int((~truth).sum())
    # Integers, so that equally good cuts tie.
    right = np.rint(curve.tmr * genuine).astype(int) + np.rint((1 - curve.fmr) * impostor).astype(int)
    best = int(np.argmax(right))
    cuts = curve.thresholds
    if best == 0:  # rejecting every pair is best; any number above all scores does that
        threshold = float(np.nextafter(cuts[1], np.inf))
    elif best + 1 < len(cuts):
        middle = float(cuts[best] / 2 + cuts[best + 1] / 2)
        threshold = middle if middle > cuts[best + 1] else float(cuts[best])
    else:
        threshold = float(cuts[best])
    return threshold, int(right[best]) / len(truth)
