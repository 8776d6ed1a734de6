"""Groups of photos against the folders of people they come from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from facealike import ClusteringEvaluator, EvaluationOptions, Model
from facealike.errors import UsageError
from support.data_paths import data_path, needs_data
from support.faces_in_color import BLUE, GREEN, RED, ColorFaces, save_photo


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, color in (("Ann", RED), ("Bob", GREEN), ("Cid", BLUE), ("Dan", RED)):
        for number in range(3):
            shifted = (color[0], color[1], min(255, color[2] + number + (10 if name == "Dan" else 0)))
            save_photo(tmp_path / name / f"{number}.png", shifted)
    return tmp_path


def test_counts_groups_against_people(root: Path) -> None:
    result = ClusteringEvaluator(root, "all", EvaluationOptions(allow_overlap=True))(ColorFaces())
    found = result.at.agreement
    assert (found.faces, found.people, found.clusters) == (12, 4, 3), "two people have one color"
    assert found.bcubed_recall == 1 and found.bcubed_precision == pytest.approx(0.75)
    assert result.bcubed_f1.low <= found.bcubed_f1 <= result.bcubed_f1.high
    assert result.metrics["bcubed_f1"] == found.bcubed_f1 and result.primary in result.metrics
    assert [point.threshold for point in result.points] == sorted(point.threshold for point in result.points)
    json.dumps(result.to_dict())
    assert result.to_markdown().count("\n| ") == len(result.points) + 2
    assert "12 faces of 4 people" in str(result)


def test_draws_its_curves(root: Path) -> None:
    pytest.importorskip("matplotlib")
    result = ClusteringEvaluator(root, "all", EvaluationOptions(allow_overlap=True))(ColorFaces())
    assert len(result.plot().lines) == 3


def test_takes_a_threshold_and_refuses_options_without_use(root: Path) -> None:
    options = EvaluationOptions(allow_overlap=True, threshold=-1.0)
    result = ClusteringEvaluator(root, "all", options)(ColorFaces())
    assert result.at.agreement.clusters == 1 and result.at.fmr is None
    with pytest.raises(UsageError, match="does not use the option skip_missing"):
        ClusteringEvaluator(root, "all", EvaluationOptions(skip_missing=True))


@needs_data("FACEALIKE_LFW")
def test_groups_people_of_lfw(tmp_path: Path) -> None:
    for name in ("Abdullah_Gul", "Hugo_Chavez", "Laura_Bush"):
        (tmp_path / name).mkdir()
        for path in sorted((Path(data_path("FACEALIKE_LFW")) / name).iterdir())[:6]:
            (tmp_path / name / path.name).symlink_to(path)
    options = EvaluationOptions(face="central", allow_overlap=True)
    found = ClusteringEvaluator(tmp_path, "all", options)(Model.load()).at.agreement
    assert found.faces == 18 and found.precision > 0.9 and found.bcubed_f1 > 0.6
