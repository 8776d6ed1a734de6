"""The notebooks run from the first cell to the last, and are kept without outputs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from support.data_paths import needs_data
from support.notebook_run import cells, run_notebook
from support.paths import ROOT

NOTEBOOKS = ROOT / "notebooks"
ALL = sorted(NOTEBOOKS.glob("*.ipynb"))
PNG = b"\x89PNG"
PEOPLE = 40
"""People of LFW to train on: the fewest with a calibration, which needs ten people with two photos."""


@pytest.mark.parametrize("notebook", ALL, ids=lambda path: path.name)
def test_no_outputs_are_kept(notebook: Path) -> None:
    """They would hold photos of people, and differ with every run."""
    for cell in cells(notebook, "code"):
        assert cell["outputs"] == [] and cell["execution_count"] is None, "".join(cell["source"])
    whole = json.loads(notebook.read_text("utf-8"))
    assert not any("attachments" in cell for cell in whole["cells"])
    assert (whole["nbformat"], whole["nbformat_minor"]) == (4, 5), "cells have ids from 4.5 on"
    assert len({cell["id"] for cell in whole["cells"]}) == len(whole["cells"])


@pytest.mark.parametrize("notebook", ALL, ids=lambda path: path.name)
def test_links_lead_somewhere(notebook: Path) -> None:
    for cell in cells(notebook, "markdown"):
        for part in "".join(cell["source"]).split("](")[1:]:
            target = part.partition(")")[0].partition("#")[0]
            assert (NOTEBOOKS / target).exists(), target


def test_compare_two_photos(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(NOTEBOOKS)
    shown = run_notebook(NOTEBOOKS / "compare_two_photos.ipynb")
    assert "same person" in shown[1] and "<table>" in shown[1], "a result shows itself"
    assert sum(isinstance(each, bytes) and each.startswith(PNG) for each in shown) == 6
    assert any(isinstance(each, str) and "different people" in each for each in shown)
    assert shown[-1] == "('same person', 'different people')"
    printed = capsys.readouterr().out
    assert "FMR 0.001" in printed and "below" in printed and "carry the score" in printed


@needs_data("FACEALIKE_LFW")
def test_train_on_your_people(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    lfw = Path(os.environ["FACEALIKE_LFW"])
    several = (folder for folder in sorted(lfw.iterdir()) if len(list(folder.glob("*.jpg"))) in (2, 3))
    people = tmp_path / "people"
    people.mkdir()
    for _, folder in zip(range(PEOPLE), several, strict=False):
        (people / folder.name).symlink_to(folder, target_is_directory=True)
    overrides = ["training.epochs=1", "training.steps_per_epoch=2", "training.batch_size=16"]
    shown = run_notebook(NOTEBOOKS / "train_on_your_people.ipynb", PEOPLE=str(people), OVERRIDES=overrides)
    printed = capsys.readouterr().out
    assert sum(isinstance(each, bytes) and each.startswith(PNG) for each in shown) == 4
    assert (tmp_path / "mine.facealike").is_file()
    table = [
        line.split() for line in printed.splitlines() if line.startswith(("train ", "validation ", "test "))
    ]
    assert [row[0] for row in table[-3:]] == ["train", "validation", "test"]
    assert all(0 < float(row[1]) <= 1 for row in table[-3:]), "F1"
    assert "Comparison" in str(shown[-1])
