"""What became of photos that were to be enrolled: of one person, and of many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ..utils.result import Result
from ..utils.wording import counted
from .resemblance import Lookalike, OutlierPhoto


@dataclass(frozen=True, repr=False)
class Enrollment(Result):
    """What became of the photos of a person: templates added, photos known already, photos refused.

    Examples:
        >>> result = gallery.enroll("Ann", ["ann1.jpg", "wall.jpg"])
        >>> result.added, result.refused
        (1, (('wall.jpg', 'wall.jpg: no face found'),))

    Attributes:
        person: The name.
        added: Templates added.
        known: Photos that were enrolled already.
        refused: The other photos, each with its reason.
        lookalikes: Other people whom the person looks like.
        outliers: New photos that look like none of the person's others.
    """

    ASK: ClassVar[str] = "ask for .added or .refused"

    person: str
    added: int
    known: int
    refused: tuple[tuple[str, str], ...]
    lookalikes: tuple[Lookalike, ...] = ()
    outliers: tuple[OutlierPhoto, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        refused = [{"photo": photo, "reason": reason} for photo, reason in self.refused]
        return {
            "person": self.person, "added": self.added, "known": self.known, "refused": refused,
            "lookalikes": [one.to_dict() for one in self.lookalikes],
            "outliers": [one.to_dict() for one in self.outliers],
        }  # fmt: skip

    def __str__(self) -> str:
        counts = _counts(self.added, self.known, len(self.refused))
        return f"{self.person}: {counts}{_warned(self.lookalikes, self.outliers)}"


@dataclass(frozen=True, repr=False)
class RefusedPhoto(Result):
    """A photo of a list that was not enrolled, and why.

    Examples:
        >>> for one in gallery.enroll_all("people.csv").refused:
        ...     print(one.person, one.photo, one.reason)
    """

    ASK: ClassVar[str] = "ask for .reason"

    person: str
    photo: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        return {"person": self.person, "photo": self.photo, "reason": self.reason}

    def __str__(self) -> str:
        return self.reason if self.photo in self.reason else f"{self.photo}: {self.reason}"


@dataclass(frozen=True, repr=False)
class BulkEnrollment(Result):
    """What became of the photos of many people.

    Examples:
        >>> result = gallery.enroll_all("people/")
        >>> result.added, result.known, [one.photo for one in result.refused]
        (198, 0, ['people/Ann/blurred.jpg'])

    Attributes:
        people: How many people the list names.
        added: Templates added.
        known: Photos that were enrolled already.
        refused: The other photos, each with its reason.
        lookalikes: Pairs of people who look alike, at least one of them new.
        outliers: New photos that look like none of the person's others.
    """

    ASK: ClassVar[str] = "ask for .added or .refused"

    people: int
    added: int
    known: int
    refused: tuple[RefusedPhoto, ...]
    lookalikes: tuple[Lookalike, ...] = ()
    outliers: tuple[OutlierPhoto, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "people": self.people, "added": self.added, "known": self.known,
            "refused": [one.to_dict() for one in self.refused],
            "lookalikes": [one.to_dict() for one in self.lookalikes],
            "outliers": [one.to_dict() for one in self.outliers],
        }  # fmt: skip

    def __str__(self) -> str:
        people = counted(self.people, "person", "people")
        counts = _counts(self.added, self.known, len(self.refused))
        return f"{people}: {counts}{_warned(self.lookalikes, self.outliers)}"


def _warned(lookalikes: tuple[Lookalike, ...], outliers: tuple[OutlierPhoto, ...]) -> str:
    duplicates = sum(one.duplicate for one in lookalikes)
    others = len(lookalikes) - duplicates
    parts = ((duplicates, "probable duplicate"), (others, "lookalike"), (len(outliers), "outlier"))
    found = [counted(number, what) for number, what in parts if number]
    return f"; {', '.join(found)}" if found else ""


def _counts(added: int, known: int, refused: int) -> str:
    parts = [f"{added:,} added"]
    parts += [f"{known:,} known already"] if known else []
    parts += [f"{refused:,} refused"] if refused else []
    return ", ".join(parts)
