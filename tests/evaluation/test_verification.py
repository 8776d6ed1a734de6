"""Evaluation: honest numbers, on a stand-in model whose faces are flat colours."""

from __future__ import annotations

import json
import sys
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from facealike.datasets.pair_sampling import balanced_pairs
from facealike.datasets.splits import split_of
from facealike.detection.yunet import YuNetDetector
from facealike.embedding.face_model import Model
from facealike.errors import DataError, MissingExtra, NoFaceFound, PeopleOverlap, SeveralFaces, UsageError
from facealike.evaluation.verification import evaluate_pairs, evaluate_split
from facealike.evaluation.verification_result import FAILURE_SCORE, Evaluation
from facealike.evaluation.verification_table import table_markdown
from facealike.imaging.photo_warning import PhotoWarning
from facealike.metrics.bootstrap import pair_intervals
from facealike.metrics.verification import auc, confusion
from facealike.types import Pair
from support.data_paths import data_path
from support.flat_color_model import ColourModel, make_coloured
from support.tiny_model import tiny_model_file


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_coloured(tmp_path_factory.mktemp("people"))


@pytest.fixture
def hidden(root: Path, tmp_path: Path) -> list[Pair]:
    """Four pairs; the second photo of Ann shows no face."""
    photos = {"Ann/1": (200, 10, 10), "Ann/2": (0, 0, 0), "Bob/1": (10, 200, 10), "Bob/2": (12, 190, 9)}
    for name, rgb in photos.items():
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        PillowImage.new("RGB", (12, 12), rgb).save(path)
    at = {name: str(tmp_path / f"{name}.png") for name in photos}
    return [
        Pair(at["Ann/1"], at["Ann/2"], True),
        Pair(at["Bob/1"], at["Bob/2"], True),
        Pair(at["Ann/1"], at["Bob/1"], False),
        Pair(at["Ann/2"], at["Bob/2"], False),
    ]


def some_pairs(root: Path, people: int = 20) -> list[Pair]:
    names = sorted(p.name for p in root.iterdir())[:people]
    pairs = []
    for i, name in enumerate(names):
        other = names[(i + 1) % people]
        pairs.append(Pair(str(root / name / "0.png"), str(root / name / "1.png"), True))
        pairs.append(Pair(str(root / name / "0.png"), str(root / other / "2.png"), False))
    return pairs


# ---- the result -------------------------------------------------------------------------------

SCORES = [0.9, 0.8, 0.2, 0.6, 0.1, -0.3]
SAME = [True, True, True, False, False, False]


def test_evaluation_reports_what_the_metrics_say() -> None:
    result = Evaluation("test", SCORES, SAME, 0.5, "validation", 4)  # type: ignore[arg-type]
    table = confusion(SCORES, SAME, 0.5)
    assert (result.f1, result.accuracy, result.fmr, result.fnmr) == (
        table.f1,
        table.accuracy,
        table.fmr,
        table.fnmr,
    )
    assert result.auc == auc(SCORES, SAME) == pytest.approx(8 / 9)
    assert (result.pairs, result.genuine, result.impostor) == (6, 3, 3)
    assert str(result) == (
        "test: F1 0.667, accuracy 0.667, AUC 0.889 on 6 pairs of 4 people never seen in training "
        "(threshold 0.500 from validation)"
    )


def test_evaluation_speaks_json() -> None:
    result = Evaluation("test", SCORES, SAME, 0.5, "validation", failures=1)  # type: ignore[arg-type]
    summary = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert "scores" not in summary
    assert summary["auc"] == pytest.approx(8 / 9, abs=1e-6)
    assert summary["fnmr_at_fmr"] == {}, "three impostor pairs measure no FMR of 0.1"
    assert (summary["intervals"], summary["ece"]) == ({}, None)
    assert summary["eer"] == pytest.approx(1 / 3, abs=1e-6)
    assert (summary["people"], summary["leaked"], summary["failures"]) == (None, False, 1)
    full = json.loads(json.dumps(result.to_dict(arrays=True), allow_nan=False))
    assert (full["scores"], full["same"]) == (SCORES, SAME)


def test_evaluation_says_what_a_reader_must_know() -> None:
    def text(**changes: Any) -> str:
        return str(Evaluation("test", SCORES, SAME, 0.5, **{"threshold_from": "validation", **changes}))  # type: ignore[arg-type]

    assert "some of whom took part in training" in text(leaked=True)
    assert "never seen" not in text(leaked=True)
    assert "not known whether they took part" in text(leaked=None)
    assert "in 2 of the pairs a face was not found; they are in FAR" in text(failures=2)
    assert "3 more pairs left out" in text(skipped=3)
    assert "chosen on the same people" in text(threshold_from="test")


