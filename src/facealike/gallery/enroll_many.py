"""Store many people, batch by batch, and say what became of their photos or vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from ..embedding.face_model import Model
from .base import GalleryStore
from .enrollment import BulkEnrollment, RefusedPhoto
from .intake import IntakePolicy, Taken, corrected_photos, is_many, take_in
from .people_list import PeopleList
from .resemblance import Screening
from .vector_table import BATCH, SCREENED, VectorTable

Progress = Callable[[int, int], None]


def store_people(
    store: GalleryStore, model: Model, people: PeopleList, policy: IntakePolicy, screening: Screening,
    progress: Progress | None = None,
) -> BulkEnrollment:  # fmt: skip
    """Take in the photos of a list, and store each batch before the next one is embedded.

    Args:
        store: Where to.
        model: Embeds the faces.
        people: The list.
        policy: What is enrolled.
        screening: What new templates look like.
        progress: Called with (done, total) after each batch.
    """
    total = len(people.photos)
    counted = _Counted(store, people.metadata, total, progress)
    with closing(take_in(model, people.photos, policy, is_many(total))) as batches:
        counted.store_all(map(screening.screened, batches))
    refused = (*people.refused, *counted.refused)
    return counted.result(len({person for person, _ in people.photos}), refused, screening)


def store_vectors(
    store: GalleryStore, path: Path, dimensions: int, min_quality: float, screening: Screening | None,
    progress: Progress | None = None,
) -> BulkEnrollment:  # fmt: skip
    """Store the templates of a Parquet table.

    Args:
        store: Where to.
        path: The file; see ``vector_table``.
        dimensions: How wide the vectors of the model are.
        min_quality: Rows of a lower quality are refused.
        screening: Refuses probable duplicates; None compares no templates.
        progress: Called with (done, total) after each batch.

    Raises:
        MissingExtra: pyarrow is not installed.
        DataError: The file cannot be read, or has vectors of another width.
        MixedModels: It holds embeddings of another model.
    """
    corrected = corrected_photos(store.corrections())
    table = VectorTable(path, store.model_id, dimensions, min_quality, corrected)
    counted = _Counted(store, table.metadata, table.rows, progress)
    batches = table.batches(BATCH if screening is None else SCREENED)
    counted.store_all(batches if screening is None else map(screening.screened, batches))
    return counted.result(len(table.people), counted.refused, screening)


class _Counted:
    """What has been stored so far."""

    def __init__(
        self, store: GalleryStore, metadata: Mapping[str, Mapping[str, Any]], total: int,
        progress: Progress | None,
    ) -> None:  # fmt: skip
        self._store, self._metadata, self._total, self._progress = store, metadata, total, progress
        self.added = self.known = self.done = 0
        self.refused: list[RefusedPhoto] = []

    def store_all(self, batches: Iterable[Sequence[Taken]]) -> None:
        """Store each batch in one transaction."""
        for batch in batches:
            rows = [(one.person, one.template) for one in batch if one.template is not None]
            named = {one.person for one in batch if one.reason is None}
            stated = {name: self._metadata[name] for name in named if name in self._metadata}
            new = self._store.add_many(rows, stated)
            self.added += sum(new)
            self.refused += [RefusedPhoto(*one[:2], one.reason) for one in batch if one.reason is not None]
            self.done += len(batch)
            self.known += sum(one.reason is None for one in batch) - sum(new)
            if self._progress is not None:
                self._progress(self.done, self._total)

    def result(
        self, people: int, refused: Sequence[RefusedPhoto], screening: Screening | None
    ) -> BulkEnrollment:
        """Return what became of all."""
        lookalikes, outliers = ((), ()) if screening is None else (screening.lookalikes, screening.outliers)
        return BulkEnrollment(
            people, self.added, self.known, tuple(refused), tuple(lookalikes), tuple(outliers)
        )
