"""Fit score normalization and a calibration to networks of the registry, and measure what their cards state.

    python scripts/fit_registry.py LFW FAIRFACE --pairs pairs.txt [--cache CROPS] FILE ...

``FILE`` is what ``facealike models add`` takes: retail-0095.xml, a wheel with SFace.  The cohort is of
FairFace's training photos.  As for the default model, probabilities and the threshold, of an FMR of 0.001,
come from all people of LFW but the test's; View 2 (but see ``STRENGTH``), the test people and the groups of
FairFace's validation photos decide about nothing.  All networks are fitted at once, because the people are
recorded once for all.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from facealike.calibration.calibration import Calibration
from facealike.detection.face_policy import LFW_FACE
from facealike.detection.registry import default_detector
from facealike.embedding.face_model import Model
from facealike.evaluation.calibrate import calibrate
from facealike.evaluation.demographics import evaluate_groups
from facealike.evaluation.lfw_view2 import evaluate_view2
from facealike.evaluation.verification import evaluate_split
from facealike.model_file.model_file import ModelFile
from facealike.model_file.store import HOME_VARIABLE
from facealike.model_zoo.cohort import Cohort
from facealike.model_zoo.export import export_model
from facealike.model_zoo.install import add_model
from facealike.model_zoo.registry_fits import COHORTS, TABLE, normalize
from facealike.model_zoo.score_normalization import split_cohort
from facealike.utils.atomic_write import write_bytes, write_text

FMR = 0.001
STRENGTH, FLOOR = 6.0, 0.8
"""Chosen for both networks by the FNMR of 3,554 people of LFW, none of them of the test, and the FMRs of
groups of 8,799 training photos of FairFace outside the cohort; View 2 decided between equal settings."""
OUT = Path(__file__).parents[1] / "src" / "facealike" / "model_zoo"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("people", type=Path, metavar="LFW", help="the folder of LFW's people")
    parser.add_argument("fairface", type=Path, metavar="FAIRFACE", help="its folder, with val.csv and train/")
    parser.add_argument("files", nargs="+", metavar="FILE", help="networks of the registry")
    parser.add_argument("--pairs", type=Path, required=True, help="LFW's pairs.txt, for View 2")
    parser.add_argument("--cache", type=Path, help="the folder of face crops")
    options = parser.parse_args()
    records: list[Any] = []
    models: dict[str, Any] = {}
    arrays: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as home:
        os.environ[HOME_VARIABLE] = home
        for name, file in (plain(path) for path in options.files):
            cohort = fitted_cohort(file, options)
            numbers = {**vars(cohort)}
            arrays |= {f"{name}.{part}": numbers.pop(part) for part in ("centers", "shares")}
            seen, fits = fit(normalize(file, cohort), options)
            records.append(seen)
            models[file.id] = {"name": name, "cohort": numbers, **fits}
    if any(record != records[0] for record in records):
        parser.error("the models saw different people, so these cannot be recorded once; look at the photos")
    whole = io.BytesIO()
    np.savez(whole, **arrays)
    write_bytes(OUT / COHORTS, whole.getvalue())
    table = {"detector": default_detector().spec["sha256"], "seen": records[0], "models": models}
    write_text(OUT / TABLE, json.dumps(table, indent=1) + "\n")


def plain(path: str) -> tuple[str, ModelFile]:
    """Return the name and the network of a file of the registry, with nothing fitted to it."""
    (added,) = add_model(path, plain=True)
    assert added.file is not None
    return added.name, added.file


def fitted_cohort(file: ModelFile, options: argparse.Namespace) -> Cohort:
    """Return a cohort of FairFace's training photos, in the numbers that a model carries.

    Their logarithms are taken already, so that every machine writes the same network, with the same id.
    """
    found = export_model(
        Model(file, "cpu"), options.fairface / "train", cohort=True, face=LFW_FACE, cache=options.cache,
        strength=STRENGTH, floor=FLOOR,
    )  # fmt: skip
    print(found, flush=True)
    _, cohort = split_cohort(found.file.embedder)
    assert cohort is not None
    return replace(cohort, faces=found.cohort, explained=found.explained)


def fit(file: ModelFile, options: argparse.Namespace) -> tuple[list[Any], dict[str, Any]]:
    """Return who the calibration of a model saw, and the rest: the calibration, and what its card states."""
    model, cache = Model(file, "cpu"), options.cache
    found = calibrate(model, options.people, FMR, split="unseen", face=LFW_FACE, cache=cache)
    model = Model(replace(file, calibration=found), "cpu")
    test = evaluate_split(model, options.people, "test", face=LFW_FACE, cache=cache)
    view2 = evaluate_view2(model, options.people, options.pairs, cache=cache)
    groups = evaluate_groups(
        model, options.fairface / "val.csv", options.fairface, face=LFW_FACE, cache=cache
    )
    print(f"{file.card.name}: model {model.id}", found, test, view2, groups, sep="\n", flush=True)
    values = found.to_dict()
    seen: list[Any] = values.pop("seen")
    metrics = {"test": test.for_card(), "lfw-view2": view2.for_card(), "groups": groups.for_card()}
    return seen, {"calibration": values, "metrics": metrics, "data": who_saw_what(file, found)}


def who_saw_what(file: ModelFile, found: Calibration) -> dict[str, str]:
    """Return the data of each part of a model but its network, for the card."""
    return {
        "cohort": f"{file.card.provenance['cohort'].split()[0]} training photos of FairFace",
        "detector": Model.load(device="cpu").file.card.data["seen"]["detector"],
        "probabilities": f"{found.people.split()[0]} people of LFW: all but the test people",
        "threshold": found.threshold_from,
    }


if __name__ == "__main__":
    main()
