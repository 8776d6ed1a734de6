"""Who is this: a probe searched in a gallery of enrolled people, with the terms of ISO/IEC 19795-1:2021.

Closed set: everybody who is searched is enrolled; the question is at which rank the right person
comes out.  Open set: strangers are searched too; a threshold must turn them away.  FPIR is the share
of searches of strangers that return anybody, FNIR the share of searches of enrolled people that do
not return the right person at rank 1 at or above the threshold.

A person's score is that of the best of that person's photos in the gallery.  Who scores no higher
than somebody else is not first: equal scores never flatter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import UsageError
from ..plotting.style import new_axes, style_axes
from ..utils.result import Result
from ..utils.wording import rate_text
from .bootstrap import Interval
from .intervals import BootstrapOptions, Method, StatisticSpec, bounds, drawn, left_out
from .similarity import unit_rows
from .verification import check_fpir, checked_rate, midway, supported_fmrs

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

RANKS = (1, 5, 10)


class IdentificationSets(NamedTuple):
    """Photos by index: one of each enrolled person, the enrolled people's others, those of strangers."""

    gallery: Indices
    mated: Indices
    non_mated: Indices


def draw_identification(labels: ArrayLike, seed: int, enrolled: float = 0.5) -> IdentificationSets:
    """Divide photos with these ``labels`` (n,) into a gallery, mated and non-mated probes.

    A share ``enrolled`` of the people, drawn by ``seed``, is enrolled with one photo each; their other
    photos are the mated probes, and all photos of the others the non-mated ones.  It is drawn among
    the people with several photos and among those with one apart, so that the gallery holds people of
    both sorts.  Raises UsageError where that leaves any of the three empty.
    """
    names = np.asarray(labels)
    if names.ndim != 1 or not 0 < enrolled < 1:
        raise UsageError(
            f"identification needs labels of one dimension and a share of enrolled people between 0 and 1, "
            f"not {enrolled}"
        )
    rng = np.random.default_rng(seed)
    person = np.unique(names, return_inverse=True)[1].reshape(-1)
    counts = np.bincount(person)
    known = np.zeros(len(counts), dtype=np.bool_)
    for sort in (np.flatnonzero(counts > 1), np.flatnonzero(counts == 1)):
        known[rng.permutation(sort)[: round(enrolled * len(sort))]] = True
    shuffled = rng.permutation(len(names))
    first = shuffled[np.unique(person[shuffled], return_index=True)[1]]  # a random photo of each person
    in_gallery = np.zeros(len(names), dtype=np.bool_)
    in_gallery[first[known]] = True
    sets = IdentificationSets(
        np.flatnonzero(in_gallery),
        np.flatnonzero(known[person] & ~in_gallery),
        np.flatnonzero(~known[person]),
    )
    if min(len(each) for each in sets) == 0:
        raise UsageError(
            "identification needs enrolled people with a second photo, and people who are not enrolled: give "
            "at least four people, two of them with two photos"
        )
    return sets


def closed_set(
    gallery: ArrayLike, gallery_labels: ArrayLike, probes: ArrayLike, probe_labels: ArrayLike,
    block: int = 1024,
) -> Identification:  # fmt: skip
    """Search each probe in a gallery that holds its person.

    ``gallery`` (g, d) and ``probes`` (n, d) are embeddings of any length but zero, the labels (g,) and
    (n,) say whose.  At most ``block`` probes are searched at a time.  Raises UsageError for arrays
    that do not fit and for a probe whose person is not in the gallery.
    """
    enrolled = _Gallery(gallery, gallery_labels)
    rows, names = _probes(probes, probe_labels, enrolled)
    place = enrolled.place_of(names)
    ranks = []
    for start in range(0, len(rows), block):
        scores = enrolled.scores(rows[start : start + block])
        own = np.take_along_axis(scores, place[start : start + block, np.newaxis], axis=1)
        ranks.append(np.sum(scores >= own, axis=1))  # the own score is one of them, equal ones are ahead
    return Identification(np.concatenate(ranks).astype(np.int64), names, enrolled.people, enrolled.images)


