"""The documents state the figures of the default model as they were measured (issue 21)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks.default_model import docs, measured_rows
from benchmarks.default_model.figures import rows_of_table
from benchmarks.default_model.named_text import put_figures, write_text
from benchmarks.default_model.steps import STEPS
from facealike import Model
from support.paths import ROOT

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
OTHER_MODELS = {
    "08b0d75d21e7": "dlib", "f5f8f68de552": "retail-0095", "b2b1b1f3ec02": "the first default model",
    "32852d93d163": "an earlier default model", "55a60466f599": "the recipe of docs/results/training.md",
    "3333ec77c4e4": "its seed 0", "db97a1ec5da5": "its seed 1", "05c309c0b06e": "its seed 2",
    "7159020795ce": "demographics before score normalization", "fe80608ba689": "the same",
    "6105a5ec2126": "the same", "d0c416ff03d3": "the distilled student",
}  # fmt: skip
"""Models that a page names and that are not the default model."""


@pytest.fixture
def another_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the default model had been replaced and nothing been measured since."""
    measured_rows.rows_of.cache_clear()
    monkeypatch.setattr(measured_rows, "default_id", lambda: "0123456789ab")
    yield
    measured_rows.rows_of.cache_clear()


# ---- the documents of today -------------------------------------------------------------------------


def test_the_documents_state_what_was_measured_of_the_default_model() -> None:
    assert docs.stale() == [], "run python -m benchmarks.default_model.docs --write"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_page_names_an_earlier_model_as_the_default(page: Path) -> None:
    found = set(re.findall(r"\b(?=[0-9]*[a-f])[0-9a-f]{12}\b", page.read_text("utf-8")))
    assert found - set(OTHER_MODELS) <= {Model.load().id}


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_the_benchmark_was_run_with_the_default_model(step: Any) -> None:
    for name in step.rows:
        assert measured_rows.rows_of(name)
    for page, name in step.blocks:
        assert Model.load().id in docs.between(page, name), f"{page}, {name}: run {step.command}"


# ---- what is out of date is named -------------------------------------------------------------------


def test_without_new_rows_every_table_is_out_of_date(another_model: None) -> None:
    found = list(docs.stale_tables(write=False))
    assert (
        len(found) == sum(map(len, docs.tables.PAGES.values())) - 1
    )  # one is made from the model file alone
    assert all("of the default model, 0123456789ab" in line for line in found)


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the pages, to spoil."""
    for page in PAGES:
        path = tmp_path / page.relative_to(ROOT)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page.read_text("utf-8"), "utf-8")
    monkeypatch.setattr(docs, "ROOT", tmp_path)
    return tmp_path


def spoil(page: Path, before: str, after: str) -> None:
    text = page.read_text("utf-8")
    assert text.count(before) == 1
    page.write_text(text.replace(before, after), "utf-8")


def test_a_stale_sentence_is_named_and_rewritten(copy: Path) -> None:
    accuracy = f"| {Model.load().file.card.metrics['lfw-view2']['accuracy']:.4f} ±"
    spoil(copy / "README.md", accuracy, "| 0.9001 ±")
    (line,) = docs.stale()
    assert line.startswith("README.md states other figures than were measured: | LFW View 2, accuracy")
    assert docs.stale(write=True) == []
    assert (copy / "README.md").read_text("utf-8") == (ROOT / "README.md").read_text("utf-8")


def test_a_reworded_sentence_is_named(copy: Path) -> None:
    spoil(copy / "README.md", "| LFW View 2, accuracy |", "| View 2 of LFW |")
    (line,) = docs.stale()
    assert line.startswith("README.md lacks the text that")


def test_a_stale_table_is_named_and_rewritten(copy: Path) -> None:
    page = copy / "docs" / "results" / "video.md"
    spoil(page, "| every face alone | ", "| every face alone | 9")
    assert docs.stale() == [
        "docs/results/video.md, video-identification: not the table of the default model's rows"
    ]
    assert docs.stale(write=True) == []
    assert page.read_text("utf-8") == (ROOT / "docs" / "results" / "video.md").read_text("utf-8")


def test_only_text_that_nothing_writes_is_to_be_read(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# Title 1.5\n\n<!-- x: begin -->\nAbove 0.9.\n<!-- x: end -->\n\n| 0.5 |\n\nA third of 3 people.\n\n"
        "It is better\nby 0.2.\n\n```console\n$ a 0.5\n```\n",
        "utf-8",
    )
    assert list(docs.to_read(page)) == [(11, "It is better by 0.2.")]


# ---- text with figures ------------------------------------------------------------------------------


def test_figures_are_put_where_the_text_is_whatever_they_were() -> None:
    page = "a\nFMR of 0.1 %\n[7.4e-05, 1,234]. FMR of 5 % [1, 2] by Ann."
    text, count = put_figures(
        page, "FMR of {rate:.1p} % [{low:.1e}, {high:,d}]", {"rate": 0.0668, "low": 0.00001, "high": 99}
    )
    assert (count, text) == (2, "a\nFMR of 6.7 %\n[1.0e-05, 99]. FMR of 6.7 % [1.0e-05, 99] by Ann.")
    assert put_figures(page, "by {who}.", {"who": "Bob Lee"}) == (page.replace("Ann", "Bob Lee"), 1)
    assert put_figures(page, "FNMR {rate:.1p}", {"rate": 0.5}) == (page, 0)


@pytest.mark.parametrize(("spec", "text"), [(".1p", "6.7"), (".0p", "7"), (".2gp", "6.7"), (".3f", "0.067")])
def test_formats(spec: str, text: str) -> None:
    assert write_text(f"{{a[b c]:{spec}}}", {"a": {"b c": 0.0668}}) == text


def test_a_table_of_a_page_is_read_by_row_and_column(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    first, second = "| a | b |\n|---|---|\n| x | 1 |", "| a | b c |\n|---|---:|\n| y z | 0.5 |"
    page.write_text(f"# One\n\n{first}\n\n### Two\n\n{second}\n\nEnd", "utf-8")
    assert rows_of_table(page, "Two") == {"y z": {"b c": 0.5}}
