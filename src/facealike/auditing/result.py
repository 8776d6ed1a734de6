"""What an audit found."""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ..utils.escape import csv_path, csv_text, shown
from ..utils.result import Result
from ..utils.wording import counted
from .faults import KINDS, Fault

COLUMNS = (
    "kind", "person", "photo", "other", "other_photo", "probability", "score", "what", "action",
)  # fmt: skip
"""Columns of the table of faults."""

FIX_COLUMNS = ("a", "face_a", "b", "face_b", "same", "kind", "action", "probability")
"""Columns of the list of fixes: a file of corrections of ``cluster``, and why each row is there."""


@dataclass(frozen=True, repr=False)
class Audit(Result):
    """What is probably wrong with a folder of people, the most serious first.

    Examples:
        >>> result = audit("people")
        >>> print(result, [fault.photo for fault in result.of("mislabeled")])

    Attributes:
        folder: The folder.
        photos: How many photos it has.
        people: How many people.
        single: How many people have a single photo.
        largest: The person with the most photos.
        most: How many photos that person has.
        faults: What was found, sorted by kind and then by probability.
        model: The id of the model.
        against: The other set, or model, it was compared with; None without one.
        thumbnails: Small pictures of the photos in ``faults``, as JPEG, by path.
    """

    ASK: ClassVar[str] = "ask for .faults or .serious"

    folder: str
    photos: int
    people: int
    single: int
    largest: str
    most: int
    faults: tuple[Fault, ...]
    model: str
    against: str | None = None
    thumbnails: dict[str, bytes] = field(default_factory=dict, repr=False)

    def of(self, kind: str) -> tuple[Fault, ...]:
        """Return the faults of one kind."""
        return tuple(fault for fault in self.faults if fault.kind == kind)

    @property
    def counts(self) -> dict[str, int]:
        """How many faults of each kind there are, the most serious first; kinds without one are left out."""
        found = Counter(fault.kind for fault in self.faults)
        return {kind: found[kind] for kind in KINDS if found[kind]}

    @property
    def serious(self) -> tuple[Fault, ...]:
        """The faults that concern labels or copies, and not the quality of one photo."""
        return tuple(fault for fault in self.faults if fault.serious)

    def to_dict(self) -> dict[str, Any]:
        return {
            "folder": self.folder, "model": self.model, "against": self.against, "photos": self.photos,
            "people": self.people, "single": self.single, "largest": self.largest, "most": self.most,
            "counts": self.counts, "faults": [fault.to_dict() for fault in self.faults],
        }  # fmt: skip

    def to_csv(self) -> str:
        """Return the table of faults as CSV, one row a fault."""
        return _csv(
            COLUMNS,
            (
                (
                    one.kind, csv_text(one.person), csv_path(one.photo), csv_text(one.other),
                    csv_path(one.other_photo), _number(one.probability), _number(one.score),
                    csv_text(one.what), csv_text(one.action),
                )
                for one in self.faults
            ),
        )  # fmt: skip

    def fix_list(self) -> str:
        """Return the faults of two photos as CSV, to be edited: a file of corrections of ``cluster``.

        ``same`` is 1 where photos ``a`` and ``b`` show one person and 0 where they do not.  A row that is
        wrong is to be removed.
        """
        return _csv(
            FIX_COLUMNS,
            (
                (
                    csv_path(one.photo), one.faces[0], csv_path(one.other_photo), one.faces[1],
                    int(one.same), one.kind, csv_text(one.action), _number(one.probability),
                )
                for one in self.faults
                if one.same is not None and not one.kind.startswith("overlap")
            ),
        )  # fmt: skip

    def page(self) -> str:
        """Return the report as one self-contained HTML page."""
        from .page import audit_page

        return audit_page(self)

    def __str__(self) -> str:
        kinds = ", ".join(f"{count:,} {kind.replace('_', ' ')}" for kind, count in self.counts.items())
        return (
            f"{shown(self.folder)}: {counted(self.photos, 'photo')} of "
            f"{counted(self.people, 'person', 'people')}; "
            f"{f'found {kinds}' if kinds else 'no fault found'}"
        )

    def _html_rows(self) -> dict[str, Any]:
        return {**super()._html_rows(), **{name.replace("_", " "): n for name, n in self.counts.items()}}


def _csv(columns: tuple[str, ...], rows: Any) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    table.writerows(rows)
    return text.getvalue()


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
