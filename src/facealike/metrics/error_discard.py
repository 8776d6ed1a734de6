"""Error versus discard: how the FNMR falls as the photos of lowest quality are left out.

Source: Grother and Tabassi, IEEE TPAMI 29(4), 2007; ISO/IEC 29794-1:2024, error versus discard
characteristic, by which ISO/IEC 29794-5 judges a quality measure; the partial area and the step function are
of Schlett et al., "Considerations on the Evaluation of Biometric Quality Assessment Algorithms", IEEE TBIOM,
2023.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import UsageError
from ..utils.result import Result
from ..utils.wording import rate_text
from .bootstrap import Interval
from .intervals import BootstrapOptions, drawn
from .verification import checked_rate

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LIMIT = 0.2
"""The partial area reaches to this share of photos left out: few applications can ask for more again."""

SHARES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3)
"""Shares of photos left out at which the FNMR is reported."""

RESAMPLES = 1000
LEVEL = 0.95


@dataclass(frozen=True, eq=False, repr=False)
class ErrorDiscard(Result):
    """The FNMR at one threshold as the photos of lowest quality are left out.  The arrays are read-only.

    The threshold stays where it is.  A comparison is made while both of its photos are kept.  Photos of equal
    quality leave together, so the curve does not depend on their order.

    Examples:
        >>> curve = error_discard(scores, first, second, quality, threshold=0.4)
        >>> curve.fnmr_at(0.1), curve.relative_area.estimate

    Args:
        discarded: The share of photos left out at each step, rising from 0, (k,).
        fnmr: The FNMR of the comparisons that remain, (k,); NaN where none does.
        threshold: The score from which two photos match.
        photos: The number of photos in genuine comparisons.
        pairs: The number of genuine comparisons.
        people_rejected: How many people have a false non-match before a photo is left out; None where the
            people are not known.
        limit: The share of photos that the partial area reaches to.
        relative_area: The partial area divided by that of a quality that says nothing: 1 for random values,
            0 where the first photo left out removes every error.  NaN where there is no error.  Its interval
            is from resampling people, and not measured where they are not known.
        rates: The FNMR with its interval at each of ``SHARES``.  The interval is not measured where no error
            is left.
    """

    discarded: Floats
    fnmr: Floats
    threshold: float
    photos: int
    pairs: int
    people_rejected: int | None
    limit: float
    relative_area: Interval
    rates: dict[float, Interval] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for array in (self.discarded, self.fnmr):
            array.setflags(write=False)

    def fnmr_at(self, share: float) -> float:
        """Return the FNMR with at most this share of the photos left out; NaN where no comparison remains.

        Raises:
            UsageError: ``share`` does not lie between 0 and 1.
        """
        return float(self.fnmr[_step(self.discarded, checked_rate(share))])

    @property
    def partial_area(self) -> float:
        """The area under the curve, a step function, up to ``limit``."""
        return _area(self.discarded, self.fnmr, self.limit)

    def to_dict(self) -> dict[str, Any]:
        return {
            "threshold": self.threshold,
            "photos": self.photos,
            "pairs": self.pairs,
            "people_rejected": self.people_rejected,
            "limit": self.limit,
            "partial_area": float(f"{self.partial_area:.6g}") if math.isfinite(self.partial_area) else None,
            "relative_area": self.relative_area.to_dict(),
            "fnmr": {f"{share:g}": rate.to_dict() for share, rate in self.rates.items()},
        }

    def __str__(self) -> str:
        text = (
            f"FNMR {rate_text(float(self.fnmr[0]))}, and {rate_text(self.fnmr_at(0.1))} without the 10 % of "
            "photos of lowest quality"
        )
        if math.isnan(self.relative_area.estimate):
            return f"{text}; too few errors to judge the quality by"
        return (
            f"{text}; partial area {self.relative_area} of that of a random order, up to "
            f"{100 * self.limit:.0f} % left out"
        )


def error_discard(
    scores: ArrayLike, first: ArrayLike, second: ArrayLike, quality: ArrayLike, threshold: float,
    people: ArrayLike | None = None, limit: float = LIMIT, seed: int = 0,
) -> ErrorDiscard:  # fmt: skip
    """Return the error-versus-discard curve of a quality measure.

    Examples:
        >>> error_discard([0.9, 0.2], [0, 1], [2, 3], [0.9, 0.1, 0.8, 0.7], threshold=0.4).fnmr_at(0.25)
        0.0

    Args:
        scores: Of genuine pairs, (n,).
        first: The photo of one side of each pair, an index into ``quality``, (n,).
        second: The photo of the other side, (n,).
        quality: Of each photo, higher is better, (m,).  A photo in no pair does not count.
        threshold: A pair below it is a false non-match.
        people: The person of each photo, (m,); without it there are no intervals.
        limit: The share of photos that the partial area reaches to.
        seed: Of the resamples of people.

    Raises:
        UsageError: The arrays do not fit, are empty or not finite, a pair shows two people, or ``limit`` does
            not lie between 0 and 1.
    """
    if not 0 < limit <= 1:
        raise UsageError(f"the partial area reaches to a share above 0 and up to 1, not {limit}")
    comparisons = _comparisons(scores, first, second, quality, threshold, people)
    discarded, fnmr = comparisons.curve()
    found = _figures(discarded, fnmr, limit)
    draws = _resampled(comparisons, limit, seed)
    area, *rates = (_interval(*figure) for figure in zip(found, draws.T, strict=True))
    return ErrorDiscard(
        discarded, fnmr, float(threshold), len(comparisons.photo), len(comparisons.pair),
        comparisons.people_rejected, limit, area, dict(zip(SHARES, rates, strict=True)),
    )  # fmt: skip


class _Comparisons(NamedTuple):
    """Genuine comparisons with the step at which each photo, and so each comparison, is left out.

    Step 0 keeps everything; step j leaves out the j lowest of the distinct qualities.

    Args:
        photo: The last step that keeps each photo, (m,).
        pair: The last step that makes each comparison, (n,).
        error: Whether it is a false non-match, as 0 or 1, (n,).
        photo_person: A number for the person of each photo, (m,); None where it is not known.
        pair_person: The same of each comparison, (n,).
    """

    photo: Ints
    pair: Ints
    error: Floats
    photo_person: Ints | None
    pair_person: Ints | None

    @property
    def people_rejected(self) -> int | None:
        return None if self.pair_person is None else len(np.unique(self.pair_person[self.error > 0]))

    def curve(self, weights: Floats | None = None) -> tuple[Floats, Floats]:
        """Return the share discarded and the FNMR at each step; NaN where no comparison remains.

        Args:
            weights: How often each person counts; None for once.
        """
        steps = int(self.photo.max()) + 1
        of_photo = None if weights is None else weights[self.photo_person]
        of_pair = np.ones(len(self.pair)) if weights is None else weights[self.pair_person]
        photos = np.bincount(self.photo, of_photo, steps)
        left_out = np.concatenate([[0.0], np.cumsum(photos)[:-1]])
        kept, errors = (
            np.cumsum(np.bincount(self.pair, each, steps)[::-1])[::-1]
            for each in (of_pair, of_pair * self.error)
        )
        fnmr = np.divide(errors, kept, out=np.full(steps, math.nan), where=kept > 0)
        return left_out / photos.sum(), fnmr


def _comparisons(
    scores: ArrayLike, first: ArrayLike, second: ArrayLike, quality: ArrayLike, threshold: float,
    people: ArrayLike | None,
) -> _Comparisons:  # fmt: skip
    values, measure = np.asarray(scores, dtype=np.float64), np.asarray(quality, dtype=np.float64)
    sides = np.asarray(first, dtype=np.int64), np.asarray(second, dtype=np.int64)
    if values.ndim != 1 or not values.size or any(side.shape != values.shape for side in sides):
        raise UsageError(
            "an error-versus-discard curve needs one score and two photos a pair, and a pair at least"
        )
    if not (np.isfinite(values).all() and np.isfinite(measure).all() and math.isfinite(threshold)):
        raise UsageError(
            "scores, qualities and the threshold of an error-versus-discard curve must be finite"
        )
    both = np.concatenate(sides)
    if measure.ndim != 1 or both.min() < 0 or both.max() >= len(measure):
        raise UsageError(f"the photos of the pairs are indices into the {measure.size:,} qualities")
    used, place = np.unique(both, return_inverse=True)
    _, step = np.unique(measure[used], return_inverse=True)
    a, b = place.reshape(2, -1)
    persons = None if people is None else np.unique(np.asarray(people)[used], return_inverse=True)[1]
    if persons is not None and not np.array_equal(persons[a], persons[b]):
        raise UsageError("an error-versus-discard curve is of genuine pairs: both photos show one person")
    return _Comparisons(
        step, np.minimum(step[a], step[b]), (values < threshold).astype(np.float64), persons,
        None if persons is None else persons[a],
    )  # fmt: skip


def _figures(discarded: Floats, fnmr: Floats, limit: float) -> Floats:
    """Return the relative area, and the FNMR at each of ``SHARES``."""
    area = _area(discarded, fnmr, limit) / (limit * fnmr[0]) if fnmr[0] > 0 else math.nan
    return np.array([area, *(fnmr[_step(discarded, share)] for share in SHARES)])


def _step(discarded: Floats, share: float) -> int:
    """Return the last step that leaves out at most this share."""
    return int(np.searchsorted(discarded, share + 1e-12, side="right")) - 1


def _area(discarded: Floats, fnmr: Floats, limit: float) -> float:
    """Return the area under the step function up to ``limit``; NaN where the curve ends before."""
    widths = np.diff(np.minimum(np.append(discarded, 1.0), limit))
    return float(np.sum(widths[widths > 0] * fnmr[widths > 0]))


def _resampled(comparisons: _Comparisons, limit: float, seed: int) -> Floats:
    """Return the figures of each resample of people; none where the people are not known."""
    if comparisons.photo_person is None:
        return np.zeros((0, 1 + len(SHARES)))
    people = int(comparisons.photo_person.max()) + 1
    draws = drawn(people, BootstrapOptions(LEVEL, RESAMPLES, seed=seed))
    return np.array([_figures(*comparisons.curve(weights), limit) for weights in draws])


def _interval(estimate: float, draws: Floats) -> Interval:
    """Return the percentile interval; not measured where too few draws define it, or no error is left."""
    known = draws[np.isfinite(draws)]
    if 2 * len(known) < RESAMPLES or not estimate > 0:
        return Interval(float(estimate), math.nan, math.nan, LEVEL, resamples=len(known))
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(
        float(estimate), min(float(low), estimate), max(float(high), estimate), LEVEL, resamples=len(known)
    )
