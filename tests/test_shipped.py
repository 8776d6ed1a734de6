"""The model that ships: what its card promises, and golden numbers on real photos."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from data_paths import needs_data
from facealike import Model, compare, evaluate_split

ROOT = Path(__file__).parent.parent
PHOTOS = ROOT / "examples" / "photos"
LFW = os.environ.get("FACEALIKE_LFW")
needs_lfw = needs_data("FACEALIKE_LFW")


@pytest.fixture(scope="module")
def model() -> Model:
    return Model.load(threads=1)


@pytest.mark.parametrize(
    ("other", "score", "same"), [("collins.jpg", 0.805, False), ("hopper-turned.jpg", 0.991, True)]
)
def test_golden_scores_of_the_example_photos(model: Model, other: str, score: float, same: bool) -> None:
    result = compare(PHOTOS / "hopper.jpg", PHOTOS / other, model)
    assert result.score == pytest.approx(score, abs=0.01)
    assert result.same is same


def test_the_card_is_whole_and_the_documents_agree_with_it(model: Model) -> None:
    card = model.file.card
    assert set(card.licence) == {"code", "weights", "training_data", "detector"}
    assert all(card.licences[part].commercial for part in ("code", "weights", "training_data"))
    assert card.recipe["name"] == "distilled-further" and "dlib" in card.provenance["teacher"]
    text = (ROOT / "docs" / "results.md").read_text("utf-8")
    view2 = card.metrics["lfw-view2"]
    assert f"{view2['accuracy']:.4f} ± {view2['standard_error']:.4f}" in text
    assert f"{card.metrics['test']['f1']:.3f}" in text and f"{card.metrics['test']['auc']:.3f}" in text
    assert card.provenance["commit"][:7] in text
    assert model.threshold == pytest.approx(card.metrics["test"]["threshold"])
    assert card.metrics["groups"] and "children" in card.limits


def test_it_knows_nobody_of_lfw_and_no_place_of_the_machine_that_made_it(model: Model) -> None:
    card = model.file.card
    assert card.identity_hashes == ()
    words = str(card.provenance["command"]).split()
    assert not any(word.startswith("/") for word in words)


def test_it_is_small(model: Model) -> None:
    assert len(model.file.to_bytes()) <= 3_200_000


def test_its_calibration_says_what_a_score_means(model: Model) -> None:
    """As docs/results.md tells it: probabilities, named thresholds, how rarely strangers score so high."""
    calibration = model.file.calibration
    assert "calibration people" in calibration.people and calibration.pairs == 2_000_000
    # Issue 19 A5: the threshold comes from elsewhere, and says so.
    assert calibration.threshold_from == "780 pairs of 0-2 in every other photo of val.csv"
    assert "on 780 pairs of 0-2" in str(calibration) and "4,904 calibration people" in str(calibration)
    assert calibration.band is not None
    assert [point.fmr for point in calibration.operating_points] == [0.1, 0.01, 0.001, 0.0001, 1e-05]
    low, high = (calibration.probability_of(score) for score in (0.7, 0.95))
    assert low is not None and high is not None and low < 0.05 and high > 0.98


@needs_lfw
def test_golden_numbers_on_strangers(model: Model, tmp_path: Path) -> None:
    """Fewer pairs than docs/results.md reports, so that the test stays short; the same people."""
    assert LFW is not None
    result = evaluate_split(model, LFW, "test", limit=400, cache=tmp_path)
    assert result.leaked is None  # nobody has named the people of FairFace
    assert result.f1 == pytest.approx(0.963, abs=0.03)
    assert result.auc == pytest.approx(0.994, abs=0.01)
