"""The answer to "who is this?": candidates, and a decision at a stated false positive rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from ..types import Face
from ..utils.escape import shown
from ..utils.result import Result, Shown
from .threshold import FpirThreshold

Decision = Literal["match", "uncertain", "unknown"]

MARGIN = 10.0
"""From the threshold of so many times the FPIR on, a candidate is uncertain instead of unknown."""


@dataclass(frozen=True, repr=False)
class Candidate(Shown):
    """An enrolled person, the score of the best of their templates, and the photo that it is of."""

    person: str
    score: float
    source: str

    def to_dict(self) -> dict[str, Any]:
        return {"person": self.person, "score": self.score, "source": self.source}

    def __str__(self) -> str:
        return f"{self.person} {self.score:.3f}"


@dataclass(frozen=True, repr=False)
class CandidateList(Result):
    """The best candidates for a face, the highest score first, and what they amount to.

    ``decision`` is ``match`` where the first candidate reaches the threshold for the target FPIR and no other
    does, ``unknown`` where none reaches the threshold of ten times that FPIR, and else ``uncertain``.  Both
    ``decision`` and ``threshold`` are None where the model is not calibrated.

    FPIR is the share of searches of people not enrolled that return a candidate (ISO/IEC 19795-1).

    Examples:
        >>> found = gallery.identify("visitor.jpg")
        >>> found.decision, found.candidates[0].person
        ('match', 'Ann')
    """

    ASK: ClassVar[str] = "ask for .decision or .candidates"

    photo: str
    face: Face | None
    candidates: tuple[Candidate, ...]
    decision: Decision | None
    threshold: FpirThreshold | None

    def to_dict(self) -> dict[str, Any]:
        return {
            "photo": self.photo,
            "face": None if self.face is None else self.face.to_dict(),
            "decision": self.decision,
            "candidates": [each.to_dict() for each in self.candidates],
            "threshold": None if self.threshold is None else self.threshold.to_dict(),
        }

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
