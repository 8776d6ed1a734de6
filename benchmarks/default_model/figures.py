"""The figures of the default model that pages of ``docs/`` and the README state in their sentences.

Each is read where it was measured: on the model's card, in ``results.json``, or in the rows of a benchmark.
"""

from __future__ import annotations

import json
from typing import Any

from benchmarks.common.record import RESULTS
from benchmarks.default_model.measured_rows import Keyed, NotMeasured
from facealike.embedding.face_model import Model

RECORD = RESULTS / "results.json"


def load_figures() -> dict[str, Any]:
    """Return the figures by the name under which ``sentences.toml`` mentions them.

    Raises:
        NotMeasured: ``results.json`` is of another model.
    """
    model = Model.load()
    card, calibration = model.file.card, model.calibration.check()
    measured = json.loads(RECORD.read_text("utf-8"))["shipped"]
    if measured["model"] != model.id:
        raise NotMeasured(f"{RECORD.name} is of model {measured['model']}, the default model is {model.id}")
    spread = card.metrics["groups"]["spread"]
    return {
        "model": model.id,
        "width": model.embedder.dimensions,
        "threshold": model.threshold,
        "calibrated_on": calibration.people,
        "card": card.metrics,
        "groups": {
            **{name.replace(" ", "_"): found for name, found in spread.items()},
            "measured": sum(found["measured"] for found in spread.values()),
            "worst_ages": spread["age"]["worst"].replace("-", " to "),
        },
        "measured": measured,
        "points": {f"{point['fmr']:g}": point for point in measured["points"]},
        "view2": measured["view2"],
        "identification": Keyed(
            "identification.csv", "people", "target", derive=lambda row: {"missed": 1 - row["found"]}
        ),
        "full_test": Keyed("full_test.csv", "figure"),
        "fpir_at_scale": Keyed(
            "fpir_at_scale.csv", "templates", "target_fpir", where={"templates_a_person": 1}
        ),
        "clustering": Keyed("clustering.csv", "fmr", where={"method": "default", "split": "test"}),
        "throughput": Keyed("throughput.csv", "what"),
        "cold_start": Keyed(
            "cold_start.csv",
            "step",
            derive=lambda row: {"median_s": row["median_ms"] / 1000, "max_s": row["max_ms"] / 1000},
        ),
    }
