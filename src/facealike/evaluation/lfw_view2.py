"""LFW View 2: ten folds, the threshold of each chosen on the other nine.

What it shares with a plain list of pairs, from the refusal of training people to faces that are not
found, is in ``evaluate.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..datasets.pair_lists import read_pairs
from ..detection.face_policy import LFW_FACE, FacePolicy, face_words
from ..embedding.face_model import Model
from ..errors import DataError, UsageError
from ..imaging.photo_warning import unused_told
from ..metrics.verification import roc
from ..types import Pair
from ..utils.escape import markdown, shown
from ..utils.result import Result
from ..utils.wording import copies_told, rate_text
from .verification import evaluate_pairs
from .verification_result import Evaluation

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FARS = (0.1, 0.01, 0.001)
"""The false accept rates of the summary; 3,000 impostor pairs support no lower one (rule of 3)."""


# ---- LFW View 2 -------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class Fold(Result):
    """One fold: its accuracy at ``threshold``, the best one on the comparisons of all other folds.

    ``failures`` of the ``pairs`` were not compared, for a face was not found, and count as wrong.
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


@dataclass(frozen=True, eq=False, repr=False)
class View2(Result):
    """The result of LFW View 2 (Huang, Ramesh, Berg and Learned-Miller, UMass TR 07-49, 2007).

    The protocol asks for an answer to every pair.  One in which a face was not found has none (ISO/IEC
    19795-1: failure to acquire) and counts as wrong in the accuracy, whatever its truth, so that no failure
    helps; a threshold is chosen on the comparisons made.

    LFW names the person in the middle of each photo, so the protocol needs the ``central`` face;
    ``evaluation.face`` is the policy that was used.

    ``evaluation`` holds the scores of all folds together, at one threshold, which the folds do not
    use; ROC, AUC and the TAR at a FAR are of those.
    """

    folds: tuple[Fold, ...]
    evaluation: Evaluation

    @cached_property
    def accuracy(self) -> float:
        """The mean of the folds' accuracies."""
        return float(np.mean([fold.accuracy for fold in self.folds]))

    @cached_property
    def standard_error(self) -> float:
        """The standard error of that mean: the folds' standard deviation (n - 1) over sqrt(n).

        The folds share nine tenths of what their thresholds are chosen on, so it is slightly too low.
        """
        return float(np.std([fold.accuracy for fold in self.folds], ddof=1) / math.sqrt(len(self.folds)))

    @cached_property
    def tar_at_far(self) -> dict[float, float]:
        """The share of genuine pairs accepted at each FAR that the impostor pairs support.

        Over all pairs: one in which a face was not found is rejected.
        """
        supported = [far for far in FARS if far * self.evaluation.impostor >= 3]
        curve = roc(self.evaluation.scores, self.evaluation.same)
        return {far: 1 - curve.fnmr_at_fmr(far) for far in supported}

    def to_dict(self) -> dict[str, Any]:
        return {
            "protocol": "lfw-view2",
            "name": self.evaluation.name,
            "face": self.evaluation.face,
            "accuracy": round(self.accuracy, 6),
            "standard_error": round(self.standard_error, 6),
            "folds": [fold.to_dict() for fold in self.folds],
            "tar_at_far": {str(far): round(tar, 6) for far, tar in self.tar_at_far.items()},
            "pooled": self.evaluation.to_dict(),
        }

    def for_card(self) -> dict[str, Any]:
        """The same for a model card, which names no photo: those left out are counted."""
        return {**self.to_dict(), "pooled": self.evaluation.for_card()}

    def to_markdown(self) -> str:
        """The folds as a table, with the mean below."""
        rows = [
            f"| {fold.fold} | {fold.accuracy:.4f} | {fold.threshold:.4f} | {fold.pairs:,} |"
            for fold in self.folds
        ]
        head = ["| Fold | Accuracy | Threshold | Pairs |", "| ---: | ---: | ---: | ---: |"]
        mean = f"{self.accuracy:.4f} ± {self.standard_error:.4f}"
        last = f"| **mean** | **{mean}** | | {self.evaluation.pairs:,} |"
        return "\n".join([*head, *rows, last, "", markdown(str(self))]) + "\n"

    def __str__(self) -> str:
        tars = ", ".join(f"{tar:.1%} at FAR {rate_text(far)}" for far, tar in self.tar_at_far.items())
        doubts = {
            False: "",
            True: "; LEAKED: people of these pairs took part in training",
            None: "; whether people of these pairs took part in training is not known",
        }
        return (
            f"{self.evaluation.name}: accuracy {self.accuracy:.2%} +- {self.standard_error:.2%} (mean and "
            f"standard error of {len(self.folds)} folds, each at the threshold that is best on the others), "
            f"AUC {self.evaluation.auc:.4f}"
            + (f", TAR {tars}" if tars else "")
            + self._face_told()
            + self._failures_told()
            + copies_told(0, self.evaluation.copied_pairs)
            + doubts[self.evaluation.leaked]
        )

    def _face_told(self) -> str:
        """Which face of each photo was used, to follow on the result; empty where it was not recorded."""
        used = self.evaluation.face
        if used is None:
            return ""
        asked = (
            "as the protocol needs" if used == LFW_FACE else f"but the protocol needs {face_words(LFW_FACE)}"
        )
        return f"; {face_words(used)} of each photo, {asked}"

    def _failures_told(self) -> str:
        """How many pairs were not compared and what they count as, to follow on the result."""
        found = self.evaluation
        if not found.failures:
            return ""
        acquired = (
            ""
            if found.fta is None
            else f"; failure to acquire: {rate_text(found.fta)} of {found.photos:,} photos"
        )
        return (
            f"; in {found.failures:,} of the {found.pairs:,} pairs a face was not found: wrong in the "
            f"accuracy, rejected in TAR and FAR, not in the AUC{acquired}"
            + unused_told(found.unused, of="photos without a face")
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """The ROC curve of all folds together; see ``Evaluation.plot``."""
        return self.evaluation.plot(ax)


def best_accuracy_threshold(scores: ArrayLike, same: ArrayLike) -> tuple[float, float]:
    """(threshold, accuracy): the cut that judges most of these pairs rightly; O(n log n).

    Midway between two scores, as ``best_f1_threshold`` has it; of several best cuts the one that
    accepts fewest.  The accuracy belongs to the pairs it was chosen on: report it on others.
    """
    curve = roc(scores, same)
    truth = np.asarray(same, dtype=np.bool_)
    genuine, impostor = int(truth.sum()), int((~truth).sum())
    # Whole numbers, so that equally good cuts tie.
    right = np.rint(curve.tmr * genuine).astype(int) + np.rint((1 - curve.fmr) * impostor).astype(int)
    best = int(np.argmax(right))
    cuts = curve.thresholds
    if best == 0:  # accepting nobody is best; any number above all scores does that
        threshold = float(np.nextafter(cuts[1], np.inf))
    elif best + 1 < len(cuts):
        middle = float(cuts[best] / 2 + cuts[best + 1] / 2)
        threshold = middle if middle > cuts[best + 1] else float(cuts[best])
    else:
        threshold = float(cuts[best])
    return threshold, int(right[best]) / len(truth)


def view2(evaluation: Evaluation, folds: ArrayLike) -> View2:
    """Judge each fold at the threshold that is best on all others; ``folds`` is (n,), one a pair.

    Raises DataError where there are fewer than two folds, or one without pairs of both kinds.
    """
    number = np.asarray(folds, dtype=np.int64)
    if number.shape != evaluation.scores.shape:
        raise UsageError(f"{evaluation.pairs} pairs need as many folds, not shape {number.shape}")
    each = np.unique(number)
    if len(each) < 2:
        raise DataError(f"{evaluation.name}: the protocol needs two folds or more, as LFW's pairs.txt has")
    judged: list[Fold] = []
    for fold in each.tolist():
        mine = number == fold
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
        judged.append(Fold(fold, float(right.mean()), threshold, len(right), int(np.sum(~made[mine]))))
    return View2(tuple(judged), evaluation)


def fold_numbers(pairs: Sequence[Pair], name: str) -> NDArray[np.int64]:
    """The fold of each pair (n,).  Raises DataError where one has none, or a person is in two folds."""
    numbers = [pair.fold for pair in pairs]
    if any(number is None for number in numbers):
        raise DataError(
            f"{name}: not every pair has a fold; give LFW's pairs.txt, or a CSV with the column fold"
        )
    folds_of: dict[str, set[int]] = {}
    for pair in pairs:
        for path in (pair.a, pair.b):
            folds_of.setdefault(Path(path).parent.name, set()).add(int(pair.fold or 0))
    twice = sorted(person for person, found in folds_of.items() if len(found) > 1)
    if twice:
        raise DataError(
            f"{name}: {len(twice):,} people are in more than one fold ({shown(', '.join(twice[:3]))}"
            f"{', ...' if len(twice) > 3 else ''}); folds must not share people, so correct the list"
        )
    return np.array(numbers, dtype=np.int64)


def evaluate_view2(
    model: Model, root: str | Path, pairs_file: str | Path, face: FacePolicy = LFW_FACE,
    allow_overlap: bool = False, cache: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None, strict: bool = False,
) -> View2:  # fmt: skip
    """LFW View 2 for one model: ``pairs_file`` is LFW's official ``pairs.txt``, ``root`` its photos.

    The protocol needs the ``central`` face of each photo, so that is the default here and nowhere else.

    For a model that was trained elsewhere.  One that was trained on people of these pairs is refused
    (PeopleOverlap; who calibrated it does not matter, for each fold has a threshold of its own), or marked
    with ``allow_overlap``; to train on LFW itself and still report this figure, train one model for each
    fold (``facealike train --protocol lfw-view2``).

    Raises the errors of ``evaluate_pairs``, and DataError for a list without folds.
    """
    pairs = read_pairs(pairs_file, root)
    folds = fold_numbers(pairs, shown(pairs_file))
    # Each fold gets a threshold of its own, so a model without one can be measured too.
    own = model.file.calibration
    any_threshold = own.threshold if own.is_none else None
    evaluation = evaluate_pairs(
        model, pairs, "LFW View 2", face, allow_overlap, cache, progress, any_threshold, calibration=False,
        strict=strict,
    )  # fmt: skip
    return view2(evaluation, folds)
