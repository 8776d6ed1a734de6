"""Every comparison of a set, and searches, of a model and a folder of people."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from colour_model import ColourModel, make_coloured
from facealike.data import People
from facealike.errors import DataError, NoFaceFound, PeopleOverlap, UsageError
from facealike.set_protocols import evaluate_exhaustive


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
    assert (result.threshold, result.threshold_from) == (0.9, "validation")
    assert "1 more photos were left out" in str(result)
    assert evaluate_exhaustive(ColourModel(), root, "all", threshold=0.8).fmr > result.fmr


def test_every_pair_is_told_with_intervals(root: Path) -> None:
    result = evaluate_exhaustive(ColourModel(), root, "all")
    table = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert table["protocol"] == "exhaustive" and table["leaked"] is False
    for name in ("fmr", "fnmr"):
        found = table["intervals"][name]
        assert found["low"] <= getattr(result, name) <= found["high"]
    text = result.to_markdown()
    assert f"| FNMR at the threshold | {result.fnmr:.4g} |" in text and "| AUC |" in text


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
    for name in ("Ann", "Bob"):
        (tmp_path / name).mkdir()
        PillowImage.new("RGB", (12, 12)).save(tmp_path / name / "black.png")
    with pytest.raises(NoFaceFound, match="no face found, nor in any other photo"):
        evaluate_exhaustive(ColourModel(), tmp_path, "all")
