"""The record of experiments: each is trained once, on people who are no test, and lands in a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from facealike.train.recipe.load import load_recipe
from support.drawn_people import make_people
from support.load_benchmark import BENCHMARKS, RESULTS, load, needs_benchmarks

pytestmark = needs_benchmarks


@pytest.fixture(scope="module")
def module() -> Any:
    return load("training.ablations")


LIST = """
common = ["training.epochs=2", "training.steps_per_epoch=2", "training.batch_size=12", "crop.size=32",
    "crop.align=box", "crop.detector=dlib", "network.widths=[4, 8]", "network.blocks=[1]",
    "training.patience=0"]
[[experiment]]
name = "plain"
factor = "First"
question = "as it is?"
seeds = [0, 1]
[[experiment]]
name = "averaged"
factor = "Second"
question = "averaged?"
set = ["training.ema=0.9"]
outside_data = true
"""


def test_the_list_that_comes_along_holds_recipes_that_load(module: Any) -> None:
    found = module.read_list(BENCHMARKS / "training" / "ablations.toml")
    assert "base" in {experiment.name for experiment in found}
    for experiment in found:
        assert experiment.question and experiment.seeds
        assert experiment.of_seed(7).seed == 7
        assert load_recipe(experiment.recipe, experiment.settings).data.split == "identity"


def test_what_is_missing_is_trained_and_nothing_twice(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from support.drawn_people import CentralBox

    monkeypatch.setattr("facealike.train.embedder.dataset.named_detector", lambda *_: CentralBox())
    root = make_people(tmp_path / "people", 24)
    listed, record, page = tmp_path / "list.toml", tmp_path / "record.csv", tmp_path / "page.md"
    listed.write_text(LIST)
    page.write_text("before\n<!-- experiments: begin -->\nold\n<!-- experiments: end -->\nafter\n")
    common = ["--list", str(listed), "--csv", str(record), "--page", str(page)]
    go = [str(root), "--out", str(tmp_path / "runs"), *common]
    module.main([*go, "--only", "plain"])
    rows = module.read_rows(record)
    assert [(row["name"], row["seed"]) for row in rows] == [("plain", "0"), ("plain", "1")]
    assert 0 < float(rows[0]["val_f1_last"]) <= float(rows[0]["val_f1_best"]) <= 1
    assert rows[0]["epochs"] == "2"
    assert list(rows[0]) == list(module.read_rows(RESULTS / "ablations.csv")[0])
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("log.csv")}
    module.main([*go, "--table"])
    rows = module.read_rows(record)
    assert [row["name"] for row in rows] == ["plain", "plain", "averaged"]
    assert all(path.stat().st_mtime_ns == when for path, when in made.items())
    assert not list((tmp_path / "runs").rglob("results*")), "nobody is judged"
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    assert "### First" in text and "### Second" in text and "±" in text
    assert "`averaged` (**outside data**)" in text
    # Another setting under the same name is another experiment.
    listed.write_text(LIST.replace("ema=0.9", "ema=0.5"))
    module.main([*go, "--only", "averaged"])
    assert [row["name"] for row in module.read_rows(record)] == ["plain", "plain", "averaged", "averaged"]


def test_a_page_without_markers_is_left_alone(module: Any, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("text")
    with pytest.raises(SystemExit, match="are missing"):
        module.write_page(page, [], [])
    assert page.read_text() == "text"


def test_an_unknown_name_is_refused(module: Any, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        module.main(["--table", "--only", "nothing"])
