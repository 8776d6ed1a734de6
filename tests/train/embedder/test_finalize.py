"""The end of a run: calibrated on people of their own, compared with the shipped model, all of it kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facealike.datasets.pair_sampling import balanced_pairs, listed_pairs
from facealike.datasets.parts import divide
from facealike.datasets.people import People
from facealike.embedding.face_model import Model
from facealike.evaluation.calibrate import calibrate
from facealike.evaluation.scores_file import load_scores
from facealike.evaluation.verification import evaluate_pairs
from facealike.metrics.bootstrap import difference_interval
from facealike.model_file.model_file import ModelFile
from facealike.train import TrainResult, train
from facealike.train.embedder.baseline_comparison import BaselineComparison, compare_with_baseline
from support.drawn_people import CentralBox, make_people, tiny_recipe
from support.tiny_model import tiny_card, tiny_model_file
from support.training_runs import one_thread

pytest_plugins = ["support.training_runs"]
__all__ = ["one_thread"]
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """People enough that a dozen of them calibrate."""
    return make_people(tmp_path_factory.mktemp("outcome") / "people", 260)


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    out = tmp_path_factory.mktemp("run") / "m.facealike"
    recipe = tiny_recipe(
        loss={"name": "cosface", "margin": 0.2, "scale": 16.0}, sampler={"name": "images"},
        training={"epochs": 3, "steps_per_epoch": 20, "learning_rate": 0.01},
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("facealike.train.embedder.finalize._draw", lambda *_: None)
        patch.setattr("facealike.embedding.face_model.make_detector", lambda *_: CentralBox())
        patch.setattr("facealike.embedding.face_model.read_model_file", lambda *_: frozen())
        return train(folder, recipe, out, detector=CentralBox(), device="cpu", cache=out.parent / "crops")


def frozen() -> ModelFile:
    """What stands for the shipped model here: a projection, trained on one of the test people."""
    return tiny_model_file(threshold=0.5, card=tiny_card())


def test_the_calibration_is_that_of_the_calibration_people(
    trained: TrainResult, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facealike.embedding.face_model.make_detector", lambda *_: CentralBox())
    model = Model.load(trained.model_path, device="cpu")
    calibration = model.file.calibration
    parts = divide(People.from_folder(folder))
    assert calibration.people.startswith(f"{len(parts.calibration)} calibration people")
    assert calibration.probability is not None and calibration.band is not None and calibration.tail
    assert calibration.operating_points
    names = parts.calibration
    assert calibration == calibrate(model, folder, face="largest", names=names, resamples=1000)
    assert not set(names) & {*parts.train, *parts.validation, *parts.test}


def test_the_table_is_judged_by_it(trained: TrainResult) -> None:
    calibration = ModelFile.read(trained.model_path).calibration
    for evaluation in trained.evaluations:
        assert evaluation.threshold == calibration.threshold
        assert evaluation.threshold_from == calibration.people
        assert evaluation.probability is not None
        expected = [calibration.probability_of(score) for score in evaluation.scores[:5]]
        assert evaluation.probability[:5] == pytest.approx(expected)
    assert not any("no probability" in text for text in trained.warnings)


def test_scores_and_results_are_kept(trained: TrainResult, folder: Path) -> None:
    scored = {entry.evaluation.name: entry for entry in load_scores(trained.run / "scores.npz")}
    for evaluation in trained.evaluations:
        kept = scored[evaluation.name]
        assert np.array_equal(kept.evaluation.scores, evaluation.scores)
        assert kept.evaluation.threshold == evaluation.threshold
        assert kept.a is not None and kept.b is not None
        for a, b, same in list(zip(kept.a, kept.b, evaluation.same, strict=True))[::50]:
            assert (folder / a).exists()
            assert (a.split("/")[0] == b.split("/")[0]) == same
    results = json.loads((trained.run / "results.json").read_text())
    assert results["warnings"] == list(trained.warnings)
    assert trained.comparison is not None
    assert results["comparison"] == json.loads(json.dumps(trained.comparison.to_dict()))
    assert str(trained.comparison) in (trained.run / "results.md").read_text()
    assert str(trained.comparison) in str(trained)
    assert json.loads(json.dumps(trained.to_dict()))["comparison"] == results["comparison"]
    run = json.loads((trained.run / "run.json").read_text())
    assert Path(run["root"]) == folder.resolve() and Path(run["cache"]).name == "crops"


def test_the_comparison_is_on_the_same_pairs_of_strangers(
    trained: TrainResult, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facealike.embedding.face_model.make_detector", lambda *_: CentralBox())
    found = trained.comparison
    assert found is not None and found.difference is not None
    people = People.from_folder(folder).split("test")
    pairs = listed_pairs(people, balanced_pairs(people.labels, 0, 10_000))
    yours = evaluate_pairs(Model.load(trained.model_path, device="cpu"), pairs, "test", allow_overlap=True)
    theirs = evaluate_pairs(Model(frozen(), device="cpu"), pairs, "test", allow_overlap=True)
    assert (found.yours, found.baseline) == (pytest.approx(yours.f1), pytest.approx(theirs.f1))
    assert yours.first is not None and yours.second is not None
    expected = difference_interval(
        yours.scores, yours.threshold, theirs.scores, theirs.threshold, yours.same, yours.first, yours.second
    )
    assert found.difference.estimate == pytest.approx(yours.f1 - theirs.f1)
    assert (found.difference.low, found.difference.high) == (
        pytest.approx(expected.low), pytest.approx(expected.high),
    )  # fmt: skip
    assert found.people == len(people.names)
    assert found.known == 0


def test_a_shipped_model_that_knows_some_of_them_is_said_to(
    trained: TrainResult, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("facealike.embedding.face_model.make_detector", lambda *_: CentralBox())
    people = People.from_folder(folder).split("test")
    pairs = listed_pairs(people, balanced_pairs(people.labels, 0))
    from facealike.datasets.seen import identity_hash

    card = tiny_card(identity_hashes=tuple(identity_hash("salt", name) for name in people.names[:3]))
    knows = Model(replace(frozen(), card=card), device="cpu")
    yours = next(e for e in trained.evaluations if e.name == "test")
    found = compare_with_baseline(yours, pairs, "largest", tmp_path, knows)
    assert found.known == 3
    assert "the default model was on 3 of them, which flatters it" in str(found)
    same = compare_with_baseline(
        replace(yours, threshold=0.5, scores=evaluate_pairs(knows, pairs, "test", allow_overlap=True).scores),
        pairs, "largest", tmp_path, knows,
    )  # fmt: skip
    assert same.difference is not None
    assert (same.difference.low, same.difference.estimate, same.difference.high) == (0, 0, 0)
    assert str(same).startswith("no significant difference")


@pytest.mark.parametrize("kind", [True, False])
def test_pairs_without_a_face_speak_for_neither_model(
    trained: TrainResult, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: bool
) -> None:
    """Issue 19 A6: a failed impostor pair counted for the model that found no face, a genuine one against."""
    monkeypatch.setattr("facealike.embedding.face_model.make_detector", lambda *_: CentralBox())
    people = People.from_folder(folder).split("test")
    pairs = listed_pairs(people, balanced_pairs(people.labels, 0))
    shipped = Model(frozen(), device="cpu")
    theirs = evaluate_pairs(shipped, pairs, "test", allow_overlap=True)
    lost = np.flatnonzero(theirs.same == kind)[::3]
    scores = theirs.scores.copy()
    scores[lost] = -1.0
    yours = replace(theirs, scores=scores, failures=len(lost))
    found = compare_with_baseline(yours, pairs, "largest", tmp_path, shipped)
    assert found.failures == len(lost) > 0 and found.to_dict()["failures"] == len(lost)
    assert found.difference is not None
    assert (found.difference.low, found.difference.estimate, found.difference.high) == (0, 0, 0)
    assert found.yours == found.baseline == pytest.approx(yours.f1)
    assert f"{len(lost)} more pairs in which one of the two found no face are left out" in str(found)


def test_a_shipped_model_that_cannot_be_run_is_a_reason(trained: TrainResult, folder: Path) -> None:
    """The real one looks for faces with dlib, and drawn faces are none."""
    people = People.from_folder(folder).split("test")
    pairs = listed_pairs(people, balanced_pairs(people.labels, 0))[:6]
    yours = next(e for e in trained.evaluations if e.name == "test")
    from facealike.errors import NoFaceFound

    with pytest.MonkeyPatch.context() as patch:

        def nobody(*_: Any, **__: Any) -> Any:
            raise NoFaceFound("no face found")

        patch.setattr("facealike.train.embedder.baseline_comparison.evaluate_pairs", nobody)
        found = compare_with_baseline(yours, pairs, "largest", folder, Model(frozen(), device="cpu"))
    assert found.difference is None
    assert str(found) == "the default model could not be run on these photos (no face found)"
    assert json.loads(json.dumps(found.to_dict()))["shipped"] is None


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.002, 0.02, "your model is better by 0.010 [0.002, 0.020]"),
        (-0.03, -0.01, "your model is worse by 0.020 [0.010, 0.030]"),
        (-0.01, 0.02, "no significant difference: +0.005 [-0.010, +0.020] for yours"),
    ],
)
def test_the_words_follow_the_interval(low: float, high: float, said: str) -> None:
    from facealike.metrics.bootstrap import Interval

    estimate = {0.002: 0.01, -0.03: -0.02, -0.01: 0.005}[low]
    text = str(BaselineComparison(0.9, 844, 0.88, "abc", Interval(estimate, low, high)))
    assert text == f"{said} (F1 0.900 and 0.880, on 844 people that neither was trained on)"


def test_a_split_by_image_has_nobody_to_calibrate_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facealike.train.embedder.finalize._draw", lambda *_: None)
    monkeypatch.setattr("facealike.embedding.face_model.make_detector", lambda *_: CentralBox())
    monkeypatch.setattr("facealike.embedding.face_model.read_model_file", lambda *_: frozen())
    recipe = tiny_recipe(data={"split": "image"}, training={"epochs": 1})
    result = train(folder, recipe, tmp_path / "m.facealike", detector=CentralBox(), device="cpu")
    calibration = ModelFile.read(result.model_path).calibration
    assert calibration.people == "validation" and calibration.probability is None
    assert not any("probability" in text for text in result.warnings), "that is how it is meant"
    # No threshold does better on the pairs of the validation; asked of each score in turn.
    validation = next(one for one in result.evaluations if one.name == "validation")
    assert validation.threshold == calibration.threshold and validation.threshold_from == "validation"
    for threshold in validation.scores:
        judged = validation.scores >= threshold
        hits = int((judged & validation.same).sum())
        assert 2 * hits / max(1, int(judged.sum()) + validation.genuine) <= validation.f1 + 1e-12
