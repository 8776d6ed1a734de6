"""What is to be written into a folder of people: which photo goes where, and what was there before.

Nothing in the folder of a person is ever moved or removed.  A folder that still has a person's number for its
name is renamed once the person has a name.  Links in ``single`` and ``not-grouped`` that were made by an
earlier run follow their photos into the folders of people.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .folder_names import NOT_GROUPED, SINGLE, folder_name, numbered, unused_name
from .kept_groups import KeptGroups
from .people_entries import place_of
from .people_record import PeopleRecord, RecordedFace, absolute

if TYPE_CHECKING:
    from .result import Clustering

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class PeoplePlan:
    """What is to be written.  Entries are links or copies, named by their path below the folder of people.

    Attributes:
        renamed: Folders that get another name: old and new.
        added: New entries, with the photo of each.
        moved: Entries of ``single`` and ``not-grouped`` that go to another folder: old and new.
        removed: Entries of those two whose photo is in another folder already.
        relinked: Links that lead nowhere, with the place where their photo is now.
        kept: How many entries stay as they are.
        record: What the folder holds then.
    """

    renamed: Pairs
    added: Pairs
    moved: Pairs
    removed: tuple[str, ...]
    relinked: Pairs
    kept: int
    record: PeopleRecord


def people_plan(clustering: Clustering) -> PeoplePlan:
    """Return what is to be written for a clustering: all of it, or what is new where groups were kept."""
    kept = KeptGroups() if clustering.kept is None else clustering.kept
    folders, renamed = _folders(clustering, kept)
    rename = dict(renamed)

    def new_name(entry: str) -> str:
        place, slash, rest = entry.partition("/")
        return f"{rename.get(place, place)}{slash}{rest}"

    entries = {new_name(entry): photo for entry, photo in kept.entries.photos.items()}
    there = {
        (place_of(entry), photo): entry for entry, photo in sorted(entries.items(), reverse=True) if photo
    }
    wanted = list(dict.fromkeys(_wanted(clustering, kept, folders, {photo for _, photo in there})))
    leaving = _leaving(there, set(wanted), kept)
    taken = {entry.lower() for entry in entries}
    added, moved = [], []
    for place, photo in wanted:
        if (place, photo) not in there:
            there[place, photo] = entry = _unused_entry(place, Path(photo), taken)
            if leaving.get(photo):
                moved.append((leaving[photo].pop(), entry))
            else:
                added.append((entry, photo))
    removed = [entry for left in leaving.values() for entry in left]
    gone = {old for old, _ in moved} | set(removed)
    relinked = [(new_name(entry), kept.entries.photos[entry]) for entry in sorted(kept.entries.stale)]
    return PeoplePlan(
        tuple(renamed), tuple(added), tuple(moved), tuple(removed),
        tuple((entry, photo) for entry, photo in relinked if photo is not None and entry not in gone),
        len(entries) - len(gone), _record(clustering, kept, folders, there),
    )  # fmt: skip


def _folders(clustering: Clustering, kept: KeptGroups) -> tuple[dict[int, str], list[tuple[str, str]]]:
    """Return the folder of each person who has one, and which of those that are there get another name."""
    taken = {place_of(entry).casefold() for entry in kept.entries.photos}
    if kept.folder is not None:
        taken |= {path.name.casefold() for path in kept.folder.iterdir() if not path.is_dir()}
    folders, renamed = dict(kept.folders), []
    for person in clustering.numbers:
        old, name = kept.folders.get(person), clustering.names.get(person)
        if not clustering.has_folder(person) or (old is not None and (old != numbered(person) or not name)):
            continue
        folders[person] = unused_name(folder_name(name) if name else numbered(person), taken)
        if old is not None:
            renamed.append((old, folders[person]))
    return folders, renamed


def _wanted(
    clustering: Clustering, kept: KeptGroups, folders: Mapping[int, str], there: set[str]
) -> Iterator[tuple[str, str]]:
    """Yield each folder with each of the photos that belong there.

    ``there`` are the photos that have a place already.
    """
    single: list[str] = []
    for person in clustering.numbers:
        photos = [face.photo for face in clustering.faces_of(person)]
        if person in folders:
            yield from ((folders[person], photo) for photo in photos)
        else:
            single += photos
    yield from ((SINGLE, photo) for photo in single)
    grouped = {face.photo for face in clustering.faces if face.person is not None}
    poor = [face.photo for face in clustering.faces if face.photo not in grouped]
    for photo in (*_without_face(clustering), *poor):
        if photo not in there and photo not in kept.gone:
            yield NOT_GROUPED, photo


def _without_face(clustering: Clustering) -> list[str]:
    """Return the photos in which no face was found; those that cannot be read get no place."""
    return [one.photo for one in clustering.unused if one.kind == "no_face"]


def _leaving(
    there: Mapping[tuple[str, str], str], wanted: set[tuple[str, str]], kept: KeptGroups
) -> dict[str, list[str]]:
    """Return the entries of ``single`` and ``not-grouped`` whose photos belong elsewhere now, by photo."""
    made = {row.entry for row in kept.record.faces if not row.fixed}
    elsewhere = {photo for place, photo in (*wanted, *there) if place not in (SINGLE, NOT_GROUPED)}
    elsewhere |= {photo for place, photo in wanted if place == SINGLE}
    leaving: dict[str, list[str]] = {}
    for (place, photo), entry in sorted(there.items()):
        pot = place in (SINGLE, NOT_GROUPED)
        if pot and entry in made and (place, photo) not in wanted and photo in elsewhere:
            leaving.setdefault(photo, []).append(entry)
    return leaving


def _unused_entry(place: str, photo: Path, taken: set[str]) -> str:
    """Return a name in a folder that no other photo has, in upper or lower case, and take it."""
    name, count = f"{place}/{photo.name}", 1
    while name.lower() in taken:
        count += 1
        name = f"{place}/{photo.stem}-{count}{photo.suffix}"
    taken.add(name.lower())
    return name


def _record(
    clustering: Clustering, kept: KeptGroups, folders: Mapping[int, str],
    entries: Mapping[tuple[str, str], str],
) -> PeopleRecord:  # fmt: skip
    digests = kept.digests
    rows = []
    for i, face in enumerate(clustering.faces):
        place = NOT_GROUPED if face.person is None else folders.get(face.person, SINGLE)
        rows.append(
            RecordedFace(
                absolute(face.photo), digests.get(face.photo, ""), face.face.box, face.person,
                entries.get((place, face.photo), ""), i in kept.removed or i in kept.alone,
            )
        )  # fmt: skip
    for photo in _without_face(clustering):
        entry = entries.get((NOT_GROUPED, photo), "")
        rows.append(
            RecordedFace(absolute(photo), digests.get(photo, ""), None, None, entry, photo in kept.gone)
        )
    # Photos that are not there now keep their people, for the day they are back.
    known = kept.record.of_photos(digests)
    seen = {row.photo for some in known.values() for row in some} | {absolute(photo) for photo in digests}
    rows += [row for row in kept.record.faces if row.photo not in seen]
    names = {person: name for person, name in {**kept.names, **clustering.names}.items() if person in folders}
    following = max([kept.next - 1, *clustering.numbers]) + 1
    return PeopleRecord(tuple(rows), dict(folders), names, following, tuple(sorted(kept.apart)))
