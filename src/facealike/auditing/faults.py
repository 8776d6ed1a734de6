"""The kinds of faults that an audit reports, and one fault."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from ..utils.result import Result
from ..verification.wording import in_digits


class FaultKind(NamedTuple):
    """A kind of fault: its heading, what it means, what is suggested, and whether it is one of the labels."""

    heading: str
    meaning: str
    action: str
    serious: bool


KINDS: dict[str, FaultKind] = {
    "mislabeled": FaultKind(
        "Probably the wrong name",
        "The photo disagrees with the other photos of its person, or agrees with those of another.",
        "move or remove the photo", True,
    ),
    "shared_copy": FaultKind(
        "One photo under two names", "Copies of one photo lie in the folders of two people.",
        "keep it with one of them", True,
    ),
    "same_people": FaultKind(
        "One person under two names", "The photos of two people agree as those of one person do.",
        "merge the folders", True,
    ),
    "several_people": FaultKind(
        "Two people under one name",
        "The photos of a person fall into two groups that do not agree. Of a person with two photos it "
        "cannot be known which of them has the right name.",
        "split the folder", True,
    ),
    "overlap_person": FaultKind(
        "People who are in the other set too", "A person of the same name, or whose photos agree.",
        "leave the person out of one set", True,
    ),
    "overlap_photo": FaultKind(
        "Photos that are in the other set too", "Copies of one photo lie in both sets.",
        "leave the photo out of one set", True,
    ),
    "copy": FaultKind(
        "Copies within a person", "Photos of equal pixels, or scaled, compressed, mirrored or cropped.",
        "remove one of them", True,
    ),
    "unreadable": FaultKind("Files that cannot be read", "", "replace or remove the file", False),
    "no_face": FaultKind(
        "No face found", "Such a photo is left out of training and tests.", "replace or remove the photo",
        False,
    ),
    "several_faces": FaultKind(
        "Several faces", "One of the faces is taken, by the rule that the audit was given.",
        "check that it is the right face", False,
    ),
    "small": FaultKind("Small faces", "", "use a larger photo", False),
    "turned": FaultKind("Turned faces", "", "use a frontal photo", False),
    "blurred": FaultKind("Blurred faces", "", "use a sharper photo", False),
    "poor": FaultKind("Other poor faces", "", "use a better photo", False),
}  # fmt: skip
"""Every kind by its name, the most serious first."""


@dataclass(frozen=True, repr=False)
class Fault(Result):
    """One thing that is probably wrong with a set, and what a person may do about it.

    Examples:
        >>> for fault in audit("people").faults:
        ...     print(fault.kind, fault.photo, fault.probability)

    Attributes:
        kind: One of ``KINDS``, such as ``mislabeled`` or ``copy``.
        person: The person of the photo, by the name of the folder.
        photo: The photo that is wrong, or one of those that are.
        what: What is wrong, in words.
        action: What is suggested; nothing is done by itself.
        other: Another person it concerns; empty where there is none.
        other_photo: The photo it is to be compared with; empty where there is none.
        probability: That the fault is one, by the calibration of the model; None where it is counted, not
            inferred.
        score: The cosine, correlation of pixels or quality it rests on; None where there is none.
        same: Whether the two photos show one person; None where there is one photo.
        faces: The numbers of the faces in ``photo`` and ``other_photo``, as ``cluster`` counts them.
    """

    ASK: ClassVar[str] = "ask for .kind"

    kind: str
    person: str
    photo: str
    what: str
    action: str
    other: str = ""
    other_photo: str = ""
    probability: float | None = None
    score: float | None = None
    same: bool | None = None
    faces: tuple[int, int] = (1, 1)

    @property
    def serious(self) -> bool:
        """Whether it concerns the labels or copies, and not the quality of one photo."""
        return KINDS[self.kind].serious

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind, "person": self.person, "photo": self.photo, "what": self.what,
            "action": self.action, "other": self.other, "other_photo": self.other_photo,
            "probability": self.probability, "score": self.score,
        }  # fmt: skip

    def __str__(self) -> str:
        sure = "" if self.probability is None else f" (probability {in_digits(self.probability)})"
        return f"{self.photo}: {self.what}{sure}"
