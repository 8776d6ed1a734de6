"""The figures of the default model that pages of ``docs/`` and the README state in their sentences.

Each is read where it was measured: on the model's card, in ``results.json``, or in the rows of a benchmark.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.common.record import RESULTS, ROOT
from benchmarks.default_model.measured_rows import Keyed, NotMeasured
from facealike.embedding.face_model import Model

RECORD = RESULTS / "results.json"
RESULTS_PAGES = ROOT / "docs" / "results"
MACHINE = "AMD EPYC, 2 cores"
"""The machine whose times the documents state in their sentences."""
PEOPLE = {"Male": "men", "Female": "women"}


def load_figures() -> dict[str, Any]:
    """Return the figures by the name under which ``sentences.toml`` mentions them.

    Raises:
        NotMeasured: ``results.json`` is of another model, or of another calibration.
    """
    model = Model.load()
    measured = json.loads(RECORD.read_text("utf-8"))["shipped"]
    if (measured["model"], measured["threshold"]) != (model.id, model.threshold):  # an id does not tell both
        raise NotMeasured(
            f"{RECORD.name} is of model {measured['model']} at {measured['threshold']}, "
            f"the default model is {model.id} at {model.threshold}"
        )
    spread = model.file.card.metrics["groups"]["spread"]
    return {
        "model": model.id,
        "width": model.embedder.dimensions,
        "threshold": model.threshold,
        "calibration_people": int(model.file.calibration.people.split()[0].replace(",", "")),
        "groups": {
            **{name.replace(" ", "_"): found for name, found in spread.items()},
            "measured": sum(found["measured"] for found in spread.values()),
            "worst": worst_group(spread),
        },
        "measured": measured,
        "points": {f"{point['fmr']:g}": point for point in measured["points"]},
        "view2": measured["view2"],
        "identification": Keyed(
            "identification.csv", "people", "target", derive=lambda row: {"missed": 1 - row["found"]}
        ),
        "not_enrolled": Keyed(
            "identification_probability.csv",
            "people",
            where={"ratio": "densities", "what": "not enrolled"},
            derive=lambda row: {"wrong_of_sure": 1 - row["true_of_sure"]},
        ),
        "audit": Keyed("audit.csv", "split", "kind"),
        "group_names": Keyed("group_names.csv", "enrolled", "target"),
        "full_test": Keyed("full_test.csv", "figure"),
        "fpir_at_scale": Keyed(
            "fpir_at_scale.csv", "templates", "target_fpir", where={"templates_a_person": 1}
        ),
        "clustering": Keyed("clustering.csv", "fmr", where={"method": "default", "split": "test"}),
        "flaws": rows_of_table(RESULTS_PAGES / "quality.md", "What each flaw costs"),
        "throughput": Keyed("throughput.csv", "what", where={"machine": MACHINE}),
        "cold_start": Keyed(
            "cold_start.csv",
            "step",
            where={"machine": MACHINE},
            derive=lambda row: {"median_s": row["median_ms"] / 1000, "max_s": row["max_ms"] / 1000},
        ),
    }


def worst_group(spread: dict[str, Any]) -> dict[str, Any]:
    """Return the group with the highest FMR of all kinds: its ``name`` in words, and its ``fmr``."""
    kind, found = max(spread.items(), key=lambda item: item[1]["worst_fmr"][0])
    name = ", ".join(PEOPLE.get(part, part.replace("-", " to ")) for part in found["worst"].split(", "))
    return {"name": f"ages {name}" if kind == "age" else name, "fmr": found["worst_fmr"]}


def rows_of_table(page: Path, heading: str) -> dict[str, dict[str, float]]:
    """Return the rows of the table below a heading: names in the first column, numbers in the others."""
    text = page.read_text("utf-8").partition(f"# {heading}\n")[2].lstrip("\n").partition("\n\n")[0]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    (_, *columns), _, *rows = lines
    return {row[0]: dict(zip(columns, map(float, row[1:]), strict=True)) for row in rows}
