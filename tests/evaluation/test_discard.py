"""Error versus discard of a model's photos, against leaving them out by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

import facealike
from facealike import DiscardEvaluator, EvaluationOptions
from facealike.datasets.pair_sampling import balanced_pairs
from facealike.errors import UsageError
from facealike.metrics.verification import confusion
from support.flat_color_model import ColourModel, make_coloured


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """People whose photos differ in contrast, and one photo without a face."""
    folder = make_coloured(tmp_path_factory.mktemp("people"), 40)
    rng = np.random.default_rng(5)
    for photo in sorted(folder.glob("*/*.png"))[:-1]:
        pixels = np.asarray(PillowImage.open(photo)).astype(float)
        noisy = pixels + rng.uniform(0, 120) * rng.normal(0, 1, (*pixels.shape[:2], 1))
        PillowImage.fromarray(np.clip(noisy, 1, 255).astype(np.uint8)).save(photo)
    PillowImage.new("RGB", (12, 12)).save(folder / "Person_39" / "2.png")
    return folder


def test_the_curve_is_that_of_the_photos_left_out_by_hand(root: Path) -> None:
    result = DiscardEvaluator(root, "all", EvaluationOptions(seed=4))(ColourModel())
    assert (result.missing, result.photos) == (1, 120)
    photos = [
        path for path in sorted(root.glob("*/*.png")) if path.parent.name + path.name != "Person_392.png"
    ]
    faces = [ColourModel().faces(path)[0] for path in photos]
    quality = np.array([face.quality.score for face in faces if face.quality is not None])
    assert len(np.unique(quality)) > 20
    labels = np.array([int(path.parent.name[-2:]) for path in photos])
    a, b, same = balanced_pairs(labels, 4)
    vectors = ColourModel().embed_crops(np.stack([face.crop for face in faces]))
    scores = np.sum(vectors[a] * vectors[b], axis=1)
    point = result.points[0]
    assert (point.name, point.curve.threshold) == ("threshold", 0.9)
    assert point.fmr == confusion(scores, same, 0.9).fmr
    lowest = np.minimum(quality[a], quality[b])[same]
    for value in np.quantile(quality, [0, 0.1, 0.5]):
        left = lowest >= value
        expected = float(np.mean(scores[same][left] < 0.9))
        assert point.curve.fnmr_at(float(np.mean(quality < value))) == pytest.approx(expected)
    assert [other.name for other in result.points[1:]] == [], "118 impostor pairs support no FMR of 0.01"


def test_the_result_speaks_json_and_markdown(root: Path) -> None:
    result = DiscardEvaluator(root, "all")(ColourModel())
    told = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert told["protocol"] == "discard" and told["points"][0]["fnmr"]["0.1"]["level"] == 0.95
    assert result.metrics[result.primary] == result.points[0].curve.relative_area.estimate
    assert "FNMR, 10 % left out" in result.to_markdown() and "failure to acquire" in str(result)
    pytest.importorskip("matplotlib")
    assert result.plot().get_title()


def test_a_cache_is_refused_for_it_keeps_no_quality(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="keeps no quality"):
        DiscardEvaluator(tmp_path, options=EvaluationOptions(cache=tmp_path))
    with pytest.raises(UsageError, match="does not use the option skip_missing"):
        DiscardEvaluator(tmp_path, options=EvaluationOptions(skip_missing=True))


def test_a_better_threshold_is_the_callers(root: Path) -> None:
    low = DiscardEvaluator(root, "all", EvaluationOptions(threshold=-1.0))(ColourModel())
    assert low.metrics["fnmr_without@0"] == 0 and facealike.DiscardEvaluation is type(low)