def open_set(
    gallery: ArrayLike, gallery_labels: ArrayLike, probes: ArrayLike, probe_labels: ArrayLike,
    non_mated: ArrayLike, non_mated_labels: ArrayLike, block: int = 1024,
) -> OpenSet:  # fmt: skip
    """Search enrolled people (``probes``) and strangers (``non_mated``) in a gallery.

    Arrays as in ``closed_set``.  Raises UsageError as that does, and where one of the strangers is
    enrolled.
    """
    enrolled = _Gallery(gallery, gallery_labels)
    rows, names = _probes(probes, probe_labels, enrolled)
    strangers, stranger_names = _probes(non_mated, non_mated_labels, enrolled)
    if np.isin(stranger_names, enrolled.names).any():
        raise UsageError(
            "some of the people searched as strangers are enrolled in the gallery; leave them out"
        )
    place = enrolled.place_of(names)
    found = []
    for start in range(0, len(rows), block):
        scores = enrolled.scores(rows[start : start + block])
        at = place[start : start + block, np.newaxis]
        own = np.take_along_axis(scores, at, axis=1)[:, 0]
        np.put_along_axis(scores, at, -np.inf, axis=1)
        found.append(np.where(own > scores.max(axis=1), own, -np.inf))
    tops = [
        enrolled.scores(strangers[start : start + block]).max(axis=1)
        for start in range(0, len(strangers), block)
    ]
    return OpenSet(
        np.concatenate(found).astype(np.float64), names, np.concatenate(tops).astype(np.float64),
        stranger_names, enrolled.people, enrolled.images,
    )  # fmt: skip


class _Gallery:
    def __init__(self, embeddings: ArrayLike, labels: ArrayLike) -> None:
        rows, person = unit_rows(embeddings, labels)
        order = np.argsort(person, kind="stable")
        self._rows = rows[order]
        self._starts = np.searchsorted(person[order], np.arange(person.max() + 1))
        self.names = np.unique(np.asarray(labels))
        self.people, self.images = len(self.names), len(rows)
        self.dimensions = rows.shape[1]

    def place_of(self, names: NDArray[Any]) -> Indices:
        place = np.searchsorted(self.names, names)
        known = self.names[np.minimum(place, self.people - 1)] == names
        if not known.all():
            raise UsageError(
                f"{int(np.sum(~known))} of {len(names)} probes show people who are not in the gallery; "
                "search those as non-mated probes"
            )
        return place.astype(np.int64)

    def scores(self, probes: NDArray[np.float32]) -> NDArray[np.float32]:
        """The best score of each probe with each person, (n, people)."""
        scores: NDArray[np.float32] = np.maximum.reduceat(probes @ self._rows.T, self._starts, axis=1)
        return scores


def _probes(
    embeddings: ArrayLike, labels: ArrayLike, gallery: _Gallery
) -> tuple[NDArray[np.float32], NDArray[Any]]:
    rows, _ = unit_rows(embeddings, labels)
    if rows.shape[1] != gallery.dimensions:
        raise UsageError(
            f"probes of {rows.shape[1]} dimensions cannot be searched in a gallery of {gallery.dimensions}"
        )
    return rows, np.asarray(labels)


