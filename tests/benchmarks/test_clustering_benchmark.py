"""What the benchmark of groupings compares, where the right groups are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facealike.clustering.faces import photo_faces
from facealike.datasets.people import People
from facealike.metrics.clustering import cluster_agreement
from support.faces_in_color import BLUE, GREEN, RED, ColorFaces, save_photo
from support.load_benchmark import load, needs_benchmarks

pytestmark = needs_benchmarks


@pytest.fixture(scope="module")
def module() -> Any:
    return load("accuracy.clustering")


def test_each_method_finds_people_that_are_far_apart(module: Any) -> None:
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(0)
    true = np.repeat(np.arange(6), 5)
    vectors = np.eye(6)[true] + rng.normal(0, 0.05, (30, 6))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    for labels in (
        module.components(vectors, 0.8),
        module.whispers(vectors, 0.8),
        module.hdbscan(vectors),
    ):
        assert cluster_agreement(labels, true).bcubed_f1 == 1


def test_the_named_face_is_the_one_in_the_middle(module: Any, tmp_path: Path) -> None:
    photos = [save_photo(tmp_path / "1.png", RED, GREEN, BLUE), save_photo(tmp_path / "2.png", BLUE)]
    found = photo_faces(ColorFaces(), [str(photo) for photo in photos], "all", None)
    assert module.named_faces(found.faces).tolist() == [1, 3]


def test_rows_have_the_figures_of_every_method(module: Any, tmp_path: Path) -> None:
    for name, color in (("Ann", RED), ("Bob", GREEN)):
        for number in range(2):
            save_photo(tmp_path / name / f"{number}.png", color)
    rows = list(module.measure(ColorFaces(), People.from_folder(tmp_path), None, slow=False))
    assert {row["method"] for row in rows} == {"default", "continued", "average", "named", "components"}
    assert all(row["faces"] == 4 and row["clusters"] == 2 and row["f1"] == "1.0000" for row in rows)
