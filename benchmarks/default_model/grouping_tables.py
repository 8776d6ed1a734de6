"""The tables of docs/results/clustering.md and docs/results/audit.md."""

from __future__ import annotations

from benchmarks.default_model.cells import percent, with_source
from benchmarks.default_model.measured_rows import latest
from facealike.utils.markdown_table import markdown_table
from facealike.utils.wording import rate_text

DEFAULT_FMR = 0.0001
"""Of clustering."""
DEFAULT_FPIR = 0.001
"""Of the names of groups."""


def clustering() -> str:
    rows = sorted(
        latest("clustering.csv", "fmr", split="test", method="default"), key=lambda row: -row["fmr"]
    )
    names = ("bcubed_f1", "bcubed_precision", "bcubed_recall", "f1", "precision", "recall")
    cells = [
        [marked(row["fmr"], DEFAULT_FMR), f"{row['clusters']:,.0f}", *(f"{row[name]:.3f}" for name in names)]
        for row in rows
    ]
    head = ["target FMR", "groups", "B-cubed F1", "precision", "recall", "pairwise F1", "precision", "recall"]
    return with_source(markdown_table(head, cells), rows)


def clustering_methods() -> str:
    fmrs = (0.001, 0.0003, 0.0001, 0.00003, 0.00001)
    cells, used = [], []
    for method, name in (
        ("average", "average linkage (the default)"),
        ("whispers", "Chinese whispers"),
        ("components", "connected components"),
    ):
        for split, people in (("calibration,validation", "validation, calibration"), ("test", "test")):
            rows = {row["fmr"]: row for row in latest("clustering.csv", "fmr", split=split, method=method)}
            cells.append([name, people, *(f"{rows[fmr]['bcubed_f1']:.3f}" for fmr in fmrs)])
            used += [rows[fmr] for fmr in fmrs]
    head = ["", "people", *map(rate_text, fmrs)]
    return with_source(markdown_table(head, cells, (0, 1)), used)


def group_names() -> str:
    rows = latest("group_names.csv", "enrolled", "target")
    cells = [
        [
            f"{row['enrolled']:.0f}", marked(row["target"], DEFAULT_FPIR), few(row["enrolled_groups"]),
            percent(row["named"]), percent(row["misnamed"]), few(row["other_groups"]),
            f"{percent(row['other_named'])} ({100 * row['low']:.1f} to {100 * row['high']:.1f})",
            f"{row['names']:.0f}", percent(row["wrong"]),
        ]
        for row in rows
    ]  # fmt: skip
    head = ["enrolled", "target FPIR", "groups of enrolled people", "have their name", "another name"]
    head += ["other groups", "have a name (lowest and highest draw)", "names given", "wrong"]
    return with_source(markdown_table(head, cells, ()), rows)


def marked(rate: float, default: float) -> str:
    """A target rate, in bold where it is the default."""
    return f"**{rate_text(rate)}**" if rate == default else rate_text(rate)


def few(number: float) -> str:
    """A mean count: with a decimal below ten."""
    return f"{number:.1f}" if number < 10 else f"{number:,.0f}"


PLANTED = {
    "swap": "{} photos moved to another person", "copy": "{} copies", "exact": "of them {} exact",
    "resized": "{} at half the size", "compressed": "{} as JPEG of quality 60", "mirrored": "{} mirrored",
    "cropped": "{} without 5 % of width and height", "merged": "{} people merged into another",
    "split": "{} people split in two",
}  # fmt: skip


def audit() -> str:
    rows = latest("audit.csv", "kind", split="test")
    cells = [
        [
            PLANTED[row["kind"]].format(f"{row['planted']:.0f}"), f"{row['found']:.0f}",
            f"{row['recall']:.2f}",
            *((f"{row['false']:.0f}", f"{row['precision']:.3f}") if row["false"] != "" else ("", "")),
        ]
        for row in rows
    ]  # fmt: skip
    table = markdown_table(["planted", "found", "recall", "findings not planted", "precision"], cells)
    people = f"{rows[0]['people']:,.0f} test people, {rows[0]['photos']:,.0f} photos:"
    return with_source(f"{people}\n\n{table}", rows)