@dataclass(frozen=True, eq=False, repr=False)
class Identification(Result):
    """At which rank the right person came out: ``ranks`` (n,) from 1, ``people`` (n,) who was searched."""

    ranks: Indices
    people: NDArray[Any]
    gallery_people: int
    gallery_images: int

    @property
    def rank1(self) -> float:
        """The share of probes whose person came first."""
        return float(np.mean(self.ranks == 1))

    def cmc(self, ranks: Sequence[int] | None = None) -> Floats:
        """The cumulative match characteristic: the share of probes at each rank or better, (k,).

        ``ranks`` are all from 1 to the number of enrolled people, if None.
        """
        wanted = np.arange(1, self.gallery_people + 1) if ranks is None else np.asarray(ranks)
        shares: Floats = np.searchsorted(np.sort(self.ranks), wanted, side="right") / len(self.ranks)
        return shares

    def intervals(
        self, ranks: Sequence[int] = RANKS, level: float = 0.95, resamples: int = 1000,
        method: Method = "percentile", seed: int = 0,
    ) -> dict[str, Interval]:  # fmt: skip
        """Intervals of ``rank1``, ``rank5``, ... by resampling the people searched, in this gallery."""
        options = BootstrapOptions(level, resamples, method, seed)
        of = _Resampled(self.people, options)
        found = {}
        for rank in ranks:
            hits = (self.ranks <= rank).astype(np.float64)
            found[f"rank{rank}"] = of.interval(lambda weights, hits=hits: _mean(weights, hits), options)  # type: ignore[misc]
        return found

    def to_dict(self) -> dict[str, Any]:
        return {
            "probes": len(self.ranks),
            "people": len(np.unique(self.people)),
            "gallery_people": self.gallery_people,
            "gallery_images": self.gallery_images,
            "cmc": {str(rank): round(float(self.cmc([rank])[0]), 6) for rank in RANKS},
        }

    def __str__(self) -> str:
        shares = ", ".join(f"rank {rank}: {self.cmc([rank])[0]:.3f}" for rank in RANKS)
        return f"{shares} of {len(self.ranks):,} probes among {self.gallery_people:,} enrolled people"

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the CMC curve, ranks on a logarithmic axis; raises MissingExtra without matplotlib."""
        ax = new_axes() if ax is None else ax
        ax.step(np.arange(1, self.gallery_people + 1), self.cmc(), where="post")
        ax.set(xscale="log", xlabel="rank", ylabel="share of probes found", ylim=(0, 1.01))
        style_axes(ax)
        return ax


@dataclass(frozen=True, eq=False, repr=False)
class OpenSet(Result):
    """Searches of enrolled people and of strangers.

    ``mated`` (n,) is the score of the right person where that person comes first, else minus infinity;
    ``non_mated`` (m,) the highest score that anybody reaches.  ``mated_people`` and ``non_mated_people``
    say who was searched.
    """

    mated: Floats
    mated_people: NDArray[Any]
    non_mated: Floats
    non_mated_people: NDArray[Any]
    gallery_people: int
    gallery_images: int

    def fnir_at(self, threshold: float) -> float:
        """The share of searches of enrolled people that miss the right one at this threshold."""
        return float(np.mean(self.mated < threshold))

    def threshold_at_fpir(self, fpir: float, supported: bool = True) -> float:
        """The lowest threshold whose FPIR is at most ``fpir``, midway between two scores.

        Raises UsageError where the searches of strangers are too few for that FPIR (``check_fpir``).
        """
        if supported:
            check_fpir(fpir, len(self.non_mated))
        highest = np.sort(self.non_mated)[::-1]
        allowed = math.floor(checked_rate(fpir) * len(highest) + 1e-9)
        scores = np.concatenate([self.mated, self.non_mated])
        rejected = float(highest[allowed]) if allowed < len(highest) else -math.inf
        above = scores[scores > rejected]
        return midway(rejected, float(above.min()) if len(above) else math.inf)

    def fnir_at_fpir(self, fpir: float, supported: bool = True) -> float:
        """The FNIR at that threshold.  Raises UsageError as ``threshold_at_fpir`` does."""
        return self.fnir_at(self.threshold_at_fpir(fpir, supported))

    def curve(self) -> tuple[Floats, Floats, Floats]:
        """FPIR, FNIR and threshold (k,), one for each distinct score, thresholds falling from infinity."""
        scores = np.unique(np.concatenate([self.mated, self.non_mated]))[::-1]
        cuts = np.concatenate([[np.inf], scores[np.isfinite(scores)]])
        fpir = 1 - np.searchsorted(np.sort(self.non_mated), cuts, side="left") / len(self.non_mated)
        fnir = np.searchsorted(np.sort(self.mated), cuts, side="left") / len(self.mated)
        return fpir, fnir, cuts

    def intervals(
        self, fpirs: Sequence[float] | None = None, level: float = 0.95, resamples: int = 1000,
        method: Method = "percentile", seed: int = 0,
    ) -> dict[str, Interval]:  # fmt: skip
        """Intervals of ``fnir@F`` for each FPIR F by resampling the people searched, in this gallery.

        ``fpirs`` are those that the searches of strangers support, if None.  The threshold is chosen
        anew in each resample.
        """
        options = BootstrapOptions(level, resamples, method, seed)
        supported = supported_fmrs(len(self.non_mated))
        order, mated = np.argsort(self.non_mated), np.argsort(self.mated)
        everybody = np.concatenate([self.mated_people[mated], self.non_mated_people[order]])
        resampled = _Resampled(everybody, options)
        found = {}
        for fpir in supported if fpirs is None else fpirs:
            check_fpir(fpir, len(self.non_mated))
            statistic = self._fnir_at(fpir, self.mated[mated], self.non_mated[order])
            found[f"fnir@{fpir:g}"] = resampled.interval(statistic, options, smooth=False)
        return found

    def _fnir_at(self, fpir: float, mated: Floats, strangers: Floats) -> Callable[[Floats], Floats]:
        # A search in which the right person did not come first is a miss at any threshold, also at FPIR 1.
        never = np.searchsorted(mated, -np.inf, side="right")
        rejected_mated = np.concatenate([[never], np.searchsorted(mated, strangers, side="right")])

        def statistic(weights: Floats) -> Floats:
            of_mated = _cumulative(weights[:, : len(mated)])
            of_strangers = _cumulative(weights[:, len(mated) :])
            total = of_strangers[:, -1:]
            # The fewest strangers to turn away, counted from the lowest score.
            cut = np.argmax(total - of_strangers <= fpir * total * (1 + 1e-12), axis=1)
            rejected = of_mated[np.arange(len(cut)), rejected_mated[cut]]
            with np.errstate(invalid="ignore", divide="ignore"):
                rates = rejected / of_mated[:, -1]
            return np.where(total[:, 0] > 0, rates, np.nan)

        return statistic

    def to_dict(self) -> dict[str, Any]:
        supported = supported_fmrs(len(self.non_mated))
        return {
            "mated_probes": len(self.mated),
            "non_mated_probes": len(self.non_mated),
            "gallery_people": self.gallery_people,
            "gallery_images": self.gallery_images,
            "fnir_at_fpir": {f"{fpir:g}": round(self.fnir_at_fpir(fpir), 6) for fpir in supported},
            "threshold_at_fpir": {f"{fpir:g}": round(self.threshold_at_fpir(fpir), 6) for fpir in supported},
        }

    def __str__(self) -> str:
        rates = ", ".join(
            f"{rate_text(self.fnir_at_fpir(fpir))} at FPIR {rate_text(fpir)}"
            for fpir in supported_fmrs(len(self.non_mated))
        )
        return (
            f"FNIR {rates or 'not measured'} with {len(self.mated):,} probes of enrolled people and "
            f"{len(self.non_mated):,} of strangers among {self.gallery_people:,} enrolled people"
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw FNIR over FPIR, which has a logarithmic axis; raises MissingExtra without matplotlib."""
        ax = new_axes() if ax is None else ax
        fpir, fnir, _ = self.curve()
        floor = 1 / len(self.non_mated)
        ax.step(fpir[fpir >= floor], fnir[fpir >= floor], where="post")
        ax.set(xscale="log", xlim=(floor, 1), ylim=(0, 1.01), xlabel="FPIR", ylabel="FNIR")
        style_axes(ax)
        return ax


