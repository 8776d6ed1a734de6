"""Evaluate LFW View 2: ten folds, the threshold of each chosen on the other nine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..datasets.pair_lists import read_pairs
from ..detection.face_policy import LFW_FACE, FacePolicy, face_words
from ..embedding.face_model import Model
from ..errors import DataError, UsageError
from ..imaging.photo_warning import unused_summary
from ..metrics.verification import roc
from ..types import Pair
from ..utils.escape import markdown, shown
from ..utils.markdown_table import markdown_table
from ..utils.result import Result
from ..utils.wording import copies_note, rate_text
from .evaluator import DEFAULT_OPTIONS, EvaluationKeywords, EvaluationOptions
from .fold_accuracy import Fold, FoldAccuracy, fold_accuracy
from .leakage import person_of
from .verification import PairEvaluator
from .verification_result import Evaluation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from typing_extensions import Unpack

FARS = (0.1, 0.01, 0.001)
"""The FARs of the summary; 3,000 impostor pairs support no lower one (rule of 3)."""


@dataclass(frozen=True, eq=False, repr=False)
class View2(Result):
    """The result of LFW View 2.

    The protocol needs an answer for every pair.  One in which a face was not found has none (ISO/IEC 19795-1:
    failure to acquire) and counts as wrong in the accuracy, whatever its truth, so that no failure improves
    it; a threshold is chosen on the comparisons made.  LFW names the person in the center of each photo, so
    the protocol needs the ``central`` face; ``evaluation.face`` is the policy that was used.

    Source: Huang, Ramesh, Berg and Learned-Miller, UMass TR 07-49, 2007.

    Examples:
        >>> result = evaluate_view2(Model.load(), "lfw", "pairs.txt")
        >>> print(result.accuracy, result.standard_error)

    Args:
        folds: The result of each fold.
        evaluation: The scores of all folds together, at one threshold, which the folds do not use; ROC, AUC
            and the TAR at a FAR are of those.
    """

    folds: tuple[Fold, ...]
    evaluation: Evaluation

    @property
    def metrics(self) -> dict[str, float]:
        """The figures by name: the accuracy, its standard error and the TAR at each FAR."""
        tars = {f"tar@{far:g}": tar for far, tar in self.tar_at_far.items()}
        return {"accuracy": self.accuracy, "standard_error": self.standard_error, **tars}

    @property
    def primary(self) -> str:
        """The name of the figure to compare models by: the accuracy."""
        return "accuracy"

    @property
    def accuracy(self) -> float:
        """The mean of the folds' accuracies."""
        return FoldAccuracy(self.folds).accuracy

    @property
    def standard_error(self) -> float:
        """The standard error of that mean; see ``FoldAccuracy.standard_error``."""
        return FoldAccuracy(self.folds).standard_error

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
        """Return the result for a model card, which counts the photos left out and names none."""
        return {**self.to_dict(), "pooled": self.evaluation.for_card()}

    def to_markdown(self) -> str:
        """Return the folds as a table, with the mean below."""
        rows = [
            [str(fold.fold), f"{fold.accuracy:.4f}", f"{fold.threshold:.4f}", f"{fold.pairs:,}"]
            for fold in self.folds
        ]
        mean = f"**{self.accuracy:.4f} ± {self.standard_error:.4f}**"
        rows.append(["**mean**", mean, "", f"{self.evaluation.pairs:,}"])
        table = markdown_table(["Fold", "Accuracy", "Threshold", "Pairs"], rows, text_columns=())
        return f"{table}\n\n{markdown(str(self))}\n"

    def __str__(self) -> str:
        tars = ", ".join(f"{tar:.1%} at FAR {rate_text(far)}" for far, tar in self.tar_at_far.items())
        doubts = {
            False: "",
            True: "; LEAKED: people of these pairs took part in training",
            None: "; whether people of these pairs took part in training is not known",
        }
        return (
            f"{self.evaluation.name}: {FoldAccuracy(self.folds)}, AUC {self.evaluation.auc:.4f}"
            + (f", TAR {tars}" if tars else "")
            + self._face_text()
            + self._failures_text()
            + copies_note(0, self.evaluation.copied_pairs)
            + doubts[self.evaluation.leaked]
        )

    def _face_text(self) -> str:
        """The face policy in words; empty where it was not recorded."""
        used = self.evaluation.face
        if used is None:
            return ""
        asked = (
            "as the protocol needs" if used == LFW_FACE else f"but the protocol needs {face_words(LFW_FACE)}"
        )
        return f"; {face_words(used)} of each photo, {asked}"

    def _failures_text(self) -> str:
        """How many pairs were not compared and what they count as, in words."""
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
            + unused_summary(found.unused, of="photos without a face")
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the ROC curve of all folds together; see ``Evaluation.plot``."""
        return self.evaluation.plot(ax)


def view2(evaluation: Evaluation, folds: ArrayLike) -> View2:
    """Evaluate each fold at the threshold that is best on all others.

    Args:
        evaluation: The scores of all pairs.
        folds: The fold of each pair, (n,).

    Raises:
        DataError: There are fewer than two folds, or one has no pairs of both kinds.
        UsageError: The shapes do not fit.
    """
    number = np.asarray(folds, dtype=np.int64)
    if number.shape != evaluation.scores.shape:
        raise UsageError(f"{evaluation.pairs} pairs need as many folds, not shape {number.shape}")
    return View2(fold_accuracy(evaluation, number).folds, evaluation)


def fold_numbers(pairs: Sequence[Pair], name: str) -> NDArray[np.int64]:
    """Return the fold of each pair (n,).

    Raises:
        DataError: A pair has none, or a person is in two folds.
    """
    numbers = [pair.fold for pair in pairs]
    if any(number is None for number in numbers):
        raise DataError(
            f"{name}: not every pair has a fold; give LFW's pairs.txt, or a CSV with the column fold"
        )
    folds_of: dict[str, set[int]] = {}
    for pair in pairs:
        for person in pair.people or (person_of(pair.a), person_of(pair.b)):
            folds_of.setdefault(person, set()).add(int(pair.fold or 0))
    twice = sorted(person for person, found in folds_of.items() if len(found) > 1)
    if twice:
        raise DataError(
            f"{name}: {len(twice):,} people are in more than one fold ({shown(', '.join(twice[:3]))}"
            f"{', ...' if len(twice) > 3 else ''}); folds must not share people, so correct the list"
        )
    return np.array(numbers, dtype=np.int64)


@dataclass(frozen=True)
class View2Evaluator:
    """Evaluate LFW View 2: ten folds, the threshold of each chosen on the other nine.

    For a model that was trained elsewhere.  To train on LFW itself and still report this figure, train one
    model for each fold (``facealike train --protocol lfw-view2``).  The protocol needs the ``central`` face
    of each photo, so that is the default here and nowhere else.  Each fold has a threshold of its own, so who
    calibrated the model does not matter, and the model needs no threshold.

    Uses the option ``allow_overlap``.

    Examples:
        >>> View2Evaluator("lfw", "pairs.txt")(Model.load()).accuracy

    Args:
        root: The folder of LFW's people.
        pairs_file: LFW's official ``pairs.txt``, or a CSV with the column ``fold``.
        options: See ``EvaluationOptions``.

    Raises:
        DataError: The list has no folds, or a person is in two of them.
        FacealikeError: The errors of ``PairEvaluator``.
    """

    root: str | Path
    pairs_file: str | Path
    options: EvaluationOptions = DEFAULT_OPTIONS

    def __post_init__(self) -> None:
        self.options.check_used("View2Evaluator", "allow_overlap")

    def __call__(self, model: Model) -> View2:
        """Return the accuracy of each fold by ``model``."""
        pairs = read_pairs(self.pairs_file, self.root)
        folds = fold_numbers(pairs, shown(self.pairs_file))
        own = model.file.calibration
        # A model without a threshold can be measured too: the pooled one is not used by the folds.
        options = replace(
            self.options, face=self.options.face or LFW_FACE, threshold=own.threshold if own.is_none else None
        )
        return view2(PairEvaluator(pairs, "LFW View 2", options, calibration=False)(model), folds)


def evaluate_view2(
    model: Model, root: str | Path, pairs_file: str | Path, face: FacePolicy = LFW_FACE,
    **options: Unpack[EvaluationKeywords],
) -> View2:  # fmt: skip
    """Evaluate LFW View 2 for one model.

    Short for ``View2Evaluator(root, pairs_file, EvaluationOptions(face, ...))(model)``: arguments, options
    and errors are those of ``View2Evaluator`` and ``EvaluationOptions``.

    Examples:
        >>> evaluate_view2(Model.load(), "lfw", "pairs.txt")
    """
    return View2Evaluator(root, pairs_file, EvaluationOptions(face=face, **options))(model)
