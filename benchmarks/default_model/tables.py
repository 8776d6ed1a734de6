"""The tables of the results pages that are made from the rows of several runs, or of several benchmarks.

Each function reads the rows of the default model, and returns the text between the markers of its name.
Benchmarks that fill their page themselves are not here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from benchmarks.default_model.measured_rows import default_id, latest
from facealike.embedding.face_model import Model
from facealike.utils.markdown_table import markdown_table

Rows = Iterable[Mapping[str, Any]]


def percent(value: float, digits: int = 1) -> str:
    """``0.0668`` as ``6.7 %``."""
    return f"{100 * value:.{digits}f} %"


def percents(value: float, low: float, high: float) -> str:
    """A share with its interval, as ``6.7 % [4.5, 9.2]``."""
    return f"{percent(value)} [{100 * low:.1f}, {100 * high:.1f}]"


def with_source(table: str, *rows: Rows) -> str:
    """Return the table, and below it when and on what its rows were measured."""
    runs = dict.fromkeys(
        f"{row['date']} at commit {row['commit']} on {row['machine']}" for each in rows for row in each
    )
    return f"{table}\n\nModel {default_id()}, measured {' and '.join(runs)}, seed 0."


# ---- identification.md ------------------------------------------------------------------------------


def identification() -> str:
    rows = latest("identification.csv", "people", "target")
    head = ["enrolled people", "FPIR asked for", "threshold", "FPIR measured", "found, first and above the threshold"]
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
        + "\n\nWith the ratio from the probability curve in place of the two densities, the ECE of the first candidate is "
        f"{', '.join(errors)} and {last}.",
        rows,
    )


def template_probability() -> str:
    rows = latest("probability_of_templates.csv", "templates", "what")
    cells = [[f"{row['templates']:.0f}", f"{row['of']:.0f}", *probability_cells(row)] for row in rows]
    return with_source(markdown_table(["templates", "people", *PROBABILITY_HEAD], cells, (2,)), rows)


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
    head = ["templates", "searched people", "aggregation", "rank 1", "FNIR at FPIR 1 %", "difference", "FNMR at FMR 0.1 %"]
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
            f"{row['people']:,.0f} people, {'up to ' if row['filled_with'] == 'any' else ''}{row['templates']:.0f} each",
            percent(row["asked_fpir"], 2), percent(row["asked_fnir"]), percent(row["asked_fmr"], 3),
            percent(row["asked_fnmr"]),
        ]
        for row in rows
    ]  # fmt: skip
    head = ["templates", "aggregation", "gallery", "FPIR where 1 % is asked for", "FNIR there"]
    return with_source(markdown_table([*head, "FMR where 0.1 % is asked for", "FNMR there"], cells, (1, 2)), rows)


def enrollment() -> str:
    found = {(row["what"], row["people"], row["photos"]): row for row in latest("enrollment.csv", "what", "people", "photos")}

    def cells(kinds: tuple[str, ...], *leading: str) -> list[list[str]]:
        places = dict.fromkeys(key[1:] for key in found if key[0] == kinds[0])
        return [
            [
                *(f"{value:,.0f}" for value in place[2 - len(leading) :]),
                *(percents(*(found[kind, *place][name] for name in ("share", "low", "high"))) for kind in kinds),
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
    head = ["from", "to", "faces fitted to", "loss stated (points)", "FNMR embedded", "FNMR mapped", "loss (points)"]
    ids = {row[f"{end}_name"]: row[end] for row in rows for end in ("old", "new")}
    others = ", ".join(f"{name} is {model}" for name, model in ids.items() if name != "default")
    return with_source(markdown_table([*head, "FMR mapped"], cells, (0, 1)), rows) + f" {others}."


# ---- clustering.md ----------------------------------------------------------------------------------

DEFAULT_FMR = 0.0001


def fmr_text(fmr: float) -> str:
    text = f"{100 * fmr:.4f}".rstrip("0").rstrip(".") + " %"
    return f"**{text}**" if fmr == DEFAULT_FMR else text


def clustering() -> str:
    rows = sorted(latest("clustering.csv", "fmr", split="test", method="default"), key=lambda row: -row["fmr"])
    names = ("bcubed_f1", "bcubed_precision", "bcubed_recall", "f1", "precision", "recall")
    cells = [
        [fmr_text(row["fmr"]), f"{row['clusters']:,.0f}", *(f"{row[name]:.3f}" for name in names)] for row in rows
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
    head = ["", "people", *(fmr_text(fmr).strip("*") for fmr in fmrs)]
    return with_source(markdown_table(head, cells, (0, 1)), used)


def group_names() -> str:
    rows = latest("group_names.csv", "enrolled", "target")
    cells = [
        [
            f"{row['enrolled']:.0f}", f"**{row['target']:.1%}**".replace("%", " %") if row["target"] == 0.001
            else percent(row["target"], 0),
            few(row["enrolled_groups"]), percent(row["named"]), percent(row["misnamed"]), few(row["other_groups"]),
            f"{percent(row['other_named'])} ({100 * row['low']:.1f} to {100 * row['high']:.1f})",
            f"{row['names']:.0f}", percent(row["wrong"]),
        ]
        for row in rows
    ]  # fmt: skip
    head = ["enrolled", "target FPIR", "groups of enrolled people", "have their name", "another name", "other groups"]
    head += ["have a name (lowest and highest draw)", "names given", "wrong"]
    return with_source(markdown_table(head, cells, ()), rows)


def few(number: float) -> str:
    """A mean count: with a decimal below ten."""
    return f"{number:.1f}" if number < 10 else f"{number:,.0f}"


# ---- audit.md ---------------------------------------------------------------------------------------

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
            PLANTED[row["kind"]].format(f"{row['planted']:.0f}"), f"{row['found']:.0f}", f"{row['recall']:.2f}",
            *((f"{row['false']:.0f}", f"{row['precision']:.3f}") if row["false"] != "" else ("", "")),
        ]
        for row in rows
    ]  # fmt: skip
    table = markdown_table(["planted", "found", "recall", "findings not planted", "precision"], cells)
    people = f"{rows[0]['people']:,.0f} test people, {rows[0]['photos']:,.0f} photos:"
    return with_source(f"{people}\n\n{table}", rows)


# ---- video.md ---------------------------------------------------------------------------------------

JOINED = {"score": "mean score", "cosine": "cosine of the templates"}
WAYS = {
    "frame": "every face alone", "best": "the face of the highest quality", "mean": "the mean of its faces",
    "weighted": "the mean weighted by quality (the default)",
    "cosine": "the cosine of that mean, not put on the scale of single faces",
}  # fmt: skip


def video_tracks() -> str:
    rows = latest("video_tracking.csv", "by", "clips_a_video", people=400)
    rows.sort(key=lambda row: (row["by"] != "score", row["clips_a_video"]))
    cells = []
    for number, row in enumerate(rows):
        cells.append([
            f"{row['clips_a_video']:.0f}", f"{row['people']:.0f}", JOINED[row["by"]] + ("" if number else " (the default)"),
            percent(row["purity"]), f"{row['apart']:.2f}", f"{row['joined']:.2f}", percent(row["missed"]),
        ])  # fmt: skip
    head = ["clips a video", "people", "joined by", "purity", "tracks a person before joining", "after"]
    return with_source(markdown_table([*head, "people without a track"], cells, (2,)), rows)


def video_rates() -> str:
    rows = latest("video_tracking.csv", "fps", people=32)
    cells = [
        [
            f"{row['fps']:.0f}" + (" (the default)" if row["fps"] == 8 else ""), percent(row["purity"]),
            f"{row['apart']:.2f}", f"{row['joined']:.2f}",
        ]
        for row in rows
    ]  # fmt: skip
    head = ["frames a second", "purity", "tracks a person before joining", "after"]
    return with_source(markdown_table(head, cells, ()), rows)


def video_identification() -> str:
    rows = {(row["way"], row["target"]): row for row in latest("video_identification.csv", "way", "target")}
    cells = [
        [
            name,
            *(
                percents(*(rows[way, target][f"{figure}{end}"] for end in ("", "_low", "_high")))
                for target in (0.01, 0.1)
                for figure in ("fpir", "found")
            ),
        ]
        for way, name in WAYS.items()
    ]
    head = ["a track is searched by", "FPIR, 1 % asked for", "found", "FPIR, 10 % asked for", "found"]
    return with_source(markdown_table(head, cells), rows.values())


def video_speed() -> str:
    rows = {(row["size"], row["step"]): row for row in latest("video_speed.csv", "size", "step")}
    cells = [
        [
            size.replace("x", " x "), f"{rows[size, 'decode']['frames_s']:,.0f}",
            f"{rows[size, 'track']['frames_s']:.0f}", f"{rows[size, 'track']['realtime']:.1f}",
            f"{rows[size, 'annotate']['frames_s']:.0f}",
        ]
        for size in dict.fromkeys(size for size, _ in rows)
    ]  # fmt: skip
    head = ["size", "decoding alone, frames/s", "tracking at 8 frames a second, frames/s", "seconds of video a second"]
    return with_source(markdown_table([*head, "annotating every frame, frames/s"], cells), rows.values())


# ---- performance.md, probabilities.md ---------------------------------------------------------------


def probabilities() -> str:
    """Return what the calibration of the default model states at its thresholds, for four priors."""
    calibration = Model.load().calibration.check()
    priors = (0.5, 0.1, 0.01, 0.001)
    cells = []
    for point in sorted(calibration.operating_points, key=lambda point: point.threshold):
        found = [calibration.probability_of(point.threshold, prior=prior) or 0.0 for prior in priors]
        at = f"{point.threshold:.3f} (FMR {fmr_text(point.fmr).strip('*')})"
        cells.append([at, *map(probability_text, found)])
    return markdown_table(["score of the default model", *(f"prior {prior:g}" for prior in priors)], cells, ())


def probability_text(p: float) -> str:
    """Two digits, or three decimals near 1."""
    if p >= 0.1:
        return f"{p:.3f}" if p >= 0.99 else f"{p:.2f}"
    return np.format_float_positional(p, precision=2, fractional=False, trim="k")


PAGES: dict[str, dict[str, Callable[[], str]]] = {
    "docs/concepts/probabilities.md": {"probabilities": probabilities},
    "docs/results/audit.md": {"audit": audit},
    "docs/results/clustering.md": {
        "clustering": clustering, "clustering-methods": clustering_methods, "group-names": group_names,
    },
    "docs/results/identification.md": {
        "identification": identification, "candidate-probability": candidate_probability,
        "template-probability": template_probability, "templates": templates, "template-rates": template_rates,
        "enrollment": enrollment, "migration": migration,
    },
    "docs/results/video.md": {
        "video-tracks": video_tracks, "video-rates": video_rates, "video-identification": video_identification,
        "video-speed": video_speed,
    },
}  # fmt: skip
"""The tables of each page, by the name of their markers."""
