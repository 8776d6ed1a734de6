"""People to enroll from any source that states whom its photos show."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

from ..errors import DataError
from ..gallery.enrollment import RefusedPhoto
from ..gallery.people_list import PeopleList, parse_metadata
from ..gallery.template import person_name
from ..imaging.read import Source
from .listing import list_photos
from .photo_file import PhotoFile, PhotoRef
from .places import is_url

NO_PERSON = "no person is stated for this photo"


def list_people(sources: Sequence[str | os.PathLike[str]]) -> PeopleList:
    """Return the photos of sources with their people, for ``Gallery.enroll_all``.

    A photo of a folder or tar file that states no person shows whom its folder is named after.  What then has
    none is refused, and so is a row of a list that cannot be used.

    Args:
        sources: As for ``list_photos``.

    Raises:
        DataError: A source cannot be read, or no photo has a person.
    """
    photos: list[tuple[str, Source]] = []
    metadata: dict[str, dict[str, Any]] = {}
    refused: list[RefusedPhoto] = []
    for ref in list_photos(sources, people=True):
        stated, wrong = parse_metadata(ref.metadata or "")
        problem = ref.problem or wrong or (None if ref.person and ref.person.strip() else NO_PERSON)
        if problem is not None:
            refused.append(RefusedPhoto(ref.person or "", ref.source, problem))
            continue
        person = person_name(ref.person or "")
        photos.append((person, _source(ref)))
        if stated is not None:
            metadata[person] = stated
    if not photos:
        raise DataError(
            f"{refused[0] if refused else sources}; no photo with a person is left to enroll: name people by "
            "folders, or in a list with the columns photo and person"
        )
    return PeopleList(tuple(photos), metadata, tuple(refused))


def _source(ref: PhotoRef) -> Source:
    if ref.member or is_url(ref.place):
        return cast(BinaryIO, PhotoFile(ref))  # what read_image needs of it is read()
    return Path(ref.place)
