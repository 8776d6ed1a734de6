"""What a folder of people that is continued says of the faces found now.

What is in a folder of a person stays there, and is that person's: the folders of people are the groups, as
the user has renamed, filled and emptied them.  A face whose photo was moved to another folder is the person
of that folder; one whose photo was deleted is left out.  Faces in ``single`` and in ``not-grouped`` are
grouped again with the new ones, except where the user put them there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..imaging.boxes import iou
from ..utils.escape import shown
from .faces import PhotoFace, PhotoFaces
from .folder_names import NOT_GROUPED, SINGLE, numbered
from .people_entries import PeopleEntries, find_entries, place_of
from .people_record import PeopleRecord, RecordedFace

SAME_BOX = 0.5
"""Boxes of a lower IoU are not one face.  Another model may place the box of a face elsewhere."""


@dataclass
class KeptGroups:
    """The groups of a folder of people, for the faces that are found now.

    Attributes:
        folder: The folder of people; None where none is continued.
        record: What it held when it was written.
        entries: What is in it now.
        groups: The person of each face that stays with one, by the place of the face.
        alone: The number of each face that the user has put into ``single``.
        removed: The faces that the user has deleted, or put into ``not-grouped``.
        numbers: The number that each face in ``single`` had.
        folders: The folder of each person who has one.
        names: The names of people: of renamed folders, or those that were recorded.
        gone: The photos that the user has deleted from their folders.
        apart: Pairs of faces that are two people by corrections, of this run or an earlier one.
        digests: The SHA-256 of the photos' files.
        embeddings: The embedding of each face.
        next: The number of the next new person.
    """

    folder: Path | None = None
    record: PeopleRecord = field(default_factory=PeopleRecord)
    entries: PeopleEntries = field(default_factory=PeopleEntries)
    groups: dict[int, int] = field(default_factory=dict)
    alone: dict[int, int] = field(default_factory=dict)
    removed: set[int] = field(default_factory=set)
    numbers: dict[int, int] = field(default_factory=dict)
    folders: dict[int, str] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    apart: set[tuple[int, int]] = field(default_factory=set)
    digests: Mapping[str, str] = field(default_factory=dict)
    embeddings: list[NDArray[np.float32]] = field(default_factory=list)
    next: int = 1

    def people(self, labels: NDArray[np.int64], faces: Sequence[int]) -> list[int]:
        """Return the number of the person of each label.

        Args:
            labels: The label of each face that was grouped, from 0, (n,).
            faces: Which faces those are.

        Raises:
            DataError: Faces of two folders are one person by the corrections.
        """
        count = int(labels.max()) + 1 if len(labels) else 0
        fixed: list[set[int]] = [set() for _ in range(count)]
        earlier: list[set[int]] = [set() for _ in range(count)]
        for label, face in zip(labels.tolist(), faces, strict=True):
            if face in self.groups:
                fixed[label].add(self.groups[face])
            elif face in self.numbers:
                earlier[label].add(self.numbers[face])
        found, following = [], self.next
        for kept, single in zip(fixed, earlier, strict=True):
            if len(kept) > 1:
                a, b = sorted(kept)[:2]
                raise DataError(
                    f"{shown(self.folder or '')}: by the corrections the people in "
                    f"{shown(self.folders[a])} and {shown(self.folders[b])} are one; move the photos into "
                    "one of the folders"
                )
            if not kept and not single:
                found.append(following)
                following += 1
            else:
                found.append(min(kept or single))
        return found

    def remember(self, apart: Iterable[tuple[int, int]], faces: Sequence[PhotoFace]) -> None:
        """Remember the pairs of faces that are two people by corrections.

        Raises:
            DataError: Two of them are in the folder of one person.
        """
        for a, b in apart:
            self.apart.add((a, b))
            if a in self.groups and self.groups[a] == self.groups.get(b):
                raise DataError(
                    f"{shown(self.folder or '')}: by the corrections {shown(faces[a].photo)} and "
                    f"{shown(faces[b].photo)} are two people, and both are in "
                    f"{shown(self.folders[self.groups[a]])}; move one of them to another folder"
                )


def keep_groups(folder: Path, record: PeopleRecord, found: PhotoFaces) -> KeptGroups:
    """Return what a folder of people says of the faces found now.

    Raises:
        DataError: The folder cannot be read.
    """
    entries = find_entries(folder, found.digests, record)
    kept = KeptGroups(folder, record, entries, digests=found.digests, next=record.next)
    places = entries.places()
    recorded = record.of_photos(found.digests)
    _keep_folders(kept, places, recorded)
    faces: dict[str, list[int]] = {}
    for i, face in enumerate(found.faces):
        faces.setdefault(face.photo, []).append(i)
    where: dict[str, set[str]] = {}
    for place, photos in places.items():
        for photo in photos:
            where.setdefault(photo, set()).add(place)
    open_photos = []
    matched: dict[RecordedFace, int] = {}
    for photo in found.digests:
        rows = recorded.get(photo, [])
        one = _Photo(kept, where.get(photo, set()))
        pairs = _matched(faces.get(photo, []), rows, found.faces)
        matched |= {row: face for face, row in pairs.items() if row is not None}
        one.place(pairs)
        if not one.places and any(row.entry or row.fixed for row in rows):
            kept.gone.add(photo)
        open_photos.append(one)
    # Only now is it known which faces are in each folder, by which one of several is chosen.
    for one in open_photos:
        one.place_by_hand(found.faces)
    for first, second in record.apart:
        a, b = (matched.get(record.faces[row], -1) for row in (first, second))
        if a >= 0 and b >= 0 and (a not in kept.groups or kept.groups[a] != kept.groups.get(b)):
            kept.apart.add((a, b))
    return kept


def _keep_folders(
    kept: KeptGroups, places: Mapping[str, Mapping[str, str]], recorded: Mapping[str, list[RecordedFace]]
) -> None:
    """Find the folder of each person, also where it was renamed, and number those that are new."""
    record = kept.record
    known = {person: name for person, name in record.folders.items() if name in places}
    new = {name for name in places if name not in (SINGLE, NOT_GROUPED, *known.values())}
    photos: dict[int, set[str]] = {person: set() for person in record.folders if person not in known}
    for photo, rows in recorded.items():
        for row in rows:
            if row.person in photos and row.entry and not row.fixed:
                photos[row.person].add(photo)
    shared = [
        (-len(photos[person] & set(places[name])), person, name) for person in photos for name in sorted(new)
    ]
    for count, person, name in sorted(shared):
        if count and person not in known and name in new:
            known[person] = name
            new.remove(name)
    taken = {row.person for row in record.faces if row.fixed} | set(record.folders)
    for name in sorted(new):
        # A run that was killed has made folders that it did not record.
        match = re.fullmatch(r"person-(\d{4,9})", name)
        person = int(match[1]) if match else 0
        if not person or person in taken or person in known:
            person = kept.next
        known[person] = name
        kept.next = max(kept.next, person + 1)
    for person, name in known.items():
        kept.folders[person] = name
        if name == record.folders.get(person):
            if person in record.names:
                kept.names[person] = record.names[person]
        elif name != numbered(person):
            kept.names[person] = name


def _matched(
    faces: Sequence[int], rows: Sequence[RecordedFace], found: Sequence[PhotoFace]
) -> dict[int, RecordedFace | None]:
    """Return what was recorded of each face of a photo, by the overlap of their boxes."""
    boxed = [row for row in rows if row.box is not None]
    matched: dict[int, RecordedFace | None] = dict.fromkeys(faces)
    if not faces or not boxed:
        return matched
    overlap = iou(np.array([found[i].face.box for i in faces]), np.array([row.box for row in boxed]))
    while overlap.max() >= SAME_BOX:
        a, b = np.unravel_index(int(overlap.argmax()), overlap.shape)
        matched[faces[int(a)]] = boxed[int(b)]
        overlap[a], overlap[:, b] = -1, -1
    return matched


class _Photo:
    """A photo, the folders it is in, and its faces that may be the ones meant there."""

    def __init__(self, kept: KeptGroups, places: set[str]) -> None:
        self.kept, self.places = kept, places
        self.waiting = places - {SINGLE, NOT_GROUPED}
        self.lost: list[int] = []
        self.new: list[int] = []
        self.in_single: list[int] = []
        self.before: set[str] = set()

    def place(self, matched: Mapping[int, RecordedFace | None]) -> None:
        """Place the faces whose photo is where it was put."""
        kept = self.kept
        for face, row in matched.items():
            if row is None:
                self.new.append(face)
                continue
            put = place_of(row.entry)
            self.before.add(put)
            if row.fixed and put in ("", NOT_GROUPED):
                kept.removed.add(face)
                self.new.append(face)
            elif put == SINGLE and SINGLE in self.places and row.person is not None:
                if row.fixed:
                    kept.alone[face] = row.person
                elif row.person not in kept.folders:
                    kept.numbers[face] = row.person
                self.in_single.append(face)
            elif not put or (put == NOT_GROUPED and NOT_GROUPED in self.places):
                self.new.append(face)
            elif row.person in kept.folders and kept.folders[row.person] in self.places:
                kept.groups[face] = row.person
                self.waiting.discard(kept.folders[row.person])
            else:
                self.lost.append(face)

    def place_by_hand(self, found: Sequence[PhotoFace]) -> None:
        """Place the faces whose photo the user has put elsewhere, and take out those deleted."""
        kept = self.kept
        number = {name: person for person, name in kept.folders.items()}
        for place in sorted(self.waiting):
            person = number[place]
            choice = self.lost or self.new or self.in_single
            if choice:
                face = _most_alike(choice, person, kept, found)
                choice.remove(face)
                kept.groups[face] = person
                kept.removed.discard(face)
                kept.alone.pop(face, None)
                kept.numbers.pop(face, None)
        for face in self.lost:
            if SINGLE in self.places - self.before:
                kept.alone[face] = kept.next
                kept.next += 1
            else:
                kept.removed.add(face)


def _most_alike(choice: Sequence[int], person: int, kept: KeptGroups, found: Sequence[PhotoFace]) -> int:
    """Return which of some faces is most like those of a person; the first where there are none."""
    if len(choice) == 1:
        return choice[0]
    members = [found[face].embedding for face, group in kept.groups.items() if group == person]
    if not members:
        return choice[0]
    mean = np.mean(members, axis=0)
    return max(choice, key=lambda face: (float(found[face].embedding @ mean), -face))
