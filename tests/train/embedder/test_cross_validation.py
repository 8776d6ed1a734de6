"""Training fold by fold: nobody of a fold is trained on, and no kill loses or doubles a fold."""

from __future__ import annotations

import csv
import fcntl
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage
from typer.testing import CliRunner

from facealike.cli import app
from facealike.datasets.pair_lists import read_pairs
from facealike.embedding.face_model import Model
from facealike.errors import DataError, PeopleOverlap, TrainingError, UsageError
from facealike.evaluation.verification import evaluate_pairs
from facealike.model_file.model_file import ModelFile
from facealike.train import FoldsResult, train_folds
from facealike.train.embedder import cross_validation as folds_module
from facealike.train.embedder import run as run_module
from facealike.types import Face, Image, Pair
from support.drawn_people import CentralBox, make_people, tiny_recipe
from support.training_runs import Stop, numbers, same_weights, stop, stop_at

pytest_plugins = ["support.training_runs"]
pytestmark = pytest.mark.usefixtures("one_thread")

PEOPLE, FOLDS = 24, 3
CHANGES: dict[str, Any] = {"training": {"epochs": 2}}


def fold_of(person: int) -> int | None:
    """Eight people a fold, but for two who are in no pair."""
    return None if person >= PEOPLE - 2 else person % FOLDS + 1


def name(person: int) -> str:
    return f"Person_{person:03d}"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_people(tmp_path_factory.mktemp("folds") / "people", PEOPLE)


@pytest.fixture(scope="module")
def listed(root: Path) -> Path:
    """Three folds of pairs: of everybody with themselves, and with the next person of the fold."""
    lines = ["a,b,same,fold"]
    for person in range(PEOPLE):
        fold, other = fold_of(person), person + FOLDS
        if fold is None:
            continue
        lines.append(f"{name(person)}/0.png,{name(person)}/1.png,1,{fold}")
        if fold_of(other) is not None and other < PEOPLE:
            lines.append(f"{name(person)}/2.png,{name(other)}/3.png,0,{fold}")
    file = root.parent / "pairs.csv"
    file.write_text("\n".join(lines) + "\n")
    return file


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facealike.embedding.face_model.make_detector", lambda *_: CentralBox())


def go(root: Path, listed: Path, out: Path, **more: Any) -> FoldsResult:
    recipe = more.pop("recipe", tiny_recipe(**CHANGES))
    more = {"detector": CentralBox(), "device": "cpu", "cache": root.parent / "crops", **more}
    return train_folds(root, recipe, listed, out, **more)


@pytest.fixture(scope="module")
def done(root: Path, listed: Path, tmp_path_factory: pytest.TempPathFactory) -> FoldsResult:
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # made before the fixture of that name
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("facealike.embedding.face_model.make_detector", lambda *_: CentralBox())
        result = go(root, listed, tmp_path_factory.mktemp("done") / "out")
    torch.set_num_threads(before)
    return result


# ---- who is trained on ------------------------------------------------------------------------


def test_a_model_has_seen_the_people_of_all_other_folds_and_nobody_else(done: FoldsResult) -> None:
    for fold in range(1, FOLDS + 1):
        card = ModelFile.read(done.out / f"fold-{fold}" / "model.facealike").card
        expected = [name(p) for p in range(PEOPLE) if fold_of(p) not in (fold, None)]
        (record,) = card.trained_on
        assert all(record.knows_person(who) for who in expected)
        assert record.people_count == len(expected)
        facts = json.loads((done.out / f"fold-{fold}" / "fold.json").read_text())
        assert facts["people"] == len(expected) and facts["epochs"] == 2


