"""Measure the FPIR of galleries beside the one that was asked for, on people of LFW (needs LFW).

    python -m benchmarks.accuracy.identification LFW --write

A gallery has one photo each of so many people who are not among the test people, drawn ``DRAWS`` times.
Probes are one photo each of the test people, none of whom is enrolled or calibrated the model: each that
reaches the threshold of ``threshold_at_fpir`` is a false positive.  Beside it stands the share of enrolled
people with a second photo for whom that photo finds them, first of all and above the threshold.  The interval
is from resampling the probes' people.

For the probabilities (``mate_probabilities``) half of the test people with two photos or more are enrolled
with one, among others to fill the gallery, and a second photo of each of them and a photo of each of the
other half are the probes: half of them are enrolled, as the prior states.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.people_options import embedded_people, people_options, state_rows
from benchmarks.common.record import RESULTS
from facealike.calibration.likelihood_ratio import LikelihoodRatio, likelihood_ratio
from facealike.datasets.splits import split_of
from facealike.gallery.mate_probability import DEPTH, mate_probabilities
from facealike.gallery.threshold import threshold_at_fpir

CSV = RESULTS / "identification.csv"
PROBABILITIES = RESULTS / "identification_probability.csv"
SIZES, TARGETS = (100, 1000, 4000), (0.01, 0.05, 0.1, 0.3)
DRAWS = 20
RESAMPLES = 1000
BINS = 10
"""Of equal width, for the calibration error."""

Vectors = NDArray[np.float32]
Ints = NDArray[np.int64]


def two_photos(labels: Ints, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Return a random photo of each person, and another one, which is -1 where there is none."""
    order = rng.permutation(len(labels))
    people, first = np.unique(labels[order], return_index=True)
    rest = np.delete(order, first)
    others, second = np.unique(labels[rest], return_index=True)
    found = np.full(len(people), -1)
    found[np.searchsorted(people, others)] = rest[second]
    return order[first], found


def measure(
    vectors: Vectors, labels: Ints, strangers: Vectors, survival: list[tuple[float, float]], seed: int
) -> Iterator[dict[str, object]]:
    """Yield a row for each size of gallery and target FPIR.

    Args:
        vectors: Photos of the people to enroll, (n, d).
        labels: Whose they are, (n,).
        strangers: A photo each of people who are never enrolled, (m, d).
        survival: The table of impostor scores of the model's calibration.
        seed: Seed of the draws.
    """
    rng = np.random.default_rng(seed)
    for size in SIZES:
        if size > len(np.unique(labels)):
            continue
        best = np.zeros((DRAWS, len(strangers)))
        mates = []
        for draw in range(DRAWS):
            enrolled, second = two_photos(labels, rng)
            chosen = rng.permutation(len(enrolled))[:size]
            gallery = vectors[enrolled[chosen]]
            best[draw] = (strangers @ gallery.T).max(axis=1)
            mated = np.flatnonzero(second[chosen] >= 0)
            scores = vectors[second[chosen[mated]]] @ gallery.T
            mates += [(scores.argmax(axis=1) == mated, scores.max(axis=1))]
        right, highest = (np.concatenate(each) for each in zip(*mates, strict=True))
        for target in TARGETS:
            found = threshold_at_fpir(survival, target, size)
            each = (best >= found.threshold).mean(axis=0)
            means = [each[rng.integers(0, len(each), len(each))].mean() for _ in range(RESAMPLES)]
            low, high = np.quantile(means, [0.025, 0.975])
            yield {
                "people": size, "draws": DRAWS, "target": target, "threshold": f"{found.threshold:.4f}",
                "extrapolated": found.extrapolated, "probes": len(strangers), "fpir": f"{each.mean():.4f}",
                "low": f"{low:.4f}", "high": f"{high:.4f}", "mated": len(right),
                "found": f"{(right & (highest >= found.threshold)).mean():.4f}",
                "first": f"{right.mean():.4f}",
            }  # fmt: skip


class Searches(NamedTuple):
    """Searches of galleries of one size, half of them of enrolled people.

    Attributes:
        person: Whose photo is searched, (n,).
        first: The probability of the first candidate, (n,).
        right: Whether that is the person, (n,).
        not_enrolled: The probability that the person is not enrolled, (n,).
        absent: Whether that is so, (n,).
    """

    person: Ints
    first: NDArray[np.float64]
    right: NDArray[np.bool_]
    not_enrolled: NDArray[np.float64]
    absent: NDArray[np.bool_]


