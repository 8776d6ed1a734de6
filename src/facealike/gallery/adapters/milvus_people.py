"""A page of the people of a gallery in Milvus.

Milvus sorts nothing, so the names of all people are read, but the templates of the page alone.  A person
whose metadata was replaced counts as new.
"""

from __future__ import annotations

from collections import Counter

from ..people_page import PeoplePage, first_matches, place_of
from .milvus_connection import MilvusConnection, among, both

NUMBERS = 2**40
"""More than the rows of a batch."""


def people_page(
    milvus: MilvusConnection, seen: str, limit: int, after: str | None, search: str
) -> PeoplePage:
    """Return the next people, the newest first; see ``GalleryStore.people_page``.

    Args:
        milvus: The collections.
        seen: The filter of the rows that count.
        limit: Most people.
        after: The ``next`` of the page before.
        search: What the names hold.
    """
    before = place_of(after, NUMBERS**3)
    where = both('kind == "person"', seen)
    rows = milvus.query(milvus.records, where, ["person", "name", "batch", "number"])
    by_place = {NUMBERS * row["batch"] + row["number"]: row for row in rows}
    places = sorted((place for place in by_place if place < before), reverse=True)
    found, following = first_matches(((one, by_place[one]["name"]) for one in places), limit, search)
    keys = {place: by_place[place]["person"] for place in found}
    held = []
    if keys and milvus.has(milvus.templates):
        held = milvus.query(milvus.templates, both(among("person", keys.values()), seen), ["person"])
    counts = Counter(row["person"] for row in held)
    return PeoplePage({name: counts[keys[place]] for place, name in found.items()}, following)
