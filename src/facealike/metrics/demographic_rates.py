"""Compare all pairs of people within each demographic group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import UsageError
from .demographic_groups import OVERALL, Group, Point, Rows, supports_fmr
from .demographic_tables import group_order
from .demographics import GroupEvaluation
from .impostor_scores import ImpostorScores
from .intervals import BootstrapKeywords, BootstrapOptions
from .score_histogram import FINE_BINS, count_pairs

if TYPE_CHECKING:
    from typing_extensions import Unpack


def group_rates(
    embeddings: ArrayLike, found: ArrayLike, person: ArrayLike, columns: Mapping[str, Sequence[str]],
    points: Sequence[Point], block: int = 1024, **options: Unpack[BootstrapKeywords],
) -> GroupEvaluation:  # fmt: skip
    """Compare all pairs of people within each group.

    Groups are made by each column, then by the first two together, the first three, and so on.

    Args:
        embeddings: One row a photo, (n, d), of any length but zero where ``found`` is true.
        found: Whether each photo shows a face, bool (n,).
        person: A number for the person of each photo, (n,); pairs of one person are left out.
        columns: For each kind of group, in the order of the levels, the group of every photo, (n,).
        points: The thresholds at which groups are compared.
        block: Scores are computed in tiles of ``block`` times ``block``.
        options: ``level``, ``resamples``, ``method`` and ``seed`` of ``BootstrapOptions``.

    Raises:
        UsageError: The arrays do not fit, there is no point or column, or a vector has no direction.
    """
    vectors, there = np.asarray(embeddings, dtype=np.float32), np.asarray(found, dtype=np.bool_)
    owner = np.asarray(person, dtype=np.int64)
    values = {column: np.asarray(list(given), dtype=np.str_) for column, given in columns.items()}
    shapes = {there.shape, owner.shape, *(given.shape for given in values.values())}
    if vectors.ndim != 2 or shapes != {(len(vectors),)} or not len(vectors) or not points or not values:
        raise UsageError(
            "groups need embeddings (n, d), as many entries in found, person and each column, and a point"
        )
    names = tuple(values)
    levels = (*((one,) for one in names), *(names[: i + 1] for i in range(1, len(names))))
    maker = _Maker(vectors, there, owner, tuple(points), BootstrapOptions(**options), block)
    overall = maker.group(OVERALL, OVERALL, np.arange(len(vectors)), None)
    fmrs = [overall.impostors.fmr_at(point.threshold) for point in points]
    groups = [overall]
    for chosen in levels:
        for own, rows in _members([values[column] for column in chosen]):
            groups.append(maker.group(chosen, own, rows, fmrs))
    return GroupEvaluation("groups", tuple(points), levels, tuple(groups), "not given", False, vectors, owner)


def _members(values: Sequence[NDArray[np.str_]]) -> list[tuple[tuple[str, ...], Rows]]:
    """The photos of each group, in the order of ``group_order``."""
    members: dict[tuple[str, ...], list[int]] = {}
    for row, own in enumerate(zip(*(given.tolist() for given in values), strict=True)):
        members.setdefault(own, []).append(row)
    order = sorted(members, key=lambda own: [group_order(each) for each in own])
    return [(own, np.array(members[own], dtype=np.int64)) for own in order]


@dataclass(frozen=True, eq=False)
class _Maker:
    vectors: NDArray[np.float32]
    found: NDArray[np.bool_]
    person: NDArray[np.int64]
    points: tuple[Point, ...]
    options: BootstrapOptions
    block: int

    def group(
        self, columns: tuple[str, ...], values: tuple[str, ...], members: NDArray[np.int64],
        fmrs: Sequence[float] | None,
    ) -> Group:  # fmt: skip
        """Measure one group; without a target FMR, the overall FMR decides how many pairs are needed."""
        rows = members[self.found[members]]
        missing = len(members) - len(rows)
        if len(np.unique(self.person[rows])) < 2:
            no_scores = ImpostorScores(np.zeros(FINE_BINS + 1, dtype=np.int64))
            none = (None,) * len(self.points)
            return Group(columns, values, len(members), missing, no_scores, none, rows)
        counted = count_pairs(self.vectors[rows], self.person[rows], self.block, impostor_only=True)
        impostors = ImpostorScores(counted.impostor)
        needed = [
            point.target if point.target is not None else None if fmrs is None else fmrs[i]
            for i, point in enumerate(self.points)
        ]
        thresholds = [point.threshold for point in self.points]
        intervals = impostors.intervals(counted.impostor_of, thresholds, self.options)
        rates = tuple(
            interval if fmr is None or supports_fmr(impostors, counted.people, fmr) else None
            for interval, fmr in zip(intervals, needed, strict=True)
        )
        return Group(columns, values, len(members), missing, impostors, rates, rows, counted.people)