def half_enrolled(
    vectors: Vectors, labels: Ints, fillers: Vectors, ratio: LikelihoodRatio, size: int,
    rng: np.random.Generator,
) -> Searches:  # fmt: skip
    """Enroll half of the people with two photos, and search a photo of each of them, ``DRAWS`` times.

    Args:
        vectors: Photos of the people who are enrolled or searched for, (n, d).
        labels: Whose they are, (n,).
        fillers: A photo each of other people, to fill the gallery, (m, d).
        ratio: The likelihood ratio of the scores.
        size: People in the gallery.
        rng: Draws people and photos.
    """
    parts = []
    for _ in range(DRAWS):
        enroll, probe = two_photos(labels, rng)
        several = rng.permutation(np.flatnonzero(probe >= 0))
        count = min(len(several) // 2, size // 2)
        fill = fillers[rng.permutation(len(fillers))[: size - count]]
        gallery = np.concatenate([vectors[enroll[several[:count]]], fill])
        probes = probe[several[: 2 * count]]
        for number, scores in enumerate(vectors[probes] @ gallery.T):
            order = np.argsort(-scores)[:DEPTH]
            found, not_enrolled = mate_probabilities(
                scores[order].tolist(), [1] * len(order), size, ratio, 0.5
            )
            # The mates lie in front, in the order of the probes; from ``count`` on a probe has none.
            parts.append(
                (labels[probes[number]], found[0], order[0] == number, not_enrolled, number >= count)
            )
    return Searches(*(np.array(each) for each in zip(*parts, strict=True)))


def measure_probability(
    vectors: Vectors, labels: Ints, fillers: Vectors, ratio: LikelihoodRatio, seed: int
) -> Iterator[dict[str, object]]:
    """Yield two rows for each size: how well the probabilities at even odds of being enrolled come true.

    Arguments are those of ``half_enrolled``.
    """
    rng = np.random.default_rng(seed)
    for size in SIZES:
        if size > len(fillers):
            continue
        found = half_enrolled(vectors, labels, fillers, ratio, size, rng)
        for row in probability_rows(found, rng):
            yield {"people": size, **row}


def probability_rows(found: Searches, rng: np.random.Generator) -> Iterator[dict[str, object]]:
    """Yield how well the two probabilities of searches come true; the interval is from resampling people."""
    people, place = np.unique(found.person, return_inverse=True)
    for what, p, true in (
        ("first candidate", found.first, found.right),
        ("not enrolled", found.not_enrolled, found.absent),
    ):
        errors = []
        for _ in range(RESAMPLES):
            chosen = np.bincount(rng.integers(0, len(people), len(people)), minlength=len(people))
            errors.append(calibration_error(p, true, chosen[place].astype(float)))
        low, high = np.quantile(errors, [0.025, 0.975])
        sure = p >= 0.9
        yield {
            "draws": DRAWS, "searches": len(p), "of": len(people), "what": what,
            "stated": f"{p.mean():.4f}", "true": f"{true.mean():.4f}",
            "ece": f"{calibration_error(p, true, np.ones(len(p))):.4f}", "low": f"{low:.4f}",
            "high": f"{high:.4f}", "sure": f"{sure.mean():.4f}",
            "true_of_sure": f"{true[sure].mean() if sure.any() else np.nan:.4f}",
        }  # fmt: skip


def calibration_error(
    p: NDArray[np.float64], happened: NDArray[np.bool_], weight: NDArray[np.float64]
) -> float:
    """Return the expected calibration error of weighted probabilities, over ``BINS`` bins of equal width."""
    place = np.minimum((p * BINS).astype(int), BINS - 1)
    gap = np.bincount(place, weight * (p - happened), BINS)
    return float(np.abs(gap).sum() / weight.sum())


def main() -> None:
    options = people_options(__doc__, CSV, cache=True).parse_args()
    everyone, model, photos = embedded_people(options)
    labels = np.asarray(everyone.labels)
    test = np.array([split_of(name) == "test" for name in everyone.names])[labels]
    enrolled, probes = photos.found & ~test, np.flatnonzero(photos.found & test)
    first, _ = two_photos(labels[probes], np.random.default_rng(options.seed))
    calibration = model.calibration.check()
    found = measure(
        photos.vectors[enrolled], labels[enrolled], photos.vectors[probes[first]], list(calibration.tail),
        options.seed,
    )  # fmt: skip
    state_rows(found, CSV, model.id, options)
    fillers, _ = two_photos(labels[enrolled], np.random.default_rng(options.seed))

    def by_ratio() -> Iterator[dict[str, object]]:
        densities = likelihood_ratio(calibration)
        curve = likelihood_ratio(replace(calibration, operating_points=()))
        for name, ratio in (("densities", densities), ("curve", curve)):
            assert ratio is not None, "the model has no probability curve"
            for row in measure_probability(
                photos.vectors[probes], labels[probes], photos.vectors[np.flatnonzero(enrolled)[fillers]],
                ratio, options.seed,
            ):  # fmt: skip
                yield {"ratio": name, **row}

    state_rows(by_ratio(), PROBABILITIES, model.id, options)


if __name__ == "__main__":
    main()
