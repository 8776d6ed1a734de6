"""Networks of the registry come with what was fitted to them, and with nothing that was fitted to others."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from facealike.calibration.calibration import Calibration
from facealike.cli import app
from facealike.detection.registry import default_detector
from facealike.embedding.embedder import Embedder
from facealike.embedding.face_model import Model
from facealike.errors import PeopleOverlap, UsageError
from facealike.evaluation.verification import evaluate_split
from facealike.model_file.store import HOME_VARIABLE
from facealike.model_zoo import registry_fits
from facealike.model_zoo.cohort import Cohort
from facealike.model_zoo.install import add_model
from facealike.model_zoo.registry import read_registry
from facealike.model_zoo.registry_fits import fitted, read_cohort, with_fits
from facealike.verification.compare import compare
from support.data_paths import needs_data
from support.tiny_model import tiny_model_file

PHOTOS = Path(__file__).parents[2] / "examples" / "photos"
ENTRIES = [pytest.param(entry, id=entry["name"]) for entry in fitted()["models"].values()]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))


def test_all_were_fitted_behind_the_detector_that_models_get() -> None:
    """After an exchange of the detector: ``scripts/fit_registry.py``."""
    assert fitted()["detector"] == default_detector().spec["sha256"]
    assert {entry["name"] for entry in fitted()["models"].values()} == {"retail-0095", "sface"}


@pytest.mark.parametrize("entry", ENTRIES)
def test_each_says_whom_it_saw_and_what_it_reaches(entry: dict[str, Any]) -> None:
    assert set(entry) == {"name", "cohort", "calibration", "metrics", "data"}
    assert entry["name"] in read_registry()
    calibration = Calibration.from_dict({**entry["calibration"], "seen": fitted()["seen"]})
    assert calibration.state == "calibrated" and calibration.rule == "FMR 0.001"
    assert {point.fmr for point in calibration.operating_points} >= {1e-2, 1e-3, 1e-4, 1e-5}
    assert calibration.seen[0].people_count == 4904
    assert set(entry["metrics"]) == {"test", "lfw-view2", "groups"}
    cohort = read_cohort(entry["name"], entry["cohort"])
    assert cohort.faces > 19_000 and cohort.explained > 0.9
    assert cohort.centers.dtype == cohort.shares.dtype == np.float32


def test_only_the_network_that_it_was_fitted_to_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    file = replace(tiny_model_file(), calibration=Calibration.none())
    dimensions = Model(file, "cpu").embedder.dimensions
    centers = np.random.default_rng(0).normal(size=(9, dimensions)).astype(np.float32)
    centers /= np.linalg.norm(centers, axis=1, keepdims=True)
    cohort = Cohort(centers, np.full(9, 1 / 9, np.float32), 0.1, 0.2, -0.3, 1.0, 1000, 0.9)
    entry: dict[str, Any] = next(iter(fitted()["models"].values()))
    monkeypatch.setattr(registry_fits, "fitted", lambda: {**fitted(), "models": {file.id: entry}})
    monkeypatch.setattr(registry_fits, "read_cohort", lambda *_: cohort)
    found = with_fits(file)
    crops = np.random.default_rng(1).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    before, after = (
        Embedder(each.embedder, file.preprocessing, "cpu").embed(crops) for each in (file, found)
    )
    np.testing.assert_allclose(after, cohort.transform(before), atol=1e-4)
    assert found.id != file.id and found.calibration.threshold == entry["calibration"]["threshold"]
    assert found.card.metrics == entry["metrics"] and found.card.data["seen"] == entry["data"]
    assert file.id in found.card.provenance["cohort"]
    assert "calibrate it again on people like yours" in found.card.limits
    other = tiny_model_file(seed=1)
    assert with_fits(other) is other and with_fits(found) is found


@needs_data("FACEALIKE_RETAIL0095", "FACEALIKE_LFW")
def test_a_network_from_a_local_file_gives_verdicts_at_once() -> None:
    source = os.environ["FACEALIKE_RETAIL0095"]
    (added,) = add_model(source)
    assert added.file is not None and added.file.calibration.state == "calibrated"
    model = Model.load("retail-0095", device="cpu")
    assert model.embedder.dimensions == 257
    same = compare(PHOTOS / "hopper.jpg", PHOTOS / "hopper-turned.jpg", model)
    other = compare(PHOTOS / "hopper.jpg", PHOTOS / "collins.jpg", model)
    assert same.same and same.probability is not None and same.probability > 0.99
    assert not other.same and other.probability is not None and other.probability < 0.01
    with pytest.raises(PeopleOverlap):
        evaluate_split(model, os.environ["FACEALIKE_LFW"], "calibration")
    assert add_model(source)[0].file == added.file, "it is there already"
    with pytest.raises(UsageError, match="another model has this name already"):
        add_model(source, plain=True)
    (plain,) = add_model(source, plain=True, overwrite=True)
    assert plain.file is not None and plain.file.calibration.is_none
    assert add_model(source)[0].file == plain.file, "what is there is kept, with its calibration"


@needs_data("FACEALIKE_RETAIL0095")
def test_the_command_says_what_a_model_comes_with() -> None:
    def stderr(*arguments: str) -> str:
        result = CliRunner().invoke(app, ["models", "add", *arguments], catch_exceptions=False)
        assert result.exit_code == 0
        return " ".join(result.stderr.split())

    source = os.environ["FACEALIKE_RETAIL0095"]
    assert "has score normalization and a threshold that facealike fitted" in stderr(source)
    plain = stderr(source, "--plain", "--replace")
    assert "gets score normalization and a threshold without --plain, with --replace" in plain
    assert "facealike fitted" not in plain and "not calibrated" in plain
