"""Demographic differentials: the FMR within each group of people, from all impostor pairs of the group.

Impostor pairs within one age, gender and origin score higher than those across groups, so one threshold can
have a much higher FMR in one group.  Reported for each group are the FMR at thresholds set beforehand and the
share of photos without a face.  A group is not measured if it has too few pairs for the FMR in question (rule
of 3), or fewer than ``MIN_PEOPLE`` people: its pairs then share so few faces that two of them could decide
the rate.

The max/min ratio is the simplest summary and the least stable, as it depends on the group with the fewest
errors; the ratio of the maximum to the geometric mean is more stable (Grother, NISTIR 8429, 2022; ISO/IEC
19795-10).  The maximum over many groups is biased upwards: read it with its interval.
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
from ..imaging.photo_warning import UnusedPhoto, left_out_rows
from ..utils.result import Result
from . import demographic_tables as group_tables
from .demographic_groups import MIN_PEOPLE, Disparity, Group, Point, WorstGroup
from .intervals import BootstrapOptions
from .score_histogram import count_pairs
from .verification import check_fmr, checked_rate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RATIOS = ("max_min_ratio", "max_mean_ratio", "max_target_ratio")


@dataclass(frozen=True, eq=False, repr=False)
class GroupEvaluation(Result):
    """FMR and share of photos without a face in each group, at each of several points.

    Examples:
        >>> result = evaluate_groups(Model.load(), "fairface.csv")
        >>> print(result.disparity(["race"]).max_min_ratio)

    Args:
        name: Of the list of photos.
        points: Thresholds; the first is the one in use.
        levels: The kinds of groups, such as ``("race",)`` and ``("race", "gender")``.
        groups: All photos as one group, then the groups of each level.
        detector: What found the faces, in words.
        named: Whether the list has a column of persons; if not, repeated people make the rates upper bounds.
        vectors: The embeddings, float32 (n, d), zeros where no face was found.
        person: The person of each photo, int64 (n,).
        unused: The photos without a face, with the reasons.
        face: The face policy, or ``aligned``.
        learned_faces: The face policies of the calibration that was used.
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
        """Return the groups of one level, such as ``("race", "gender")``.

        Raises:
            UsageError: There is no such level.
        """
        if tuple(columns) not in self.levels:
            known = ", ".join(" x ".join(level) for level in self.levels)
            raise UsageError(f"there are no groups by {' x '.join(columns)}; those there are: {known}")
        return tuple(group for group in self.groups if group.columns == tuple(columns))

    def spread(self, columns: Sequence[str] | None = None, point: int = 0) -> Disparity | None:
        """Deprecated: ``disparity``."""
        warnings.warn("GroupEvaluation.spread is now disparity", DeprecationWarning, stacklevel=2)
        return self.disparity(columns, point)

    def disparity(self, columns: Sequence[str] | None = None, point: int = 0) -> Disparity | None:
        """Return the highest and lowest FMR at one point; None where no group was measured.

        Args:
            columns: A level, such as ``("race",)``; None for the groups of all levels.
            point: An index into ``points``.
        """
        among = [group for group in self.groups if group.columns] if columns is None else self.at(columns)
        rated = [(group, rate) for group in among if (rate := group.rates[point]) is not None]
        if not rated:
            return None
        worst, worst_fmr = max(rated, key=lambda each: each[1].estimate)
        best, best_fmr = min(rated, key=lambda each: each[1].estimate)
        target = self.points[point].target
        positive = best_fmr.estimate > 0  # then all rates are
        mean = math.exp(np.mean([math.log(rate.estimate) for _, rate in rated])) if positive else 0.0
        return Disparity(
            worst=worst,
            best=best,
            worst_fmr=worst_fmr,
            best_fmr=best_fmr,
            max_min_ratio=worst_fmr.estimate / best_fmr.estimate if positive else None,
            max_mean_ratio=worst_fmr.estimate / mean if positive else None,
            max_target_ratio=worst_fmr.estimate / target if target else None,
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
        """Return the lowest threshold that keeps ``fmr`` in every group of a level.

        Args:
            fmr: An FMR.
            columns: A level; None for the groups of all levels.
            resamples: Number of bootstrap resamples for the interval.
            seed: Of the resamples.

        Raises:
            UsageError: All groups are too small for that FMR.
        """
        among = [group for group in self.groups if group.columns] if columns is None else self.at(columns)
        cut, deciding, refused = threshold_for_worst_group(among, fmr)
        rows = among[deciding].rows
        counted = count_pairs(self.vectors[rows], self.person[rows], impostor_only=True)
        options = BootstrapOptions(resamples=resamples, seed=seed)
        interval = among[deciding].impostors.threshold_interval(counted.impostor_of, fmr, options)
        assert interval.estimate == cut
        names = tuple(among[i].name for i in refused)
        group = among[deciding]
        return WorstGroup(fmr, interval, group.name, len(among) - len(refused), names, group.pairs)

    def to_dict(self) -> dict[str, Any]:
        """Return the complete result for JSON."""
        return {
            "protocol": "groups",
            "name": self.name,
            "detector": self.detector,
            "face": self.face,
            "learned_faces": list(self.learned_faces),
            "photos": self.overall.photos,
            "missing": self.overall.missing,
            **left_out_rows(self.unused),
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
        """Return a summary at the point in use, for a model card's ``metrics``.

        It has the FMR of each group by one column as [estimate, low, high], and the disparity of every level.
        """
        return group_tables.card(self)

    def to_markdown(self) -> str:
        """Return tables of every level, after a summary in one sentence."""
        return group_tables.markdown(self)

    def __str__(self) -> str:
        return group_tables.sentence(self)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the FMR of each group by one or two columns at the point in use, with its interval.

        Args:
            ax: The axes to draw into; None for a new figure.

        Raises:
            MissingExtra: matplotlib is not installed.
        """
        return group_tables.plot(self, ax)


def threshold_for_worst_group(groups: Sequence[Group], fmr: float) -> tuple[float, int, tuple[int, ...]]:
    """Return the lowest threshold that keeps ``fmr`` in every group that is large enough.

    Returns:
        The threshold, the index of the deciding group, and the indices of the groups that are too small.

    Raises:
        UsageError: All groups are too small; the message has what is needed.
    """
    checked_rate(fmr)
    enough = [i for i, group in enumerate(groups) if group.supports(fmr)]
    if not enough:
        check_fmr(fmr, max((group.pairs for group in groups), default=0))
        raise UsageError(f"no group has {MIN_PEOPLE} people whose face was found; give more photos")
    thresholds = {i: groups[i].impostors.threshold_at_fmr(fmr) for i in enough}
    deciding = max(enough, key=lambda i: thresholds[i])
    refused = tuple(i for i in range(len(groups)) if i not in thresholds)
    return thresholds[deciding], deciding, refused
