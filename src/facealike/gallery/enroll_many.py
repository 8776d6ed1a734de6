"""Store the photos of many people, batch by batch, and say what became of them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from ..embedding.face_model import Model
from .base import GalleryStore
from .enrollment import BulkEnrollment, RefusedPhoto
from .intake import IntakePolicy, is_many, take_in
from .people_list import PeopleList
from .resemblance import Screening


def store_people(
    store: GalleryStore, model: Model, people: PeopleList, policy: IntakePolicy, screening: Screening,
    progress: Callable[[int, int], None] | None = None,
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
    refused, added, known, done = list(people.refused), 0, 0, 0
    total = len(people.photos)
    with closing(take_in(model, people.photos, policy, is_many(total))) as batches:
        for batch in map(screening.screened, batches):
            rows = [(one.person, one.template) for one in batch if one.template is not None]
            named = {one.person for one in batch if one.reason is None}
            new = store.add_many(rows, {n: people.metadata[n] for n in named if n in people.metadata})
            added += sum(new)
            refused += [RefusedPhoto(*one[:2], one.reason) for one in batch if one.reason is not None]
            done += len(batch)
            known += sum(one.reason is None for one in batch) - sum(new)
            if progress is not None:
                progress(done, total)
    count = len({person for person, _ in people.photos})
    return BulkEnrollment(
        count, added, known, tuple(refused), tuple(screening.lookalikes), tuple(screening.outliers)
    )
