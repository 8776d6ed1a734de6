"""The model that ships: what its card promises, and golden numbers on real photos."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from facealike import Model, People, PeopleOverlap, compare, evaluate_pairs, evaluate_split
from facealike.data import balanced_pairs, listed_pairs, split_of
from facealike.model import identity_hash

ROOT = Path(__file__).parent.parent
PHOTOS = ROOT / "examples" / "photos"
LFW = os.environ.get("FACEALIKE_LFW")
needs_lfw = pytest.mark.skipif(LFW is None, reason="FACEALIKE_LFW is not set")


@pytest.fixture(scope="module")
def model() -> Model:
    return Model.load(threads=1)


@pytest.mark.parametrize(
    ("other", "score", "same"), [("collins.jpg", 0.048, False), ("hopper-turned.jpg", 0.900, True)]
)
def test_golden_scores_of_the_example_photos(model: Model, other: str, score: float, same: bool) -> None:
    result = compare(PHOTOS / "hopper.jpg", PHOTOS / other, model)
    assert result.score == pytest.approx(score, abs=0.01)
    assert result.same is same


def test_the_card_is_whole_and_the_documents_agree_with_it(model: Model) -> None:
    card = model.file.card
    assert set(card.licence) == {"code", "weights", "training_data", "detector"}
    assert "without a licence for commercial use" in card.licence["training_data"]
    assert card.recipe["name"] == "lfw" and card.provenance["seed"] == 1
    text = (ROOT / "docs" / "results.md").read_text("utf-8")
    assert f"{card.metrics['test']['f1']:.3f}" in text and f"{card.metrics['test']['auc']:.3f}" in text
    assert card.provenance["commit"][:7] in text
    assert model.threshold == pytest.approx(card.metrics["test"]["threshold"])


def test_its_calibration_says_what_a_score_means(model: Model) -> None:
    """As docs/results.md tells it: probabilities, named thresholds, how rarely strangers score so high."""
    calibration = model.file.calibration
    assert "calibration people" in calibration.people and calibration.is_uncertain(model.threshold)
    assert [point.fmr for point in calibration.operating_points] == [0.1, 0.01, 0.001, 0.0001]
    low, high = (calibration.probability_of(score) for score in (0.0, 0.9))
    assert low is not None and high is not None and low < 0.05 and high > 0.99


@needs_lfw
def test_the_card_lists_the_training_people_and_nobody_else(model: Model) -> None:
    assert LFW is not None
    card = model.file.card
    listed = set(card.identity_hashes)
    for name in sorted(folder.name for folder in Path(LFW).iterdir()):
        seen = identity_hash(card.identity_salt, name) in listed
        # A training person without a detected face was not trained on.
        assert not seen or split_of(name) == "train", name
    assert len(listed) == card.data["train"]["people"]


@needs_lfw
def test_golden_numbers_on_strangers(model: Model, tmp_path: Path) -> None:
    """Fewer pairs than docs/results.md reports, so that the test stays short; the same people."""
    assert LFW is not None
    result = evaluate_split(model, LFW, "test", limit=400, cache=tmp_path)
    assert result.leaked is False
    assert result.f1 == pytest.approx(0.912, abs=0.03)
    assert result.auc == pytest.approx(0.972, abs=0.02)


@needs_lfw
def test_its_own_training_people_are_refused(model: Model) -> None:
    assert LFW is not None
    people = People.from_folder(LFW).split("train")
    pairs = listed_pairs(people, balanced_pairs(people.labels, 0, 5))
    with pytest.raises(PeopleOverlap, match="took part in the training"):
        evaluate_pairs(model, pairs, "training people")
