"""A full test of a model: each part against the evaluator or the loop that measures it alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from facealike import DiscardEvaluator, EvaluationOptions, FullEvaluation, FullEvaluator, evaluate_exhaustive
from facealike.errors import DataError, UsageError
from facealike.evaluation.gallery_sizes import gallery_searches
from facealike.metrics.gallery_split import draw_identification, smaller_gallery
from facealike.reports.evaluation_page import evaluation_page
from support.flat_color_model import ColourModel, make_coloured
from support.html_page import Page

OPTIONS = EvaluationOptions(seed=1, resamples=50)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 people, the last of whom has no photo with a face."""
    folder = make_coloured(tmp_path_factory.mktemp("people"), 60)
    for k in range(3):
        PillowImage.new("RGB", (12 + k, 12)).save(folder / "Person_59" / f"{k}.png")
    return folder


@pytest.fixture(scope="module")
def groups(root: Path) -> Path:
    """Two groups of people; photo k of each was taken at 20 + 10 k years."""
    rows = ["file,race,gender,age"]
    for number in range(60):
        group = "even" if number % 2 == 0 else "odd"
        rows += [f"Person_{number:02d}/{k}.png,{group},any,{20 + 10 * k}" for k in range(3)]
    path = root.parent / f"{root.name}.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture(scope="module")
def result(root: Path, groups: Path) -> FullEvaluation:
    return FullEvaluator(root, "all", groups, OPTIONS)(ColourModel())


def test_its_parts_are_those_of_the_protocols(root: Path, result: FullEvaluation) -> None:
    alone = evaluate_exhaustive(ColourModel(), root, "all")
    told = result.verification.to_dict()
    assert told == alone.to_dict() and result.metrics["eer"] == alone.metrics["eer"]
    discard = DiscardEvaluator(root, "all", EvaluationOptions(seed=1))(ColourModel())
    assert result.discard is not None and result.discard.to_dict() == discard.to_dict()
    assert (result.people, result.not_enrolled, result.missing, result.photos) == (60, 1, 3, 180)
    assert result.acquire.estimate == 3 / 180 and result.enroll.estimate == 1 / 60
    assert result.extrapolation is not None and result.extrapolation.pairs == alone.comparisons.impostor
    assert result.missing_parts == ()


def test_age_gaps_and_groups_against_a_loop(root: Path, result: FullEvaluation) -> None:
    model = ColourModel()
    errors: dict[tuple[str, int], list[bool]] = {}
    for number in range(59):
        photos = sorted((root / f"Person_{number:02d}").glob("*.png"))
        vectors = [model.embed_crops(model.faces(path)[0].crop[None])[0] for path in photos]
        for i in range(3):
            for j in range(i):
                group = "even" if number % 2 == 0 else "odd"
                errors.setdefault((group, 10 * (i - j)), []).append(float(vectors[i] @ vectors[j]) < 0.9)
    gaps = {rate.name: rate for rate in result.age_gaps}
    assert list(gaps) == ["10 to 19 years", "20 to 29 years"]
    for name, years in (("10 to 19 years", 10), ("20 to 29 years", 20)):
        every = errors["even", years] + errors["odd", years]
        assert (gaps[name].pairs, gaps[name].people) == (len(every), 59)
        assert gaps[name].fnmr is not None and gaps[name].fnmr.estimate == pytest.approx(np.mean(every))
    assert result.group_fnmr is not None and result.groups is not None
    assert list(result.group_fnmr) == ["race", "gender", "race x gender"], "ages in years are no groups"
    even, odd = result.group_fnmr["race"]
    assert even.fnmr is not None and even.fnmr.estimate == pytest.approx(
        np.mean(errors["even", 10] + errors["even", 20])
    )
    assert odd.fnmr is None and odd.people == 29, "29 people are too few"
    assert [group.missing for group in result.groups.at(["race"])] == [0, 3]