class _Resampled:
    """Searches weighted by how often the person searched was drawn."""

    def __init__(self, people: NDArray[Any], options: BootstrapOptions) -> None:
        person = np.unique(people, return_inverse=True)[1].reshape(-1)
        sizes = np.bincount(person).astype(np.int64)
        self._person, self._people, self._searches = person, len(sizes), len(person)
        self._trials = float(sizes.sum() ** 2 / np.sum(sizes.astype(np.float64) ** 2))
        self._draws = _stacked(drawn(self._people, options))
        self._without = _stacked(left_out(sizes))

    def interval(
        self, statistic: Callable[[Floats], Floats], options: BootstrapOptions, smooth: bool = True
    ) -> Interval:  # fmt: skip
        """The interval of a statistic of weights (b, searches)."""
        estimate = float(statistic(np.ones((1, self._searches)))[0])
        draws, without = self._each(statistic, self._draws), self._each(statistic, self._without)
        kind = StatisticSpec(0.5 / self._searches, smooth, self._people, self._trials if smooth else None)
        low, high = bounds(estimate, draws, without, np.zeros(0), options, kind)
        method = options.method if smooth else "percentile"
        return Interval(estimate, low, high, options.level, method, int(np.isfinite(draws).sum()))

    def _each(self, statistic: Callable[[Floats], Floats], multiplicity: Floats) -> Floats:
        rows = max(1, (1 << 21) // self._searches)
        parts = [
            statistic(multiplicity[start : start + rows][:, self._person])
            for start in range(0, len(multiplicity), rows)
        ]
        return np.concatenate(parts)


def _stacked(rows: Iterator[Floats]) -> Floats:
    return np.stack(list(rows))


def _mean(weights: Floats, values: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        means: Floats = weights @ values / weights.sum(axis=1)
    return means


def _cumulative(weights: Floats) -> Floats:
    out = np.zeros((weights.shape[0], weights.shape[1] + 1))
    np.cumsum(weights, axis=1, out=out[:, 1:])
    return out
