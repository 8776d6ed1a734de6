"""Identification (1:N): probes searched in a gallery of enrolled people.  Terms as in ISO/IEC 19795-1:2021.

Closed set: every probe is of an enrolled person (mated); the question is at which rank that person is found.
Open set: non-mated probes, of people who are not enrolled, are searched too, and a threshold must reject
them.  FPIR is the share of non-mated searches that return a candidate, FNIR the share of mated searches that
do not return the right person at rank 1 at or above the threshold.

A person's score is that of the best of that person's photos in the gallery.  A person who scores no higher
than another one is not first: ties count as errors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import UsageError
from ..plotting.style import new_axes, style_axes
from ..utils.result import Result
from ..utils.wording import rate_text
from .bootstrap import Interval
from .intervals import BootstrapOptions, Method
from .resampled_people import ResampledPeople
from .similarity import labeled_unit_rows
from .verification import check_fpir, checked_rate, midway, supported_fmrs

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

RANKS = (1, 5, 10)


def closed_set(
    gallery: ArrayLike, gallery_labels: ArrayLike, probes: ArrayLike, probe_labels: ArrayLike,
    block: int = 1024,
) -> Identification:  # fmt: skip
    """Search each probe in a gallery that holds its person.

    Examples:
        >>> closed_set(gallery, gallery_labels, probes, probe_labels).rank1

    Args:
        gallery: Embeddings of enrolled photos, (g, d), of any length but zero.
        gallery_labels: The person of each, (g,).
        probes: Embeddings of the photos to search, (n, d).
        probe_labels: The person of each, (n,).
        block: At most so many probes are searched at a time.

    Raises:
        UsageError: The arrays do not fit, or a person searched is not in the gallery.
    """
    enrolled = _Gallery(gallery, gallery_labels)
    rows, names = _probes(probes, probe_labels, enrolled)
    place = enrolled.place_of(names)
    ranks = []
    for start in range(0, len(rows), block):
        scores = enrolled.scores(rows[start : start + block])
        own = np.take_along_axis(scores, place[start : start + block, np.newaxis], axis=1)
        ranks.append(np.sum(scores >= own, axis=1))  # ties rank ahead
    return Identification(np.concatenate(ranks).astype(np.int64), names, enrolled.people, enrolled.images)


def open_set(
    gallery: ArrayLike, gallery_labels: ArrayLike, probes: ArrayLike, probe_labels: ArrayLike,
    non_mated: ArrayLike, non_mated_labels: ArrayLike, block: int = 1024,
) -> OpenSet:  # fmt: skip
    """Search mated and non-mated probes in a gallery.

    Examples:
        >>> open_set(gallery, names, probes, probe_names, others, other_names).fnir_at_fpir(0.01)

    Args:
        gallery: Embeddings of enrolled photos, (g, d), of any length but zero.
        gallery_labels: The person of each, (g,).
        probes: Embeddings of photos of enrolled people, (n, d).
        probe_labels: The person of each, (n,).
        non_mated: Embeddings of photos of people who are not enrolled, (m, d).
        non_mated_labels: The person of each, (m,).
        block: At most so many probes are searched at a time.

    Raises:
        UsageError: As ``closed_set``, or a person of the non-mated probes is enrolled.
    """
    enrolled = _Gallery(gallery, gallery_labels)
    rows, names = _probes(probes, probe_labels, enrolled)
    others, other_names = _probes(non_mated, non_mated_labels, enrolled)
    if np.isin(other_names, enrolled.names).any():
        raise UsageError("some people of the non-mated probes are enrolled in the gallery; leave them out")
    place = enrolled.place_of(names)
    found = []
    for start in range(0, len(rows), block):
        scores = enrolled.scores(rows[start : start + block])
        at = place[start : start + block, np.newaxis]
        own = np.take_along_axis(scores, at, axis=1)[:, 0]
        np.put_along_axis(scores, at, -np.inf, axis=1)
        found.append(np.where(own > scores.max(axis=1), own, -np.inf))
    tops = [
        enrolled.scores(others[start : start + block]).max(axis=1) for start in range(0, len(others), block)
    ]
    return OpenSet(
        np.concatenate(found).astype(np.float64), names, np.concatenate(tops).astype(np.float64),
        other_names, enrolled.people, enrolled.images,
    )  # fmt: skip


class _Gallery:
    def __init__(self, embeddings: ArrayLike, labels: ArrayLike) -> None:
        rows, person = labeled_unit_rows(embeddings, labels)
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
    rows, _ = labeled_unit_rows(embeddings, labels)
    if rows.shape[1] != gallery.dimensions:
        raise UsageError(
            f"probes of {rows.shape[1]} dimensions cannot be searched in a gallery of {gallery.dimensions}"
        )
    return rows, np.asarray(labels)


@dataclass(frozen=True, eq=False, repr=False)
class Identification(Result):
    """The rank at which the right person was found.

    Args:
        ranks: Ranks from 1, (n,).
        people: The person searched, (n,).
        gallery_people: The number of enrolled people.
        gallery_images: The number of enrolled photos.
    """

    ranks: Indices
    people: NDArray[Any]
    gallery_people: int
    gallery_images: int

    @property
    def rank1(self) -> float:
        """The rank-1 identification rate: the share of probes whose person came first."""
        return float(np.mean(self.ranks == 1))

    def cmc(self, ranks: Sequence[int] | None = None) -> Floats:
        """Return the cumulative match characteristic: the share of probes at each rank or better, (k,).

        ``ranks`` are all from 1 to the number of enrolled people, if None.
        """
        wanted = np.arange(1, self.gallery_people + 1) if ranks is None else np.asarray(ranks)
        shares: Floats = np.searchsorted(np.sort(self.ranks), wanted, side="right") / len(self.ranks)
        return shares

    def intervals(
        self, ranks: Sequence[int] = RANKS, level: float = 0.95, resamples: int = 1000,
        method: Method = "percentile", seed: int = 0,
    ) -> dict[str, Interval]:  # fmt: skip
        """Return intervals of ``rank1``, ``rank5``, ... by resampling the people searched."""
        options = BootstrapOptions(level, resamples, method, seed)
        searches = ResampledPeople(self.people, options)
        return {f"rank{rank}": searches.share(self.ranks <= rank) for rank in ranks}

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
        """Draw the CMC curve, ranks on a logarithmic axis.

        Args:
            ax: The axes to draw into; None for a new figure.

        Raises:
            MissingExtra: matplotlib is not installed.
        """
        ax = new_axes() if ax is None else ax
        ax.step(np.arange(1, self.gallery_people + 1), self.cmc(), where="post")
        ax.set(xscale="log", xlabel="rank", ylabel="share of probes found", ylim=(0, 1.01))
        style_axes(ax)
        return ax


@dataclass(frozen=True, eq=False, repr=False)
class OpenSet(Result):
    """Scores of mated and non-mated searches.

    Args:
        mated: The score of the right person where that person comes first, else minus infinity, (n,).
        mated_people: The person searched, (n,).
        non_mated: The highest score of any enrolled person, (m,).
        non_mated_people: The person searched, (m,).
        gallery_people: The number of enrolled people.
        gallery_images: The number of enrolled photos.
    """

    mated: Floats
    mated_people: NDArray[Any]
    non_mated: Floats
    non_mated_people: NDArray[Any]
    gallery_people: int
    gallery_images: int

    def fnir_at(self, threshold: float) -> float:
        """Return the share of mated searches that miss the right person at this threshold."""
        return float(np.mean(self.mated < threshold))

    def threshold_at_fpir(self, fpir: float, supported: bool = True) -> float:
        """Return the lowest threshold whose FPIR is at most ``fpir``, midway between two scores.

        Raises:
            UsageError: The non-mated searches are too few for that FPIR (``check_fpir``).
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
        """Return the FNIR at ``threshold_at_fpir(fpir, supported)``, whose UsageError it may raise."""
        return self.fnir_at(self.threshold_at_fpir(fpir, supported))

    def curve(self) -> tuple[Floats, Floats, Floats]:
        """Return FPIR, FNIR and threshold (k,), one for each distinct score, thresholds falling."""
        scores = np.unique(np.concatenate([self.mated, self.non_mated]))[::-1]
        cuts = np.concatenate([[np.inf], scores[np.isfinite(scores)]])
        fpir = 1 - np.searchsorted(np.sort(self.non_mated), cuts, side="left") / len(self.non_mated)
        fnir = np.searchsorted(np.sort(self.mated), cuts, side="left") / len(self.mated)
        return fpir, fnir, cuts

    def intervals(
        self, fpirs: Sequence[float] | None = None, level: float = 0.95, resamples: int = 1000,
        method: Method = "percentile", seed: int = 0,
    ) -> dict[str, Interval]:  # fmt: skip
        """Return intervals of ``fnir@F`` for each FPIR F by resampling the people searched, in this gallery.

        ``fpirs`` are those that the non-mated searches support, if None.  The threshold is chosen anew in
        each resample.
        """
        options = BootstrapOptions(level, resamples, method, seed)
        supported = supported_fmrs(len(self.non_mated))
        order, mated = np.argsort(self.non_mated), np.argsort(self.mated)
        searched = np.concatenate([self.mated_people[mated], self.non_mated_people[order]])
        resampled = ResampledPeople(searched, options)
        found = {}
        for fpir in supported if fpirs is None else fpirs:
            check_fpir(fpir, len(self.non_mated))
            statistic = self._fnir_at(fpir, self.mated[mated], self.non_mated[order])
            found[f"fnir@{fpir:g}"] = resampled.interval(statistic, smooth=False)
        return found

    def _fnir_at(self, fpir: float, mated: Floats, non_mated: Floats) -> Callable[[Floats], Floats]:
        # A search in which the right person does not come first is a miss at any threshold, even at FPIR 1.
        never = np.searchsorted(mated, -np.inf, side="right")
        rejected_mated = np.concatenate([[never], np.searchsorted(mated, non_mated, side="right")])

        def statistic(weights: Floats) -> Floats:
            of_mated = _cumulative(weights[:, : len(mated)])
            of_non_mated = _cumulative(weights[:, len(mated) :])
            total = of_non_mated[:, -1:]
            # The fewest non-mated searches to reject, counted from the lowest score.
            cut = np.argmax(total - of_non_mated <= fpir * total * (1 + 1e-12), axis=1)
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
            f"{len(self.non_mated):,} of others among {self.gallery_people:,} enrolled people"
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw FNIR over FPIR, which has a logarithmic axis.

        Args:
            ax: The axes to draw into; None for a new figure.

        Raises:
            MissingExtra: matplotlib is not installed.
        """
        ax = new_axes() if ax is None else ax
        fpir, fnir, _ = self.curve()
        floor = 1 / len(self.non_mated)
        ax.step(fpir[fpir >= floor], fnir[fpir >= floor], where="post")
        ax.set(xscale="log", xlim=(floor, 1), ylim=(0, 1.01), xlabel="FPIR", ylabel="FNIR")
        style_axes(ax)
        return ax


def _cumulative(weights: Floats) -> Floats:
    out = np.zeros((weights.shape[0], weights.shape[1] + 1))
    np.cumsum(weights, axis=1, out=out[:, 1:])
    return out
