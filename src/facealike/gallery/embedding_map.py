"""Map the embeddings of one model to those of another, and measure what that loses.

The map is affine, b + g (x - a) M, with a and b the means of both models' embeddings, M by ridge regression
on faces that both models have embedded, and the result scaled to norm 1.  Ridge regression draws what it
predicts towards the mean, which makes people look alike; the gain g widens it again until impostors reach
the new model's threshold as often as with its own embeddings.

It is measured on people it was not fitted to: the people are divided into ``FOLDS`` parts, and each part is
mapped by what the others give.  A mapped face is then compared with the new model's faces of other photos, as
a gallery does, at the threshold where the FMR of the new model on the same people is ``FMR``.

Source: Hoerl and Kennard, Technometrics 12(1), 1970 (ridge regression).
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..utils.result import Result
from ..utils.wording import in_percent

Vectors = NDArray[np.float32]
Labels = NDArray[np.int64]

FMR = 0.001
FOLDS = 5
PENALTY = 0.1
"""Of the ridge, as a share of the mean variance of an input."""

GAINS = [1 + i / 20 for i in range(41)]
MOST_COMPARED = 4000
"""Faces of which all pairs are compared for the FMR: eight million pairs are enough for its threshold."""

RESAMPLES = 1000

FEWEST_FACES = 300
FEWEST_MATED = 50
"""People with two photos that the FNMR needs."""

BLOCK = 1024  # rows of the score matrix that are held at a time


@dataclass(frozen=True)
class EmbeddingMap:
    """An affine map from embeddings (n, d) to embeddings (n, e).

    Attributes:
        center: The mean of the old embeddings, (d,).
        target: The mean of the new ones, (e,).
        matrix: M, (d, e).
        gain: g.
    """

    center: NDArray[np.float64]
    target: NDArray[np.float64]
    matrix: NDArray[np.float64]
    gain: float = 1.0

    def __call__(self, vectors: Vectors) -> Vectors:
        """Return the mapped vectors, of norm 1."""
        mapped = self.target + self.gain * ((vectors - self.center) @ self.matrix)
        return np.asarray(mapped / np.linalg.norm(mapped, axis=1, keepdims=True), np.float32)


@dataclass(frozen=True, repr=False)
class MapReport(Result):
    """What a map from one model's embeddings to another's loses, on people it was not fitted to.

    Examples:
        >>> gallery.migrate("new.db", "mine").map.loss
        0.012

    Attributes:
        faces: Faces that the map is fitted to.
        people: Whose they are.
        mated: How many of them have two photos or more.
        fmr: The FMR of mapped embeddings with new ones, at the threshold of the new model.
        fnmr: Their FNMR there.
        fnmr_new: The FNMR of the new model's own embeddings there.
        low: The lower bound of the 95 % interval of the loss, by resampling people.
        high: The upper bound.
    """

    ASK: ClassVar[str] = "ask for .loss"

    faces: int
    people: int
    mated: int
    fmr: float
    fnmr: float
    fnmr_new: float
    low: float
    high: float

    @property
    def loss(self) -> float:
        """How much higher the FNMR of mapped embeddings is."""
        return self.fnmr - self.fnmr_new

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "loss": self.loss}

    def __str__(self) -> str:
        return (
            f"FNMR {in_percent(self.fnmr)} % mapped, {in_percent(self.fnmr_new)} % embedded, at FMR "
            f"{in_percent(FMR)} %: a loss of {100 * self.loss:.1f} [{100 * self.low:.1f}, "
            f"{100 * self.high:.1f}] points, on {self.people:,} held-out people ({self.mated:,} with two "
            f"photos), {self.faces:,} faces"
        )


def fit_map(old: Vectors, new: Vectors, gain: float = 1.0, penalty: float = PENALTY) -> EmbeddingMap:
    """Fit the map by ridge regression.

    Args:
        old: Embeddings of faces by the old model, (n, d).
        new: Those of the same faces by the new model, (n, e).
        gain: See ``EmbeddingMap``.
        penalty: See ``PENALTY``.
    """
    center, target = old.mean(axis=0, dtype=np.float64), new.mean(axis=0, dtype=np.float64)
    inputs, outputs = old - center, new - target
    moments = inputs.T @ inputs
    ridge = penalty * np.trace(moments) / len(moments) * np.eye(len(moments))
    return EmbeddingMap(center, target, np.linalg.solve(moments + ridge, inputs.T @ outputs), gain)


def measured_map(old: Vectors, new: Vectors, people: Labels, seed: int = 0) -> tuple[EmbeddingMap, MapReport]:
    """Fit the map to faces of known people, and measure it by cross-validation.

    Args:
        old: Embeddings of faces by the old model, (n, d).
        new: Those of the same faces by the new model, (n, e).
        people: Whose they are, (n,).
        seed: Of the division into folds and of the resamples.

    Raises:
        DataError: There are too few faces, or too few people with two photos.
    """
    _, who, counts = np.unique(people, return_inverse=True, return_counts=True)
    mated = int((counts > 1).sum())
    if len(old) < FEWEST_FACES or mated < FEWEST_MATED:
        raise DataError(
            f"too few photos to fit and measure a map: {len(old):,} faces, and {mated:,} people with two "
            f"photos or more, where {FEWEST_FACES:,} and {FEWEST_MATED:,} are needed"
        )
    rng = np.random.default_rng(seed)
    fold = rng.permutation(len(counts))[who] % FOLDS
    maps = [fit_map(old[fold != one], new[fold != one]) for one in range(FOLDS)]
    some = rng.permutation(len(new))[:MOST_COMPARED]
    threshold = threshold_at_fmr(new[some], who[some])

    def held_out(gain: float) -> Vectors:
        mapped = np.zeros_like(new)
        for one, fitted in enumerate(maps):
            widened = EmbeddingMap(fitted.center, fitted.target, fitted.matrix, gain)
            mapped[fold == one] = widened(old[fold == one])
        return mapped

    def fmr_at(gain: float) -> float:
        return _fmr(held_out(gain)[some], new[some], who[some], threshold)

    # The FMR falls as the gain rises; where no gain is enough, the report states the FMR of the highest.
    place = bisect.bisect_left(GAINS, True, key=lambda gain: fmr_at(gain) <= FMR)
    gain = GAINS[min(place, len(GAINS) - 1)]
    mapped, fmr = held_out(gain), fmr_at(gain)
    missed, own = (np.array(list(_fnmrs(first, new, who, threshold))) for first in (mapped, new))
    lost = missed - own
    losses = [lost[rng.integers(0, len(lost), len(lost))].mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(losses, [0.025, 0.975])
    report = MapReport(
        len(old), len(counts), mated, fmr, float(missed.mean()), float(own.mean()), float(low), float(high)
    )
    return fit_map(old, new, gain), report


def _impostors(first: Vectors, second: Vectors, who: Labels) -> Iterator[NDArray[np.float32]]:
    """Yield the scores of faces with those of other people, some rows at a time."""
    for start in range(0, len(first), BLOCK):
        rows = slice(start, start + BLOCK)
        yield (first[rows] @ second.T)[who[rows, None] != who[None]]


def threshold_at_fmr(vectors: Vectors, who: Labels) -> float:
    """Return the threshold at which the FMR of all pairs of embeddings (n, d) of people (n,) is ``FMR``."""
    highest: NDArray[np.float32] = np.zeros(0, np.float32)
    count = 0
    keep = max(1, int(FMR * len(vectors) ** 2))
    for scores in _impostors(vectors, vectors, who):
        count += len(scores)
        highest = np.sort(np.concatenate([highest, scores]))[-keep:]
    return float(highest[-max(1, int(FMR * count))])


def error_rates(
    first: Vectors, second: Vectors, who: Labels, threshold: float
) -> tuple[float, NDArray[np.float64]]:
    """Return the FMR of all pairs of a row of each, and the FNMR of each person with two photos.

    Args:
        first: Embeddings of faces, (n, d).
        second: Other embeddings of the same faces, (n, d); no face is compared with itself.
        who: Whose they are, (n,).
        threshold: A score.
    """
    return _fmr(first, second, who, threshold), np.array(list(_fnmrs(first, second, who, threshold)))


def _fmr(first: Vectors, second: Vectors, who: Labels, threshold: float) -> float:
    reached = [(int((scores >= threshold).sum()), len(scores)) for scores in _impostors(first, second, who)]
    return sum(one for one, _ in reached) / sum(count for _, count in reached)


def _fnmrs(first: Vectors, second: Vectors, who: Labels, threshold: float) -> Iterator[float]:
    """Yield the FNMR of each person with two photos: of faces with those of the person's other photos."""
    order = np.argsort(who, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(who[order])) + 1):
        if len(rows) > 1:
            scores = first[rows] @ second[rows].T
            yield float((scores[~np.eye(len(rows), dtype=bool)] < threshold).mean())
