"""What benchmarks/accuracy/detector.py reports, on drawn faces where the right answer is known."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from facealike.types import Box, Face, Image
from support.drawn_faces import SquareTeacher, made_sources, photo, write_photos
from support.load_benchmark import RESULTS, load, needs_benchmarks

pytestmark = needs_benchmarks


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    return load("accuracy.detector")


class Off(SquareTeacher):
    """Finds the face, its landmarks a tenth of the eyes' distance to the right, and one that is none."""

    def detect(self, image: Image) -> list[Face]:
        faces = super().detect(image)
        if not faces:
            return []
        points = np.array(faces[0].landmarks)
        points += [0.1 * np.linalg.norm(points[1] - points[0]), 0]
        ghost = Face(Box(0.0, 0.0, 8.0, 8.0), 0.95, faces[0].landmarks)
        return [ghost, replace(faces[0], landmarks=tuple((x, y) for x, y in points.tolist()))]


class Blind(SquareTeacher):
    def detect(self, image: Image) -> list[Face]:
        return []


def values(rows: list[Any]) -> dict[tuple[str, str, str], float]:
    return {row[:3]: row[4] for row in rows}


def test_photos(bench: ModuleType, tmp_path: Path) -> None:
    paths, teacher = write_photos(tmp_path, 250, 3, 80), SquareTeacher()
    same = values(bench.photos(paths, teacher, teacher, teacher))
    assert same["ours", "recall", "photos"] == same["ours", "right", "largest"] == 1
    assert same["ours", "landmarks", "photos"] == 0 and same["ours", "extra", "photos"] == 0
    off = values(bench.photos(paths, Off(), teacher, teacher))
    assert off["ours", "recall", "photos"] == off["ours", "right", "central"] == 1
    assert off["ours", "landmarks", "photos"] == pytest.approx(0.1)
    assert off["ours", "steady", "photos"] == pytest.approx(0.1, abs=0.02)
    assert off["yunet", "steady", "photos"] < 0.02
    assert off["ours", "extra", "photos"] == 1
    assert values(bench.photos(paths, Blind(), teacher, teacher))["ours", "recall", "photos"] == 0


def test_chips_count_what_the_reference_does_not_see(bench: ModuleType, tmp_path: Path) -> None:
    paths = write_photos(tmp_path, 144, 2, 80)
    found = values(bench.chips(paths, Off(), SquareTeacher()))
    assert found["ours", "recall", "chips"] == 1
    assert found["ours", "landmarks", "chips"] == pytest.approx(0.1)
    assert values(bench.chips(paths, Off(), Blind()))["yunet", "none", "chips"] == 1


def test_false_alarms_are_faces_where_none_is(bench: ModuleType, tmp_path: Path) -> None:
    class Everywhere(SquareTeacher):
        def detect(self, image: Image) -> list[Face]:
            return [Face(Box(0.0, 0.0, 8.0, 8.0), 0.9, ((1.0, 1.0),) * 5)] * 2

    sources = made_sources(tmp_path)
    rows = values(bench.false_alarms(sources, 3, 0, Everywhere(), Blind()))
    assert rows["ours", "false", "scenes"] == 2 and rows["yunet", "false", "scenes"] == 0


def test_curves_place_the_face_where_the_truth_is(bench: ModuleType, tmp_path: Path) -> None:
    paths = write_photos(tmp_path, 250, 1, 80)
    rows = values(bench.curves(paths, SquareTeacher(), SquareTeacher(), rolls=(-10, 0), sizes=(60, 100)))
    for size in ("60", "100"):
        assert rows["ours", "recall by size", size] == 1
        assert rows["ours", "landmarks by size", size] < 0.03
    assert rows["ours", "landmarks by roll", "-10"] < 0.05
    assert rows["ours", "recall by roll", "0"] == 1


def test_placed_is_the_identity_where_nothing_moves(bench: ModuleType) -> None:
    image = photo(250, 90, 70, 60)
    np.testing.assert_array_equal(bench.placed(image, np.eye(2, 3))[:250, :250], image)


def test_rows_have_the_columns_of_the_file(bench: ModuleType) -> None:
    detectors = {
        name: SimpleNamespace(weights=name.encode(), min_confidence=0.5) for name in ("ours", "yunet")
    }
    rows = [("ours", "recall", "photos", 9, 0.123456), ("yunet", "recall", "photos", 9, 1.0)]
    ours, yunet = bench.csv_rows(rows, detectors, 7)
    with (RESULTS / "detector.csv").open(newline="") as file:
        assert list(ours) == list(yunet) == next(csv.reader(file))
    assert (ours["seed"], ours["n"], ours["value"], yunet["value"]) == (7, 9, "0.12346", "1.00000")
    assert ours["sha256"] != yunet["sha256"] and len(ours["sha256"]) == 12