def test_evaluation_is_checked_and_frozen() -> None:
    result = Evaluation("test", SCORES, SAME, 0.5, "validation")  # type: ignore[arg-type]
    assert (result.scores.dtype, result.same.dtype) == (np.float64, np.bool_)
    with pytest.raises(ValueError, match="read-only"):
        result.scores[0] = 1
    with pytest.raises(FrozenInstanceError):
        result.threshold = 0.1  # type: ignore[misc]
    for scores, same, threshold, more in (
        ([0.1], [True], 0.5, {}),
        ([0.1, np.nan], [True, False], 0.5, {}),
        ([0.1, 0.2], [True, False], np.nan, {}),
        ([0.1, 0.2], [True, False], 0.5, {"failures": 3}),
        ([0.1, 0.2], [True, False], 0.5, {"skipped": -1}),
    ):
        with pytest.raises(UsageError):
            Evaluation("test", scores, same, threshold, "validation", **more)  # type: ignore[arg-type]


def test_evaluation_does_not_change_with_the_callers_array() -> None:
    scores = np.array(SCORES)
    result = Evaluation("test", scores, np.array(SAME), 0.5, "validation")
    scores[:] = 0
    assert result.scores.tolist() == SCORES


# ---- intervals and probabilities ----------------------------------------------------------------


def with_people(count: int = 40, **changes: Any) -> Evaluation:
    """Two genuine and two impostor pairs for each of ``count`` people."""
    rng = np.random.default_rng(0)
    first = np.repeat(np.arange(count), 4)
    second = np.where(np.arange(4 * count) % 4 < 2, first, (first + 1 + np.arange(4 * count) % 3) % count)
    same = first == second
    scores = rng.normal(0, 0.3, len(same)) + 0.5 * same
    fields: dict[str, Any] = {"first": first, "second": second, "people": count, **changes}
    return Evaluation("test", scores, same, 0.25, "validation", **fields)


def test_intervals_are_those_of_the_bootstrap_and_hold_the_estimate() -> None:
    result = with_people()
    found = result.intervals()
    assert set(found) == {"f1", "accuracy", "auc", "fmr", "fnmr", "eer", "fnmr@0.1"}
    assert result.fmrs == (0.1,), "80 impostor pairs: the rule of 3 forbids an FMR of 0.01"
    assert result.first is not None and result.second is not None
    expected = pair_intervals(
        result.scores, result.same, result.first, result.second, 0.25, (0.1,), resamples=1000
    )
    assert found == expected
    for name in ("f1", "accuracy", "auc", "fmr", "fnmr", "eer"):
        assert found[name].estimate == pytest.approx(getattr(result, name))
        assert found[name].low < getattr(result, name) < found[name].high
    assert result.intervals() is found, "resampled once"
    narrow = result.intervals(level=0.5)["f1"]
    assert narrow.high - narrow.low < found["f1"].high - found["f1"].low
    summary = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert summary["intervals"]["f1"]["low"] == pytest.approx(found["f1"].low, abs=1e-6)
    assert f"F1 {result.f1:.3f} [{found['f1'].low:.3f}, {found['f1'].high:.3f}]" in str(result)
    assert "from resampling people" in str(result)


def test_many_pairs_are_resampled_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    for large, expected in ((160, 1000), (80, 500), (1, 200)):
        monkeypatch.setattr("facealike.evaluation.verification_result.MAX_PAIRS_FULL", large)
        assert with_people().intervals()["f1"].resamples == expected
        assert with_people().intervals(resamples=30)["f1"].resamples == 30


def test_reliability_is_of_even_odds_and_of_faces_that_were_found() -> None:
    plain = with_people()
    assert plain.reliability is None and plain.ece is None
    probability = np.where(plain.same, 0.8, 0.4)
    result = with_people(probability=probability)
    # Every genuine pair was given 0.8, where 1 was right; every impostor pair 0.4, where 0 was.
    assert result.ece == pytest.approx((0.2 + 0.4) / 2)
    assert result.to_dict()["ece"] == pytest.approx(0.3)
    scores = result.scores.copy()
    scores[0] = FAILURE_SCORE
    lost = replace(result, scores=scores, failures=1)
    assert lost.reliability is not None and lost.reliability.pairs.sum() == 159
    few = replace(result, scores=np.where(result.same & (np.arange(160) > 1), -0.9, result.scores))
    assert few.ece == pytest.approx(0.3), "the score does not matter, unless it is that of a failure"


