"""Compare ways to score a person with several templates: the best, the mean, either (needs LFW).

    python -m benchmarks.accuracy.templates_per_person LFW --write

The test people with more than n photos are enrolled with n and searched with one other photo; the other test
people are searched with one photo each and are not enrolled.  The gallery is filled with people who are no
test people: ``any`` with up to n templates each, ``same`` with n templates each.  Stated are, for each n and
aggregation, rank 1 and the FNIR where the measured FPIR is 1 %, the FNMR where the measured FMR is 0.1 %, and
what becomes of rates that are asked for, at the thresholds of the calibration.  Intervals are from resampling
the searched people; ``gain`` is the FNIR less that of ``best``, of the same searches.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.people_options import people_options, state_rows
from benchmarks.common.record import RESULTS
from facealike.calibration.calibration import Calibration
from facealike.calibration.survival_threshold import survival_threshold
from facealike.datasets.people import People
from facealike.datasets.splits import split_of
from facealike.detection.face_policy import LFW_FACE
from facealike.embedding.face_model import Model
from facealike.gallery.aggregation import Aggregation, mean_template, on_scale_of_one
from facealike.gallery.intake import IntakePolicy, take_in
from facealike.gallery.threshold import threshold_at_fpir
from facealike.verification.best_pair import rate_of_one

CSV = RESULTS / "templates_per_person.csv"
COUNTS, FILL, DRAWS, RESAMPLES = (1, 2, 3, 5, 8), 1000, 20, 1000
FPIR, FMR = 0.01, 0.001

Vectors = NDArray[np.float32]
Group = NDArray[np.int64]


def score_matrix(
    probes: Vectors, vectors: Vectors, quality: NDArray[np.float64], groups: list[Group], how: Aggregation,
    typical: float,
) -> NDArray[np.float64]:  # fmt: skip
    """Return the score of each probe with each group of templates, (probes, groups)."""
    best = np.stack([(probes @ vectors[group].T).max(axis=1) for group in groups], 1).astype(np.float64)
    if how == "best":
        return best
    means = np.stack(
        [mean_template(vectors[g], quality[g].tolist() if how == "weighted" else None) for g in groups]
    )
    products, squares = probes @ means.T, (means * means).sum(axis=1)
    scores = np.stack(
        [on_scale_of_one(products[:, i], squares[i], len(g), typical) for i, g in enumerate(groups)], 1
    )
    return np.maximum(scores, best) if how == "best-or-mean" else scores


def interval(each: NDArray[np.float64], rng: np.random.Generator) -> str:
    """Return the 95 % interval of the mean over people, ``each`` one value a person."""
    means = [each[rng.integers(0, len(each), len(each))].mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{low:.4f} {high:.4f}"


def measure(
    vectors: Vectors, quality: NDArray[np.float64], test: list[Group], others: list[Group],
    calibration: Calibration, seed: int,
) -> Iterator[dict[str, object]]:  # fmt: skip
    """Yield a row for each number of templates, kind of filling and aggregation.

    Args:
        vectors: All photos, (n, d).
        quality: Of each face, (n,).
        test: The photos of each test person.
        others: Those of each other person.
        calibration: Has the thresholds.
        seed: Of the draws.
    """
    rng = np.random.default_rng(seed)
    typical = calibration.typical_impostor or 0.0
    for count in COUNTS:
        enrolled = [one for one in test if len(one) > count]
        absent = [one for one in test if len(one) <= count]
        for kind in ("any", "same"):
            fillers = [one for one in others if kind == "any" or len(one) >= count]
            found: dict[Aggregation, list[NDArray[np.float64]]] = {how: [] for how in get_args(Aggregation)}
            for _ in range(DRAWS):
                photos = [rng.permutation(one) for one in enrolled]
                fill = [rng.permutation(fillers[i])[:count] for i in rng.permutation(len(fillers))[:FILL]]
                groups = [one[:count] for one in photos] + fill
                mated = vectors[[one[count] for one in photos]]
                probes = np.concatenate([mated, vectors[[rng.choice(one) for one in absent]]])
                for how in found:
                    scores = score_matrix(probes, vectors, quality, groups, how, typical)
                    found[how].append(outcomes(scores, len(enrolled), groups, count, calibration))
            best = np.mean([one[1] for one in found["best"]], 0)
            for how, draws in found.items():
                first, fnir, fnmr, *rates = (np.mean(each, 0) for each in zip(*draws, strict=True))
                yield {
                    "templates": count, "filled_with": kind, "people": len(groups), "searched": len(enrolled),
                    "absent": len(absent), "draws": DRAWS, "aggregation": how, "rank1": f"{first.mean():.4f}",
                    "fnir": f"{fnir.mean():.4f}", "fnir_interval": interval(fnir, rng),
                    "gain": f"{(fnir - best).mean():.4f}", "gain_interval": interval(fnir - best, rng),
                    "fnmr": f"{fnmr.mean():.4f}", "fnmr_interval": interval(fnmr, rng),
                    **{name: f"{each.mean():.5f}" for name, each in zip(ASKED, rates, strict=True)},
                }  # fmt: skip


ASKED = ("asked_fpir", "asked_fnir", "asked_fmr", "asked_fnmr")


def outcomes(
    scores: NDArray[np.float64], enrolled: int, groups: list[Group], count: int, calibration: Calibration
) -> list[NDArray[np.float64]]:
    """Return rank 1, false negatives and false non-matches of each mate, and the rates that were asked for.

    Args:
        scores: Of probes with groups; the first ``enrolled`` of both belong together.
        enrolled: How many probes have a mate.
        groups: The templates of each person.
        count: How many the searched people have.
        calibration: Has the thresholds.
    """
    own = np.diagonal(scores)[:enrolled]
    first = scores[:enrolled].argmax(axis=1) == np.arange(enrolled)
    strangers = scores[enrolled:]
    highest, pairs = strangers.max(axis=1), strangers[:, :enrolled]
    fpir_cut = threshold_at_fpir(calibration.tail, FPIR, sum(map(len, groups))).threshold
    fmr_cut, _ = survival_threshold(calibration.tail, rate_of_one(FMR, count))
    return [
        first.astype(float),
        ~(first & (own >= np.quantile(highest, 1 - FPIR))) * 1.0,
        (own < np.quantile(pairs, 1 - FMR)) * 1.0,
        (highest >= fpir_cut) * 1.0,
        (~(first & (own >= fpir_cut))) * 1.0,
        np.array([(pairs >= fmr_cut).mean()]),
        (own < fmr_cut) * 1.0,
    ]


def main() -> None:
    parser = people_options(__doc__, CSV)
    options = parser.parse_args()
    everyone, model = People.from_folder(options.people), Model.load(options.model)
    listed = [
        (everyone.names[label], path) for label, path in zip(everyone.labels, everyone.paths, strict=True)
    ]
    held = [one for batch in take_in(model, listed, IntakePolicy(LFW_FACE), True) for one in batch]
    used = [one for one in held if one.template is not None]
    vectors = np.stack([one.template.vector for one in used if one.template is not None])
    quality = np.array([one.template.quality or 0.0 for one in used if one.template is not None])
    names = np.array([one.person for one in used])
    groups = {name: np.flatnonzero(names == name) for name in dict.fromkeys(names.tolist())}
    test = [rows for name, rows in groups.items() if split_of(name) == "test"]
    others = [rows for name, rows in groups.items() if split_of(name) != "test"]
    state_rows(
        measure(vectors, quality, test, others, model.calibration.check(), options.seed),
        CSV,
        model.id,
        options,
    )


if __name__ == "__main__":
    main()
