"""The FNMR of parts of the genuine pairs: by the years between two photos, by group of people.

ISO/IEC 19795-10:2024 asks for the FNMR of each group beside its FMR; FRTE 1:1 reports it by the time elapsed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..utils.result import Shown
from ..utils.wording import rate_with_interval
from .bootstrap import Interval
from .demographic_groups import MIN_PEOPLE
from .intervals import BootstrapOptions
from .resampled_people import ResampledPeople

Bools = NDArray[np.bool_]

AGE_GAPS = (0, 5, 10, 20, 30)
"""Years between two photos: the lowest of each part."""


@dataclass(frozen=True, repr=False)
class SubsetRate(Shown):
    """The FNMR of a part of the genuine pairs.

    Args:
        name: Of the part.
        pairs: The number of its pairs.
        people: How many people they show.
        fnmr: With its interval; None where the pairs are of fewer than ``MIN_PEOPLE`` people.
    """

    name: str
    pairs: int
    people: int
    fnmr: Interval | None

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "pairs": self.pairs,
            "people": self.people,
            "fnmr": None if self.fnmr is None else self.fnmr.to_dict(),
        }

    def __str__(self) -> str:
        if self.fnmr is None:
            return f"{self.name}: too small ({self.people:,} people)"
        rate = rate_with_interval(self.fnmr.estimate, self.fnmr.low, self.fnmr.high)
        return f"{self.name}: FNMR {rate} of {self.pairs:,} pairs"


def subset_rates(
    rejected: Bools, people: ArrayLike, subsets: Mapping[str, Bools], options: BootstrapOptions
) -> tuple[SubsetRate, ...]:
    """Return the FNMR of each part that has a pair.

    Args:
        rejected: Whether each genuine pair scores below the threshold, (n,).
        people: The person of each pair, (n,).
        subsets: The pairs of each part, bool (n,).
        options: Of the intervals.
    """
    persons = np.asarray(people)
    found = []
    for name, chosen in subsets.items():
        if not chosen.any():
            continue
        several = len(np.unique(persons[chosen]))
        rate = (
            ResampledPeople(persons[chosen], options).share(rejected[chosen])
            if several >= MIN_PEOPLE
            else None
        )
        found.append(SubsetRate(name, int(chosen.sum()), several, rate))
    return tuple(found)


def age_gap_subsets(years: ArrayLike, lowest: Sequence[int] = AGE_GAPS) -> dict[str, Bools]:
    """Return the pairs of each range of years between two photos.

    Examples:
        >>> list(age_gap_subsets([1, 40]))
        ['0 to 4 years', '5 to 9 years', '10 to 19 years', '20 to 29 years', '30 years or more']

    Args:
        years: Between the photos of each pair, of any sign, (n,).
        lowest: The lowest of each range, rising from 0.
    """
    apart = np.abs(np.asarray(years))
    found = {}
    for start, end in zip(lowest, (*lowest[1:], None), strict=True):
        name = f"{start} years or more" if end is None else f"{start} to {end - 1} years"
        found[name] = (apart >= start) & (True if end is None else apart < end)
    return found


def highest_over_lowest(rates: Sequence[SubsetRate]) -> float | None:
    """Return the highest FNMR of the parts over the lowest; None with fewer than two, or where that is 0."""
    known = [rate.fnmr.estimate for rate in rates if rate.fnmr is not None]
    return max(known) / min(known) if len(known) > 1 and min(known) > 0 else None


def genuine_pairs(labels: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return all pairs of two photos of one person by index, (n,) twice.

    Args:
        labels: The person of each photo, (m,).
    """
    person = np.unique(np.asarray(labels), return_inverse=True)[1].reshape(-1)
    photos = np.split(np.argsort(person, kind="stable"), np.cumsum(np.bincount(person))[:-1])
    pairs = [own[np.stack(np.triu_indices(len(own), 1))] for own in photos]
    first, second = np.concatenate(pairs, axis=1).astype(np.int64)
    return first, second