def test_people_and_probabilities_that_contradict_the_pairs() -> None:
    right = with_people()
    assert right.first is not None
    for changes in (
        {"second": None},
        {"second": right.first},
        {"first": right.first[:-1]},
        {"probability": np.full(160, 1.5)},
        {"probability": np.full(3, 0.5)},
    ):
        with pytest.raises(UsageError):
            with_people(**changes)
    with pytest.raises(ValueError, match="read-only"):
        right.first[0] = 7


def test_plot_with_people_has_a_band() -> None:
    pytest.importorskip("matplotlib")
    assert len(with_people().plot().collections) == 1


# ---- pairs ------------------------------------------------------------------------------------


def test_pairs_know_their_people_and_the_probability(root: Path) -> None:
    pairs, model = some_pairs(root), ColourModel()
    plain = evaluate_pairs(model, pairs, "mine")
    assert plain.probability is None and plain.intervals()["f1"].estimate == pytest.approx(plain.f1)
    names = sorted({Path(pair.a).parent.name for pair in pairs})
    assert plain.first is not None and plain.second is not None
    told = {}
    for pair, one, two in zip(pairs, plain.first, plain.second, strict=True):
        for path, number in ((pair.a, one), (pair.b, two)):
            assert told.setdefault(Path(path).parent.name, number) == number
    assert sorted(told) == names and len(set(told.values())) == len(names)
    model.file.calibration = replace(
        model.file.calibration, probability={"method": "platt", "a": 2.0, "b": -1.0}
    )
    stated = evaluate_pairs(model, pairs, "mine")
    assert stated.probability is not None and stated.ece is not None
    np.testing.assert_allclose(stated.probability, 1 / (1 + np.exp(1 - 2 * stated.scores)))


def test_scores_are_the_cosines_pair_by_pair(root: Path) -> None:
    pairs, model = some_pairs(root), ColourModel()
    result = evaluate_pairs(model, pairs, "mine")
    for pair, score in zip(pairs, result.scores, strict=True):
        a, b = (np.asarray(PillowImage.open(p), dtype=float)[0, 0] for p in (pair.a, pair.b))
        assert score == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b), abs=1e-5)
    assert result.same.tolist() == [pair.same for pair in pairs]
    assert (result.name, result.threshold, result.threshold_from) == ("mine", 0.9, "validation")
    assert (result.people, result.leaked, result.failures, result.skipped) == (20, False, 0, 0)


@pytest.mark.parametrize("cached", [False, True])
def test_blocks_do_not_show_in_the_result(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cached: bool
) -> None:
    pairs, cache = some_pairs(root), tmp_path / "cache" if cached else None
    whole = evaluate_pairs(ColourModel(), pairs, "mine", cache=cache)
    monkeypatch.setattr("facealike.metrics.similarity.PAIRS_AT_ONCE", 3)
    monkeypatch.setattr("facealike.evaluation.embed_dataset.BATCH", 7)
    np.testing.assert_allclose(evaluate_pairs(ColourModel(), pairs, "mine", cache=cache).scores, whole.scores)


def test_each_photo_is_embedded_once_and_progress_counts_photos(root: Path) -> None:
    model, seen = ColourModel(), []
    pairs = some_pairs(root, 40)
    evaluate_pairs(model, pairs * 3, "mine", progress=lambda done, total: seen.append((done, total)))
    assert model.embedded == 120
    # Once while copies are looked for, once while photos are embedded.
    assert seen == 2 * [(i + 1, 120) for i in range(120)]


def test_cache_gives_the_same_scores_and_is_used(root: Path, tmp_path: Path) -> None:
    pairs, cache = some_pairs(root), tmp_path / "cache"
    direct = evaluate_pairs(ColourModel(), pairs, "mine")
    first = evaluate_pairs(ColourModel(), pairs, "mine", cache=cache)
    model = ColourModel()
    model.detector.detect = lambda image: pytest.fail("the cache was not used")  # type: ignore[method-assign]
    again = evaluate_pairs(model, pairs, "mine", cache=cache)
    np.testing.assert_array_equal(first.scores, direct.scores)
    np.testing.assert_array_equal(again.scores, direct.scores)


