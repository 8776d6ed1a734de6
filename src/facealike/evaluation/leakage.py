"""Find people of a test who took part in the training or the calibration of a model.

A person is the name of the folder a photo lies in.  Names are compared in any spelling, through links too,
and photos by their decoded pixels, so that a copy under another name is found.  Cards from before there were
digests of photos have names only, as they were written: for those a few spellings are tried, and copies under
other names are not found.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..datasets.people import People
from ..datasets.seen import Seen
from ..errors import PeopleOverlap
from ..imaging.photo_digest import PhotoDigest, photo_digests
from ..model_file.model_file import ModelFile
from ..utils.escape import shown


@dataclass(frozen=True)
class Overlap:
    """The people of some photos who took part in the training or calibration of a model.

    Args:
        people: How many people were looked up.
        trained: Those of the training, by the names of their folders, sorted.
        calibrated: Those of the calibration.
        copies: Those of either who were recognized by a photo and not by their name.
    """

    people: int
    trained: tuple[str, ...] = ()
    calibrated: tuple[str, ...] = ()
    copies: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        """Whether there is any such person."""
        return bool(self.trained or self.calibrated)

    def summary(self) -> str:
        """Return who took part in what, as the beginning of a sentence."""
        who, what = self.trained, "took part in the training of this model"
        if not who:
            who, what = self.calibrated, "gave this model its threshold and its probabilities"
        names = f"{shown(', '.join(who[:3]))}{', ...' if len(who) > 3 else ''}"
        copied = sum(name in self.copies for name in who)
        known = f", {copied:,} of them known by their photos alone" if copied else ""
        return f"{len(who):,} of the {self.people:,} people {{of}}{what} ({names}{known})"


def person_of(path: str | os.PathLike[str]) -> str:
    """Return the person that a photo shows: the name of its folder."""
    return Path(path).parent.name


def find_overlap(
    file: ModelFile, photos: Sequence[str | os.PathLike[str]], calibration: bool = True,
    digests: Sequence[PhotoDigest | None] | None = None, named: Mapping[str, str] | None = None,
) -> Overlap:  # fmt: skip
    """Return the people on ``photos`` who took part in the training or the calibration of a model.

    Args:
        file: The model, with its records of people and photos.
        photos: Paths, each in a folder that is named after a person.
        calibration: Whether people of the calibration count.
        digests: ``photo_digests(photos)``, where the caller has them; else they are computed if needed.
        named: The person on each photo by path, where that is not the name of its folder.
    """
    records = [("trained", record) for record in file.card.trained_records]
    records += [("calibrated", record) for record in file.calibration.seen] if calibration else []
    names = _folder_names(photos)
    if named is not None:  # a number is no name that another set could have
        names = {person: set() if person.isdigit() else {person} for person in named.values()}
    found: dict[str, set[str]] = {"trained": set(), "calibrated": set()}
    for person, known_as in names.items():
        for name in known_as:
            for kind, record in records:
                if record.knows_person(name):
                    found[kind].add(person)
    by_name = found["trained"] | found["calibrated"]
    if not by_name and any(record.photos for _, record in records):
        given = photo_digests(photos) if digests is None else digests
        for path, digest in zip(photos, given, strict=True):
            for kind, record in records:
                if record.knows_photo(digest):
                    found[kind].add(person_of(path) if named is None else named[str(path)])
    trained, calibrated = (tuple(sorted(found[kind])) for kind in ("trained", "calibrated"))
    copies = frozenset({*trained, *calibrated} - by_name)
    return Overlap(len(names), trained, calibrated, copies)


def _folder_names(photos: Sequence[str | os.PathLike[str]]) -> dict[str, set[str]]:
    """Return the people by their folders, each with the names of the folder as it stands and behind links."""
    folders: dict[str, set[str]] = {}
    for path in photos:
        folders.setdefault(os.path.dirname(path), set()).add(person_of(path))  # noqa: PTH120
    names: dict[str, set[str]] = {}
    for folder, people in folders.items():
        behind = Path(os.path.realpath(folder)).name
        for person in people:
            names.setdefault(person, {person}).add(behind)
    return names


def check_overlap(
    file: ModelFile, photos: Sequence[str | os.PathLike[str]], allow: bool, of: str = "in these pairs",
    calibration: bool = True, digests: Sequence[PhotoDigest | None] | None = None,
    named: Mapping[str, str] | None = None,
) -> bool | None:  # fmt: skip
    """Return whether people on ``photos`` took part in the training or the calibration of a model.

    None where the model's card does not list the people of its training, or the people of the test have
    numbers in place of names, and no overlap was found.

    Args:
        file: The model.
        photos: Paths, each in a folder that is named after a person.
        allow: Whether to accept such people.
        of: Where the photos come from, for the message.
        calibration: Whether people of the calibration count.
        digests: ``photo_digests(photos)``, where the caller has them.
        named: The person on each photo by path, where that is not the name of its folder.

    Raises:
        PeopleOverlap: Some did, and that is not allowed; the message has their number.
    """
    overlap = find_overlap(file, photos, calibration, digests, named)
    if overlap and not allow:
        raise PeopleOverlap(
            f"{overlap.summary().format(of=f'{of} ')}; evaluate on others, or pass --allow-overlap for a "
            "result that is marked as leaked"
        )
    if overlap:
        return True
    numbered = named is not None and any(person.isdigit() for person in named.values())
    known = any(record.people for record in file.card.trained_records)
    return False if known and not numbered else None


def record_people(people: People, digests: Sequence[PhotoDigest | None] | None = None) -> Seen:
    """Return the record of people and their photos, for a card or a calibration."""
    return Seen.of(people.known_names(), photo_digests(people.paths) if digests is None else digests)
