"""The tables of docs/results/identification.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.default_model.cells import percent, percents, with_source
from benchmarks.default_model.measured_rows import latest
from facealike.utils.markdown_table import markdown_table


def identification() -> str:
    rows = latest("identification.csv", "people", "target")
    head = [
        "enrolled people",
        "FPIR asked for",
        "threshold",
        "FPIR measured",
        "found, first and above the threshold",
    ]
    cells = [
        [
            f"{row['people']:,.0f}", percent(row["target"], 0),
            f"{row['threshold']:.3f}" + (" (extrapolated)" if row["extrapolated"] == "True" else ""),
            percents(row["fpir"], row["low"], row["high"]), percent(row["found"]), percent(row["first"]),
        ]
        for row in rows
    ]  # fmt: skip
    return with_source(markdown_table([*head, "first, whatever the score"], cells, ()), rows)


CANDIDATE = {"first candidate": "the first candidate is the person", "not enrolled": "not enrolled"}
PROBABILITY_HEAD = ["probability", "mean stated", "true", "ECE", "stated above 0.9", "of those true"]


def probability_cells(row: Mapping[str, Any]) -> list[str]:
    return [
        CANDIDATE[row["what"]], f"{row['stated']:.3f}", f"{row['true']:.3f}",
        f"{row['ece']:.3f} [{row['low']:.3f}, {row['high']:.3f}]", percent(row["sure"], 0),
        percent(row["true_of_sure"]),
    ]  # fmt: skip


def candidate_probability() -> str:
    rows = latest("identification_probability.csv", "people", "what", ratio="densities")
    curve = latest("identification_probability.csv", "people", ratio="curve", what="first candidate")
    cells = [[f"{row['people']:,.0f}", *probability_cells(row)] for row in rows]
    *errors, last = (f"{row['ece']:.3f}" for row in curve)
    return with_source(
        markdown_table(["enrolled people", *PROBABILITY_HEAD], cells, (1,))
        + "\n\nWith the ratio from the probability curve in place of the two densities, the ECE of the first "
        f"candidate is {', '.join(errors)} and {last}.",
        rows,
    )


def template_probability() -> str:
    rows = latest("probability_of_templates.csv", "templates", "what")
    cells = [[f"{row['templates']:.0f}", f"{row['of']:.0f}", *probability_cells(row)] for row in rows]
    return with_source(markdown_table(["templates", "people", *PROBABILITY_HEAD], cells, (2,)), rows)


UP_TO = {"any": "up to ", "same": ""}
AGGREGATIONS = ("best", "mean", "weighted", "best-or-mean")


def interval(row: Mapping[str, Any], name: str) -> str:
    """The value of a column and the interval in the column beside it, in percent."""
    low, high = map(float, row[f"{name}_interval"].split())
    return percents(row[name], low, high)


def templates() -> str:
    rows = latest("templates_per_person.csv", "templates", "aggregation", filled_with="any")
    rows.sort(key=lambda row: (row["templates"], AGGREGATIONS.index(row["aggregation"])))
    cells = []
    for row in rows:
        one, best = row["templates"] == 1, row["aggregation"] == "best"
        if one and not best:
            continue
        name = "any" if one else row["aggregation"]
        cells.append([
            f"{row['templates']:.0f}", f"{row['searched']:.0f}",
            f"**{name}**" if name == "best-or-mean" else name, percent(row["rank1"]), interval(row, "fnir"),
            "" if best else interval(row, "gain").replace(" %", ""), interval(row, "fnmr"),
        ])  # fmt: skip
    head = [
        "templates",
        "searched people",
        "aggregation",
        "rank 1",
        "FNIR at FPIR 1 %",
        "difference",
        "FNMR at FMR 0.1 %",
    ]
    return with_source(markdown_table(head, cells, (2,)), rows)


def template_rates() -> str:
    rows = [
        row
        for row in latest("templates_per_person.csv", "templates", "filled_with", "aggregation")
        if row["templates"] > 1 and row["aggregation"] != "weighted"
    ]
    rows.sort(key=lambda row: (row["templates"], row["filled_with"], AGGREGATIONS.index(row["aggregation"])))
    cells = [
        [
            f"{row['templates']:.0f}", row["aggregation"],
            f"{row['people']:,.0f} people, {UP_TO[row['filled_with']]}{row['templates']:.0f} each",
            percent(row["asked_fpir"], 2), percent(row["asked_fnir"]), percent(row["asked_fmr"], 3),
            percent(row["asked_fnmr"]),
        ]
        for row in rows
    ]  # fmt: skip
    head = ["templates", "aggregation", "gallery", "FPIR where 1 % is asked for", "FNIR there"]
    return with_source(
        markdown_table([*head, "FMR where 0.1 % is asked for", "FNMR there"], cells, (1, 2)), rows
    )


def enrollment() -> str:
    found = {
        (row["what"], row["people"], row["photos"]): row
        for row in latest("enrollment.csv", "what", "people", "photos")
    }

    def cells(kinds: tuple[str, ...], *leading: str) -> list[list[str]]:
        places = dict.fromkeys(key[1:] for key in found if key[0] == kinds[0])
        return [
            [
                *(f"{value:,.0f}" for value in place[2 - len(leading) :]),
                *(
                    percents(*(found[(kind, *place)][name] for name in ("share", "low", "high")))
                    for kind in kinds
                ),
            ]
            for place in places
        ]

    reports = markdown_table(
        ["enrolled people", "photos of the new person", "duplicates found", "reported falsely (asked 1 %)",
         "lookalikes of new people (asked 10 %)"],
        cells(("duplicate found", "duplicate reported falsely", "lookalike reported"), "people", "photos"),
        (),
    )  # fmt: skip
    outliers = markdown_table(
        ["photos of the person", "photos of somebody else reported", "photos of the person reported"],
        cells(("photo of another reported", "photo of the person reported"), "photos"),
        (),
    )
    return with_source(f"{reports}\n\n{outliers}", found.values())


def migration() -> str:
    rows = latest("gallery_migration.csv", "old_name", "new_name", "faces")
    cells = [
        [
            row["old_name"], row["new_name"], f"{row['faces']:,.0f}",
            percents(row["stated_loss"], row["stated_low"], row["stated_high"]).replace(" %", ""),
            percent(row["fnmr_new"]), percent(row["fnmr_mapped"]),
            percents(row["loss"], row["low"], row["high"]).replace(" %", ""), percent(row["fmr_mapped"], 3),
        ]
        for row in rows
    ]  # fmt: skip
    head = [
        "from",
        "to",
        "faces fitted to",
        "loss stated (points)",
        "FNMR embedded",
        "FNMR mapped",
        "loss (points)",
    ]
    ids = {row[f"{end}_name"]: row[end] for row in rows for end in ("old", "new")}
    others = ", ".join(f"{name} is {model}" for name, model in ids.items() if name != "default")
    return with_source(markdown_table([*head, "FMR mapped"], cells, (0, 1)), rows) + f" {others}."
