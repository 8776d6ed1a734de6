"""Which images stand in a training batch: four samplers that any step can be asked of.

Each is a pure function of its seed and the step's number, so that a run killed at any step goes on
with exactly the batches it would have seen.  Indices refer to images; ``labels[i]`` is the person
of image ``i``.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError

Indices = NDArray[np.int64]
Weighting = Literal["images", "identities", "root"]


class Batch(NamedTuple):
    """Images of one step, and the pairs to compare in it (None: whatever the loss makes of it).

    ``pairs`` holds positions within ``images``: (a, positive of a, b, negative of b).
    """

    images: Indices
    pairs: tuple[Indices, Indices, Indices, Indices] | None = None


class Sampler(Protocol):
    @property
    def steps(self) -> int:
        """Steps of one pass over the data; an epoch unless the recipe says otherwise."""

    def batch(self, step: int) -> Batch:
        """The batch of a step, counted from the start of training."""


def ordered_positive_pairs(labels: Indices) -> Indices:
    """Every ordered pair of two images of one person, shape (n, 2): (i, j) and (j, i) both."""
    order = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(labels[order]) != 0])
    found = []
    for group in np.split(order, starts[1:]):
        first, second = np.nonzero(~np.eye(len(group), dtype=bool))
        found.append(np.stack([group[first], group[second]], axis=1))
    return np.concatenate(found).astype(np.int64)


def image_weights(labels: Indices, weighting: Weighting) -> NDArray[np.float64]:
    """How often each image is drawn, relative to the others: 1, or 1/n or 1/sqrt(n) where its person
    has n images, so that all people are seen equally often, or the many-imaged somewhat more."""
    _, person, images = np.unique(labels, return_inverse=True, return_counts=True)
    power = {"images": 0.0, "identities": 1.0, "root": 0.5}[weighting]
    return np.asarray(images[person.reshape(-1)] ** -power, dtype=np.float64)


def _pass(count: int, rng: np.random.Generator, weights: NDArray[np.float64] | None) -> Indices:
    """``count`` items in random order: each once, or each as often as its share of ``weights`` says.

    A share is rounded up or down at random (systematic sampling), which varies far less than
    independent draws: with a share of 2.3 an item comes twice or three times, never less.
    """
    order = rng.permutation(count)
    if weights is None:
        return order
    ends = np.cumsum(weights[order])
    marks = (np.arange(count) + rng.random()) * (ends[-1] / count)
    drawn = order[np.minimum(np.searchsorted(ends, marks, side="right"), count - 1)]
    return rng.permutation(drawn)


def _walk(
    count: int, start: int, length: int, seed: int, weights: NDArray[np.float64] | None = None
) -> Indices:
    """``length`` items from ``start`` of an endless row of passes, each drawn afresh."""
    out, position = [], start
    while length > 0:
        turn, offset = divmod(position, count)
        shuffled = _pass(count, np.random.default_rng([seed, 1, turn]), weights)
        piece = shuffled[offset : offset + length]
        out.append(piece)
        position, length = position + len(piece), length - len(piece)
    return np.concatenate(out)


class PairSampler:
    """The seed repository's sampler: half of the pairs genuine, half impostor.

    Every ordered genuine pair comes in turn; for one of its two images, chosen by a coin, a random
    image of somebody else makes the impostor pair.  ``batch_size`` counts images: three for each
    genuine pair and the impostor pair made from it.
    """

    def __init__(self, labels: Indices, batch_size: int, seed: int) -> None:
        self._labels, self._seed = labels, seed
        self._positives = ordered_positive_pairs(labels)
        if len(self._positives) == 0 or len(np.unique(labels)) < 2:
            raise DataError(
                "genuine and impostor pairs are needed to train on pairs: give at least two people, "
                "one of them with two photos"
            )
        self._each = max(1, batch_size // 3)

    @property
    def steps(self) -> int:
        return max(1, len(self._positives) // self._each)

    def batch(self, step: int) -> Batch:
        each = self._each
        turn = _walk(len(self._positives), step * each, each, self._seed)
        pair = self._positives[turn]
        rng = np.random.default_rng([self._seed, 2, step])
        side = rng.integers(0, 2, each)
        kept = pair[np.arange(each), side]
        stranger = rng.integers(0, len(self._labels), each)
        while (clash := self._labels[stranger] == self._labels[kept]).any():
            stranger[clash] = rng.integers(0, len(self._labels), int(clash.sum()))
        first = np.arange(each)
        images = np.concatenate([pair[:, 0], pair[:, 1], stranger])
        return Batch(images, (first, first + each, first + side * each, first + 2 * each))


class IdentitySampler:
    """Batches of several people with several images each, the people in turn.

    A person with fewer images than asked for gives some of them twice: augmentation makes two
    different views, so the many people with a single photo still teach what to ignore.
    ``single_share`` is the part of a batch's people that have one photo only (None: as they come).
    """

    def __init__(
        self,
        labels: Indices,
        batch_size: int,
        per_identity: int,
        seed: int,
        single_share: float | None = None,
    ) -> None:
        people = max(2, batch_size // per_identity)
        groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        if len(groups) < 2:
            raise DataError("at least two people are needed to train; add folders with photos of more people")
        single = [group for group in groups if len(group) == 1]
        several = [group for group in groups if len(group) > 1]
        if single_share is None or not single or not several:
            self._pools = [(groups, people)]
        else:
            share = min(people - 1, max(1, round(people * single_share))) if single_share > 0 else 0
            if not share and len(several) < 2:
                raise DataError(
                    "only one person has several photos, and single_share = 0 leaves out all others; "
                    "add photos, or raise sampler.single_share"
                )
            self._pools = [(several, people - share)] + ([(single, share)] if share else [])
        self._per_identity, self._seed = per_identity, seed

    @property
    def steps(self) -> int:
        groups, each = self._pools[0]
        return max(1, len(groups) // each)

    def batch(self, step: int) -> Batch:
        rng = np.random.default_rng([self._seed, 3, step])
        images = []
        for number, (groups, each) in enumerate(self._pools):
            for index in _walk(len(groups), step * each, each, self._seed + 7919 * number):
                group, wanted = groups[index], self._per_identity
                turns = [rng.permutation(group) for _ in range(-(-wanted // len(group)))]
                images.append(np.concatenate(turns)[:wanted])
        return Batch(np.concatenate(images))


class ImageSampler:
    """All images in shuffled turn, as a classifier is trained; see ``image_weights`` for another share.

    A pass is as long as there are images, whatever the weighting.
    """

    def __init__(self, labels: Indices, batch_size: int, seed: int, weighting: Weighting = "images") -> None:
        if len(np.unique(labels)) < 2:
            raise DataError("at least two people are needed to train; add folders with photos of more people")
        self._count, self._size, self._seed = len(labels), min(batch_size, len(labels)), seed
        self._weights = None if weighting == "images" else image_weights(labels, weighting)

    @property
    def steps(self) -> int:
        return self._count // self._size

    def batch(self, step: int) -> Batch:
        return Batch(_walk(self._count, step * self._size, self._size, self._seed, self._weights))


class MixedSampler:
    """Two samplers in one batch: images in shuffled turn, then people with several images each.

    For a loss that classifies all people and also compares images: the first part shows everybody
    equally often, the second holds the genuine pairs that the first would hardly ever contain.
    ``share`` is the part of ``batch_size`` that comes by people.
    """

    def __init__(
        self,
        labels: Indices,
        batch_size: int,
        per_identity: int,
        seed: int,
        single_share: float | None = None,
        share: float = 0.5,
        weighting: Weighting = "images",
    ) -> None:
        part = min(batch_size - 1, max(2 * per_identity, round(batch_size * share)))
        self._images = ImageSampler(labels, batch_size - part, seed, weighting)
        self._people = IdentitySampler(labels, part, per_identity, seed, single_share)

    @property
    def steps(self) -> int:
        return self._images.steps

    def batch(self, step: int) -> Batch:
        return Batch(np.concatenate([self._images.batch(step).images, self._people.batch(step).images]))
