"""Whole protocols, against loops that do the same step by step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facealike.errors import DataError, PeopleOverlap, UsageError
from facealike.evaluation.fold_accuracy import best_accuracy_threshold
from facealike.evaluation.lfw_view2 import evaluate_view2, fold_numbers, view2
from facealike.evaluation.verification_result import Evaluation
from facealike.types import Pair
from support.flat_color_model import ColourModel, make_coloured


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_coloured(tmp_path_factory.mktemp("people"), 60)


# ---- the threshold of best accuracy ---------------------------------------------------------------

scored = st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=2, max_size=30).filter(
    lambda pairs: len({same for _, same in pairs}) == 2
)


@given(scored)
def test_best_accuracy_threshold_against_a_loop(pairs: list[tuple[int, bool]]) -> None:
    scores = np.array([score / 4 for score, _ in pairs])
    same = np.array([kind for _, kind in pairs])
    threshold, accuracy = best_accuracy_threshold(scores, same)

    def right(cut: float) -> int:
        return sum((score >= cut) == kind for score, kind in zip(scores, same, strict=True))

    most = max(right(cut) for cut in (*scores, 99.0))
    assert right(threshold) == most and accuracy == most / len(scores)
    # Of several best cuts the one that accepts fewest.
    fewest = min(sum(scores >= cut) for cut in (*scores, 99.0) if right(cut) == most)
    assert sum(scores >= threshold) == fewest


# ---- View 2 -------------------------------------------------------------------------------------


def folded(folds: int = 5, each: int = 40) -> tuple[Evaluation, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(1)
    same = np.tile(np.arange(each) % 2 == 0, folds)
    fold = np.repeat(np.arange(1, folds + 1), each)
    scores = rng.normal(0, 0.3, folds * each) + 0.4 * same + 0.02 * fold
    return Evaluation("lists", scores, same, 0.1, "elsewhere"), fold


def test_view2_chooses_on_the_other_folds_and_judges_on_its_own() -> None:
    evaluation, fold = folded()
    result = view2(evaluation, fold)
    accuracies = []
    for found in result.folds:
        others, mine = fold != found.fold, fold == found.fold
        assert (
            found.threshold == best_accuracy_threshold(evaluation.scores[others], evaluation.same[others])[0]
        )
        hits = [
            (score >= found.threshold) == kind
            for score, kind in zip(evaluation.scores[mine], evaluation.same[mine], strict=True)
        ]
        assert found.accuracy == pytest.approx(sum(hits) / 40) and found.pairs == 40
        accuracies.append(found.accuracy)
    mean = sum(accuracies) / 5
    assert result.accuracy == pytest.approx(mean)
    assert result.standard_error == pytest.approx((sum((a - mean) ** 2 for a in accuracies) / 4 / 5) ** 0.5)


def test_what_happens_in_a_fold_does_not_move_its_threshold() -> None:
    evaluation, fold = folded()
    before = view2(evaluation, fold)
    scores = np.where(fold == 2, -evaluation.scores, evaluation.scores)
    after = view2(Evaluation("lists", scores, evaluation.same, 0.1, "elsewhere"), fold)
    assert after.folds[1].threshold == before.folds[1].threshold
    assert after.folds[1].accuracy < before.folds[1].accuracy


@pytest.mark.parametrize("kind", [True, False])
def test_a_pair_without_a_face_is_wrong_whatever_its_truth(kind: bool) -> None:
    """Issue 19 A6: a failed impostor pair counted as right."""
    evaluation, fold = folded()
    before = view2(evaluation, fold)
    lost = np.flatnonzero((fold == 2) & (evaluation.same == kind))[:7]
    scores = evaluation.scores.copy()
    scores[lost] = -1.0
    failed = Evaluation("lists", scores, evaluation.same, 0.1, "elsewhere", failures=7, photos=400, missing=7)
    after = view2(failed, fold)
    assert [found.failures for found in after.folds] == [0, 7, 0, 0, 0]
    mine = (fold == 2) & failed.compared
    right = (scores[mine] >= after.folds[1].threshold) == evaluation.same[mine]
    assert after.folds[1].accuracy == pytest.approx(right.sum() / 40)
    assert after.folds[1].threshold == before.folds[1].threshold
    assert after.folds[1].accuracy <= before.folds[1].accuracy
    # The other folds choose on the comparisons made: no failure moves their threshold as a score would.
    others = (fold != 1) & failed.compared
    expected = best_accuracy_threshold(scores[others], evaluation.same[others])[0]
    assert after.folds[0].threshold == expected
    assert "in 7 of the 200 pairs a face was not found: wrong in the accuracy" in str(after)
    assert "failure to acquire: 1.8 % of 400 photos" in str(after)
    assert "wrong in the accuracy" in after.to_markdown()
    assert after.to_dict()["folds"][1]["failures"] == 7


def test_view2_tells_only_of_rates_that_were_measured() -> None:
    evaluation, fold = folded()
    result = view2(evaluation, fold)
    assert set(result.tar_at_far) == {0.1}, "100 impostor pairs: the rule of 3 forbids 0.01"
    assert result.tar_at_far[0.1] == pytest.approx(1 - evaluation.roc.fnmr_at_fmr(0.1))
    table = json.loads(json.dumps(result.to_dict()))
    assert table["accuracy"] == round(result.accuracy, 6) and len(table["folds"]) == 5
    assert f"{result.accuracy:.2%} +- {result.standard_error:.2%}" in str(result)
    assert "| 5 |" in result.to_markdown() and f"{result.accuracy:.4f} ± " in result.to_markdown()


def test_view2_of_a_model(root: Path, tmp_path: Path) -> None:
    names = sorted(path.name for path in root.iterdir())
    lines = ["a,b,same,fold"]
    for number, name in enumerate(names[:-2]):
        lines.append(f"{name}/0.png,{name}/1.png,1,{number % 2}")
        lines.append(f"{name}/1.png,{names[number + 2]}/2.png,0,{number % 2}")
    file = tmp_path / "pairs.csv"
    file.write_text("\n".join(lines) + "\n")
    result = evaluate_view2(ColourModel(), root, file)
    assert [fold.fold for fold in result.folds] == [0, 1]
    assert result.accuracy > 0.6 and result.evaluation.leaked is False
    # Issue 19 A9: the protocol needs the central face, and the result says so.
    assert result.to_dict()["face"] == result.to_dict()["pooled"]["face"] == "central"
    assert "; the central face of each photo, as the protocol needs" in str(result)
    assert "the central face of each photo, as the protocol needs" in result.to_markdown()
    largest = evaluate_view2(ColourModel(), root, file, "largest")
    assert "; the largest face of each photo, but the protocol needs the central face" in str(largest)
    assert result.evaluation.intervals()["f1"].low < result.evaluation.f1
    seen = ColourModel((names[3], "Somebody", names[7]))
    with pytest.raises(PeopleOverlap, match="2 of the 60 people in these pairs took part"):
        evaluate_view2(seen, root, file)
    marked = evaluate_view2(seen, root, file, allow_overlap=True)
    assert marked.evaluation.leaked is True and "LEAKED" in str(marked)
    assert marked.to_dict()["pooled"]["leaked"] is True
    assert "not known" in str(evaluate_view2(ColourModel(()), root, file))


def test_lists_that_are_no_protocol() -> None:
    evaluation, fold = folded()
    with pytest.raises(DataError, match="two folds or more"):
        view2(evaluation, np.ones_like(fold))
    with pytest.raises(DataError, match="fold 5 has no pairs of both kinds"):
        view2(evaluation, np.where(evaluation.same & (fold == 5), 4, fold))
    with pytest.raises(UsageError, match="as many folds"):
        view2(evaluation, fold[:-1])
    with pytest.raises(DataError, match="list: not every pair has a fold"):
        fold_numbers([Pair("a/1", "a/2", True, 1), Pair("a/1", "a/2", True)], "list")
    with pytest.raises(DataError, match=r"list: 1 people are in more than one fold \(a\)"):
        fold_numbers([Pair("a/1", "a/2", True, 1), Pair("a/1", "b/2", False, 2)], "list")