def test_given_threshold_replaces_that_of_the_model(root: Path) -> None:
    result = evaluate_pairs(ColourModel(), some_pairs(root), "mine", threshold=0.5)
    assert (result.threshold, result.threshold_from) == (0.5, "the caller")


def test_pairs_must_say_the_truth(root: Path) -> None:
    good = some_pairs(root)
    with pytest.raises(DataError, match="mine: there are no pairs"):
        evaluate_pairs(ColourModel(), [], "mine")
    with pytest.raises(DataError, match=r"pair 2 .* does not say"):
        evaluate_pairs(ColourModel(), [good[0], Pair(good[1].a, good[1].b)], "mine")
    with pytest.raises(DataError, match="no pair shows two people"):
        evaluate_pairs(ColourModel(), good[::2], "mine")
    with pytest.raises(DataError, match="no pair shows one person"):
        evaluate_pairs(ColourModel(), good[1::2], "mine")
    for face in ("all", "smallest"):
        with pytest.raises(UsageError, match="one face a photo"):
            evaluate_pairs(ColourModel(), good, "mine", face=face)  # type: ignore[arg-type]


def test_an_unreadable_photo_is_named_and_counted(root: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    pairs = [*some_pairs(root), Pair(str(tmp_path / "bad.png"), str(root / "Person_00" / "0.png"), False)]
    for cache in (None, tmp_path / "cache"):
        with pytest.warns(PhotoWarning, match=r"bad\.png"):
            result = evaluate_pairs(ColourModel(), pairs, "mine", cache=cache)
        assert result.failures == 1  # Issue 19 C2: named and counted, and the run goes on


# ---- people of the training -------------------------------------------------------------------


def test_people_of_the_training_are_refused_by_name(root: Path) -> None:
    known = tuple(f"Person_{i:02d}" for i in range(4))
    model = ColourModel(trained_on=(*known, "Elsewhere"))
    message = r"4 of the 20 people .*\(Person_00, Person_01, Person_02, \.\.\.\).*--allow-overlap"
    with pytest.raises(PeopleOverlap, match=message):
        evaluate_pairs(model, some_pairs(root), "mine")
    assert model.embedded == 0  # refused before any work
    result = evaluate_pairs(model, some_pairs(root), "mine", allow_overlap=True)
    assert result.leaked is True


def test_one_known_person_is_enough(root: Path) -> None:
    with pytest.raises(PeopleOverlap, match=r"1 of the 20 people .* \(Person_19\);"):
        evaluate_pairs(ColourModel(trained_on=("Person_19",)), some_pairs(root), "mine")


def test_no_claim_is_made_that_nobody_checked(root: Path, tmp_path: Path) -> None:
    assert evaluate_pairs(ColourModel(trained_on=()), some_pairs(root), "mine").leaked is None
    flat = []  # all photos in one folder: the folder's name is nobody's
    for number, pair in enumerate(some_pairs(root)):
        for side in ("a", "b"):
            (tmp_path / f"{number}{side}.png").write_bytes(Path(getattr(pair, side)).read_bytes())
        flat.append(Pair(str(tmp_path / f"{number}a.png"), str(tmp_path / f"{number}b.png"), pair.same))
    result = evaluate_pairs(ColourModel(), flat, "mine")
    assert (result.people, result.leaked) == (None, None)


# ---- photos without a face --------------------------------------------------------------------


@pytest.mark.parametrize("cached", [False, True])
def test_a_missing_face_is_a_failure_to_acquire(hidden: list[Pair], tmp_path: Path, cached: bool) -> None:
    cache = tmp_path / "cache" if cached else None
    result = evaluate_pairs(ColourModel(), hidden, "mine", cache=cache)
    assert result.scores[[0, 3]].tolist() == [FAILURE_SCORE, FAILURE_SCORE]
    assert result.scores[1] > 0.99
    assert (result.pairs, result.failures, result.skipped) == (4, 2, 0)
    assert (result.photos, result.missing, result.fta) == (4, 1, 0.25)
    assert (result.confusion.tp, result.confusion.fn, result.confusion.total) == (1, 0, 2)
    assert (result.fmr, result.fnmr, result.far, result.frr) == (0, 0, 0, 0.5)  # the hidden pair is rejected


def with_failures(kind: bool, count: int = 30) -> tuple[Evaluation, Evaluation]:
    """The same comparisons, and ``count`` more pairs of a kind in which a face was not found."""
    rng = np.random.default_rng(1)
    same = np.repeat([True, False], 30)
    scores = rng.normal(size=60) + 1.5 * same
    people = np.arange(60)
    first, second = people, np.where(same, people, 99 - people % 2)
    plain = Evaluation("test", scores / 5, same, 0.1, "others", first=first, second=second)
    more = np.arange(200, 200 + count)
    lost = Evaluation(
        "test", np.r_[scores / 5, np.full(count, FAILURE_SCORE)], np.r_[same, np.full(count, kind)], 0.1,
        "others", failures=count, photos=150, missing=count, first=np.r_[first, more],
        second=np.r_[second, more + (0 if kind else 1000)],
    )  # fmt: skip
    return plain, lost


@pytest.mark.parametrize("kind", [True, False])
def test_photos_without_a_face_improve_no_rate(kind: bool) -> None:
    """Issue 19 A6: 30 impostor pairs without a face halved FMR and raised AUC and accuracy."""
    plain, lost = with_failures(kind)
    assert plain.fmr > 0 and plain.fnmr > 0
    for name in ("f1", "accuracy", "auc", "fmr", "fnmr", "eer"):
        assert getattr(lost, name) == getattr(plain, name), name
        assert lost.intervals()[name] == plain.intervals()[name], name
    assert np.array_equal(lost.roc.fmr, plain.roc.fmr) and lost.fmrs == plain.fmrs
    # ISO/IEC 19795-1: with failures FAR = FMR * (1 - failures), FRR = failures + FNMR * (1 - failures).
    share = 0.5
    far = plain.fmr if kind else plain.fmr * (1 - share)
    frr = share + plain.fnmr * (1 - share) if kind else plain.fnmr
    assert (lost.far, lost.frr, lost.fta) == pytest.approx((far, frr, 0.2))
    assert (plain.far, plain.frr, plain.fta) == (plain.fmr, plain.fnmr, None)
    told = lost.intervals()
    assert told["far"].estimate == pytest.approx(far) and told["frr"].low <= frr <= told["frr"].high
    assert set(told) - set(plain.intervals()) == {"far", "frr"}


def test_a_table_says_which_rates_count_the_photos_without_a_face() -> None:
    """Issue 19 A6."""
    _, lost = with_failures(False)
    for text in (str(lost), table_markdown([lost])):
        assert "in 30 of the pairs a face was not found (failure to acquire: 20 % of 150 photos)" in text
        assert f"FAR {lost.text_of('far')} and FRR {lost.text_of('frr')} as rejected" in text
    table = json.loads(json.dumps(lost.to_dict(), allow_nan=False))
    assert (table["fta"], table["far"], table["photos"]) == (0.2, pytest.approx(lost.far, abs=1e-6), 150)


def test_a_kind_of_pairs_without_a_comparison_is_not_measured() -> None:
    """Issue 19 A6: all genuine pairs failed, so there is no FNMR, and FRR is 1."""
    result = Evaluation("test", [FAILURE_SCORE, 0.2], [True, False], 0.5, "x", failures=1)  # type: ignore[arg-type]
    table = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert (table["fnmr"], table["auc"], table["eer"], table["frr"], table["fmr"]) == (None, None, None, 1, 0)
    assert result.intervals() == {} and result.fmrs == () and "failure" not in str(result.fta)


@pytest.mark.parametrize("cached", [False, True])
def test_missing_faces_can_be_left_out_and_are_counted(
    hidden: list[Pair], tmp_path: Path, cached: bool
) -> None:
    cache = tmp_path / "cache" if cached else None
    result = evaluate_pairs(ColourModel(), hidden, "mine", cache=cache, skip_missing=True)
    assert (result.pairs, result.failures, result.skipped, result.people) == (2, 0, 2, 2)
    assert (result.f1, FAILURE_SCORE in result.scores) == (1.0, False)


@pytest.mark.parametrize("cached", [False, True])
def test_no_face_anywhere_is_an_error(hidden: list[Pair], tmp_path: Path, cached: bool) -> None:
    model = ColourModel()
    model.detector.detect = lambda image: []  # type: ignore[method-assign]
    with pytest.raises(NoFaceFound, match="nor in any of the other photos of mine"):
        evaluate_pairs(model, hidden, "mine", cache=tmp_path / "cache" if cached else None)


@pytest.mark.parametrize("cached", [False, True])
def test_several_faces_are_an_error_under_the_policy_only_if_strict(
    hidden: list[Pair], tmp_path: Path, cached: bool
) -> None:
    two = PillowImage.new("RGB", (12, 12), (90, 90, 90))
    two.putpixel((0, 0), (0, 0, 255))
    two.save(hidden[1].a)
    cache = tmp_path / "cache" if cached else None
    with pytest.raises(SeveralFaces, match="2 faces"):
        evaluate_pairs(ColourModel(), hidden, "mine", face="only", cache=cache, strict=True)
    assert evaluate_pairs(ColourModel(), hidden, "mine", face="central", cache=cache).failures == 2


# ---- splits -----------------------------------------------------------------------------------


def test_split_holds_its_own_people_and_balanced_pairs(root: Path) -> None:
    names = [p.name for p in sorted(root.iterdir()) if split_of(p.name) == "test"]
    labels = np.repeat(np.arange(len(names)), 3)
    expected = balanced_pairs(labels, 7)
    result = evaluate_split(ColourModel(), root, "test", seed=7)
    assert result.name == "test"
    assert result.same.tolist() == expected.same.tolist()
    assert result.genuine == result.impostor == 3 * len(names)
    assert result.leaked is False
    assert result.people is not None
    assert 2 <= result.people <= len(names)


def test_split_is_deterministic_and_can_be_limited(root: Path) -> None:
    results = [evaluate_split(ColourModel(), root, "train", seed=s, limit=10) for s in (1, 1, 2)]
    assert all(r.pairs == 20 for r in results)
    np.testing.assert_array_equal(results[0].scores, results[1].scores)
    assert results[0].scores.tolist() != results[2].scores.tolist()


def test_training_people_are_marked_and_test_people_checked(root: Path) -> None:
    everybody = tuple(p.name for p in root.iterdir())
    for model in (ColourModel(), ColourModel(everybody)):
        assert evaluate_split(model, root, "train").leaked is True
    with pytest.raises(PeopleOverlap):
        evaluate_split(ColourModel(everybody), root, "test")
    assert evaluate_split(ColourModel(everybody), root, "test", allow_overlap=True).leaked is True


def test_split_without_people_is_one_sentence(root: Path, tmp_path: Path) -> None:
    name = next(p.name for p in root.iterdir() if split_of(p.name) == "train")
    (tmp_path / name).mkdir()
    (tmp_path / name / "0.png").write_bytes((root / name / "0.png").read_bytes())
    with pytest.raises(DataError, match="no person in this folder belongs to the split test"):
        evaluate_split(ColourModel(), tmp_path, "test")


def test_real_photos_give_the_same_scores_with_and_without_a_cache(tmp_path: Path) -> None:
    lfw, yunet = data_path("FACEALIKE_LFW"), data_path("FACEALIKE_YUNET")
    detector = YuNetDetector(yunet)
    file = tiny_model_file(align="landmarks", detector_spec=detector.spec, detector_weights=detector.weights)
    model = Model(file, "cpu", 1)
    direct = evaluate_split(model, lfw, "test", limit=20)
    cached = evaluate_split(model, lfw, "test", limit=20, cache=tmp_path)
    np.testing.assert_allclose(cached.scores, direct.scores, atol=1e-6)
    assert (direct.pairs, direct.leaked) == (40, False)
    assert direct.scores.max() > direct.scores.min()


# ---- the picture ------------------------------------------------------------------------------


def test_plot_shows_the_curve_and_the_operating_point(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    result = Evaluation("test", SCORES, SAME, 0.5, "validation", leaked=True)  # type: ignore[arg-type]
    before = "matplotlib.pyplot" in sys.modules
    ax = result.plot()
    curve, point = ax.lines[1], ax.lines[2]
    assert ax.get_xscale() == "log"
    for x, y in zip(np.asarray(curve.get_xdata()), np.asarray(curve.get_ydata()), strict=True):
        kept = [t for f, t in zip(result.roc.fmr, result.roc.tmr, strict=True) if f <= x + 1e-9]
        assert y == pytest.approx(max(kept))
    assert point.get_xdata() == [result.fmr]
    assert point.get_ydata() == [1 - result.fnmr]
    assert not ax.collections, "no band where the people are not known"
    assert "seen in training" in ax.get_title()
    ax.figure.savefig(tmp_path / "roc.png")  # type: ignore[union-attr]
    assert result.plot(ax) is ax
    assert ("matplotlib.pyplot" in sys.modules) == before  # pyplot would keep state for the process


def test_plot_without_matplotlib_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    with pytest.raises(MissingExtra, match=r"facealike\[train\]"):
        Evaluation("test", SCORES, SAME, 0.5, "validation").plot()  # type: ignore[arg-type]
