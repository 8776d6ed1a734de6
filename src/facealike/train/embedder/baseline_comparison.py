"""Compare a trained model with the default model on the same test pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ...detection.face_policy import FacePolicy
from ...embedding.face_model import Model
from ...errors import FacealikeError
from ...evaluation.leakage import find_overlap
from ...evaluation.verification import evaluate_pairs
from ...evaluation.verification_result import Evaluation
from ...metrics.bootstrap import Interval, difference_interval
from ...metrics.verification import confusion
from ...types import Pair
from ...utils.result import Result


@dataclass(frozen=True, repr=False)
class BaselineComparison(Result):
    """F1 of a trained model and of the default model, each at its own threshold, on the same pairs.

    Args:
        yours: F1 of the trained model on the pairs that both models compared.
        people: People of these pairs.
        baseline: F1 of the default model; None if it could not be run.
        baseline_id: Its id.
        difference: ``yours`` minus ``baseline``, with its confidence interval.
        known: People of the pairs that the default model was trained on.
        reason: Why the default model could not be run.
        calibrated: People of the pairs that it was calibrated on.
        failures: Further pairs in which one of the models found no face.
    """

    ASK: ClassVar[str] = "ask .difference, an interval"

    yours: float
    people: int | None
    baseline: float | None = None
    baseline_id: str = ""
    difference: Interval | None = None
    known: int = 0
    reason: str = ""
    calibrated: int = 0
    failures: int = 0

    def __str__(self) -> str:
        if self.difference is None or self.baseline is None:
            return f"the default model could not be run on these photos ({self.reason})"
        gap = self.difference
        if gap.low > 0:
            verdict = f"your model is better by {gap.estimate:.3f} [{gap.low:.3f}, {gap.high:.3f}]"
        elif gap.high < 0:
            verdict = f"your model is worse by {-gap.estimate:.3f} [{-gap.high:.3f}, {-gap.low:.3f}]"
        else:
            verdict = (
                f"no significant difference: {gap.estimate:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}] for yours"
            )
        who = f"{self.people:,} people that neither was trained on"
        if self.known:
            who = (
                f"{self.people:,} people that yours was not trained on, but the default model was on "
                f"{self.known:,} of them, which flatters it"
            )
        elif self.calibrated:
            who += f"; the default model was calibrated on {self.calibrated:,} of them, which flatters it"
        if self.failures:
            who += f"; {self.failures:,} more pairs in which one of the two found no face are left out"
        return f"{verdict} (F1 {self.yours:.3f} and {self.baseline:.3f}, on {who})"

    def to_dict(self) -> dict[str, Any]:
        return {
            "text": str(self),
            "statistic": "f1",
            "yours": self.yours,
            "shipped": self.baseline,
            "shipped_id": self.baseline_id,
            "difference": None if self.difference is None else self.difference.to_dict(),
            "people": self.people,
            "known_to_shipped": self.known,
            "calibrated_shipped": self.calibrated,
            "failures": self.failures,
        }


def compare_with_baseline(
    yours: Evaluation, pairs: Sequence[Pair], face: FacePolicy, cache: Path, model: Model | None = None
) -> BaselineComparison:
    """Evaluate the default model on ``pairs`` too and return the difference in F1.

    Pairs in which one of the models finds no face are left out and counted.  A default model that cannot be
    used, because its detector is missing or finds no face, is stated and not an error.

    Args:
        yours: The evaluation of the trained model.
        pairs: Its pairs.
        face: Which face of a photo is used.
        cache: Folder of the face crops.
        model: Compare with this model instead of the default one.
    """
    if yours.first is None or yours.second is None:
        return BaselineComparison(yours.f1, None, reason="the pairs do not state the people")
    try:
        baseline = model if model is not None else Model.load(device="cpu")
        theirs = evaluate_pairs(baseline, pairs, yours.name, face, allow_overlap=True, cache=cache)
    except FacealikeError as error:
        return BaselineComparison(yours.f1, yours.people, reason=str(error))
    photos = list(dict.fromkeys(path for pair in pairs for path in (pair.a, pair.b)))
    named = {
        path: person
        for pair in pairs
        if pair.people is not None
        for path, person in zip((pair.a, pair.b), pair.people, strict=True)
    }
    met = find_overlap(baseline.file, photos, named=named or None)
    known, calibrated = len(met.trained), len(met.calibrated)
    both = yours.compared & theirs.compared
    same = yours.same[both]
    if same.all() or not same.any():
        return BaselineComparison(
            yours.f1, yours.people, reason="both models compared no pairs of both kinds"
        )
    scores, other = yours.scores[both], theirs.scores[both]
    first, second = yours.first[both], yours.second[both]
    gap = difference_interval(scores, yours.threshold, other, theirs.threshold, same, first, second)
    mine, baseline_f1 = (
        confusion(values, same, limit).f1
        for values, limit in ((scores, yours.threshold), (other, theirs.threshold))
    )
    return BaselineComparison(
        mine, len(np.unique(np.concatenate([first, second]))), baseline_f1, baseline.id, gap, known,
        calibrated=calibrated, failures=int(np.sum(~both)),
    )  # fmt: skip
