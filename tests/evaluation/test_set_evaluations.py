"""Every comparison of a set, and searches, of a model and a folder of people."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from facealike.datasets.people import People
from facealike.errors import DataError, NoFaceFound, PeopleOverlap, UsageError
from facealike.evaluation.all_pairs import evaluate_exhaustive
from facealike.evaluation.identification import evaluate_identification
from facealike.evaluation.verification_result import FAILURE_SCORE
from facealike.metrics.bootstrap import pair_intervals
from facealike.metrics.gallery_split import draw_identification
from facealike.utils.wording import rate_text
from support.flat_color_model import ColourModel, make_coloured


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 people, and one photo of the first that shows no face."""
    folder = make_coloured(tmp_path_factory.mktemp("people"), 60)
    PillowImage.new("RGB", (12, 12)).save(folder / "Person_00" / "black.png")
    return folder


def colours(people: People) -> list[np.ndarray[tuple[int], np.dtype[np.float64]]]:
    found = []
    for path in people.paths:
        colour = np.asarray(PillowImage.open(path), dtype=float)[0, 0]
        found.append(colour / np.linalg.norm(colour))
    return found


def test_every_pair_against_a_loop(root: Path) -> None:
    result = evaluate_exhaustive(ColourModel(), root, "all")
    people = People.from_folder(root)
    people = people.select([path.name != "black.png" for path in people.paths])
    vectors = colours(people)
    genuine, impostor = [], []
    for i, j in itertools.combinations(range(len(people)), 2):
        kind = genuine if people.labels[i] == people.labels[j] else impostor
        kind.append(float(vectors[i] @ vectors[j]))
    assert (result.comparisons.genuine, result.comparisons.impostor) == (len(genuine), len(impostor))
    assert result.fnmr == pytest.approx(np.mean(np.array(genuine) < 0.9), abs=1e-9)
    # Impostor scores are counted in bins: the rate is that of a threshold within one of them.
    assert (
        np.mean(np.array(impostor) >= 0.9 + 1e-4) <= result.fmr <= np.mean(np.array(impostor) >= 0.9 - 1e-4)
    )
    assert (result.missing, result.leaked) == (1, False)
    # Issue 19 A6: the photo without a face is in FTA, FAR and FRR, and in no other rate.
    assert (result.photos, result.fta) == (181, 1 / 181)
    everyone = People.from_folder(root).labels
    same = everyone[:, np.newaxis] == everyone[np.newaxis]
    both = np.triu(np.ones_like(same), 1)
    assert result.attempted == (int(np.sum(same & both)), int(np.sum(~same & both)))
    assert result.far == pytest.approx(result.fmr * len(impostor) / np.sum(~same & both))
    assert result.frr == pytest.approx(1 - np.sum(np.array(genuine) >= 0.9) / np.sum(same & both))
    assert result.far < result.fmr and result.frr > result.fnmr
    told = json.loads(json.dumps(result.to_dict()))
    assert [told[name] for name in ("fta", "far", "frr")] == [result.fta, result.far, result.frr]
    assert "(failure to acquire: 0.55 % of 181 photos)" in str(result) and "FAR" in result.to_markdown()
    assert (result.threshold, result.threshold_from) == (0.9, "validation")
    assert "1 more photo was left out" in str(result)
    assert evaluate_exhaustive(ColourModel(), root, "all", threshold=0.8).fmr > result.fmr


def test_every_pair_is_told_with_intervals(root: Path) -> None:
    result = evaluate_exhaustive(ColourModel(), root, "all")
    table = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert table["protocol"] == "exhaustive" and table["leaked"] is False
    for name in ("fmr", "fnmr"):
        found = table["intervals"][name]
        assert found["low"] <= getattr(result, name) <= found["high"]
    text = result.to_markdown()
    assert f"| FNMR at the threshold | {rate_text(result.fnmr)} |" in text and "| AUC |" in text


def test_far_and_frr_have_intervals_where_photos_have_no_face(tmp_path: Path) -> None:
    """Issue 19 A6: those of the pairs one by one, where a pair that was not compared scores -1."""
    folder = make_coloured(tmp_path, 60)
    for number in range(0, 60, 4):  # of every fourth person one photo, of the first all
        for name in ("0.png", "1.png", "2.png")[number and 2 :]:
            side = 10 + number + int(name[0])  # of another size each, so none is a copy of another
            PillowImage.new("RGB", (side, side)).save(folder / f"Person_{number:02d}" / name)
    result = evaluate_exhaustive(ColourModel(), folder, "all")
    assert (result.photos, result.missing, result.comparisons.people) == (180, 17, 59)
    people = People.from_folder(folder)
    with np.errstate(invalid="ignore"):
        vectors = [None if np.isnan(colour).any() else colour for colour in colours(people)]
    first, second = np.triu_indices(len(people), 1)
    scores = [
        FAILURE_SCORE if a is None or b is None else float(a @ b)
        for a, b in ((vectors[i], vectors[j]) for i, j in zip(first, second, strict=True))
    ]
    one, other = people.labels[first], people.labels[second]
    expected = pair_intervals(scores, one == other, one, other, 0.9, resamples=300)
    for rate, name in (("far", "fmr"), ("frr", "fnmr")):
        found, plain = result.intervals[rate], expected[name]
        assert found.estimate == getattr(result, rate) == pytest.approx(plain.estimate, abs=2e-4)
        width = plain.high - plain.low
        assert found.low == pytest.approx(plain.low, abs=width / 4)
        assert found.high == pytest.approx(plain.high, abs=width / 4)
        assert f"| {rate.upper()} at the threshold | {rate_text(found.estimate)} |" in result.to_markdown()
    assert result.intervals["far"].high < result.intervals["fmr"].high
    assert result.intervals["frr"].low > result.intervals["fnmr"].low


