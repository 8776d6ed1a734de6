"""A page of the people of a gallery, the newest first, and the place where the next page begins.

A place is a number that rises with enrollment, so that a page costs what it holds, however many people there
are, and no person is left out or repeated where others are enrolled or forgotten meanwhile.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

from ..errors import UsageError
from ..utils.escape import shown

BEYOND = 2**63 - 1
"""Above every place that is the id of a row in SQL."""

PLACE = re.compile(r"[0-9]{1,40}", re.ASCII)


class PeoplePage(NamedTuple):
    """Some enrolled people with the number of their templates, the newest first.

    ``next`` is what the next call gets as ``after``; None where there are no more.
    """

    people: dict[str, int]
    next: str | None


def place_of(after: str | None, beyond: int = BEYOND) -> int:
    """Return the place below which a page begins.

    Args:
        after: The ``next`` of the page before; None for the first page.
        beyond: Above every place.

    Raises:
        UsageError: ``after`` is not the ``next`` of a page.
    """
    if after is None:
        return beyond
    if not PLACE.fullmatch(after):
        raise UsageError(f"{shown(repr(after))}: not the next of a page of people; begin without after")
    return min(int(after), beyond)


def first_matches(
    rows: Iterable[tuple[int, str | None]], limit: int, search: str = ""
) -> tuple[dict[int, str], str | None]:
    """Return the people of a page by their places, and where the next page begins.

    Args:
        rows: Places, which fall, and names, None where a person was removed; drawn as far as needed.
        limit: Most people.
        search: Only names that hold this text, in capital or small letters.

    Raises:
        UsageError: ``limit`` is below 1.
    """
    if limit < 1:
        raise UsageError(f"a page holds one person or more, not {limit}")
    wanted = search.casefold()
    matches = ((place, name) for place, name in rows if name is not None and wanted in name.casefold())
    found = list(islice(matches, limit + 1))
    return dict(found[:limit]), str(found[limit - 1][0]) if len(found) > limit else None
