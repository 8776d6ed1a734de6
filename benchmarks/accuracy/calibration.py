"""Which curve from score to probability, chosen without the test people, then tried on them.

    python -m benchmarks.accuracy.calibration DIR --cache CROPS [--model FILE] [--write]

DIR is LFW, one folder a person.  First each choice is fitted to one half of the calibration and
validation people, none of whom the model was trained on, and judged on the other half, both ways and
for several divisions; the mean logarithmic loss of held-out people decides.  Then each is fitted to
the calibration people alone, as training does, and reported on the test people: ECE on balanced pairs
(the mean of ten drawings of impostor pairs), ECE and loss on all pairs with both kinds counting one
half, and the interval of that ECE by resampling test people.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.record import RESULTS, append_rows, today
from facealike import Model, People
from facealike.calibration.operating_points import f1_threshold
from facealike.calibration.pairs import calibration_pairs
from facealike.calibration.probability import (
    Calibrator,
    balanced_weights,
    fit_isotonic,
    fit_platt,
    person_weights,
)
from facealike.datasets.pair_sampling import balanced_pairs
from facealike.detection.face_policy import LFW_FACE
from facealike.evaluation.embed_dataset import embed_photos
from facealike.metrics.calibration_error import ece

CSV = RESULTS / "calibration.csv"
Floats = NDArray[np.float64]


class Pairs(NamedTuple):
    scores: Floats
    same: NDArray[np.bool_]
    first: NDArray[np.int64]
    second: NDArray[np.int64]


Fit = Callable[[Pairs], Calibrator]
FITS: dict[str, Fit] = {
    "platt, each pair": lambda p: fit_platt(p.scores, p.same),
    "platt, each person": lambda p: fit_platt(p.scores, p.same, person_weights(p.first, p.same)),
    "platt on z, each pair": lambda p: fit_platt(p.scores, p.same, None, "fisher"),
    "platt on z, each person": lambda p: fit_platt(
        p.scores, p.same, person_weights(p.first, p.same), "fisher"
    ),
    "isotonic, each pair": lambda p: fit_isotonic(p.scores, p.same),
    "isotonic, each person": lambda p: fit_isotonic(p.scores, p.same, person_weights(p.first, p.same)),
}


class Faces(NamedTuple):
    """Unit vectors (n, d) and the person of each (n,)."""

    vectors: Floats
    labels: NDArray[np.int64]

    def of(self, people: NDArray[np.int64]) -> Faces:
        mine = np.isin(self.labels, people)
        return Faces(self.vectors[mine], self.labels[mine])

    def pairs(self) -> Pairs:
        """All pairs of these faces."""
        index = calibration_pairs(self.labels, 0, 10**8)
        scores = np.concatenate(
            [
                np.einsum("ij,ij->i", self.vectors[a], self.vectors[b])
                for a, b in zip(*(np.array_split(side, 64) for side in index[:2]), strict=True)
            ]
        )
        return Pairs(scores, index.same, self.labels[index.a], self.labels[index.b])


def embedded(model: Model, people: People, cache: Path) -> Faces:
    vectors, found, _ = embed_photos(model, [str(path) for path in people.paths], LFW_FACE, cache, None)
    return Faces(vectors[found].astype(np.float64), people.labels[found])


def loss(curve: Calibrator, pairs: Pairs) -> float:
    """The mean logarithmic loss with both kinds counting one half."""
    p = curve.probability(pairs.scores).clip(1e-12, 1 - 1e-12)
    return float(-balanced_weights(pairs.same) @ np.where(pairs.same, np.log(p), np.log1p(-p)))


def weighted_ece(curve: Calibrator, pairs: Pairs) -> float:
    return ece(curve.probability(pairs.scores), pairs.same, balanced_weights(pairs.same))


def held_out(faces: Faces, repeats: int) -> dict[str, Floats]:
    """(2 repeats, 2): loss and ECE of each fit on the half of the people it was not fitted to."""
    people = np.unique(faces.labels)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in FITS}
    for repeat in range(repeats):
        shuffled = np.random.default_rng(repeat).permutation(people)
        halves = [faces.of(half).pairs() for half in np.array_split(shuffled, 2)]
        for mine, others in (halves, halves[::-1]):
            for name, fit in FITS.items():
                curve = fit(mine)
                found[name].append((loss(curve, others), weighted_ece(curve, others)))
    return {name: np.array(values) for name, values in found.items()}


def balanced_ece(curve: Calibrator, faces: Faces, drawings: int = 10) -> float:
    values = []
    for seed in range(drawings):
        pairs = balanced_pairs(faces.labels, seed)
        scores = np.einsum("ij,ij->i", faces.vectors[pairs.a], faces.vectors[pairs.b])
        values.append(ece(curve.probability(scores), pairs.same))
    return float(np.mean(values))


def ece_interval(curve: Calibrator, pairs: Pairs, resamples: int = 200) -> tuple[float, float]:
    """The 95 % percentile interval of the weighted ECE by resampling people."""
    stated = curve.probability(pairs.scores)
    names, sides = np.unique(np.stack([pairs.first, pairs.second]), return_inverse=True)
    left, right = sides.reshape(2, -1)
    rng = np.random.default_rng(0)
    values = []
    for _ in range(resamples):
        times = np.bincount(rng.integers(0, len(names), len(names)), minlength=len(names))
        weights = np.where(pairs.same, times[left], times[left] * times[right])
        values.append(ece(stated, pairs.same, balanced_weights(pairs.same, weights)))
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("people", type=Path)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--write", action="store_true", help=f"write {CSV.name}")
    arguments = parser.parse_args()
    model = Model.load(arguments.model)
    everybody = People.from_folder(arguments.people)
    kept = [embedded(model, everybody.split(name), arguments.cache) for name in ("calibration", "validation")]
    test = embedded(model, everybody.split("test"), arguments.cache)
    shifted = kept[1].labels + kept[0].labels.max() + 1
    both = Faces(np.concatenate([kept[0].vectors, kept[1].vectors]), np.append(kept[0].labels, shifted))
    crossed = held_out(both, arguments.repeats)
    learned, tested = kept[0].pairs(), test.pairs()
    rows = []
    for name, fit in FITS.items():
        curve, (log_loss, error) = fit(learned), crossed[name].mean(axis=0)
        low, high = ece_interval(curve, tested)
        rows.append(
            {
                "date": today(), "model": model.id, "curve": name,
                "held-out loss": f"{log_loss:.4f}", "held-out ECE": f"{error:.4f}",
                "spread of that ECE": f"{crossed[name][:, 1].std():.4f}",
                "test loss": f"{loss(curve, tested):.4f}",
                "test ECE, balanced": f"{balanced_ece(curve, test):.4f}",
                "test ECE, all pairs": f"{weighted_ece(curve, tested):.4f}", "low": f"{low:.4f}",
                "high": f"{high:.4f}",
            }
        )  # fmt: skip
        print(", ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    threshold = f1_threshold(learned.scores, learned.same, person_weights(learned.first, learned.same))
    print(f"threshold of the best F1, by the curve: {threshold:.3f}")
    if arguments.write:
        append_rows(CSV, rows)


if __name__ == "__main__":
    main()
