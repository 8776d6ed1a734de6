"""What a search finds among up to 10^9 templates, extrapolated from the default model (needs LFW).

    python -m benchmarks.accuracy.fpir_at_scale LFW --write

Nobody here has 10^9 faces, so this is a model and not a measurement.  The impostor survival function S of the
calibration, continued below its lowest rate as ``survival_threshold`` continues it, gives the threshold for
a target FPIR at N templates.  Genuine scores are those of photos of LFW's test people: with m templates, the
highest score of a photo with m other photos of its person.  FNIR is the share of them below the threshold;
a person is first with probability (1 - S(score))^N, impostor scores of one search being independent.  The
intervals are from resampling people.  The row of 4,000 stands beside the measurement of
``benchmarks.accuracy.identification``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.docs_page import put
from benchmarks.common.record import RESULTS, ROOT, append_rows, circumstances
from facealike.calibration.survival_threshold import survival_threshold
from facealike.datasets.people import People
from facealike.datasets.splits import split_of
from facealike.detection.face_policy import LFW_FACE
from facealike.embedding.face_model import Model
from facealike.evaluation.embed_dataset import embed_photos
from facealike.gallery.threshold import threshold_at_fpir

CSV = RESULTS / "fpir_at_scale.csv"
PAGE = ROOT / "docs" / "guides" / "scale.md"
SIZES, TARGETS, TEMPLATES = (4_000, 10**6, 10**7, 10**8, 10**9), (0.01, 0.1), (1, 3)
RESAMPLES = 1000
DRAWS = 20
"""Choices of the m enrolled photos for each probe."""

Floats = NDArray[np.float64]


def survival(tail: Sequence[tuple[float, float]], scores: Floats) -> Floats:
    """Return the share of impostor pairs that score at least each score, continued below the table."""
    logs = np.linspace(-15, 0, 3001)
    at = np.array([survival_threshold(tail, 10.0**value)[0] for value in logs])
    last = np.flatnonzero(at < 1)[0]  # beyond it the line has passed a cosine of 1
    rate: Floats = 10.0 ** np.interp(-scores, -at[last:], logs[last:])
    return rate


def genuine_scores(
    vectors: NDArray[np.float32], labels: NDArray[np.int64], templates: int, rng: np.random.Generator
) -> tuple[Floats, NDArray[np.int64]]:
    """Return for photos the highest score with ``templates`` other photos of the person, and the person."""
    scores, people = [], []
    for person in np.unique(labels):
        own = vectors[labels == person]
        if len(own) <= templates:
            continue
        for _ in range(DRAWS):
            order = rng.permutation(len(own))
            scores.append(float((own[order[1 : templates + 1]] @ own[order[0]]).max()))
            people.append(person)
    return np.array(scores), np.array(people)


def measure(
    tail: Sequence[tuple[float, float]], vectors: NDArray[np.float32], labels: NDArray[np.int64], seed: int
) -> Iterator[dict[str, object]]:
    """Yield a row for each size, target FPIR and number of templates a person."""
    rng = np.random.default_rng(seed)
    for templates in TEMPLATES:
        scores, people = genuine_scores(vectors, labels, templates, rng)
        rates = survival(tail, scores)
        members = [np.flatnonzero(people == person) for person in np.unique(people)]
        for size in SIZES:
            first = (1 - rates) ** size
            for target in TARGETS:
                found = threshold_at_fpir(tail, target, size)
                missed = np.array([(scores[own] < found.threshold).mean() for own in members])
                means = [missed[rng.integers(0, len(missed), len(missed))].mean() for _ in range(RESAMPLES)]
                low, high = np.quantile(means, [0.025, 0.975])
                yield {
                    "templates": size, "target_fpir": target, "fmr": f"{found.fmr:.2g}",
                    "threshold": f"{found.threshold:.4f}", "extrapolated": found.extrapolated,
                    "templates_a_person": templates, "people": len(members), "fnir": f"{missed.mean():.4f}",
                    "low": f"{low:.4f}", "high": f"{high:.4f}",
                    "first": f"{np.mean([first[own].mean() for own in members]):.4f}",
                }  # fmt: skip


def table(rows: Sequence[dict[str, object]]) -> str:
    """Return the table of the page."""
    lines = [
        "| templates | target FPIR | FMR needed | threshold | FNIR, 1 a person | FNIR, 3 a person | "
        "first, 1 a person | first, 3 a person |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    pairs = {(row["templates"], row["target_fpir"], row["templates_a_person"]): row for row in rows}
    for size in SIZES:
        for target in TARGETS:
            one, three = (pairs[size, target, m] for m in TEMPLATES)
            cells = [f"{size:,}", f"{target:.0%}".replace("%", " %"), str(one["fmr"]), str(one["threshold"])]
            for row in (one, three):
                percents = (f"{100 * float(str(row[name])):.0f}" for name in ("fnir", "low", "high"))
                cells.append("{} % [{}, {}]".format(*percents))
            cells += [f"{100 * float(str(row['first'])):.0f} %" for row in (one, three)]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("lfw", type=Path, help="the folder of LFW")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help=f"append to {CSV.name}, and fill {PAGE.name}")
    options = parser.parse_args()
    model = Model.load(device="cpu")
    everyone = People.from_folder(options.lfw)
    labels = np.asarray(everyone.labels)
    test = np.array([split_of(name) == "test" for name in everyone.names])[labels]
    paths = [str(path) for path, chosen in zip(everyone.paths, test, strict=True) if chosen]
    photos = embed_photos(model, paths, LFW_FACE, None, None)
    rows = list(
        measure(
            model.calibration.check().tail,
            photos.vectors[photos.found],
            labels[test][photos.found],
            options.seed,
        )
    )
    for row in rows:
        print(row)
    if options.write:
        stamp = {**circumstances("onnxruntime"), "model": model.id, "seed": options.seed}
        append_rows(CSV, [{**stamp, **row} for row in rows])
        source = f"{stamp['date']} at commit {stamp['commit']} on {stamp['machine']}, seed {options.seed}"
        put(PAGE, "fpir", f"{table(rows)}\n\nModel {model.id}, measured {source}.")


if __name__ == "__main__":
    main()
