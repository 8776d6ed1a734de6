"""Find people and photos that are in another set too, or among those that a model was made of."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..datasets.people import People
from ..datasets.seen import Seen, normal_name
from ..model_file.locate import read_model_file
from .copies import find_copies
from .evidence import Evidence
from .examined import ExaminedPhoto
from .faults import KINDS, Fault
from .labels import KnownPeople
from .people import find_same_people


@dataclass(frozen=True, eq=False)
class OtherSet:
    """The other set: its people, or the records in a model file."""

    name: str
    people: People | None = None
    records: tuple[tuple[str, Seen], ...] = ()


def read_other(path: str | os.PathLike[str]) -> OtherSet:
    """Return the people of a folder, or the records of people and photos in a model file.

    Raises:
        DataError: The folder has no people.
        ModelError: It is neither a folder nor a model.
    """
    if Path(path).is_dir():
        return OtherSet(os.fspath(path), People.from_folder(Path(path)))
    file = read_model_file(path)
    trained = [("training", record) for record in file.card.trained_records]
    calibrated = [("calibration", record) for record in file.calibration.seen]
    return OtherSet(os.fspath(path), records=(*trained, *calibrated))


def overlaps(
    people: People, photos: Sequence[ExaminedPhoto], known: KnownPeople, other: OtherSet,
    others: Sequence[ExaminedPhoto], evidence: Evidence,
) -> Iterator[Fault]:  # fmt: skip
    """Yield the people and photos of a set that are in the other one too.

    Args:
        people: The set.
        photos: Its photos.
        known: The embeddings of its photos that count.
        other: The other set.
        others: The photos of the other set; empty where it is a model.
        evidence: That of the model.
    """
    if other.people is None:
        yield from _in_records(people, photos, other)
    else:
        yield from _in_people(people, photos, known, other.people, others, evidence)


def _in_records(people: People, photos: Sequence[ExaminedPhoto], other: OtherSet) -> Iterator[Fault]:
    first = _first_photos(people)
    for label, name in enumerate(people.names):
        for what in {what for what, record in other.records if record.knows_person(name)}:
            yield _fault("overlap_person", name, photos[first[label]], f"{name} took part in the {what}")
    for photo, label in zip(photos, people.labels, strict=True):
        for what in {what for what, record in other.records if record.knows_photo(photo.digest)}:
            yield _fault("overlap_photo", people.names[label], photo, f"this photo took part in the {what}")


def _in_people(
    people: People, photos: Sequence[ExaminedPhoto], known: KnownPeople, other: People,
    others: Sequence[ExaminedPhoto], evidence: Evidence,
) -> Iterator[Fault]:  # fmt: skip
    both, count = [*photos, *others], len(photos)
    for copy in find_copies(both, [*people.labels.tolist(), *(other.labels + len(people.names)).tolist()]):
        if copy.first < count <= copy.second:
            name = people.names[people.labels[copy.first]]
            theirs = other.names[other.labels[copy.second - count]]
            what = "equal pixels" if copy.exact else "the same photo, changed"
            yield _fault(
                "overlap_photo", name, both[copy.first], what, theirs, both[copy.second], None,
                copy.correlation,
            )  # fmt: skip
    names = {normal_name(name): name for name in other.names}
    first = _first_photos(people)
    their_first = dict(zip(other.names, _first_photos(other), strict=True))
    by_name = set()
    for label, name in enumerate(people.names):
        theirs = names.get(normal_name(name), "")
        if theirs:
            by_name.add((name, theirs))
            yield _fault(
                "overlap_person", name, photos[first[label]], "a person of this name", theirs,
                others[their_first[theirs]],
            )  # fmt: skip
    with_face = [i for i, photo in enumerate(others) if photo.face is not None]
    if not with_face or not len(known.vectors):
        return
    vectors = np.stack([face.embedding for i in with_face if (face := others[i].face) is not None])
    labels = other.labels[with_face] + len(people.names)
    union = KnownPeople(
        np.concatenate([known.vectors, vectors]), np.concatenate([known.labels, labels]),
        len(people.names) + len(other.names), np.concatenate([known.used, np.ones(len(vectors), np.bool_)]),
    )  # fmt: skip
    for pair in find_same_people(union, evidence):
        if pair.first < len(people.names) <= pair.second:
            name, theirs = people.names[pair.first], other.names[pair.second - len(people.names)]
            if (name, theirs) not in by_name:
                yield _fault(
                    "overlap_person", name, photos[first[pair.first]], f"probably {theirs} of the other set",
                    theirs, others[their_first[theirs]], pair.probability, pair.score,
                )  # fmt: skip


def _first_photos(people: People) -> list[int]:
    """Return the number of the first photo of each person."""
    first: list[int] = np.unique(people.labels, return_index=True)[1].tolist()
    return first


def _fault(
    kind: str, person: str, photo: ExaminedPhoto, what: str, theirs: str = "",
    other: ExaminedPhoto | None = None, probability: float | None = None, score: float | None = None,
) -> Fault:  # fmt: skip
    path = "" if other is None else other.path
    return Fault(kind, person, photo.path, what, KINDS[kind].action, theirs, path, probability, score)
