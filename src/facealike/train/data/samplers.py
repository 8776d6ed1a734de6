"""Samplers: which images form the batch of a training step.

A batch is a pure function of the seed and the step, so that a resumed run continues with the same batches.
Indices refer to images; ``labels[i]`` is the person of image ``i``.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError

Indices = NDArray[np.int64]
Weighting = Literal["images", "identities", "root"]


class Batch(NamedTuple):
    """The images of one step and the pairs to compare; without pairs the loss chooses.

    ``pairs`` holds positions in ``images``: (a, positive of a, b, negative of b).
    """

    images: Indices
    pairs: tuple[Indices, Indices, Indices, Indices] | None = None


class Sampler(Protocol):
    """Any sampler."""

    @property
    def steps(self) -> int:
        """Steps of one pass over the data, an epoch by default."""

    def batch(self, step: int) -> Batch:
        """Return the batch of a step, counted from the start of training."""


def ordered_positive_pairs(labels: Indices) -> Indices:
    """Return all ordered pairs of two images of one person, (n, 2): both (i, j) and (j, i)."""
    order = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(labels[order]) != 0])
    found = []
    for group in np.split(order, starts[1:]):
        first, second = np.nonzero(~np.eye(len(group), dtype=bool))
        found.append(np.stack([group[first], group[second]], axis=1))
    return np.concatenate(found).astype(np.int64)


def image_weights(labels: Indices, weighting: Weighting) -> NDArray[np.float64]:
    """Return the relative frequency of each image: 1, or 1/n or 1/sqrt(n) for a person with n images."""
    _, person, images = np.unique(labels, return_inverse=True, return_counts=True)
    power = {"images": 0.0, "identities": 1.0, "root": 0.5}[weighting]
    return np.asarray(images[person.reshape(-1)] ** -power, dtype=np.float64)


def _pass(count: int, rng: np.random.Generator, weights: NDArray[np.float64] | None) -> Indices:
    """Return ``count`` items in random order, each once or in proportion to ``weights``.

    Systematic sampling rounds each expected count up or down at random, with less variance than independent
    draws: an item expected 2.3 times comes twice or three times.
    """
    order = rng.permutation(count)
    if weights is None:
        return order
    ends = np.cumsum(weights[order])
    positions = (np.arange(count) + rng.random()) * (ends[-1] / count)
    drawn = order[np.minimum(np.searchsorted(ends, positions, side="right"), count - 1)]
    return rng.permutation(drawn)


def _walk(
    count: int, start: int, length: int, seed: int, weights: NDArray[np.float64] | None = None
) -> Indices:
    """Return ``length`` items from position ``start`` of an endless sequence of passes."""
    out, position = [], start
    while length > 0:
        turn, offset = divmod(position, count)
        shuffled = _pass(count, np.random.default_rng([seed, 1, turn]), weights)
        piece = shuffled[offset : offset + length]
        out.append(piece)
        position, length = position + len(piece), length - len(piece)
    return np.concatenate(out)


class PairSampler:
    """The sampler of the recipe ``legacy``: half of the pairs are genuine, half impostor.

    All ordered genuine pairs come in turn.  One of the two images, chosen at random, forms an impostor pair
    with a random image of another person.

    Args:
        labels: Person of each image.
        batch_size: Images per batch: three for a genuine pair and its impostor pair.
        seed: Random seed.

    Raises:
        DataError: There is no genuine pair or only one person.
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
        other = rng.integers(0, len(self._labels), each)
        while (clash := self._labels[other] == self._labels[kept]).any():
            other[clash] = rng.integers(0, len(self._labels), int(clash.sum()))
        first = np.arange(each)
        images = np.concatenate([pair[:, 0], pair[:, 1], other])
        return Batch(images, (first, first + each, first + side * each, first + 2 * each))


class IdentitySampler:
    """Batches of several people with several images each; the people come in turn.

    Images of a person with too few are repeated; augmentation makes them differ, so that people with a
    single photo count too.

    Args:
        labels: Person of each image.
        batch_size: Images per batch.
        per_identity: Images of each person.
        seed: Random seed.
        single_share: Share of people with one photo only; None takes people as they come.

    Raises:
        DataError: There are too few people.
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
    """All images in shuffled order, as for a classifier; a pass is as long as there are images.

    Args:
        labels: Person of each image.
        batch_size: Images per batch.
        seed: Random seed.
        weighting: See ``image_weights``.

    Raises:
        DataError: There is only one person.
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
    """Two samplers in one batch: images in shuffled order, then people with several images each.

    This is for a loss that classifies people and compares images: the first part shows all images, the
    second has the genuine pairs that the first lacks.

    Args:
        labels: Person of each image.
        batch_size: Images per batch.
        per_identity: Images of each person in the second part.
        seed: Random seed.
        single_share: As in ``IdentitySampler``.
        share: Share of the batch in the second part.
        weighting: As in ``ImageSampler``.
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
