"""How often strangers of one group pass for one person: the tables of ``docs/groups.md``.

    python benchmarks/groups.py FAIRFACE/val.csv [--detector YUNET.onnx] [--cache CROPS] [--write]

Compares all pairs of photos within each race, gender, age and combination of FairFace's validation part, at
the threshold of the model and at those of its named FMRs, and finds the threshold that every group keeps.
The photos are tight chips of faces, in which the model's own detector may find little: ``--detector`` finds
the faces in its place, and is named in the result.  With ``--write`` the page and its figure are made
anew and a line is appended to groups.csv.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from compare_cold_start import commit, processor  # noqa: E402

from facealike.detect import named_detector  # noqa: E402
from facealike.embed import Model  # noqa: E402
from facealike.errors import UsageError  # noqa: E402
from facealike.files import write_text  # noqa: E402
from facealike.group_protocol import evaluate_groups  # noqa: E402
from facealike.group_tables import rate_text  # noqa: E402
from facealike.groups import GroupEvaluation, WorstGroup  # noqa: E402
from facealike.plots import save_figure  # noqa: E402

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CSV = HERE / "groups.csv"
PAGE = HERE.parent / "docs" / "groups.md"
FIGURE = HERE.parent / "docs" / "figures" / "groups.svg"
FMRS = (0.1, 0.01, 0.001, 0.0001)
BEGIN, END = "<!-- groups: begin -->", "<!-- groups: end -->"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("list", type=Path, metavar="CSV")
    parser.add_argument("--model", default="default")
    parser.add_argument("--detector", help="dlib, dlib-landmarks, or a YuNet file")
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name} and append to {CSV.name}")
    options = parser.parse_args()
    model = Model.load(None if options.model == "default" else options.model)
    result = evaluate_groups(
        model, options.list, cache=options.cache, resamples=options.resamples,
        detector=None if options.detector is None else named_detector(options.detector),
    )  # fmt: skip
    print(result.to_markdown())
    lowest = thresholds(result)
    print("\n".join(threshold_table(lowest)))
    print(json.dumps(result.for_card(), indent=1))
    if options.write:
        note = f"Model {model.id}, measured on {datetime.date.today().isoformat()} at commit {commit()}."
        write_page("\n".join([note, "", result.to_markdown(), *threshold_table(lowest)]))
        save_figure(cast("Figure", result.plot().figure), FIGURE)
        append(row(model, result))


def thresholds(result: GroupEvaluation) -> list[tuple[str, WorstGroup]]:
    """For each level and each FMR that some of its groups can tell, the threshold that all of those keep."""
    found = []
    for level in result.levels:
        for fmr in FMRS:
            try:
                found.append((" x ".join(level), result.threshold_for_worst_group(fmr, level)))
            except UsageError:  # no group of this level is large enough
                continue
    return found


def threshold_table(lowest: list[tuple[str, WorstGroup]]) -> list[str]:
    lines = [
        "### The threshold that every group keeps",
        "",
        "The lowest threshold at which no group that has pairs enough exceeds the FMR.",
        "",
        "| FMR | groups by | threshold | decided by | groups measured | too small |",
        "| ---: | --- | ---: | --- | ---: | ---: |",
    ]
    for level, worst in sorted(lowest, key=lambda each: -each[1].fmr):
        lines.append(
            f"| {rate_text(worst.fmr)} | {level} | {worst.threshold} | {worst.group} | {worst.measured} | "
            f"{len(worst.refused)} |".replace("\u202f", " ")
        )
    return lines


def write_page(text: str) -> None:
    page = PAGE.read_text("utf-8")
    before, rest = page.split(BEGIN, 1)
    write_text(PAGE, f"{before}{BEGIN}\n{text.strip()}\n{END}{rest.split(END, 1)[1]}")


def row(model: Model, result: GroupEvaluation) -> dict[str, Any]:
    """One line a run: the point in use, over all groups and over those by all columns together."""
    everybody, point = result.everybody, result.points[0]
    line: dict[str, Any] = {
        "date": datetime.date.today().isoformat(), "commit": commit(), "machine": processor(),
        "load": f"{os.getloadavg()[1]:.1f}", "model": model.id, "list": result.name,
        "detector": result.detector,
        "photos": everybody.photos, "not_found": everybody.missing, "threshold": f"{point.threshold:.6f}",
        "stated_fmr": "" if point.stated is None else f"{point.stated:.4g}",
        "fmr_of_all_pairs": f"{everybody.impostors.fmr_at(point.threshold):.4g}",
    }  # fmt: skip
    for level in result.levels:
        spread, name = result.spread(level), "_".join(level)
        line[f"{name}_worst"] = "" if spread is None else spread.worst.name
        line[f"{name}_worst_fmr"] = "" if spread is None else f"{spread.worst_fmr.estimate:.4g}"
        over = None if spread is None else spread.over_best
        line[f"{name}_worst_over_best"] = "" if over is None else f"{over:.4g}"
    return line


def append(line: dict[str, Any]) -> None:
    fresh = not CSV.exists()
    with CSV.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(line), lineterminator="\n")
        if fresh:
            writer.writeheader()
        writer.writerow(line)


if __name__ == "__main__":
    main()
