"""Store the templates of one person, and say what became of the photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import DataError
from .base import GalleryStore
from .enrollment import Enrollment
from .intake import Taken
from .resemblance import Screening


class NothingEnrolled(DataError):
    """No photo of a person could be enrolled; ``refused`` holds each with its reason."""

    def __init__(self, person: str, refused: Sequence[tuple[str, str]]) -> None:
        reasons = "; ".join(dict.fromkeys(why for _, why in refused))
        super().__init__(f"{person}: no photo can be enrolled; {reasons or 'give at least one'}")
        self.refused = tuple(refused)


def store_person(
    store: GalleryStore, person: str, taken: Sequence[Taken], screening: Screening,
    metadata: Mapping[str, Any] | None = None,
) -> Enrollment:  # fmt: skip
    """Store what was taken in of one person.

    Raises:
        NothingEnrolled: No photo was: the person is not in the gallery.
    """
    known, refused, templates = 0, [], []
    for one in screening.screened(list(taken)):
        if one.template is not None:
            templates.append(one.template)
        elif one.reason is not None:
            refused.append((one.photo, one.reason))
        else:
            known += 1
    if not templates and not known:
        raise NothingEnrolled(person, refused)
    added = store.add(person, templates, metadata)
    return Enrollment(
        person, added, known + len(templates) - added, tuple(refused), tuple(screening.lookalikes),
        tuple(screening.outliers),
    )  # fmt: skip
