"""``scripts/release_model.py``: who decides about the threshold is not who it is judged on."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from facealike.calibration.calibration import Calibration
from facealike.datasets.people import People
from facealike.datasets.splits import split_of
from facealike.errors import UsageError
from facealike.metrics.bootstrap import Interval
from facealike.metrics.demographic_groups import WorstGroup
from support.drawn_people import make_people
from support.load_benchmark import load, needs_benchmarks
from support.tiny_model import tiny_card, tiny_model_file

pytestmark = needs_benchmarks


class Rates:
    def threshold_for_worst_group(self, fmr: float, columns: tuple[str, ...] | None) -> WorstGroup:
        assert columns == ("race",)
        return WorstGroup(fmr, Interval(0.75, 0.7, 0.8), "A", 4, ())


@pytest.mark.parametrize(("align", "aligned"), [("box", False), ("chip", True)])
def test_one_half_decides_and_the_other_is_judged_or_all_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, align: str, aligned: bool
) -> None:
    script = load("scripts.release_model")
    listed = tmp_path / "val.csv"
    listed.write_text("file,race,gender,age\n" + "".join(f"{i}.png,A,M,20-29\n" for i in range(7)))
    asked: list[tuple[list[str], float, Path, bool]] = []

    def evaluate_groups(model: Any, half: Path, root: Path, *, face: str, aligned: bool, cache: Any) -> Rates:
        assert face == "central"
        with half.open(newline="") as file:
            names = [row["file"] for row in csv.DictReader(file)]
        asked.append((names, model.file.calibration.threshold, root, aligned))
        return Rates()

    monkeypatch.setattr(script, "evaluate_groups", evaluate_groups)
    monkeypatch.setattr(script, "Model", lambda file, device: SimpleNamespace(file=file))
    file = SimpleNamespace(
        preprocessing=SimpleNamespace(align=align), calibration=Calibration(0.5, "best F1", "somebody", 10)
    )

    def replaced(file: Any, calibration: Calibration) -> SimpleNamespace:
        return SimpleNamespace(preprocessing=file.preprocessing, calibration=calibration)

    monkeypatch.setattr(script, "replace", replaced)
    model: Any = SimpleNamespace(file=file)
    made, _ = script.by_groups(model, listed, 0.01, ("race",), None)
    (deciding, before, *_), (judged, after, root, how) = asked
    assert deciding == [f"{i}.png" for i in (0, 2, 4, 6)] and judged == [f"{i}.png" for i in (1, 3, 5)]
    assert (before, after, root, how) == (0.5, 0.75, tmp_path, aligned)
    # Issue 19 A9: the threshold carries the policy of its own photos.
    assert made.file.calibration.threshold_face == ("aligned" if aligned else "central")
    assert made.file.calibration.rule == "FMR 0.01 in the worst group of every other photo of val.csv: A"
    asked.clear()
    kept, _ = script.by_groups(model, listed, None, None, None)
    assert kept is model and [names for names, *_ in asked] == [[f"{i}.png" for i in range(7)]]


def test_it_records_everybody_who_calibrated_and_nobody_of_the_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 19 A11; a folder of other people than those of the calibration is refused."""
    script = load("scripts.release_model")
    people = People.from_folder(make_people(tmp_path / "people"))
    unseen = [name for name in people.names if split_of(name) != "test"]
    assert 0 < len(unseen) < len(people.names)
    calibration = Calibration(0.5, "best F1", f"{len(unseen)} calibration people of people", 10)
    card = tiny_card(data={"photos": 5}, metrics={})
    file = replace(tiny_model_file(card=card), calibration=calibration)
    made = script.with_seen(script.recorded(file, tmp_path / "people"), None)
    (record,) = made.calibration.seen
    assert [name for name in people.names if record.knows_person(name)] == unseen
    assert made.id == file.id and script.with_seen(made, None) == made, "once is enough"
    assert made.card.data["seen"]["probabilities"].startswith(f"{len(unseen)} people")
    assert (made.calibration.face, made.calibration.threshold_face) == ("central", None)
    own = replace(calibration, threshold_people="A in val.csv", threshold_pairs=66)
    faces = script.with_faces(replace(file, calibration=own)).calibration
    assert (faces.face, faces.threshold_face) == ("central", "central"), "this one cuts no chips"
    other = replace(calibration, people="12,345 calibration people of people")
    with pytest.raises(UsageError, match="name the folder it was calibrated on"):
        script.recorded(replace(tiny_model_file(card=card), calibration=other), tmp_path / "people")
    monkeypatch.setattr(script, "FACELESS", 0.5)
    one_less = replace(calibration, people=f"{len(unseen) - 1} calibration people of people")
    recorded = script.recorded(replace(file, calibration=one_less), tmp_path / "people")
    assert recorded.calibration.seen == made.calibration.seen, "of one no face was found"