def test_without_a_missing_face_far_and_frr_are_fmr_and_fnmr(tmp_path: Path) -> None:
    result = evaluate_exhaustive(ColourModel(), make_coloured(tmp_path, 20), "all")
    assert (result.far, result.frr) == (result.fmr, result.fnmr) and "far" not in result.intervals


def test_searches_against_a_loop(root: Path) -> None:
    result = evaluate_identification(ColourModel(), root, "all", seed=3)
    people = People.from_folder(root)
    people = people.select([path.name != "black.png" for path in people.paths])
    vectors = colours(people)
    gallery, mated, strangers = draw_identification(people.labels, 3)
    assert len(gallery) == 30 and (result.missing, result.seed) == (1, 3)
    first = 0
    for probe in mated:
        scores = {people.labels[g]: float(vectors[g] @ vectors[probe]) for g in gallery}
        first += max(scores, key=lambda who: scores[who]) == people.labels[probe]
    # Equal scores do not flatter, and float32 may make two scores equal.
    assert result.rank1 == pytest.approx(first / len(mated), abs=1.5 / len(mated))
    tops = [max(float(vectors[g] @ vectors[probe]) for g in gallery) for probe in strangers]
    assert np.mean(result.open.non_mated >= 0.99) == pytest.approx(
        np.mean(np.array(tops) >= 0.99), abs=1.5 / len(tops)
    )
    assert evaluate_identification(ColourModel(), root, "all", seed=4).rank1 != result.rank1


def test_searches_are_told_with_intervals(root: Path) -> None:
    result = evaluate_identification(ColourModel(), root, "all")
    table = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert table["protocol"] == "identification" and table["open_set"]["non_mated_probes"] == 90
    found = table["intervals"]["rank1"]
    assert found["low"] <= result.rank1 <= found["high"]
    text = result.to_markdown()
    assert f"| rank 1 | {result.rank1:.4g} |" in text and "| FNIR at FPIR 10 % |" in text
    assert "FPIR 0.001" not in text, "90 searches of strangers cannot measure that"
    assert "1 more photo was left out" in str(result)


def test_searches_refuse_people_of_the_training(root: Path) -> None:
    names = tuple(path.name for path in root.iterdir())
    with pytest.raises(PeopleOverlap, match="60 of the 60 people in the split all"):
        evaluate_identification(ColourModel(names), root, "all")
    assert evaluate_identification(ColourModel(names), root, "all", allow_overlap=True).leaked is True


def test_pictures(root: Path) -> None:
    pytest.importorskip("matplotlib")
    searches = evaluate_identification(ColourModel(), root, "all")
    assert "rank 1" in searches.plot().get_title()
    assert evaluate_exhaustive(ColourModel(), root, "all").plot().get_xscale() == "log"


def test_a_split_is_that_split(root: Path) -> None:
    result = evaluate_exhaustive(ColourModel(), root, "test")
    test = People.from_folder(root).split("test")
    assert result.comparisons.people == len(test.names)
    assert evaluate_exhaustive(ColourModel(), root, "train").leaked is True


def test_people_of_the_training_are_counted_and_refused(root: Path) -> None:
    names = [path.name for path in sorted(root.iterdir())]
    seen = ColourModel((*names[:7], "Somebody_Else"))
    with pytest.raises(PeopleOverlap, match="7 of the 60 people in the split all took part in the training"):
        evaluate_exhaustive(seen, root, "all")
    marked = evaluate_exhaustive(seen, root, "all", allow_overlap=True)
    assert marked.leaked is True and marked.to_dict()["leaked"] is True
    assert "LEAKED" in str(marked) and "LEAKED" in marked.to_markdown()
    unknown = evaluate_exhaustive(ColourModel(()), root, "all")
    assert unknown.leaked is None and "is not known" in str(unknown)


def test_sets_that_cannot_be_evaluated(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="one face a photo"):
        evaluate_exhaustive(ColourModel(), root, "all", "all")
    with pytest.raises(DataError):
        evaluate_exhaustive(ColourModel(), tmp_path / "nowhere", "all")
    for side, name in enumerate(("Ann", "Bob"), start=12):
        (tmp_path / name).mkdir()
        PillowImage.new("RGB", (side, side)).save(tmp_path / name / "black.png")
    with pytest.raises(NoFaceFound, match="no face found, nor in any other photo"):
        evaluate_exhaustive(ColourModel(), tmp_path, "all")
