"""``compare``: the steps by hand give the same score, and each photo's face is accounted for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

import facealike
from facealike.calibration.calibration import Calibration
from facealike.calibration.operating_points import OperatingPoint
from facealike.calibration.probability import Platt
from facealike.detection.dlib_hog import DlibDetector
from facealike.detection.select import select_faces
from facealike.embedding.face_model import Model
from facealike.errors import ImageNotFound, ModelError, NoFaceFound, SeveralFaces, UsageError
from facealike.utils.wording import in_percent, rule_in_words
from facealike.verification.compare import compare
from facealike.verification.result import Comparison
from facealike.verification.wording import how_rare, in_digits
from support.tiny_model import astronaut, hopper_path, tiny_model_file


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(tiny_model_file(), device="cpu")


def crowd() -> Any:
    """A large face and, to its right, a smaller one."""
    small = np.asarray(PillowImage.fromarray(astronaut()).resize((400, 400)))
    canvas = np.full((512, 790, 3), 255, np.uint8)
    canvas[:, :390] = astronaut()[:, :390]
    canvas[:400, 390:] = small
    return canvas


def test_the_score_is_the_cosine_of_the_two_embeddings(model: Model) -> None:
    result = compare(astronaut(), hopper_path(), model)
    a, b = model.embed([astronaut(), hopper_path()]).astype(np.float64)
    slow = sum(x * y for x, y in zip(a, b, strict=True))
    assert result.score == pytest.approx(slow, abs=1e-6)
    assert isinstance(result, Comparison) and result.model == model.id and result.device == "cpu"
    assert result.faces[0] == DlibDetector().detect(astronaut())[0]
    assert result.found == (1, 1)


def test_a_photo_is_most_like_itself_and_order_does_not_matter(model: Model) -> None:
    assert compare(astronaut(), astronaut(), model).score == pytest.approx(1, abs=1e-6)
    there, back = compare(astronaut(), hopper_path(), model), compare(hopper_path(), astronaut(), model)
    assert there.score == pytest.approx(back.score, abs=1e-6)
    assert there.faces == back.faces[::-1]


def test_the_threshold_is_the_models_own_or_the_callers(model: Model) -> None:
    result = compare(astronaut(), hopper_path(), model)
    assert result.threshold == model.threshold == 0.9
    assert compare(astronaut(), hopper_path(), model, threshold=-1).same
    assert not compare(astronaut(), hopper_path(), model, threshold=1).same
    for threshold in (1.5, -2.0, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="between -1 and 1"):
            compare(astronaut(), hopper_path(), model, threshold=threshold)


def test_the_policy_chooses_the_face_and_the_count_is_told(model: Model) -> None:
    faces = DlibDetector().detect(crowd())
    assert len(faces) >= 2 and select_faces(faces, "largest", ()) != select_faces(
        faces, "central", (512, 790)
    )
    for policy in ("largest", "central"):
        result = compare(crowd(), astronaut(), model, face=policy)  # type: ignore[arg-type]
        assert result.faces[0] == select_faces(faces, policy, crowd().shape)[0]  # type: ignore[arg-type]
        assert result.found == (len(faces), 1)
    with pytest.raises(SeveralFaces, match=f"the second photo: {len(faces)} faces"):
        compare(astronaut(), crowd(), model, face="only")
    with pytest.raises(UsageError, match="'all'"):
        compare(astronaut(), astronaut(), model, face="all")


def test_errors_name_the_photo(model: Model, tmp_path: Path) -> None:
    grey = np.full((90, 90, 3), 128, np.uint8)
    with pytest.raises(NoFaceFound, match="the first photo: no face found"):
        compare(grey, astronaut(), model)
    with pytest.raises(ImageNotFound, match=r"gone\.jpg"):
        compare(astronaut(), tmp_path / "gone.jpg", model)
    with pytest.raises(ModelError, match=r"gone\.facealike"):
        compare(astronaut(), astronaut(), tmp_path / "gone.facealike")


def test_aligned_photos_need_no_face(model: Model) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    result = compare(noise, noise, model, aligned=True)
    assert result.faces == (None, None) and result.found == (None, None)
    assert result.score == pytest.approx(1, abs=1e-6)
    assert "detect" not in result.milliseconds


def test_time_is_told_by_step(model: Model, tmp_path: Path) -> None:
    held = compare(astronaut(), hopper_path(), model).milliseconds
    assert set(held) == {"read", "detect", "quality", "align", "embed", "total"}
    assert sum(held.values()) <= 2 * held["total"] and min(held.values()) > 0
    model.file.write(tmp_path / "a.facealike")
    loaded = compare(astronaut(), hopper_path(), str(tmp_path / "a.facealike"), device="cpu")
    assert set(loaded.milliseconds) == {"load", *held}
    assert loaded.score == compare(astronaut(), hopper_path(), model).score


def test_the_result_is_ready_for_json(model: Model) -> None:
    result = compare(astronaut(), hopper_path(), model)
    told = json.loads(json.dumps(result.to_dict()))
    assert told["verdict"] == "different" and told["faces_found"] == [1, 1]
    assert told["score"] == pytest.approx(result.score, abs=1e-6)
    assert str(result).startswith("different people (no probability")


# ---- what a score means -----------------------------------------------------------------------


# Where the band of 0.8 begins for the astronaut beside Hopper, the scan of a film.
BELOW_GRAIN = pytest.approx(0.786315, abs=1e-4)


@pytest.fixture(scope="module")
def calibrated() -> Model:
    """The tiny model with a calibration: uncertain from 0.8 to 0.95."""
    calibration = Calibration(
        0.9, "best F1 on balanced pairs", "people", 100, {}, (0.8, 0.95), Platt(10.0, -9.0).to_dict(),
        (OperatingPoint(0.01, 0.97, 0.005, 0.02, 0.4, 1000, (0.96, 0.99)),),
        ((-1.0, 1.0), (0.5, 0.1), (0.99, 0.01)),
    )  # fmt: skip
    return Model(replace(tiny_model_file(), calibration=calibration), device="cpu")


def test_a_calibrated_model_tells_the_probability_and_the_rarity(calibrated: Model) -> None:
    result = compare(astronaut(), hopper_path(), calibrated)
    even = 1 / (1 + np.exp(9 - 10 * result.score))
    assert result.probability == pytest.approx(even) and result.prior == 0.5
    rare = compare(astronaut(), hopper_path(), calibrated, prior=0.01)
    assert rare.probability == pytest.approx(0.01 * even / (0.01 * even + 0.99 * (1 - even)))
    assert rare.same == result.same and rare.fmr == result.fmr == calibrated.calibration.fmr_of(result.score)
    # The scan of a film has some grain, which moves the edge of 0.8 a little.
    assert result.threshold_from == "best F1 on balanced pairs" and result.band == (BELOW_GRAIN, 0.95)
    itself = compare(astronaut(), astronaut(), calibrated)
    assert itself.fmr_is_bound and itself.fmr == pytest.approx(0.01) and not itself.uncertain
    assert itself.widening == (0, 0) and itself.band == (0.8, 0.95)


def test_an_fmr_looks_up_its_threshold(calibrated: Model) -> None:
    result = compare(astronaut(), hopper_path(), calibrated, fmr=0.01)
    assert (result.threshold, result.threshold_from) == (0.97, "FMR 0.01")
    assert result.band == (pytest.approx(0.945653, abs=1e-4), 0.99)
    assert compare(astronaut(), astronaut(), calibrated, fmr=0.01).band == (0.96, 0.99)
    with pytest.raises(UsageError, match=r"those it has are 0\.01"):
        compare(astronaut(), hopper_path(), calibrated, fmr=0.001)
    with pytest.raises(UsageError, match="not both"):
        compare(astronaut(), hopper_path(), calibrated, threshold=0.1, fmr=0.01)
    own = compare(astronaut(), hopper_path(), calibrated, threshold=0.1)
    assert (own.threshold_from, own.band, own.uncertain) == ("the caller", None, False)


def test_a_model_without_a_calibration_says_so(model: Model) -> None:
    result = compare(astronaut(), hopper_path(), model)
    assert result.probability is None and result.fmr is None and not result.uncertain
    assert result.lines() == (
        "different people (no probability; facealike calibrate fits it)",
        "the error rates at this threshold are not known; facealike calibrate measures them",
        f"score {result.score:.3f}, threshold 0.900 (best F1)",
    )
    with pytest.raises(UsageError, match="see facealike calibrate"):
        compare(astronaut(), hopper_path(), model, fmr=0.01)
    for prior in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(UsageError, match="prior"):
            compare(astronaut(), hopper_path(), model, prior=prior)


def told(score: float, **changes: Any) -> Comparison:
    known: dict[str, Any] = {
        "threshold": 0.236, "faces": (None, None), "model": "m", "device": "cpu",
        "band": (0.2, 0.26), "probability": 0.93, "fmr": 1 / 140,
    }  # fmt: skip
    return Comparison(score=score, **{**known, **changes})


def test_the_lines_begin_with_the_verdict_and_its_probability_then_the_operating_point() -> None:
    """Issue 19 D4."""
    at = {"threshold_fmr": 0.001, "threshold_fnmr": (0.034, 0.034), "threshold_from": "FMR 0.001"}
    assert told(0.41, **at).lines() == (
        "same person (match probability 0.93, if half of all pairs match)",
        "threshold at FMR 0.1 %, misses about 3.4 % of genuine pairs (calibration people)",
        "score 0.410, threshold 0.236",
        "rare among different people: about 1 pair in 140 scores this high",
    )
    rule = "FMR 0.1 in the worst group of every other photo of val.csv: Black, Male, 3-9"
    poor = {"probability": 0.47, "prior": 0.3, "fmr": 0.31, "widening": (0.01, 0.0)}
    bounded = {"threshold_fmr": 0.0249, "threshold_fnmr": (0.0048, 0.042), "threshold_from": rule,
               "threshold_rates_of": "4,904 calibration people of lfw"}  # fmt: skip
    assert told(0.25, **poor, **bounded).lines() == (
        "same person, uncertain (match probability 0.47, if 30 % of all pairs match)",
        "threshold at FMR 2.5 %, misses 0.48-4.2 % of genuine pairs (4,904 calibration people of lfw)",
        "score 0.250, threshold 0.236 (FMR 10 % in the worst group: Black, Male, 3-9): the threshold decides",
        "other people to calibrate on, or better photos, could move the threshold to 0.200-0.260",
        "common among different people: about 3 pairs in 10 score this high or higher",
    )
    assert told(-0.2, probability=1e-9, prior=0.001, fmr=0.99, threshold_fmr=1e-5,
                threshold_fmr_is_bound=True).lines() == (
        "different people (match probability below 0.001, if 1 pair in 1,000 matches)",
        "threshold at FMR below 0.001 % (calibration people)",
        "score -0.200, threshold 0.236 (given by you)",
        "common among different people: almost every pair scores this high or higher",
    )  # fmt: skip
    assert "fewer than 1 pair in 5,500 " in str(told(0.9, fmr=1 / 5534, fmr_is_bound=True))
    assert "among" not in str(told(0.9, fmr=None)) and "above 0.999" in str(told(0.9, probability=1.0))
    assert str(told(0.41)) == "; ".join(told(0.41).lines())


@pytest.mark.parametrize("fmr", [1.0, 0.8, 0.2, 0.15, 0.149, 0.05])
def test_a_frequent_score_is_not_worded_as_support_for_a_match(fmr: float) -> None:
    """Issue 19 D4: "about 2 strangers in 10 would score this high" read as evidence for one person."""
    assert how_rare(fmr).startswith("common among different people: ")
    assert how_rare(fmr / 21).startswith(("uncommon among", "rare among"))


def test_the_rates_at_the_threshold_come_from_the_calibration(calibrated: Model) -> None:
    """Issue 19 D4: known at a measured threshold, bounded between two, else nothing is said."""
    at = compare(astronaut(), hopper_path(), calibrated, fmr=0.01)
    assert (at.threshold_fmr, at.threshold_fnmr, at.threshold_fmr_is_bound) == (0.01, (0.4, 0.4), False)
    own = compare(astronaut(), hopper_path(), calibrated)
    assert own.threshold_fmr == calibrated.calibration.fmr_of(0.9) and own.threshold_fnmr is None
    known = replace(calibrated.calibration, metrics={"fnmr": 0.1})
    assert known.fnmr_between(0.9) == (0.1, 0.1) and known.fnmr_between(0.95) == (0.1, 0.4)
    assert known.fnmr_between(0.89) is None and known.fnmr_between(0.98) is None
    assert json.loads(json.dumps(at.to_dict()))["threshold_fnmr"] == [0.4, 0.4]


def test_the_rates_at_the_threshold_name_the_people_they_were_measured_on(calibrated: Model) -> None:
    """Issue 19 A13: "(calibration people)" did not say whose; the threshold may come from others."""
    known = replace(
        calibrated.calibration, people="31 calibration people of ours", threshold_people="2 others",
        threshold_pairs=4,
    )  # fmt: skip
    model = Model(replace(calibrated.file, calibration=known), device="cpu")
    for result in (
        compare(astronaut(), astronaut(), model, fmr=0.01),
        compare(astronaut(), astronaut(), model),
    ):
        assert result.lines()[1].endswith("(31 calibration people of ours)")
        assert result.to_dict()["threshold_rates_of"] == "31 calibration people of ours"
    unknown = Model(replace(calibrated.file, calibration=Calibration.none()), device="cpu")
    assert compare(astronaut(), astronaut(), unknown, threshold=0.5).threshold_rates_of is None


def test_where_the_threshold_comes_from_is_readable_in_the_result_too(calibrated: Model) -> None:
    """Issue 19 D4: ``threshold_from`` named the list that the worst group was of."""
    rule = "FMR 0.1 in the worst group of every other photo of val.csv: 0-2"
    worst = replace(calibrated.file, calibration=replace(calibrated.calibration, rule=rule))
    result = compare(astronaut(), astronaut(), Model(worst, device="cpu"))
    assert result.threshold_from == "FMR 10 % in the worst group: 0-2"
    assert f"({result.threshold_from})" in result.lines()[2]


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (1.0, "100"),
        (0.996, "100"),
        (0.92, "92"),
        (0.0949, "9.5"),
        (0.001, "0.1"),
        (1e-6, "0.0001"),
        (0.0, "0"),
    ],
)
def test_a_rate_in_percent_has_two_digits(rate: float, text: str) -> None:
    assert in_percent(rate) == text


def test_a_rule_is_told_in_words() -> None:
    """Issue 19 D4: the rule of the default model was shown as it is stored."""
    assert rule_in_words("FMR 0.001") == "FMR 0.1 %"
    long = "FMR 0.1 in the worst group of every other photo of val.csv: 0-2"
    assert rule_in_words(long) == "FMR 10 % in the worst group: 0-2"
    assert rule_in_words("best F1 on balanced pairs") == "best F1 on balanced pairs"


@pytest.mark.parametrize("score", [0.199, 0.2, 0.235, 0.236, 0.2599, 0.26])
def test_uncertain_is_a_score_within_the_band(score: float) -> None:
    result = told(score)
    assert result.uncertain == (0.2 <= score < 0.26) == result.to_dict()["uncertain"]
    assert result.same == (score >= 0.236) and not told(score, band=None).uncertain
    assert ("uncertain" in str(result)) == result.uncertain


@pytest.mark.parametrize(
    ("fmr", "words"),
    [
        (1.0, "almost every pair"), (0.951, "almost every"), (0.949, "about 9 pairs in 10"),
        (0.5, "about 5 pairs in 10"), (0.15, "about 2 pairs in 10"), (0.149, "about 1 pair in 7"),
        (0.1, "1 pair in 10 "), (1 / 99.6, "in 100 "), (1 / 144, "in 140 "), (1 / 146, "in 150 "),
        (1 / 98_765, "in 99,000 "), (1e-6, "in 1,000,000 "),
    ],
)  # fmt: skip
def test_a_rate_in_words_has_two_digits(fmr: float, words: str) -> None:
    assert words in how_rare(fmr)


@pytest.mark.parametrize(
    ("probability", "digits"),
    [
        (0.0, "below 0.001"), (0.0009, "below 0.001"), (0.0012, "0.001"), (0.0099, "0.010"), (0.01, "0.01"),
        (0.426, "0.43"), (0.99, "0.99"), (0.991, "0.991"), (0.9991, "above 0.999"), (1.0, "above 0.999"),
    ],
)  # fmt: skip
def test_a_probability_is_never_told_as_certain(probability: float, digits: str) -> None:
    assert in_digits(probability) == digits


def test_a_comparison_checks_its_shares() -> None:
    for name, value in (("probability", 1.5), ("probability", float("nan")), ("fmr", -0.1)):
        with pytest.raises(UsageError, match=name):
            told(0.5, **{name: value})


def test_json_has_everything_the_sentence_has(calibrated: Model) -> None:
    result = compare(astronaut(), hopper_path(), calibrated, prior=0.2)
    entries = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert entries["probability"] == result.probability and entries["prior"] == 0.2
    assert entries["fmr"] == result.fmr and entries["fmr_is_bound"] is False
    assert entries["band"] == [BELOW_GRAIN, 0.95] and entries["uncertain"] == result.uncertain
    itself = compare(astronaut(), astronaut(), calibrated)
    assert json.loads(json.dumps(itself.to_dict()))["band"] == [0.8, 0.95]
    assert entries["threshold_from"] == "best F1 on balanced pairs"


def test_the_package_offers_the_function_whatever_was_imported_first() -> None:
    assert facealike.compare is compare
    assert isinstance(
        facealike.compare(astronaut(), astronaut(), Model(tiny_model_file())), facealike.Comparison
    )
