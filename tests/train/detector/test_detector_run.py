"""A detector's training run: it learns, goes on as if it had not stopped, and tells what is missing."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path

import pytest
import torch

from facealike.errors import TrainingError
from facealike.train.detector import run as detector_run
from facealike.train.detector.run import SceneBatches, train_detector
from facealike.train.detector.training import DetectorRecipe, DetectorRun, LoopOptions
from support.drawn_faces import made_sources, write_photos

RECIPE = DetectorRecipe(steps=4, batch=2, climb=2)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    made_sources(folder)
    return folder / "sources"


def train(sources: Path, folder: Path, stop_after: int | None = None) -> bytes:
    folder.mkdir(exist_ok=True)
    return train_detector(
        sources, RECIPE, folder, folder / "d.onnx", LoopOptions(workers=0, every=2, stop_after=stop_after)
    )


def test_a_run_that_stops_goes_on_as_if_it_had_not(sources: Path, tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        whole = train(sources, tmp_path / "whole")
        train(sources, tmp_path / "parts", stop_after=3)  # one step after the last saved state
        parts = train(sources, tmp_path / "parts")
    finally:
        torch.set_num_threads(threads)
    assert parts == whole == (tmp_path / "parts" / "d.onnx").read_bytes()
    rows = list(csv.DictReader((tmp_path / "parts" / "log.csv").open()))
    assert [row["step"] for row in rows] == ["2", "4"]
    assert train(sources, tmp_path / "whole") == whole  # nothing left to do


def test_batches_are_the_same_whenever_they_are_made(sources: Path) -> None:
    (one, faces), (again, faces_again), (other, _) = (
        SceneBatches(sources, RECIPE)[number] for number in (1, 1, 2)
    )
    assert one.shape == (2, 3, 256, 256) and one.dtype == torch.uint8
    assert torch.equal(one, again) and torch.equal(faces.boxes, faces_again.boxes)
    assert not torch.equal(one, other)


def test_it_learns_one_batch(sources: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    run = DetectorRun(DetectorRecipe(steps=1000, batch=2, climb=1), tmp_path / "none")
    pixels, targets = SceneBatches(sources, RECIPE)[0]
    totals = [sum(run.train_step(pixels, targets)[:4]) for _ in range(15)]
    assert totals[-1] < 0.6 * totals[0]


def test_the_rate_climbs_stays_and_falls() -> None:
    recipe = DetectorRecipe(steps=100, climb=10, fall=0.4)
    rates = [recipe.factor_at(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and set(rates[10:60]) == {1.0}
    assert all(a > b for a, b in itertools.pairwise(rates[60:])) and rates[-1] < 0.05


def test_a_damaged_state_is_told(sources: Path, tmp_path: Path) -> None:
    (tmp_path / "state.pt").write_bytes(b"no state")
    with pytest.raises(TrainingError, match="no state to resume"):
        train(sources, tmp_path)


def test_a_loss_that_is_no_number_ends_the_run(sources: Path, tmp_path: Path) -> None:
    run = DetectorRun(RECIPE, tmp_path / "none")
    with torch.no_grad():
        run.network.head[0].bias.fill_(float("nan"))
    with pytest.raises(TrainingError, match="NaN or infinite"):
        run.train_step(*SceneBatches(sources, RECIPE)[0])


def test_the_command_tells_what_is_missing_in_one_line(tmp_path: Path) -> None:
    person = tmp_path / "lfw" / "Somebody"
    write_photos(person, 250, 1, 60)
    common = [
        "--photos",
        str(tmp_path / "lfw"),
        "--work",
        str(tmp_path / "w"),
        "--out",
        str(tmp_path / "d.onnx"),
    ]
    with pytest.raises(SystemExit) as stop:
        detector_run.main([*common, "--chips", str(tmp_path), "--teacher", str(tmp_path / "nothing.onnx")])
    assert str(stop.value).startswith("detector_run: ") and "\n" not in str(stop.value)
    assert not (tmp_path / "d.onnx").exists()
