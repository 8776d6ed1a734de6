"""Check that a server's searches find what it holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np

from ...utils.escape import shown
from ..base import GalleryStore
from ..template import Template

MAX_SEARCHED = 20
"""Templates that a check searches for; each search may read all vectors."""

SCORE_TOLERANCE = 1e-2
"""How far the score of a template with itself may be from 1, for vectors whose norm is that far off."""

T = TypeVar("T")


def evenly_spread(rows: Sequence[T]) -> list[T]:
    """Return up to ``MAX_SEARCHED`` of some rows, evenly spread."""
    places = np.linspace(0, len(rows) - 1, min(len(rows), MAX_SEARCHED)).astype(int)
    return [rows[place] for place in places]


def not_found(store: GalleryStore, sample: Iterable[tuple[str, Template]]) -> list[str]:
    """Search for templates; return those that are not found with a score of 1."""
    problems: list[str] = []
    for person, one in sample:
        hits = store.search(one.vector, 1)
        if not hits or abs(hits[0].score - 1) > SCORE_TOLERANCE:
            problems.append(f"{shown(person)}: {shown(one.source)}: not found by a search")
    return problems
