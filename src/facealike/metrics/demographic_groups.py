"""One demographic group, the points at which groups are compared, and summaries of several groups."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..utils.result import Result
from ..utils.wording import rate_text
from .bootstrap import Interval
from .impostor_scores import ImpostorScores
from .intervals import wilson
from .verification import RULE_OF_3

Rows = NDArray[np.int64]
MIN_PEOPLE = 30
"""Fewer people do not represent a group."""

OVERALL: tuple[str, ...] = ()
"""The columns of the one group that holds all photos."""


@dataclass(frozen=True, repr=False)
class Point(Result):
    """A threshold at which groups are compared.

    Args:
        threshold: A score.
        target: The FMR that the model's calibration gives for the threshold; None where it gives none.
        source: Where the threshold comes from, in words.
        target_of: The people whose FMR ``target`` is; empty where that is not known.
    """

    threshold: float
    target: float | None
    source: str
    target_of: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {
            "threshold": self.threshold,
            "stated_fmr": self.target,
            "stated_of": self.target_of,
            "source": self.source,
        }


@dataclass(frozen=True, eq=False, repr=False)
class Group(Result):
    """One group of photos: those with ``values`` in ``columns``; both are empty for all photos.

    Args:
        columns: The kinds of groups, such as ``("race", "gender")``.
        values: The group in each.
        photos: The number of photos listed.
        missing: How many of them show no face.
        impostors: The scores of all pairs of two people within the group.
        rates: The FMR at each point; None where the group is too small for the target FMR.
        rows: The photos with a face, as rows of all embeddings.
        people: How many people they are.
    """

    columns: tuple[str, ...]
    values: tuple[str, ...]
    photos: int
    missing: int
    impostors: ImpostorScores = field(repr=False)
    rates: tuple[Interval | None, ...]
    rows: Rows = field(repr=False)
    people: int = 0

    @property
    def name(self) -> str:
        """The values, joined; ``overall`` for all photos."""
        return ", ".join(self.values) or "overall"

    @property
    def pairs(self) -> int:
        """The number of impostor pairs within the group."""
        return self.impostors.pairs

    def supports(self, fmr: float) -> bool:
        """Return whether the group has enough people and pairs to measure that FMR."""
        return supports_fmr(self.impostors, self.people, fmr)

    @property
    def not_found(self) -> Interval:
        """The share of its photos without a face, with Wilson's interval."""
        share = self.missing / self.photos
        return Interval(share, *wilson(share, self.photos, 0.95), method="wilson")

    def to_dict(self) -> dict[str, Any]:
        return {
            "group": dict(zip(self.columns, self.values, strict=True)),
            "photos": self.photos,
            "missing": self.missing,
            "not_found": self.not_found.to_dict(),
            "pairs": self.pairs,
            "fmr": [None if rate is None else rate.to_dict() for rate in self.rates],
        }


@dataclass(frozen=True, repr=False)
class Disparity(Result):
    """The highest and the lowest FMR of the groups that could be measured at one point.

    Args:
        worst: The group with the highest FMR.
        best: The group with the lowest.
        worst_fmr: The highest FMR with its interval.
        best_fmr: The lowest.
        max_min_ratio: Highest over lowest FMR; None where the lowest is 0.
        max_mean_ratio: Highest FMR over the geometric mean of all; None likewise.
        max_target_ratio: Highest FMR over the target FMR; None without a target.
        measured: The number of groups measured.
        refused: The number of groups that are too small.
    """

    worst: Group
    best: Group
    worst_fmr: Interval
    best_fmr: Interval
    max_min_ratio: float | None
    max_mean_ratio: float | None
    max_target_ratio: float | None
    measured: int
    refused: int

    def to_dict(self) -> dict[str, Any]:
        ratios = {
            "over_best": self.max_min_ratio,
            "over_mean": self.max_mean_ratio,
            "over_stated": self.max_target_ratio,
        }
        return {
            "worst": self.worst.name,
            "worst_fmr": self.worst_fmr.to_dict(),
            "best": self.best.name,
            "best_fmr": self.best_fmr.to_dict(),
            **{name: None if value is None else round(value, 4) for name, value in ratios.items()},
            "measured": self.measured,
            "refused": self.refused,
        }


@dataclass(frozen=True, repr=False)
class WorstGroup(Result):
    """The lowest threshold at which every group that is large enough keeps an FMR.

    Args:
        fmr: The FMR.
        threshold: With the interval that another sample of people of the deciding group would give.
        group: The group that decides.
        measured: The number of groups that are large enough.
        refused: The groups that are too small, for which nothing is guaranteed.
        pairs: The number of impostor pairs of the deciding group.
    """

    fmr: float
    threshold: Interval
    group: str
    measured: int
    refused: tuple[str, ...]
    pairs: int = 0

    def to_dict(self) -> dict[str, Any]:
        return {
            "fmr": self.fmr,
            "threshold": self.threshold.to_dict(),
            "group": self.group,
            "pairs": self.pairs,
            "measured": self.measured,
            "refused": list(self.refused),
        }

    def __str__(self) -> str:
        return (
            f"threshold {self.threshold}: FMR {rate_text(self.fmr)} or less in each of {self.measured:,} "
            f"groups, decided by {self.group}; too small to tell: {len(self.refused):,}"
        )


def supports_fmr(impostors: ImpostorScores, people: int, fmr: float) -> bool:
    """Return whether so many pairs and people can measure that FMR."""
    return people >= MIN_PEOPLE and fmr * impostors.pairs >= RULE_OF_3 * (1 - 1e-12)
