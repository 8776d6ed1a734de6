"""Measure the FPIR of galleries beside the one that was asked for, on people of LFW (needs LFW).

    python -m benchmarks.accuracy.identification LFW --write

A gallery has one photo each of so many people who are not among the test people, drawn ``DRAWS`` times.
Probes are one photo each of the test people, none of whom is enrolled or calibrated the model: each that
reaches the threshold of ``threshold_at_fpir`` is a false positive.  Beside it stands the share of enrolled
people with a second photo for whom that photo finds them, first of all and above the threshold.  The interval
is from resampling the probes' people.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.record import RESULTS, append_rows, circumstances
from facealike.datasets.people import People
from facealike.datasets.splits import split_of
from facealike.detection.face_policy import LFW_FACE
from facealike.embedding.face_model import Model
from facealike.evaluation.embed_dataset import embed_photos
from facealike.gallery.threshold import threshold_at_fpir

CSV = RESULTS / "identification.csv"
SIZES, TARGETS = (100, 1000, 4000), (0.01, 0.05, 0.1, 0.3)
DRAWS = 20
RESAMPLES = 1000

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


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("people", type=Path, help="LFW, one sub-folder a person")
    parser.add_argument("--model", help="a model file; the default model without it")
    parser.add_argument("--cache", type=Path, help="keep face crops here")
    parser.add_argument("--seed", type=int, default=0, help="which people and photos are drawn")
    parser.add_argument("--write", action="store_true", help=f"append to {CSV.name}")
    options = parser.parse_args()
    everyone, model = People.from_folder(options.people), Model.load(options.model)
    photos = embed_photos(model, [str(path) for path in everyone.paths], LFW_FACE, options.cache, None)
    labels = np.asarray(everyone.labels)
    test = np.array([split_of(name) == "test" for name in everyone.names])[labels]
    enrolled, probes = photos.found & ~test, np.flatnonzero(photos.found & test)
    first, _ = two_photos(labels[probes], np.random.default_rng(options.seed))
    rows = []
    for row in measure(
        photos.vectors[enrolled], labels[enrolled], photos.vectors[probes[first]],
        list(model.calibration.check().tail), options.seed,
    ):  # fmt: skip
        print(row, flush=True)
        rows.append({**circumstances("onnxruntime"), "model": model.id, "seed": options.seed, **row})
    if options.write:
        append_rows(CSV, rows)


if __name__ == "__main__":
    main()