def test_no_epoch_is_chosen_and_nobody_validates(done: FoldsResult) -> None:
    run = done.out / "fold-1"
    assert not (run / "checkpoints" / "best.ckpt").exists()
    with (run / "log.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 2 and all(row["val_f1"] == "" and float(row["train_f1"]) > 0 for row in rows)


def test_the_scores_are_those_of_the_model_of_the_fold(done: FoldsResult, root: Path, listed: Path) -> None:
    pairs = read_pairs(listed, root)
    with (done.out / "scores.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(pairs)
    for fold in range(1, FOLDS + 1):
        model = Model.load(done.out / f"fold-{fold}" / "model.facealike", device="cpu")
        mine = [pair for pair in pairs if pair.fold == fold]
        expected = evaluate_pairs(model, mine, "again")
        written = [float(row["score"]) for row in rows if int(row["fold"]) == fold]
        np.testing.assert_allclose(written, expected.scores, atol=1e-6)
        others = [pair for pair in pairs if pair.fold != fold]
        with pytest.raises(PeopleOverlap, match=f"{len({p.a.split('/')[-2] for p in others})} of the"):
            evaluate_pairs(model, others, "the training people")


def test_each_threshold_is_the_best_of_the_other_folds(done: FoldsResult, root: Path, listed: Path) -> None:
    """Tried one by one: no score of the other folds, taken as threshold, judges more of them rightly."""
    assert done.view2 is not None
    scores, same = done.view2.evaluation.scores, done.view2.evaluation.same
    fold = np.array(sorted(pair.fold or 0 for pair in read_pairs(listed, root)))
    right = []
    for result in done.view2.folds:
        others = fold != result.fold

        def hits(threshold: float, others: Any = others) -> int:
            return int(((scores[others] >= threshold) == same[others]).sum())

        assert hits(result.threshold) == max(hits(score) for score in [*scores[others], 2.0])
        mine = [(s >= result.threshold) == t for s, t in zip(scores[~others], same[~others], strict=True)]
        assert result.accuracy == pytest.approx(sum(mine) / len(mine))
        right.append(result.accuracy)
    mean = sum(right) / FOLDS
    spread = (sum((accuracy - mean) ** 2 for accuracy in right) / (FOLDS - 1)) ** 0.5
    assert done.view2.accuracy == pytest.approx(mean)
    assert done.view2.standard_error == pytest.approx(spread / FOLDS**0.5)


def test_the_summary(done: FoldsResult) -> None:
    assert (done.done, done.missing) == ((1, 2, 3), ()) and done.view2 is not None
    table = json.loads((done.out / "view2.json").read_text())
    assert table["accuracy"] == round(done.view2.accuracy, 6) and len(table["runs"]) == FOLDS
    assert table["pooled"]["leaked"] is False
    text = (done.out / "view2.md").read_text()
    assert f"{done.view2.accuracy:.4f}" in text and "| 3 |" in text and "of the other folds" in text
    assert str(done.view2) in str(done)
    assert json.loads(json.dumps(done.to_dict()))["missing"] == []


class NothingInBlack(CentralBox):
    def detect(self, image: Image) -> list[Face]:
        return super().detect(image) if image.any() else []


def test_a_photo_without_a_face_is_counted_in_its_fold(
    root: Path, listed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 19 A6: of the photos of the fold's pairs, not of those that were trained on."""
    people = shutil.copytree(root, tmp_path / "people")
    PillowImage.new("RGB", (64, 64)).save(people / name(FOLDS) / "0.png")
    monkeypatch.setattr("facealike.embedding.face_model.make_detector", lambda *_: NothingInBlack())
    pairs = Path(shutil.copy(listed, tmp_path))
    go(people, pairs, tmp_path / "out", folds=[1], detector=NothingInBlack(), cache=tmp_path / "crops")
    facts = json.loads((tmp_path / "out" / "fold-1" / "fold.json").read_text())
    mine = [pair for pair in read_pairs(pairs, people) if pair.fold == 1]
    assert facts["photos_compared"] == len({path for pair in mine for path in (pair.a, pair.b)})
    assert (facts["photos_without_face"], facts["failures"]) == (1, 1)


def test_the_pooled_result_has_failure_to_acquire_and_intervals(
    root: Path, listed: Path, tmp_path: Path, done: FoldsResult
) -> None:
    """Issue 19 A6: a pair without a comparison is in FTA, FAR and FRR, and in no other rate."""
    assert done.view2 is not None and done.view2.evaluation.fta == 0
    pairs, out = read_pairs(listed, root), Path(shutil.copytree(done.out, tmp_path / "out"))
    facts = json.loads((out / "fold-2" / "fold.json").read_text())
    facts |= {"failures": 1, "photos_without_face": 1, "copied_pairs": 2}
    (out / "fold-2" / "fold.json").write_text(json.dumps(facts))
    with (out / "fold-2" / "scores.csv").open() as stream:
        rows = list(csv.reader(stream))
    lost = next(row for row in rows if row[3] == "1")
    lost[4] = "-1.0"
    (out / "fold-2" / "scores.csv").write_text("".join(",".join(row) + "\n" for row in rows))
    view = folds_module.summarize(out, pairs, root).view2
    assert view is not None
    pooled, before = view.evaluation, done.view2.evaluation
    photos = len({path for pair in pairs for path in (pair.a, pair.b)})
    assert (pooled.photos, pooled.missing, pooled.fta) == (photos, 1, 1 / photos)
    assert (pooled.failures, int(pooled.compared.sum())) == (1, before.pairs - 1)
    assert pooled.copied_pairs == 2
    rejected = int(np.sum(pooled.same & pooled.compared & (pooled.scores < pooled.threshold)))
    assert pooled.fnmr == rejected / (pooled.genuine - 1)
    assert pooled.frr == (rejected + 1) / pooled.genuine > pooled.fnmr
    told = json.loads((out / "view2.json").read_text())["pooled"]
    assert told["fta"] == round(1 / photos, 6) and told["intervals"]["frr"]["low"] <= pooled.frr
    assert "failure to acquire" in (out / "view2.md").read_text()
    # A fold from before this was recorded: how many photos lack a face is then not known.
    del facts["photos_compared"], facts["photos_without_face"], facts["copied_pairs"]
    (out / "fold-2" / "fold.json").write_text(json.dumps(facts))
    older = folds_module.summarize(out, pairs, root).view2
    assert older is not None and older.evaluation.fta is None and older.evaluation.failures == 1


# ---- killed, resumed, shared out --------------------------------------------------------------


def test_a_run_killed_within_a_fold_goes_on_there(
    root: Path, listed: Path, tmp_path: Path, done: FoldsResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in the second epoch of the second fold."""
    fits: list[Path] = []
    real = folds_module.fit

    def fit(*args: Any) -> Any:
        fits.append(args[3])
        return real(*args)

    monkeypatch.setattr(folds_module, "fit", fit)
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        steps = 0
        step = run_module.SiameseModule.training_step

        def training_step(self: Any, batch: Any, batch_idx: int) -> Any:
            nonlocal steps
            steps += 1
            if steps == 2 * 6 + 6 + 3:
                raise Stop
            return step(self, batch, batch_idx)

        patch.setattr(run_module.SiameseModule, "training_step", training_step)
        with pytest.raises(Stop):
            go(root, listed, out)
    assert (out / "fold-1" / "scores.csv").exists() and not (out / "fold-2" / "scores.csv").exists()
    assert not (out / "view2.json").exists()
    first = (out / "fold-1" / "model.facealike").read_bytes()
    with pytest.raises(TrainingError, match=r"already holds fold 1, 2; go on with --resume"):
        go(root, listed, out)
    result = go(root, listed, out, resume=True)
    assert [run.name for run in fits] == ["fold-1", "fold-2", "fold-2", "fold-3"]
    assert (out / "fold-1" / "model.facealike").read_bytes() == first
    assert (out / "scores.csv").read_bytes() == (done.out / "scores.csv").read_bytes()
    for fold in range(1, FOLDS + 1):
        one, other = out / f"fold-{fold}", done.out / f"fold-{fold}"
        assert numbers(one) == numbers(other) and same_weights(one, other)
    assert result.view2 is not None and done.view2 is not None
    assert result.view2.to_dict() == done.view2.to_dict()


def test_folds_may_be_done_apart_and_in_any_order(
    root: Path, listed: Path, tmp_path: Path, done: FoldsResult
) -> None:
    out = tmp_path / "out"
    part = go(root, listed, out, folds=[3])
    assert (part.done, part.missing, part.view2) == ((3,), (1, 2), None)
    assert str(part) == f"1 of 3 folds are done in {out}; missing: 1, 2"
    assert not (out / "view2.md").exists()
    whole = go(root, listed, out, folds=[2, 1])
    assert whole.view2 is not None
    assert (out / "scores.csv").read_bytes() == (done.out / "scores.csv").read_bytes()


def test_a_killed_fold_without_a_checkpoint_starts_again(
    root: Path, listed: Path, tmp_path: Path, done: FoldsResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, 3, stop)
        with pytest.raises(Stop):
            go(root, listed, tmp_path / "out", folds=[1])
    go(root, listed, tmp_path / "out", folds=[1], resume=True)
    one = (tmp_path / "out" / "fold-1" / "scores.csv").read_bytes()
    assert one == (done.out / "fold-1" / "scores.csv").read_bytes()


def test_what_was_scored_but_not_summed_up_is_summed_up(
    root: Path, listed: Path, done: FoldsResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (done.out / "view2.json").read_bytes()
    (done.out / "view2.json").unlink()
    monkeypatch.setattr(folds_module, "fit", None)
    go(root, listed, done.out, resume=True)
    assert (done.out / "view2.json").read_bytes() == before


def test_a_fold_that_another_process_is_at(root: Path, listed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out" / "fold-2"
    folder.mkdir(parents=True)
    with (folder / "lock").open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(
            TrainingError,
            match="fold-2: another process is at work in this folder; give this one other --folds",
        ):
            go(root, listed, tmp_path / "out", folds=[2])


def test_nothing_may_change_between_folds(
    root: Path, listed: Path, tmp_path: Path, done: FoldsResult
) -> None:
    with pytest.raises(TrainingError, match="the recipe changed since"):
        go(root, listed, done.out, recipe=tiny_recipe(training={"epochs": 3}), resume=True)
    lines = listed.read_text().splitlines()
    (tmp_path / "less.csv").write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(TrainingError, match="the pairs changed since"):
        go(root, tmp_path / "less.csv", done.out, resume=True)
    scores = tmp_path / "out" / "fold-1" / "scores.csv"
    scores.parent.mkdir(parents=True)
    scores.write_text("fold,a,b,same,score\n1,x,y,1,0.5\n")
    with pytest.raises(DataError, match="not the scores of this fold's pairs"):
        folds_module._read_scores(scores, [Pair("r/x/1.png", "r/x/2.png", True, 1)], Path("r"))


# ---- lists that will not do -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("Person_000/0.png,Person_000/1.png,1,2", "1 people are in more than one fold"),
        ("Person_000/0.png,Person_000/1.png,1,", "not every pair has a fold"),
        ("Person_000/0.png,Person_003/1.png,1,1", "the list and the folders disagree"),
        ("Person_000/0.png,Person_000/1.png,0,1", "the list and the folders disagree"),
    ],
)
def test_lists_that_would_mix_people(root: Path, listed: Path, tmp_path: Path, line: str, said: str) -> None:
    file = tmp_path / "pairs.csv"
    file.write_text(listed.read_text() + line + "\n")
    with pytest.raises(DataError, match=said):
        go(root, file, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_folds_that_are_not_there(root: Path, listed: Path, tmp_path: Path) -> None:
    for folds in ([4], [0], []):
        with pytest.raises(UsageError, match="the folds of this list are 1 to 3"):
            go(root, listed, tmp_path / "out", folds=folds)


# ---- the command line -------------------------------------------------------------------------


def test_the_command_line(root: Path, listed: Path, done: FoldsResult, tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text('name = "x"\n')
    base = ["train", str(root), "--recipe", str(recipe), "--out", str(tmp_path / "out")]
    protocol = ["--protocol", "lfw-view2"]
    for more, said in (
        (protocol, "--protocol needs --pairs"),
        (["--pairs", str(listed)], "belong to --protocol"),
        (["--folds", "1"], "belong to --protocol"),
        ([*protocol, "--pairs", str(listed), "--run", "x"], "leave out --run"),
        ([*protocol, "--pairs", str(listed), "--folds", "2-1"], "count upwards"),
        ([*protocol, "--pairs", str(listed), "--folds", "one"], "not 'one'"),
        (
            [*protocol, "--pairs", str(listed), "--folds", "1-9", "--detector", "dlib"],
            "folds of this list are",
        ),
    ):
        result = CliRunner().invoke(app, [*base, *more])
        assert result.exit_code == 2 and said in result.stderr, result.output
    assert not (tmp_path / "out").exists()


def test_the_folds_of_lfw_need_a_recipe_and_take_the_central_face(
    root: Path, listed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 19 A9: without --recipe the folds were tuned from a model that had learned from more than LFW."""
    asked: list[str] = []

    def stop(people: Path, recipe: Any, *rest: Any) -> None:
        asked.append(recipe.data.face)
        raise UsageError("enough")

    monkeypatch.setattr("facealike.train.train_folds", stop)
    base = [
        "train",
        str(root),
        "--out",
        str(tmp_path / "out"),
        "--protocol",
        "lfw-view2",
        "--pairs",
        str(listed),
    ]
    result = CliRunner().invoke(app, base)
    assert result.exit_code == 2 and not asked
    assert "--protocol lfw-view2 needs a recipe: add --recipe lfw" in result.stderr
    assert result.stderr.count("\n") == 1
    for more in (["cosface"], ["lfw"], ["cosface", "--set", "data.face=largest"]):
        assert "enough" in CliRunner().invoke(app, [*base, "--recipe", *more]).stderr
    assert asked == ["central", "central", "largest"]


def test_folds_that_began_with_a_model_say_so(done: FoldsResult) -> None:
    """Issue 19 A9: a fold's facts name the face and what its model began with."""
    facts = [json.loads((done.out / f"fold-{k}" / "fold.json").read_text()) for k in range(1, FOLDS + 1)]
    assert {fact["face"] for fact in facts} == {"largest"}
    assert done.view2 is not None and done.view2.to_dict()["face"] == "largest"
    assert "; the largest face of each photo, but the protocol needs the central face" in str(done.view2)
    assert "LFW alone" not in folds_module._remarks(facts)
    facts[0] |= {"warm_start": True, "initialization": "the weights of model abc"}
    assert "Not from LFW alone: each model began with the weights of model abc." in folds_module._remarks(
        facts
    )


def test_outside_data_is_named(done: FoldsResult) -> None:
    facts = [json.loads((done.out / f"fold-{k}" / "fold.json").read_text()) for k in range(1, FOLDS + 1)]
    assert "Outside" not in folds_module._remarks(facts)
    facts[0]["outside_photos"] = 1234
    assert "Outside data: 1,234 photos without identity labels" in folds_module._remarks(facts)
