"""What more faces and more steps bring: the benchmark's photos, its row, its table and its curves."""

from __future__ import annotations

import argparse
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from facealike.embedding.face_model import Model
from support.load_benchmark import load, needs_benchmarks
from support.tiny_model import tiny_card, tiny_model_file

pytestmark = needs_benchmarks


@pytest.fixture(scope="module")
def scaling() -> Any:
    return load("training.scaling")


def photos(root: Path, count: int) -> Path:
    for number in range(count):
        path = root / f"{number % 3}" / f"{number:02}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes([number]))
    return root


def test_some_photos_are_from_all_over_the_folder(scaling: Any, tmp_path: Path) -> None:
    root = photos(tmp_path / "all", 12)
    linked = scaling.some_of(root, 4, tmp_path / "some")
    found = sorted(str(path.relative_to(linked)) for path in linked.rglob("*.jpg"))
    every = sorted(str(path.relative_to(root)) for path in root.rglob("*.jpg"))
    assert found == [every[0], every[3], every[6], every[9]]
    assert (linked / found[1]).read_bytes() == (root / found[1]).read_bytes()
    assert scaling.some_of(root, 4, tmp_path / "some") == linked, "and again, where a run goes on"
    with pytest.raises(SystemExit, match="has 12 photos"):
        scaling.some_of(root, 13, tmp_path / "more")


def test_a_run_becomes_a_row(scaling: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tiny_model_file(card=tiny_card(data={"photos": 3}))

    def distil(folder: Path, recipe: Any, out: Path, resume: bool, cache: Path) -> Any:
        assert resume and (recipe.training.epochs, recipe.seed) == (7, 5) and recipe.teacher.aligned
        assert len(list(folder.rglob("*.jpg"))) == 4 and out.name == "scaling-4-7-5.facealike"
        return SimpleNamespace(agreement={"error": 0.41234, "correlation": 0.7})

    view2 = {"accuracy": 0.95, "standard_error": 0.003, "tar_at_far": {"0.001": 0.6}, "pooled": {"auc": 0.99}}
    monkeypatch.setattr(scaling, "distil", distil)
    monkeypatch.setattr(scaling.Model, "load", lambda path, device: Model(file, device))
    monkeypatch.setattr(
        scaling, "evaluate_view2", lambda model, *files, cache: SimpleNamespace(to_dict=lambda: view2)
    )
    row = scaling.run(
        argparse.Namespace(
            folder=photos(tmp_path / "all", 12), people=tmp_path, pairs=tmp_path, work=tmp_path / "runs",
            cache=None, photos=4, epochs=7, seed=5,
        )
    )  # fmt: skip
    assert (row["photos"], row["described"], row["seen"]) == (3, 7 * 10240, 3 * 7 * 10240)
    assert (row["error"], row["view2"], row["tar_at_far_0.001"]) == (0.4123, 0.95, 0.6)
    assert (row["model"], row["seed"]) == (file.id, 5)


def test_the_page_has_the_table_and_the_curves(
    scaling: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    common = {"commit": "abc1234", "error": "0.5", "correlation": "0.7", "tar_at_far_0.001": "0.5"}
    found = [
        {**common, "photos": photos, "epochs": epochs, "seed": "1", "described": "92160", "seen": seen,
         "view2": view2, "view2_standard_error": "0.0031"}
        for photos, epochs, seen, view2 in (
            ("1901", "9", "276480", "0.9"), ("37957", "9", "276480", "0.94"), ("37957", "1", "99", "0.9"),
        )
    ]  # fmt: skip
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- scaling: begin -->\nold\n<!-- scaling: end -->\nafter\n", "utf-8")
    monkeypatch.setattr(scaling, "PAGE", page)
    monkeypatch.setattr(scaling, "FIGURES", tmp_path)
    scaling.write_page(found)
    text = page.read_text("utf-8")
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    assert "| 37,957 | 9 | 1 | 92,160 | 276,480 | 0.500 | 0.700 | 0.9400 ± 0.0031 | 0.500 | abc1234 |" in text
    first = (tmp_path / "scaling-steps.svg").read_bytes(), (tmp_path / "scaling-photos.svg").read_bytes()
    scaling.write_page(found)
    again = (tmp_path / "scaling-steps.svg").read_bytes(), (tmp_path / "scaling-photos.svg").read_bytes()
    assert again == first
    assert len(scaling.over_steps(found).axes[0].containers) == 2, "a line for each number of photos"
    found.append({**found[0], "epochs": "90"})
    (line,) = scaling.over_photos(found).axes[0].containers
    assert list(line[0].get_xdata()) == [1901, 37957], "of the length that was tried with both"
    page.write_text("no markers", "utf-8")
    with pytest.raises(SystemExit, match="has no markers"):
        scaling.write_page(found)
