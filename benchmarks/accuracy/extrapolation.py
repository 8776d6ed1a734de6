"""How extrapolated FMRs come true: predicted from few people of LFW, counted on all (needs LFW).

    python -m benchmarks.accuracy.extrapolation LFW --write

People are drawn ``DRAWS`` times until they have a hundredth of all impostor pairs, the tail of their scores
is modelled, and all pairs count the FMR at the threshold of each FMR that the few cannot count.  Beside the
generalized Pareto distribution stands the straight line by which thresholds of a gallery are extrapolated
(``calibration.survival_threshold``).  ``held`` is the share of draws in which the interval of the threshold
holds the one that all pairs count.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.docs_page import put
from benchmarks.common.people_options import embedded_people, people_options, state_rows
from benchmarks.common.record import RESULTS, ROOT, circumstances
from facealike.calibration.survival_threshold import survival_threshold
from facealike.datasets.splits import split_of
from facealike.metrics.all_pairs import Exhaustive, exhaustive
from facealike.metrics.extrapolation import drawn_people, extrapolate
from facealike.metrics.intervals import BootstrapOptions
from facealike.metrics.verification import supported_fmrs
from facealike.utils.markdown_table import markdown_table
from facealike.utils.wording import rate_text

CSV = RESULTS / "extrapolation.csv"
PAGE = ROOT / "docs" / "results" / "full-test.md"
DRAWS = 100
CANDIDATES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)

Vectors = NDArray[np.float32]
Ints = NDArray[np.int64]


def survival(counted: Exhaustive) -> list[tuple[float, float]]:
    """Return the survival function of the impostor scores as a calibration keeps it: five points a decade."""
    lowest = 3 / counted.impostor
    fmrs = np.geomspace(0.1, lowest, round(5 * np.log10(0.1 / lowest)) + 1)
    return [(counted.threshold_at_fmr(fmr, supported=False), float(fmr)) for fmr in fmrs]


def measure(vectors: Vectors, labels: Ints, split: str, seed: int) -> Iterator[dict[str, object]]:
    """Yield a row for each FMR and each way to extrapolate.

    Args:
        vectors: One row a photo, (n, d).
        labels: The person of each, (n,).
        split: How the rows call these people.
        seed: Of the draws and resamples.
    """
    counted = exhaustive(vectors, labels)
    rng = np.random.default_rng(seed)
    drawn: dict[tuple[float, str], list[tuple[float, bool]]] = {}
    sizes = []
    for _ in range(DRAWS):
        people = drawn_people(labels, counted.impostor / 100, rng)
        rows = np.isin(labels, people)
        few = exhaustive(vectors[rows], labels[rows])
        sizes.append((len(people), few.impostor))
        table = survival(few)
        found = extrapolate(vectors[rows], labels[rows], few, BootstrapOptions(resamples=400, seed=seed), 100)
        for point in found.points:
            if point.fmr in supported_fmrs(counted.impostor, CANDIDATES):
                true = counted.threshold_at_fmr(point.fmr)
                held = point.threshold.low <= true <= point.threshold.high
                line, _ = survival_threshold(table, point.fmr)
                for name, at in (("generalized Pareto", point.threshold.estimate), ("line", line)):
                    drawn.setdefault((point.fmr, name), []).append((counted.fmr_at(at) / point.fmr, held))
    few_people, few_pairs = (round(float(np.mean(each))) for each in zip(*sizes, strict=True))
    for (fmr, name), values in drawn.items():
        ratios, held_in = (np.array(each) for each in zip(*values, strict=True))
        low, middle, high = np.quantile(ratios, [0.05, 0.5, 0.95])
        yield {
            "people": split, "pairs": counted.impostor, "few": few_people, "few_pairs": few_pairs,
            "draws": len(values), "fmr": f"{fmr:g}", "model_of_tail": name, "ratio": f"{middle:.3g}",
            "ratio_5": f"{low:.3g}", "ratio_95": f"{high:.3g}",
            "held": f"{held_in.mean():.2f}" if name != "line" else "",
        }  # fmt: skip


def main() -> None:
    options = people_options(__doc__, CSV, cache=True).parse_args()
    everyone, model, photos = embedded_people(options)
    labels = np.asarray(everyone.labels)
    test = np.array([split_of(name) == "test" for name in everyone.names])[labels]
    found: list[dict[str, object]] = []
    for split, chosen in (("test people", photos.found & test), ("all people", photos.found)):
        found += measure(photos.vectors[chosen], labels[chosen], split, options.seed)
    state_rows(found, CSV, model.id, options)
    if options.write:
        write_page(found, model.id, options)


def write_page(found: list[dict[str, object]], model: str, options: Namespace) -> None:
    """Write the table of the page."""
    rows = [
        [
            f"{row['few']:,} of {row['people']}: {row['few_pairs']:,} of {row['pairs']:,} impostor pairs",
            rate_text(float(str(row["fmr"]))), str(row["model_of_tail"]), str(row["ratio"]),
            f"{row['ratio_5']} to {row['ratio_95']}", str(row["held"]),
        ]
        for row in found
    ]  # fmt: skip
    head = [
        "fitted on",
        "FMR",
        "tail",
        "counted over predicted, median",
        "90 % of the draws",
        "interval held",
    ]
    of = circumstances()
    measured = f"measured {of['date']} at commit {of['commit']} on {of['machine']}"
    where = f"Model {model}, {measured}, seed {options.seed}, {DRAWS} draws."
    put(PAGE, "check", f"{where}\n\n{markdown_table(head, rows, text_columns=(0, 2))}")


if __name__ == "__main__":
    main()
