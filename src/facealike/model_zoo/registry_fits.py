"""What was fitted here to networks of the registry: score normalization, and a calibration.

So such a model gives verdicts at once, and at one threshold the FMRs of groups of people differ less.  A fit
belongs to one network behind one detector, which the model id stands for: a file of other bytes, or a model
with another detector, gets none.  ``scripts/fit_registry.py`` writes both files.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from ..calibration.calibration import Calibration
from ..model_file.model_file import ModelFile
from .cohort import Cohort, append_cohort

TABLE, COHORTS = "registry_fits.json", "registry_cohorts.npz"
INTENDED_USE = "What its authors intend. facealike normalized, calibrated and measured it."
LIMITS = (
    "Calibrated on press photos, most of them of adults (LFW): calibrate it again on people like yours. Some "
    "groups, small children above all, pass for one person more often than others: see the groups among its "
    "metrics."
)


def with_fits(file: ModelFile) -> ModelFile:
    """Return the network of the registry with its score normalization and calibration.

    The card has what was measured.  A model for which nothing was fitted is returned unchanged.
    """
    table = fitted()
    found = table["models"].get(file.id)
    if found is None:
        return file
    normalized = normalize(file, read_cohort(found["name"], found["cohort"]))
    # All were fitted to the same people, who are recorded once.
    calibration = Calibration.from_dict({**found["calibration"], "seen": table["seen"]})
    card = replace(
        normalized.card,
        metrics=found["metrics"],
        data={**file.card.data, "seen": found["data"]},
        intended_use=INTENDED_USE,
        limits=LIMITS,
    )
    return replace(normalized, card=card, calibration=calibration)


def has_fits(file: ModelFile) -> bool:
    """Return whether a model has the calibration that was fitted here, and not one of its user's."""
    thresholds = {entry["calibration"]["threshold"] for entry in fitted()["models"].values()}
    return "registry" in file.card.provenance and file.calibration.threshold in thresholds


def normalize(file: ModelFile, cohort: Cohort) -> ModelFile:
    """Return a model with score normalization, which has another id and no threshold yet."""
    added = f"{cohort.faces:,} training photos of FairFace, added to {file.id}"
    card = replace(file.card, provenance={**file.card.provenance, "cohort": added})
    network = append_cohort(file.embedder, cohort)
    return replace(file, embedder=network, card=card, calibration=Calibration.none())


def read_cohort(name: str, numbers: dict[str, Any]) -> Cohort:
    """Return the cohort of a model: arrays from ``COHORTS``, and the other ``numbers``."""
    with (resources.files(__package__) / COHORTS).open("rb") as stream, np.load(stream) as arrays:
        return Cohort(arrays[f"{name}.centers"], arrays[f"{name}.shares"], **numbers)


@cache
def fitted() -> dict[str, Any]:
    """Return the content of ``TABLE``.

    ``detector`` is the SHA-256 of that behind which all were fitted, ``seen`` whom the calibrations saw, and
    ``models`` has the rest by the id of the network without them.
    """
    table: dict[str, Any] = json.loads((resources.files(__package__) / TABLE).read_text("utf-8"))
    return table