def test_a_smaller_gallery_holds_the_same_searches() -> None:
    labels = np.repeat(np.arange(40), np.tile([3, 1], 20))
    whole = draw_identification(labels, 2)
    searched = len(np.unique(labels[whole.mated]))
    half = smaller_gallery(labels, whole, 15, 2)
    assert len(half.gallery) == 15 and set(half.gallery) < set(whole.gallery)
    assert np.array_equal(half.mated, whole.mated) and np.array_equal(half.non_mated, whole.non_mated)
    few = smaller_gallery(labels, whole, searched - 2, 2)
    assert set(few.gallery) < set(half.gallery) and len(np.unique(labels[few.mated])) == searched - 2
    with pytest.raises(UsageError, match="cannot be reduced to 21"):
        smaller_gallery(labels, whole, 21, 2)


def test_misses_are_those_of_a_loop_over_galleries() -> None:
    rng = np.random.default_rng(3)
    labels = np.repeat(np.arange(250), 2)
    centers = rng.normal(size=(250, 4))
    vectors = (centers[labels] + 0.3 * rng.normal(size=(500, 4))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = gallery_searches(vectors, labels, 5)
    assert [one.people for one in found] == [100, 125]
    for one in found:
        sets = smaller_gallery(labels, draw_identification(labels, 5), one.people, 5)
        scores = vectors[sets.mated] @ vectors[sets.gallery].T
        own = scores[labels[sets.mated][:, None] == labels[sets.gallery]]
        ranks = np.sum(scores >= own[:, None], axis=1)
        assert one.misses[1].estimate == pytest.approx(np.mean(ranks > 1))
        assert one.misses[50].estimate == pytest.approx(np.mean(ranks > 50))
        assert one.misses[1].low <= one.misses[1].estimate <= one.misses[1].high
        assert list(one.fnir) == [0.1], "250 non-mated searches count no FPIR of 1 %"


def test_it_is_told_in_json_in_markdown_and_on_a_page(result: FullEvaluation) -> None:
    told = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert told["protocol"] == "full" and told["conditions"]["seed"] == 1
    assert told["identification"][-1]["gallery_people"] == 30
    assert "## Verification" in result.to_markdown()
    pytest.importorskip("matplotlib")
    page = Page(evaluation_page(result))
    headings = [attributes["id"] for attributes in page.all("section")]
    assert headings == [
        "tested", "data", "acquire", "template", "verification", "extrapolated", "age", "groups",
        "identification", "quality",
    ]  # fmt: skip
    assert len(page.all("svg")) == 2
    text = "".join(page.words)
    assert "3 of 180" in text and "extrapolated" in text and "Disparity" in text


def test_what_is_too_small_is_named(tmp_path: Path) -> None:
    result = FullEvaluator(make_coloured(tmp_path, 4), "all", options=OPTIONS)(ColourModel())
    assert result.extrapolation is None and "needs 10,000 impostor pairs" in " ".join(result.missing_parts)
    pytest.importorskip("matplotlib")
    text = "".join(Page(evaluation_page(result)).words)
    assert "What was not measured" in text and "the set has no ages" in text
    perfect = FullEvaluator(tmp_path, "all", options=replace(OPTIONS, threshold=-1.0))(ColourModel())
    text = evaluation_page(perfect)
    assert perfect.verification.fnmr == 0 and ">nan" not in text and "nan to" not in text


def test_leaked_people_are_refused_or_named(root: Path) -> None:
    leaked = FullEvaluator(root, "all", options=EvaluationOptions(allow_overlap=True, resamples=20))
    result = leaked(ColourModel(trained_on=("Person_00",)))
    assert result.leaked and "LEAKED" in evaluation_page(result)


def test_what_makes_no_sense_is_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="keeps no quality"):
        FullEvaluator(root, options=EvaluationOptions(cache=tmp_path))
    PillowImage.new("RGB", (12, 12), "red").save(tmp_path / "other.png")
    other = tmp_path / "other.csv"
    other.write_text(f"file,race,gender,age\n{tmp_path / 'other.png'},a,b,c\n")
    with pytest.raises(DataError, match="none of its photos"):
        FullEvaluator(root, "all", other)(ColourModel())
