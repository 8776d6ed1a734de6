"""Pairs of the photos that ``benchmarks.quality.quality`` has collected, and their error rates."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from facealike import Model
from facealike.quality.result import Quality
from facealike.quality.score import quality_of

BLOCK = 1 << 18  # pairs whose embeddings are held at a time


class Photos(NamedTuple):
    """What ``collect`` has found, a row a photo in a degradation; ``good`` are the rows without one."""

    people: str
    photo: NDArray[np.int32]
    person: NDArray[np.int32]
    degradation: NDArray[np.str_]
    found: NDArray[np.bool_]
    vectors: NDArray[np.float32]
    quality: list[Quality]
    good: NDArray[np.int64]

    @property
    def parts(self) -> NDArray[np.float64]:
        """(n, p): what is left of each of the p parts."""
        names = sorted({name for quality in self.quality for name in quality.parts})
        return np.array([[quality.parts.get(name, 1.0) for name in names] for quality in self.quality])


def load(path: Path, model: Model) -> Photos:
    content = np.load(path)
    if str(content["model"]) != model.id:
        raise SystemExit(f"{path}: collected with model {content['model']}, not {model.id}")
    kind = str(model.file.detector_spec["kind"])
    names = content["names"].tolist()
    told = [
        quality_of({name: value for name, value in zip(names, row, strict=True) if np.isfinite(value)}, kind)
        for row in content["measures"].tolist()
    ]
    good = np.flatnonzero(content["degradation"] == "none")
    photo, person = (content[name].astype(np.int32) for name in ("photo", "person"))
    return Photos(
        f"{content['splits']} people", photo, person, content["degradation"], content["found"],
        content["vectors"], told, good,
    )  # fmt: skip


def degraded_rows(photos: Photos) -> list[tuple[str, NDArray[np.int64]]]:
    """Each degradation and its rows; of "none" only those of photos that were degraded as well."""
    degraded = np.isin(photos.photo, photos.photo[photos.degradation != "none"])
    names = dict.fromkeys(photos.degradation[degraded].tolist())
    return [(name, np.flatnonzero((photos.degradation == name) & degraded)) for name in names]


class Pairs(NamedTuple):
    """Pairs of rows: their score, persons, and ``PairQuality`` as two arrays."""

    score: NDArray[np.float32]
    first: NDArray[np.int32]
    second: NDArray[np.int32]
    least: NDArray[np.float32]
    shared: NDArray[np.float32]

    @property
    def same(self) -> NDArray[np.bool_]:
        return self.first == self.second

    def where(self, kept: NDArray[np.bool_]) -> Pairs:
        return Pairs(*(column[kept] for column in self))


def pairs_of(photos: Photos, a: NDArray[np.int64], b: NDArray[np.int64]) -> Pairs:
    """The pairs of rows ``a`` and ``b``, both (n,), of which there may be some ten millions."""
    score, least, shared = np.empty(len(a), np.float32), *np.ones((2, len(a)), np.float32)
    for start in range(0, len(a), BLOCK):
        mine = np.s_[start : start + BLOCK]
        np.einsum("ij,ij->i", photos.vectors[a[mine]], photos.vectors[b[mine]], out=score[mine])
    for part in photos.parts.T.astype(np.float32):
        one, other = part[a], part[b]
        least *= np.minimum(one, other)
        shared *= np.maximum(one, other)
    return Pairs(score, photos.person[a], photos.person[b], least, shared)


def good_pairs(photos: Photos) -> Pairs:
    """All pairs of photos as they are."""
    a, b = np.triu_indices(len(photos.good), 1)
    return pairs_of(photos, photos.good[a], photos.good[b])


def pairs_with_good(photos: Photos, rows: NDArray[np.int64]) -> Pairs:
    """Each of ``rows`` with every photo as it is, but never with its own."""
    a, b = np.repeat(rows, len(photos.good)), np.tile(photos.good, len(rows))
    other = photos.photo[a] != photos.photo[b]
    return pairs_of(photos, a[other], b[other])


def pairs_within(photos: Photos, rows: NDArray[np.int64]) -> Pairs:
    """All pairs of ``rows``: two photos with the same flaw."""
    a, b = np.triu_indices(len(rows), 1)
    return pairs_of(photos, rows[a], rows[b])


def weights(pairs: Pairs) -> NDArray[np.float64]:
    """Each person's genuine pairs count as one, for a few people have most of them; impostors alike."""
    counts = np.bincount(pairs.first[pairs.same], minlength=int(pairs.first.max(initial=0)) + 1)
    return np.where(pairs.same, 1 / np.maximum(counts[pairs.first], 1), 1.0)


def rate(wrong: NDArray[np.bool_], weight: NDArray[np.float64]) -> float:
    return float(np.average(wrong, weights=weight)) if len(wrong) else float("nan")


class Errors(NamedTuple):
    """FNMR and FMR at the threshold, and the number of people and pairs behind the FNMR."""

    fnmr: float
    fmr: float
    people: int
    genuine: int


def errors(pairs: Pairs, threshold: float) -> Errors:
    same, weight = pairs.same, weights(pairs)
    below = pairs.score < threshold
    return Errors(
        rate(below[same], weight[same]), rate(~below[~same], weight[~same]),
        len(np.unique(pairs.first[same])), int(same.sum()),
    )  # fmt: skip


def fnmr_interval(pairs: Pairs, threshold: float, resamples: int = 1000) -> tuple[float, float]:
    """The 95 % interval of the FNMR by resampling people."""
    genuine = pairs.where(pairs.same)
    people, index = np.unique(genuine.first, return_inverse=True)
    own = np.bincount(index, genuine.score < threshold) / np.bincount(index)
    drawn = np.random.default_rng(0).integers(0, len(people), (resamples, len(people)))
    low, high = np.quantile(own[drawn].mean(axis=1), (0.025, 0.975))
    return float(low), float(high)


def quantile(values: NDArray[np.float64], weight: NDArray[np.float64], part: float) -> float:
    """The weighted quantile: the least value with at least ``part`` of the weight up to it."""
    order = np.argsort(values)
    reached = np.cumsum(weight[order]) / weight.sum()
    return float(values[order][min(int(np.searchsorted(reached, part)), len(values) - 1)])


def share_left(poor: Pairs, good: Pairs, typical: float) -> float:
    """What is left of the genuine scores' distance from a typical stranger's."""
    means = [np.average(p.score[p.same], weights=weights(p)[p.same]) - typical for p in (poor, good)]
    return float(means[0] / means[1])
