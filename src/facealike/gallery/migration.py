"""Move a gallery to another model: photos that are still there are embedded again, other templates mapped.

A photo counts as still there if the path that was stored at enrollment leads to a file whose pixels have the
stored digest.  The embeddings of all other photos are mapped (``facealike.gallery.embedding_map``) by a map
fitted to the faces that both models have embedded: those of the gallery that were embedded again, and the
faces of a further folder of people, if one is given.  The new gallery is written when all is known, or not
at all.  Its templates state how they came there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict

import numpy as np

from ..datasets.people import People
from ..detection.face_policy import DEFAULT_FACE, FacePolicy
from ..embedding.face_model import Model
from ..errors import DataError, MixedModels, UsageError
from ..utils.escape import shown
from ..utils.result import Result
from ..utils.wording import counted
from .base import GalleryStore
from .embedding_map import MapReport, measured_map
from .intake import IntakePolicy, is_many, take_in
from .location import open_store
from .sqlite_store import SQLiteStore
from .template import MAPPED, REEMBEDDED, Template

if TYPE_CHECKING:
    from typing_extensions import Unpack

MAX_LOSS = 0.05
"""How much higher the FNMR of mapped templates may be by default."""

Rows = list[tuple[str, Template]]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, repr=False)
class GalleryMigration(Result):
    """What became of a gallery that was moved to another model.

    Examples:
        >>> migrate_gallery("old.db", "new.db", Model.load())
        <GalleryMigration: new.db: 120 people, 364 templates, 364 embedded again and 0 mapped>

    Attributes:
        source: The old gallery.
        out: The new one.
        old_model: The model of the old gallery.
        new_model: That of the new one.
        people: How many people there are.
        reembedded: Templates whose photo was embedded again.
        mapped: Templates that were mapped.
        corrections: Corrections taken over.
        map: What the map loses; None where none was needed.
    """

    ASK: ClassVar[str] = "ask for .reembedded or .mapped"

    source: str
    out: str
    old_model: str
    new_model: str
    people: int
    reembedded: int
    mapped: int
    corrections: int
    map: MapReport | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "source": self.source, "out": self.out, "old_model": self.old_model,
            "new_model": self.new_model, "people": self.people, "reembedded": self.reembedded,
            "mapped": self.mapped, "corrections": self.corrections,
            "map": None if self.map is None else self.map.to_dict(),
        }  # fmt: skip

    def lines(self) -> tuple[str, ...]:
        """Return sentences on the new gallery, and on the map if there is one."""
        return (str(self),) if self.map is None else (str(self), str(self.map))

    def __str__(self) -> str:
        people = counted(self.people, "person", "people")
        return (
            f"{shown(self.out)}: {people}, model {self.new_model}; templates embedded again: "
            f"{self.reembedded:,}, mapped from model {self.old_model}: {self.mapped:,}; corrections: "
            f"{self.corrections:,}"
        )


class MigrationKeywords(TypedDict, total=False):
    """The fields of ``MigrationOptions`` as keyword arguments of ``Gallery.migrate``."""

    face: FacePolicy
    map_people: Path | None
    old_model: Model | None
    max_loss: float


@dataclass(frozen=True)
class MigrationOptions:
    """How a gallery is moved.

    Attributes:
        face: Which face of a photo is meant, as at enrollment; not ``all``.
        map_people: A folder of people whose faces help to fit the map; needs ``old_model``.
        old_model: The model of the old gallery; only to embed ``map_people``.
        max_loss: How much higher the FNMR of mapped templates may be.

    Raises:
        UsageError: The folder is given without the old model, or the loss is no share.
    """

    face: FacePolicy = DEFAULT_FACE
    map_people: Path | None = None
    old_model: Model | None = None
    max_loss: float = MAX_LOSS

    def __post_init__(self) -> None:
        if (self.map_people is None) != (self.old_model is None):
            raise UsageError("photos to fit a map on need the old model, too, which embeds them; give both")
        if not 0 <= self.max_loss <= 1:
            raise UsageError(f"the highest loss is a share between 0 and 1, not {self.max_loss:g}")


def migrate_gallery(
    gallery: str | os.PathLike[str], out: str | os.PathLike[str], model: Model, *,
    progress: Progress | None = None, key_file: str | os.PathLike[str] | None = None,
    **options: Unpack[MigrationKeywords],
) -> GalleryMigration:  # fmt: skip
    """Write a gallery of another model with the people of an old one, which stays as it is.

    Args:
        gallery: The old gallery.
        out: The file of the new one; it must not exist.
        model: The new model.
        progress: Called with (done, total) photos that are embedded.
        key_file: The key of an encrypted gallery; the new one is encrypted with it, too.
        options: See ``MigrationOptions``.

    Raises:
        DataError: Templates are damaged, or photos are gone and there are too few others to fit a map, or the
            map loses too much; nothing is written.
        MixedModels: The old model is not that of the gallery.
        UsageError: The new model is that of the gallery already, or ``out`` exists.

    Examples:
        >>> print(migrate_gallery("old.db", "new.db", Model.load("mine")))
        new.db: 120 people, model 0123456789ab; templates embedded again: 364, mapped ...: 0; corrections: 2
    """
    with closing(open_store(gallery, None, key_file)) as store:
        return migrate_store(store, model, Path(out), MigrationOptions(**options), progress)


def migrate_store(
    store: GalleryStore, model: Model, out: Path, options: MigrationOptions, progress: Progress | None = None
) -> GalleryMigration:
    """Write a gallery with the people of a store; arguments and errors as for ``migrate_gallery``."""
    if out.exists():
        raise UsageError(f"{shown(out)}: exists already; name a new file")
    if store.model_id == model.id:
        raise UsageError(f"{store.name}: holds templates of the model {model.id} already")
    if options.old_model is not None and options.old_model.id != store.model_id:
        raise MixedModels(
            f"{store.name}: holds templates of the model {store.model_id}, and the old model given is "
            f"{options.old_model.id}"
        )
    if store.damaged_templates():
        raise DataError(f"{store.name}: some templates are damaged; facealike gallery check lists them")
    held = store.templates()
    new = dict(_reembedded(held, model, options.face, progress))
    gone = [row for row in range(len(held)) if row not in new]
    report = None
    if gone:
        mapped, report = _mapped(held, new, gone, model, options)
        new |= mapped
    corrections = store.corrections()
    metadata = store.metadata()
    people = {name: metadata.get(name, {}) for name in store.people()}
    target = SQLiteStore(out, model.id, key=store.key if isinstance(store, SQLiteStore) else None)
    try:
        target.add_many(((held[row][0], new[row]) for row in range(len(held))), people, corrections)
    finally:
        target.close()
    return GalleryMigration(
        store.location, str(out), store.model_id, model.id, len(people), len(held) - len(gone), len(gone),
        len(corrections), report,
    )  # fmt: skip


def _reembedded(
    held: Rows, model: Model, face: FacePolicy, progress: Progress | None
) -> Iterator[tuple[int, Template]]:
    """Yield the number and the new template of each photo that is still there, with its old pixels."""
    there = [row for row, (_, one) in enumerate(held) if _is_file(one.source)]
    listed = [(str(row), held[row][1].source) for row in there]
    done = 0
    with closing(take_in(model, listed, IntakePolicy(face), is_many(len(listed)))) as batches:
        for batch in batches:
            for taken in batch:
                row = int(taken.person)
                old = held[row][1]
                if taken.template is not None and taken.template.digest == old.digest:
                    yield row, replace(taken.template, source=old.source, time=old.time, origin=REEMBEDDED)
            done += len(batch)
            if progress is not None:
                progress(done, len(listed))


def _is_file(source: str) -> bool:
    try:
        return Path(source).is_file()
    except (OSError, ValueError):  # a name that this system does not allow
        return False


def _mapped(
    held: Rows, new: dict[int, Template], gone: Sequence[int], model: Model, options: MigrationOptions
) -> tuple[dict[int, Template], MapReport]:
    """Return the templates of the photos that are gone, mapped, and what that loses."""
    rows = sorted(new)
    people = [f"held {held[row][0]}" for row in rows]
    old_vectors = [held[row][1].vector for row in rows]
    new_vectors = [new[row].vector for row in rows]
    if options.map_people is not None and options.old_model is not None:
        for name, first, second in _both(options.map_people, options.old_model, model, options.face):
            people.append(name)
            old_vectors.append(first)
            new_vectors.append(second)
    missing = f"{len(gone):,} of {len(held):,} photos are gone, changed or show no face"
    advice = (
        "give photos of people with --map-photos and the old model with --old-model, or restore the photos"
    )
    if not people:
        raise DataError(f"{missing}, and there is no photo to fit a map on; {advice}")
    _, labels = np.unique(np.array(people, dtype=object), return_inverse=True)
    try:
        fitted, report = measured_map(np.stack(old_vectors), np.stack(new_vectors), labels)
    except DataError as error:
        raise DataError(f"{missing}, and {error}; {advice}") from None
    if report.loss > options.max_loss:
        raise DataError(
            f"{missing}, and a map loses too much: {report}; the highest loss allowed is "
            f"{100 * options.max_loss:g} points (--max-loss); {advice}"
        )
    vectors = fitted(np.stack([held[row][1].vector for row in gone]))
    return {
        row: replace(held[row][1], vector=vector, origin=MAPPED)
        for row, vector in zip(gone, vectors, strict=True)
    }, report


def _both(
    folder: Path, old: Model, new: Model, face: FacePolicy
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield the name and both embeddings of each photo of a folder of people that both models can embed."""
    people = People.from_folder(folder)
    listed = [(people.names[i], photo) for i, photo in zip(people.labels, people.paths, strict=True)]
    policy, many = IntakePolicy(face), is_many(len(listed))
    with (
        closing(take_in(old, listed, policy, many)) as first,
        closing(take_in(new, listed, policy, many)) as second,
    ):
        for batches in zip(first, second, strict=True):
            for one, other in zip(*batches, strict=True):
                if one.template is not None and other.template is not None:
                    yield f"folder {one.person}", one.template.vector, other.template.vector
