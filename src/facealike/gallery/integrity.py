"""Check that a gallery is whole: its file, its rows, and the index that answers searches."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import Any

from ..utils.escape import shown
from ..utils.result import Shown
from ..utils.wording import counted
from .base import GalleryStore
from .template import DIGEST
from .unusable import UnusableGallery


@dataclass(frozen=True, repr=False)
class GalleryCheck(Shown):
    """Whether a gallery is whole; true where it is.

    Examples:
        >>> gallery.check().problems
        ()

    Attributes:
        gallery: Its file.
        people: How many people were checked.
        templates: How many templates were.
        problems: One sentence for each problem.
    """

    gallery: str
    people: int
    templates: int
    problems: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether there is no problem."""
        return not self.problems

    def __bool__(self) -> bool:
        """Return ``whole``."""
        return self.whole

    def to_dict(self) -> dict[str, Any]:
        return {
            "gallery": self.gallery, "whole": self.whole, "people": self.people,
            "templates": self.templates, "problems": list(self.problems),
        }  # fmt: skip

    def __str__(self) -> str:
        if self.whole:
            held = f"{counted(self.people, 'person', 'people')}, {counted(self.templates, 'template')}"
            return f"{shown(self.gallery)}: whole; {held}"
        return f"{shown(self.gallery)}: damaged, {counted(len(self.problems), 'problem')}"


def check_store(store: GalleryStore) -> GalleryCheck:
    """Check a store: SQLite's own checks, then vectors, digests and metadata, then the index.

    Where one step finds a problem, the later ones, which rely on it, are left out.
    """
    problems = store.file_problems()
    if problems:
        return GalleryCheck(store.location, 0, 0, tuple(problems))
    people = store.people()
    damaged = [f"{shown(who)}: {shown(source)}: {why}" for who, source, why in store.damaged_templates()]
    if damaged:
        return GalleryCheck(store.location, len(people), sum(people.values()), tuple(damaged))
    digests = ((who, one.digest, one.source) for who, one in store.each_template())
    corrected = ((one.person, one.digest, "a correction") for one in store.corrections())
    problems += [
        f"{shown(who)}: {shown(source)}: the digest of the photo is no SHA-256"
        for who, digest, source in itertools.chain(digests, corrected)
        if not DIGEST.fullmatch(digest)
    ]
    try:
        store.metadata()
    except (json.JSONDecodeError, RecursionError) as error:
        problems.append(f"the metadata of a person is no JSON ({error})")
    problems += store.index_problems()
    return GalleryCheck(store.location, len(people), sum(people.values()), tuple(problems))


def refuse_damaged(store: GalleryStore) -> None:
    """Close a store with damaged templates, which a search could not use.

    Raises:
        UnusableGallery: There are some.
    """
    try:
        damaged = store.damaged_templates(unchecked=True)
    except BaseException:
        store.close()
        raise
    if damaged:
        store.close()
        person, _, why = damaged[0]
        raise UnusableGallery(
            f"{store.name}: a template of {shown(person)!r} is damaged ({why}), {len(damaged):,} in all; "
            "facealike gallery check lists them: forget and enroll those people, or restore a copy",
            "damaged",
        )
