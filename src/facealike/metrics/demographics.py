"""How often strangers pass within each group of people: all impostor pairs of the group, and no others.

Two strangers of one age, gender and origin resemble each other more than two drawn at random, so a
threshold that stops most strangers may let many of one group pass.  What is told of each group is the
FMR at thresholds set beforehand, and the share of its photos in which no face was found.  Refused are
groups with too few pairs for the FMR in question (rule of 3), and with fewer than ``FEWEST_PEOPLE`` people:
all their pairs share so few faces that two of them could decide the rate.

"Worst over best" is the plainest summary and the shakiest, for it rests on the group with the fewest
errors; the worst over the geometric mean is steadier (Grother, NISTIR 8429, 2022; ISO/IEC 19795-10).
The worst of many groups is partly bad luck: read it with its interval.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..imaging.photo_warning import UnusedPhoto, unused_rows
from ..utils.result import Result
from ..utils.wording import rate_text
from . import demographic_tables as group_tables
from .bootstrap import Interval
from .impostor_scores import Impostors
from .intervals import BootstrapOptions, wilson
from .score_histogram import tally
from .verification import RULE_OF_3, check_fmr, checked_rate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Rows = NDArray[np.int64]
FEWEST_PEOPLE = 30
"""People below whom a rate would be about them, and not about a group."""

RATIOS = ("max_min_ratio", "max_mean_ratio", "max_stated_ratio")

OVERALL: tuple[str, ...] = ()
"""The columns of the one group that holds all photos."""


@dataclass(frozen=True, repr=False)
class Point(Result):
    """A threshold at which groups are compared, the FMR ``stated`` for it (None: nobody did), and by whom.

    ``stated_of`` are the people whose FMR that is, empty where it is not known.
    """

    threshold: float
    stated: float | None
    source: str
    stated_of: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {
            "threshold": self.threshold,
            "stated_fmr": self.stated,
            "stated_of": self.stated_of,
            "source": self.source,
        }


@dataclass(frozen=True, eq=False, repr=False)
class Group(Result):
    """One group of photos: those with ``values`` in ``columns``; of both none for everybody.

    ``photos`` are all that are listed, ``missing`` those in which no face was found.  ``impostors`` counts
    all pairs of two people within the group.  ``rates`` has the FMR at each point, or None where the group is
    too small for the FMR stated there.  ``rows`` are those of its vectors among all, of ``people``.
    """

    columns: tuple[str, ...]
    values: tuple[str, ...]
    photos: int
    missing: int
    impostors: Impostors = field(repr=False)
    rates: tuple[Interval | None, ...]
    rows: Rows = field(repr=False)
    people: int = 0

    @property
    def name(self) -> str:
        return ", ".join(self.values) or "overall"

    @property
    def pairs(self) -> int:
        """The number of impostor pairs within the group."""
        return self.impostors.pairs

    def supports(self, fmr: float) -> bool:
        """Whether the group has people and pairs enough to speak of that FMR."""
        return supports_fmr(self.impostors, self.people, fmr)

    @property
    def not_found(self) -> Interval:
        """The share of its photos in which no face was found, with Wilson's interval."""
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
    """Worst and best of the groups that could be measured at one point.

    ``over_best`` is the worst FMR over the best, None where the best has none; ``over_mean`` over the
    geometric mean of all, None likewise; ``over_stated`` over the FMR stated for the threshold.
    ``refused`` counts the groups that are too small.
    """

    worst: Group
    best: Group
    worst_fmr: Interval
    best_fmr: Interval
    max_min_ratio: float | None
    max_mean_ratio: float | None
    max_stated_ratio: float | None
    measured: int
    refused: int

    def to_dict(self) -> dict[str, Any]:
        ratios = {
            "over_best": self.max_min_ratio,
            "over_mean": self.max_mean_ratio,
            "over_stated": self.max_stated_ratio,
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
    """The lowest threshold at which every group that can tell keeps the FMR ``fmr``.

    ``group`` decided it, by its ``pairs`` of different people; ``threshold`` has the interval that other
    people of that group would give.
    ``refused`` are the groups that are too small for that FMR, for which nothing is promised.
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


@dataclass(frozen=True, eq=False, repr=False)
class GroupEvaluation(Result):
    """FMR and failure to find a face, group by group, at each of ``points``; the first is the one in use.

    ``levels`` are the kinds of groups, such as ("race",) and ("race", "gender"); ``detector`` says what
    found the faces.  ``unused`` are the photos among the missing that could not be read or show several
    faces, each with its reason.  ``named`` is whether the list said whose photos they are; if not, repeated
    people make the rates upper bounds.  ``face`` (or ``aligned``), ``learned_faces`` as in ``Evaluation``.
    """

    name: str
    points: tuple[Point, ...]
    levels: tuple[tuple[str, ...], ...]
    groups: tuple[Group, ...]
    detector: str
    named: bool
    vectors: NDArray[np.float32] = field(repr=False)
    person: NDArray[np.int64] = field(repr=False)
    unused: tuple[UnusedPhoto, ...] = field(default=(), repr=False)
    face: str | None = None
    learned_faces: tuple[str, ...] = ()

    @cached_property
    def overall(self) -> Group:
        """All photos as one group, pairs across groups included."""
        return next(group for group in self.groups if not group.columns)

    @property
    def everybody(self) -> Group:
        """Deprecated: ``overall``."""
        warnings.warn("GroupEvaluation.everybody is now overall", DeprecationWarning, stacklevel=2)
        return self.overall

    def at(self, columns: Sequence[str]) -> tuple[Group, ...]:
        """The groups of one level, such as ``("race", "gender")``.  Raises UsageError for another."""
        if tuple(columns) not in self.levels:
            told = ", ".join(" x ".join(level) for level in self.levels)
            raise UsageError(f"there are no groups by {' x '.join(columns)}; those there are: {told}")
        return tuple(group for group in self.groups if group.columns == tuple(columns))

    def spread(self, columns: Sequence[str] | None = None, point: int = 0) -> Disparity | None:
        """Deprecated: ``disparity``."""
        warnings.warn("GroupEvaluation.spread is now disparity", DeprecationWarning, stacklevel=2)
        return self.disparity(columns, point)

    def disparity(self, columns: Sequence[str] | None = None, point: int = 0) -> Disparity | None:
        """Worst and best at one point, of one level or (None) of all; None where no group was measured."""
        among = [group for group in self.groups if group.columns] if columns is None else self.at(columns)
        rated = [(group, rate) for group in among if (rate := group.rates[point]) is not None]
        if not rated:
            return None
        worst, worst_fmr = max(rated, key=lambda each: each[1].estimate)
        best, best_fmr = min(rated, key=lambda each: each[1].estimate)
        stated = self.points[point].stated
        some = best_fmr.estimate > 0  # then all have some
        mean = math.exp(np.mean([math.log(rate.estimate) for _, rate in rated])) if some else 0.0
        return Disparity(
            worst=worst,
            best=best,
            worst_fmr=worst_fmr,
            best_fmr=best_fmr,
            max_min_ratio=worst_fmr.estimate / best_fmr.estimate if some else None,
            max_mean_ratio=worst_fmr.estimate / mean if some else None,
            max_stated_ratio=worst_fmr.estimate / stated if stated else None,
            measured=len(rated),
            refused=len(among) - len(rated),
        )

    @property
    def metrics(self) -> dict[str, float]:
        """The figures at the point in use: overall FMR, extreme FMRs of the groups, their ratios, FTA."""
        rate, found = self.overall.rates[0], self.disparity()
        values = {"fmr": None if rate is None else rate.estimate, "fta": self.overall.not_found.estimate}
        if found is not None:
            values |= {"max_fmr": found.worst_fmr.estimate, "min_fmr": found.best_fmr.estimate}
            values |= {name: getattr(found, name) for name in RATIOS}
        return {name: value for name, value in values.items() if value is not None}

    @property
    def primary(self) -> str:
        """The name of the figure to compare models by: the highest FMR of a group."""
        return "max_fmr"

    def threshold_for_worst_group(
        self, fmr: float, columns: Sequence[str] | None = None, resamples: int = 1000, seed: int = 0
    ) -> WorstGroup:
        """The lowest threshold that keeps ``fmr`` in every group of a level, or (None) of all levels.

        Its interval is that of the group that decides.  Raises UsageError as ``threshold_for_worst_group``.
        """
        among = [group for group in self.groups if group.columns] if columns is None else self.at(columns)
        cut, deciding, refused = threshold_for_worst_group(among, fmr)
        rows = among[deciding].rows
        counted = tally(self.vectors[rows], self.person[rows], strangers=True)
        options = BootstrapOptions(resamples=resamples, seed=seed)
        interval = among[deciding].impostors.threshold_interval(counted.impostor_of, fmr, options)
        assert interval.estimate == cut
        names = tuple(among[i].name for i in refused)
        group = among[deciding]
        return WorstGroup(fmr, interval, group.name, len(among) - len(refused), names, group.pairs)

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON, and complete."""
        return {
            "protocol": "groups",
            "name": self.name,
            "detector": self.detector,
            "face": self.face,
            "learned_faces": list(self.learned_faces),
            "photos": self.overall.photos,
            "missing": self.overall.missing,
            **unused_rows(self.unused),
            "upper_bounds": not self.named,
            "points": [point.to_dict() for point in self.points],
            "spread": [
                {
                    "by": list(level),
                    "points": [None if s is None else s.to_dict() for s in self._disparities(level)],
                }
                for level in self.levels
            ],
            "groups": [group.to_dict() for group in self.groups],
        }

    def _disparities(self, level: tuple[str, ...]) -> list[Disparity | None]:
        return [self.disparity(level, i) for i in range(len(self.points))]

    def for_card(self) -> dict[str, Any]:
        """The short form, for a model card's ``metrics``: what a reader must know at the point in use.

        The FMR of each group by one column as [estimate, low, high], and worst and best of every level.
        """
        return group_tables.card(self)

    def to_markdown(self) -> str:
        """Tables of every level, and what a reader must be told."""
        return group_tables.markdown(self)

    def __str__(self) -> str:
        return group_tables.sentence(self)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the FMR of each group by one or two columns at the point in use, with its interval.

        Draws into ``ax``, else into a new figure.  Raises MissingExtra without matplotlib.
        """
        return group_tables.plot(self, ax)


def threshold_for_worst_group(groups: Sequence[Group], fmr: float) -> tuple[float, int, tuple[int, ...]]:
    """(threshold, which group decides, which cannot tell): the lowest one that keeps ``fmr`` in every group.

    Groups that are too small for that FMR are left out, and listed.  Raises UsageError, with what is needed,
    where that is all of them.
    """
    checked_rate(fmr)
    enough = [i for i, group in enumerate(groups) if group.supports(fmr)]
    if not enough:
        check_fmr(fmr, max((group.pairs for group in groups), default=0))
        raise UsageError(f"no group has {FEWEST_PEOPLE} people whose face was found; give more photos")
    thresholds = {i: groups[i].impostors.threshold_at_fmr(fmr) for i in enough}
    deciding = max(enough, key=lambda i: thresholds[i])
    refused = tuple(i for i in range(len(groups)) if i not in thresholds)
    return thresholds[deciding], deciding, refused


def supports_fmr(impostors: Impostors, people: int, fmr: float) -> bool:
    return people >= FEWEST_PEOPLE and fmr * impostors.pairs >= RULE_OF_3 * (1 - 1e-12)
