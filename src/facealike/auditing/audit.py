"""Examine a folder of people for faults."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..datasets.people import People
from ..detection.face_policy import DEFAULT_FACE, FacePolicy
from ..embedding.face_model import Model, loaded_model
from ..errors import UsageError
from ..quality.score import NAMED_BELOW
from ..types import Progress
from ..utils.wording import join_words
from .copies import find_copies
from .evidence import Evidence
from .examined import ExaminedPhoto, examine_photos
from .faults import KINDS, Fault
from .labels import LISTED, KnownPeople, Mislabeled, find_mislabeled
from .overlap import OtherSet, overlaps, read_other
from .people import SamePeople, SeveralPeople, find_same_people, find_several_people
from .result import Audit

MIN_QUALITY = 0.8
"""Lowest quality of a face whose embedding speaks for or against a label; as for ``cluster``."""

FLAWS = {"size": "small", "pose": "turned", "sharpness": "blurred"}
"""The parts of a quality that are kinds of faults of their own."""

Ints = NDArray[np.int64]


def audit(
    folder: str | os.PathLike[str],
    model: Model | str | os.PathLike[str] | None = None,
    *,
    against: str | os.PathLike[str] | None = None,
    face: FacePolicy = DEFAULT_FACE,
    progress: Progress | None = None,
    device: str = "auto",
) -> Audit:
    """Examine a folder of people: copies, wrong names, people who are one or two, and poor photos.

    Nothing is changed.  A photo that cannot be read is one of the faults.  Of faces with a quality below 0.8
    the label is not examined.

    Args:
        folder: One sub-folder of photos a person.
        model: A loaded Model, the path of a model file, or None for the default model.
        against: Another folder of people, or a model file, whose people and photos are to be others; a model
            holds them as salted digests.
        face: Which face of a photo is meant: ``largest``, ``central`` or ``only``.
        progress: Called with (done, total) photos.
        device: Where to load the model; must be the device of a Model that is loaded.

    Raises:
        DataError: The folder has no people.
        ModelError: A model file cannot be used.
        NotCalibrated: The model has no probabilities.
        UsageError: The policy is ``all``.

    Examples:
        >>> result = audit("people")
        >>> for fault in result.serious:
        ...     print(fault)
        >>> Path("report.html").write_text(result.page(), encoding="utf-8")
    """
    if face not in ("largest", "central", "only"):
        raise UsageError(f"an audit examines one face a photo: largest, central or only, not {face!r}")
    people = People.from_folder(Path(folder))
    other = None if against is None else read_other(against)
    model = loaded_model(model, device)
    evidence = Evidence(model.calibration)
    beside = () if other is None or other.people is None else other.people.paths
    photos = examine_photos(model, [*people.paths, *beside], face, progress)
    examined = _Examined(people, photos[: len(people)], evidence)
    faults = [*examined.faults()]
    if other is not None:
        faults += overlaps(people, examined.photos, examined.known, other, photos[len(people) :], evidence)
    return _result(str(folder), people, faults, photos, model.id, other)


def _result(
    folder: str, people: People, faults: list[Fault], photos: Sequence[ExaminedPhoto], model: str,
    other: OtherSet | None,
) -> Audit:  # fmt: skip
    order = {kind: place for place, kind in enumerate(KINDS)}
    faults.sort(key=lambda one: (order[one.kind], -(one.probability or 0), one.score or 0, one.photo))
    wanted = {name for one in faults for name in (one.photo, one.other_photo)}
    pictures = {
        photo.path: photo.thumbnail if photo.face is None else photo.face.thumbnail
        for photo in photos
        if photo.path in wanted
    }
    sizes = np.bincount(people.labels)
    most = int(sizes.argmax())
    return Audit(
        folder, len(people), len(people.names), int(np.sum(sizes == 1)), people.names[most], int(sizes[most]),
        tuple(faults), model, None if other is None else other.name, pictures,
    )  # fmt: skip


class _Examined:
    """The photos of a set, and what was found in them."""

    def __init__(self, people: People, photos: Sequence[ExaminedPhoto], evidence: Evidence) -> None:
        self.people, self.photos, self._evidence = people, photos, evidence
        self._copies = find_copies(photos, people.labels.tolist())
        twice = {one.second for one in self._copies if people.labels[one.first] == people.labels[one.second]}
        self._rows = np.array([i for i, photo in enumerate(photos) if photo.face is not None], dtype=np.int64)
        faces = [face for photo in photos if (face := photo.face) is not None]
        vectors = np.stack([face.embedding for face in faces]) if faces else np.zeros((0, 1), np.float32)
        # A copy says nothing new of its person, and a poor face little.
        used = np.array(
            [face.quality.score >= MIN_QUALITY for face in faces], dtype=np.bool_
        ) & ~np.isin(self._rows, sorted(twice))  # fmt: skip
        self.known = KnownPeople(vectors, people.labels[self._rows], len(people.names), used)

    def faults(self) -> Iterator[Fault]:
        """Yield every fault of the set itself."""
        yield from self._of_photos()
        yield from self._of_copies()
        yield from self._of_labels()

    def _of_photos(self) -> Iterator[Fault]:
        for i, photo in enumerate(self.photos):
            if photo.problem:
                yield self._one("several_faces" if photo.several else "unreadable", i, photo.problem)
            elif photo.face is None:
                yield self._one("no_face", i, "no face found")
            else:
                if photo.face.found > 1:
                    yield self._one("several_faces", i, f"{photo.face.found} faces found")
                quality = photo.face.quality
                flaws = [kind for part, kind in FLAWS.items() if quality.parts.get(part, 1.0) < NAMED_BELOW]
                what = join_words(quality.reasons)
                for kind in flaws or ["poor"] * quality.poor:
                    yield self._one(kind, i, what, score=quality.score)

    def _of_copies(self) -> Iterator[Fault]:
        for copy in self._copies:
            first, second = (self.people.labels[i] for i in (copy.first, copy.second))
            how = "equal pixels" if copy.exact else "the same photo, changed"
            how = "the same photo, mirrored" if copy.mirrored else how
            what = f"{how}: {self.photos[copy.first].path}"
            yield self._two(
                "copy" if first == second else "shared_copy", copy.second, copy.first, what,
                score=copy.correlation, same=True,
            )  # fmt: skip

    def _of_labels(self) -> Iterator[Fault]:
        known = self.known
        rows_of = _rows_of(known)
        several = find_several_people(known.vectors, rows_of, self._evidence)
        apart = [one for one in several if len(one.larger) > 1]
        for group in apart:
            for row in group.smaller:
                known.take_out(row)
        wrong = find_mislabeled(known, self._evidence)
        set_aside = {one.row for one in wrong}
        for one in wrong:
            yield self._mislabeled(one)
        for group in several:
            # Of two photos that disagree, one may have turned out to show somebody else.
            if not set_aside & {*group.larger, *group.smaller}:
                yield self._several(group)
        for pair in find_same_people(known, self._evidence):
            yield self._same(pair)

    def _mislabeled(self, one: Mislabeled) -> Fault:
        own = int(self.known.labels[one.row])
        moves = one.other_probability >= LISTED
        name = self.people.names[one.other]
        beside = self._most_like(one.row, one.other if moves else own)
        score = float(self.known.vectors[one.row] @ self.known.vectors[beside])
        what = f"probably not {self.people.names[own]}" + (f" but {name}" if moves else "")
        return self._two(
            "mislabeled", int(self._rows[one.row]), int(self._rows[beside]), what,
            probability=one.probability, score=score,
            same=moves, action=f"move to {name}" if moves else "remove the photo, or give it its name",
        )  # fmt: skip

    def _several(self, one: SeveralPeople) -> Fault:
        both = len(one.larger) + len(one.smaller) == 2
        what = (
            "disagrees with the person's only other photo; which has the right name cannot be known"
            if both
            else f"one of {len(one.smaller)} photos that disagree with {len(one.larger)} others"
        )
        return self._two(
            "several_people", int(self._rows[one.smaller[0]]), int(self._rows[one.larger[0]]), what,
            probability=one.probability, score=one.score, same=False,
        )  # fmt: skip

    def _same(self, pair: SamePeople) -> Fault:
        a, b = (np.flatnonzero(self._active(person)) for person in (pair.first, pair.second))
        scores = self.known.vectors[a] @ self.known.vectors[b].T
        one, other = np.unravel_index(int(scores.argmax()), scores.shape)
        names = self.people.names
        return self._two(
            "same_people", int(self._rows[a[one]]), int(self._rows[b[other]]),
            f"{names[pair.first]} and {names[pair.second]} are probably one person",
            probability=pair.probability, score=pair.score, same=True,
        )  # fmt: skip

    def _active(self, person: int) -> NDArray[np.bool_]:
        active: NDArray[np.bool_] = self.known.used & (self.known.labels == person)
        return active

    def _most_like(self, row: int, person: int) -> int:
        """Return the photo of a person that is most like another photo."""
        rows = np.flatnonzero(self._active(person))
        if not len(rows):  # all were set aside themselves
            rows = np.flatnonzero((self.known.labels == person) & (np.arange(len(self.known.labels)) != row))
        return int(rows[int((self.known.vectors[rows] @ self.known.vectors[row]).argmax())])

    def _one(self, kind: str, i: int, what: str, score: float | None = None) -> Fault:
        person = self.people.names[self.people.labels[i]]
        return Fault(kind, person, self.photos[i].path, what, KINDS[kind].action, score=score)

    def _two(
        self, kind: str, i: int, other: int, what: str, *, probability: float | None = None,
        score: float | None = None, same: bool, action: str | None = None,
    ) -> Fault:  # fmt: skip
        names, labels = self.people.names, self.people.labels
        faces = [1 if (face := self.photos[each].face) is None else face.number for each in (i, other)]
        return Fault(
            kind, names[labels[i]], self.photos[i].path, what, action or KINDS[kind].action,
            names[labels[other]] if labels[other] != labels[i] else "", self.photos[other].path, probability,
            score, same, (faces[0], faces[1]),
        )  # fmt: skip


def _rows_of(known: KnownPeople) -> list[Ints]:
    """Return the rows of each person that count."""
    used = np.flatnonzero(known.used)
    order = used[np.argsort(known.labels[used], kind="stable")]
    ends = np.cumsum(np.bincount(known.labels[used], minlength=len(known.counts)))
    return np.split(order, ends[:-1])
