"""The model that ships: what its card promises, and golden numbers on real photos.

The golden numbers are in ``tests/golden/default_model.json``; ``python -m benchmarks.default_model.golden``
writes them when the model is replaced.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from benchmarks.default_model.golden import GOLDEN, example_scores, few_test_people
from facealike import Model, compare, evaluate_split
from facealike.datasets.splits import Split, split_of
from facealike.detection.face_policy import LFW_FACE
from facealike.errors import PeopleOverlap
from support.data_paths import needs_data
from support.paths import ROOT

PHOTOS = ROOT / "examples" / "photos"
LFW = os.environ.get("FACEALIKE_LFW")
needs_lfw = needs_data("FACEALIKE_LFW")
NUMBERS = json.loads(GOLDEN.read_text("utf-8"))


@pytest.fixture(scope="module")
def model() -> Model:
    return Model.load(threads=1)


def test_the_golden_numbers_are_of_this_model(model: Model) -> None:
    assert NUMBERS["model"] == model.id, "run python -m benchmarks.default_model.golden LFW --write"


def test_golden_scores_of_the_example_photos(model: Model) -> None:
    """Another processor may round differently: within 0.003."""
    assert example_scores(model) == pytest.approx(NUMBERS["example_scores"], abs=0.003)


@pytest.mark.parametrize(("other", "same"), [("collins.jpg", False), ("hopper-turned.jpg", True)])
def test_the_verdicts_on_the_example_photos_are_right(model: Model, other: str, same: bool) -> None:
    assert compare(PHOTOS / "hopper.jpg", PHOTOS / other, model).same is same


def test_the_page_of_the_weights_names_this_file() -> None:
    weights = ROOT / "src" / "facealike" / "weights"
    digest = hashlib.sha256((weights / "default.facealike").read_bytes()).hexdigest()
    assert digest in (weights / "README.md").read_text("utf-8")


def test_the_card_is_whole_and_the_documents_agree_with_it(model: Model) -> None:
    card = model.file.card
    assert set(card.licence) == {"code", "weights", "training_data", "detector"}
    assert all(card.licences[part].commercial for part in ("code", "weights", "training_data"))
    assert set(card.provenance["teachers"]) == {"sface", "retail-0095"}
    assert "dlib" in card.provenance["initialisation"]
    text = (ROOT / "docs" / "results" / "default-model.md").read_text("utf-8")
    view2 = card.metrics["lfw-view2"]
    assert f"{view2['accuracy']:.4f} ± {view2['standard_error']:.4f}" in text
    assert f"{card.metrics['test']['f1']:.3f}" in text and f"{card.metrics['test']['auc']:.3f}" in text
    assert card.provenance["commit"][:7] in text
    assert model.threshold == pytest.approx(card.metrics["test"]["threshold"])
    assert card.metrics["groups"] and "children" in card.limits


def test_the_card_and_the_readme_name_what_each_part_saw(model: Model) -> None:
    """Issue 19 E and F: "has seen nobody of LFW" held for the embedder alone."""
    card = model.file.card
    seen = card.data["seen"]
    assert set(seen) == {"embedder", "cohort", "detector", "probabilities", "threshold", "quality"}
    assert seen["embedder"].startswith(f"{card.data['photos']:,} training photos of FairFace")
    assert seen["cohort"].startswith(str(card.provenance["cohort"]).split()[0])
    words = ("training people of LFW", "FairFace", "wallpapers", "YuNet")
    assert all(word in seen["detector"] for word in words)
    assert seen["probabilities"].startswith("4,903 people of LFW")
    assert seen["threshold"] == model.file.calibration.threshold_from
    assert "validation and calibration people" in seen["quality"]
    assert "LFW is not new to every part" in card.limits and "in-domain" in card.limits
    kinds = card.metrics["groups"]["spread"].values()
    rate, low, high = max(kind["worst_fmr"] for kind in kinds)
    assert f"[{100 * low:.1f}, {100 * high:.1f}]" in card.limits
    readme = " ".join((ROOT / "README.md").read_text("utf-8").split())
    assert f"{100 * rate:.1f} % [{100 * low:.1f}, {100 * high:.1f}]" in readme
    assert "seen nobody of LFW" not in readme
    test = card.metrics["test"]
    for rate in ("fmr", "fnmr"):
        interval = test["intervals"][rate]
        told = f"{100 * test[rate]:.1f} % [{100 * interval['low']:.1f}, {100 * interval['high']:.1f}]"
        assert f"{rate.upper()} {told}" in readme or f"{rate.upper()} is {told}" in readme


def test_no_place_of_the_machine_that_made_it_is_on_the_card(model: Model) -> None:
    words = str(model.file.card.provenance["command"]).split()
    assert not any(word.startswith("/") for word in words)


def test_it_records_who_calibrated_it(model: Model) -> None:
    """Issue 19 A11: 8 bytes for each person and each photo; nobody is named."""
    (record,) = model.file.calibration.seen
    assert (record.people_count, record.photo_count) == (4_904, 11_460)
    assert model.file.calibration.people.startswith("4,903 "), "of one person no face is found"
    # Names of LFW; their split follows from the name alone.
    for name, split in (("George_W_Bush", "train"), ("Aaron_Sorkin", "test")):
        assert split_of(name) == split
        assert record.knows_person(name) is (split != "test")


@needs_lfw
@pytest.mark.parametrize("split", ["validation", "calibration"])
def test_it_is_not_evaluated_on_the_people_who_calibrated_it(model: Model, split: Split) -> None:
    """Issue 19 A11 and E."""
    assert LFW is not None
    with pytest.raises(PeopleOverlap, match="gave this model its threshold and its probabilities"):
        evaluate_split(model, LFW, split)


def test_it_is_small(model: Model) -> None:
    """The network and the digests of its calibration people; the most that is allowed is 10 MB."""
    assert len(model.file.to_bytes()) <= 10_000_000


def test_it_records_which_face_it_was_calibrated_on(model: Model) -> None:
    """Issue 19 A9: LFW's central face; nobody else decided about the threshold."""
    assert model.calibration.face == LFW_FACE
    assert model.calibration.threshold_face is None and model.calibration.threshold_people is None


def test_its_calibration_says_what_a_score_means(model: Model) -> None:
    """As docs/results has it: probabilities, named thresholds, how rarely impostors score so high."""
    calibration = model.file.calibration
    assert "calibration people" in calibration.people and calibration.pairs == 2_000_000
    assert calibration.rule == "FMR 0.001"
    assert calibration.threshold_from.startswith("2,000,000 pairs of 4,903")
    assert "4,903 calibration people" in str(calibration)
    assert calibration.band is not None
    assert [point.fmr for point in calibration.operating_points] == [0.1, 0.01, 0.001, 0.0001, 1e-05]
    usual = calibration.typical_impostor
    assert usual is not None
    low, high = map(calibration.probability_of, (usual, calibration.operating_points[-1].threshold))
    assert low is not None and high is not None and low < 0.01 and high > 0.98


@needs_lfw
def test_golden_numbers_of_few_test_people(model: Model, tmp_path: Path) -> None:
    """As many pairs as make a short test; 0.01 are eight of them."""
    assert LFW is not None
    assert few_test_people(model, Path(LFW), tmp_path) == pytest.approx(NUMBERS["few_test_people"], abs=0.01)


@needs_lfw
def test_nobody_has_named_the_people_of_its_training(model: Model, tmp_path: Path) -> None:
    assert LFW is not None
    assert evaluate_split(model, LFW, "test", limit=4, face=LFW_FACE, cache=tmp_path).leaked is None
