"""The answer to "who is this?": candidates, and a decision at a stated false positive rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from ..types import Face
from ..utils.escape import shown
from ..utils.result import Result, Shown
from ..verification.wording import in_digits
from .mate_probability import ENROLLED_PRIOR
from .threshold import FpirThreshold

Decision = Literal["match", "uncertain", "unknown"]

MARGIN = 10.0
"""From the threshold of so many times the FPIR on, a candidate is uncertain instead of unknown."""


@dataclass(frozen=True, repr=False)
class Candidate(Shown):
    """An enrolled person, the score of the best of their templates, and the photo that it is of.

    ``probability`` is the one that the face is this person's; None where the model has no curve for it.
    """

    person: str
    score: float
    source: str
    probability: float | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "person": self.person, "score": self.score, "source": self.source,
            "probability": self.probability,
        }  # fmt: skip

    def __str__(self) -> str:
        return f"{self.person} {self.score:.3f}"


@dataclass(frozen=True, repr=False)
class CandidateList(Result):
    """The best candidates for a face, the highest score first, and what they amount to.

    ``decision`` is ``match`` where the first candidate reaches the threshold for the target FPIR and no other
    does, ``unknown`` where none reaches the threshold of ten times that FPIR, and else ``uncertain``.  Both
    ``decision`` and ``threshold`` are None where the model is not calibrated.

    FPIR is the share of searches of people not enrolled that return a candidate (ISO/IEC 19795-1).

    ``not_enrolled`` is the probability that the person is not enrolled, where a share ``prior`` of all
    searches is of enrolled people (``facealike.gallery.mate_probability``); each candidate has its own.  The
    decision does not depend on them.

    Examples:
        >>> found = gallery.identify("visitor.jpg")
        >>> found.decision, found.candidates[0].person, found.candidates[0].probability
        ('match', 'Ann', 0.998)
    """

    ASK: ClassVar[str] = "ask for .decision or .candidates"

    photo: str
    face: Face | None
    candidates: tuple[Candidate, ...]
    decision: Decision | None
    threshold: FpirThreshold | None
    not_enrolled: float | None = None
    prior: float = ENROLLED_PRIOR

    def to_dict(self) -> dict[str, Any]:
        return {
            "photo": self.photo,
            "face": None if self.face is None else self.face.to_dict(),
            "decision": self.decision,
            "candidates": [each.to_dict() for each in self.candidates],
            "threshold": None if self.threshold is None else self.threshold.to_dict(),
            "not_enrolled": self.not_enrolled,
            "prior": self.prior,
        }

    def lines(self) -> tuple[str, ...]:
        """Return sentences on the decision, the threshold and the probabilities, as far as they are known."""
        lines = [str(self)]
        if self.threshold is not None:
            lines.append(f"threshold {self.threshold}")
        if self.not_enrolled is not None:
            first = self.candidates[0] if self.candidates else None
            named = ""
            if first is not None and first.probability is not None:
                named = f"{first.person} {in_digits(first.probability)}, "
            lines.append(
                f"probability: {named}not enrolled {in_digits(self.not_enrolled)} (prior of being enrolled "
                f"{self.prior:g})"
            )
        return tuple(lines)

    def __str__(self) -> str:
        listed = ", ".join(map(str, self.candidates)) or "no person enrolled"
        decision = "not calibrated" if self.decision is None else self.decision
        return f"{shown(self.photo)}: {decision}; {listed}"


def decide(scores: Sequence[float], threshold: float, lower: float) -> Decision:
    """Return the decision on the scores of candidates, the highest first.

    Args:
        scores: Best score of each person.
        threshold: The threshold of the target FPIR.
        lower: That of ``MARGIN`` times as much.
    """
    if not scores or scores[0] < min(threshold, lower):
        return "unknown"
    alone = len(scores) < 2 or scores[1] < threshold
    return "match" if scores[0] >= threshold and alone else "uncertain"
