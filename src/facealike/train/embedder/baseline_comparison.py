"""Every run ends with a comparison against the frozen shipped model, on the same pairs of strangers."""

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
class Comparison(Result):
    """F1 of two models, each at its own threshold, on the same pairs; ``difference`` is yours less shipped.

    ``known`` counts the people of the pairs that the shipped model was trained on, ``calibrated`` those
    that gave it its threshold.  Where the shipped model could not be run on these photos, the numbers are
    None and ``reason`` says why.

    Both F1 are of the pairs that both models compared; in ``failures`` more, one of them found no face.
    """

    ASK: ClassVar[str] = "ask .difference, an interval"

    yours: float
    people: int | None
    shipped: float | None = None
    shipped_id: str = ""
    difference: Interval | None = None
    known: int = 0
    reason: str = ""
    calibrated: int = 0
    failures: int = 0

    def __str__(self) -> str:
        if self.difference is None or self.shipped is None:
            return f"the shipped model could not be run on these photos ({self.reason})"
        gap = self.difference
        if gap.low > 0:
            verdict = f"your model is better by {gap.estimate:.3f} [{gap.low:.3f}, {gap.high:.3f}]"
        elif gap.high < 0:
            verdict = f"your model is worse by {-gap.estimate:.3f} [{-gap.high:.3f}, {-gap.low:.3f}]"
        else:
            verdict = (
                f"no difference can be told: {gap.estimate:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}] for yours"
            )
        who = f"{self.people:,} people that neither was trained on"
        if self.known:
            who = (
                f"{self.people:,} people that yours was not trained on, but the shipped model was on "
                f"{self.known:,} of them, which flatters it"
            )
        elif self.calibrated:
            who += f"; {self.calibrated:,} of them gave the shipped model its threshold, which flatters it"
        if self.failures:
            who += f"; {self.failures:,} more pairs in which one of the two found no face are left out"
        return f"{verdict} (F1 {self.yours:.3f} and {self.shipped:.3f}, on {who})"

    def to_dict(self) -> dict[str, Any]:
        return {
            "text": str(self),
            "statistic": "f1",
            "yours": self.yours,
            "shipped": self.shipped,
            "shipped_id": self.shipped_id,
            "difference": None if self.difference is None else self.difference.to_dict(),
            "people": self.people,
            "known_to_shipped": self.known,
            "calibrated_shipped": self.calibrated,
            "failures": self.failures,
        }


def against_shipped(
    yours: Evaluation, pairs: Sequence[Pair], face: FacePolicy, cache: Path, model: Model | None = None
) -> Comparison:
    """``pairs`` by the shipped model (or ``model``) as well, and the interval of the difference in F1.

    A pair in which one of them finds no face is left out and counted: it would speak for or against a model
    by its truth, and not by what the model can do.  A shipped model that cannot be
    used here, for want of its detector or of any face it finds, is a reason and no error: the run is
    finished all the same.
    """
    if yours.first is None or yours.second is None:
        return Comparison(yours.f1, None, reason="the pairs do not say who is on them")
    try:
        shipped = model if model is not None else Model.load(device="cpu")
        theirs = evaluate_pairs(shipped, pairs, yours.name, face, allow_overlap=True, cache=cache)
    except FacealikeError as error:
        return Comparison(yours.f1, yours.people, reason=str(error))
    photos = list(dict.fromkeys(path for pair in pairs for path in (pair.a, pair.b)))
    met = find_overlap(shipped.file, photos)
    known, calibrated = len(met.trained), len(met.calibrated)
    both = yours.compared & theirs.compared
    same = yours.same[both]
    if same.all() or not same.any():
        return Comparison(yours.f1, yours.people, reason="both models compared no pairs of both kinds")
    scores, other = yours.scores[both], theirs.scores[both]
    first, second = yours.first[both], yours.second[both]
    gap = difference_interval(scores, yours.threshold, other, theirs.threshold, same, first, second)
    mine, shipped_f1 = (
        confusion(values, same, limit).f1
        for values, limit in ((scores, yours.threshold), (other, theirs.threshold))
    )
    return Comparison(
        mine, len(np.unique(np.concatenate([first, second]))), shipped_f1, shipped.id, gap, known,
        calibrated=calibrated, failures=int(np.sum(~both)),
    )  # fmt: skip
