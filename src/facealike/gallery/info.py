"""What a gallery holds: counts, dates, versions and sizes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from ..utils.escape import shown
from ..utils.result import Result
from ..utils.wording import counted
from .aggregation import DEFAULT_AGGREGATION, Aggregation


@dataclass(frozen=True, repr=False)
class GalleryInfo(Result):
    """What a gallery holds.

    Examples:
        >>> gallery.info()
        <GalleryInfo: people.db: 120 people, 364 templates, model 0123456789ab>

    Attributes:
        gallery: Its file.
        people: Enrolled people.
        templates: Enrolled faces.
        mapped: Those of them whose vectors were mapped from another model, without their photo; see
            ``migrate_gallery``.
        corrections: Photos that are stated not to show a person.
        forgotten: How many people were removed.
        model: Id of the model.
        schema: Version of the tables.
        bytes: Size of the file, of its write-ahead log and of its index files.
        created: When the gallery was made, ISO 8601 in UTC; None where it is not known.
        first: When the oldest template was enrolled; None without one.
        last: When the newest was.
        encrypted: Whether the file is.
        aggregation: How several templates of a person give one score.
        calibrated_for: What the model's thresholds and probabilities were fitted to; the scores of a mean are
            put on that scale (``facealike.gallery.aggregation``).
    """

    ASK: ClassVar[str] = "ask for .people or .templates"

    gallery: str
    people: int
    templates: int
    corrections: int
    forgotten: int
    model: str
    schema: int
    bytes: int
    created: str | None
    first: str | None
    last: str | None
    encrypted: bool = False
    mapped: int = 0
    aggregation: Aggregation = DEFAULT_AGGREGATION
    calibrated_for: str = "pairs of single photos"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        held = f"{counted(self.people, 'person', 'people')}, {counted(self.templates, 'template')}"
        return f"{shown(self.gallery)}: {held}, model {self.model}"
