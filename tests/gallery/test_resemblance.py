"""What an enrollment reports: probable duplicates, lookalikes, and photos unlike the person's others."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from facealike.calibration.calibration import Calibration
from facealike.calibration.likelihood_ratio import likelihood_ratio
from facealike.embedding.face_model import Model
from facealike.errors import DataError
from facealike.gallery import gallery as gallery_module
from facealike.gallery import intake
from facealike.gallery.gallery import Gallery
from facealike.gallery.resemblance import DUPLICATE_FPIR, find_resemblance
from facealike.gallery.sqlite_store import SQLiteStore
from facealike.gallery.template import Template
from facealike.gallery.template_matrix import TemplateMatrix, compare_in_store
from facealike.gallery.threshold import threshold_at_fpir
from facealike.verification.best_pair import rate_of_best
from support.known_scores import known_calibration
from support.paths import ROOT
from support.tiny_model import hopper_path

COLLINS = ROOT / "examples" / "photos" / "collins.jpg"
CALIBRATION = known_calibration()
WIDTH = 8


def near(axis: int, score: float, aside: int = 7) -> NDArray[np.float32]:
    """A unit vector with this product with a coordinate axis, leaning to another one."""
    vector = np.zeros(WIDTH, np.float32)
    vector[axis], vector[aside] = score, math.sqrt(1 - score**2)
    return vector


def template(vector: NDArray[np.float32], name: str) -> Template:
    return Template(vector, name.encode().hex().rjust(64, "0"), None, name)


@pytest.fixture
def store(tmp_path: Path) -> SQLiteStore:
    """Five people along five axes."""
    store = SQLiteStore(tmp_path / "g.db", "m")
    rows = [(f"person {i}", template(near(i, 1.0), f"{i}.jpg")) for i in range(5)]
    store.add_many(rows)
    return store


def cut(fpir: float, comparisons: int) -> float:
    return threshold_at_fpir(CALIBRATION.tail, fpir, comparisons).threshold


def test_a_duplicate_reaches_the_threshold_and_a_lookalike_that_of_ten_times_the_rate(
    store: SQLiteStore,
) -> None:
    duplicate, alike = cut(DUPLICATE_FPIR, 6), cut(10 * DUPLICATE_FPIR, 6)
    ratio = likelihood_ratio(CALIBRATION)
    assert ratio is not None
    for score, reported, sure in (
        (duplicate + 0.01, 1, True),
        (alike + 0.01, 1, False),
        (alike - 0.01, 0, 0),
    ):
        found = find_resemblance(store, CALIBRATION, [("new", template(near(3, score), "new.jpg"))], {})
        assert len(found.lookalikes) == reported and found.outliers == ()
        for one in found.lookalikes:
            assert (one.person, one.photo, one.other, one.other_photo) == (
                "new",
                "new.jpg",
                "person 3",
                "3.jpg",
            )
            assert one.duplicate == sure and one.score == pytest.approx(score, abs=1e-6)
            assert one.rate == pytest.approx(rate_of_best(ratio.fmr_at(score), 6))
            assert (one.rate <= DUPLICATE_FPIR * 1.3) == sure, "the two curves differ a little"
            assert ("probable duplicate of person 3" in str(one)) == sure and 0 < one.probability < 1


def test_each_photo_of_a_new_person_is_one_more_chance(store: SQLiteStore) -> None:
    score = (cut(DUPLICATE_FPIR, 6) + cut(DUPLICATE_FPIR, 8 * 3)) / 2
    (one,) = find_resemblance(store, CALIBRATION, [("new", template(near(3, score), "a"))], {}).lookalikes
    more = [
        ("new", template(near(axis, s), name))
        for axis, s, name in ((3, score, "a"), (5, 1, "b"), (6, 1, "c"))
    ]
    (other,) = find_resemblance(store, CALIBRATION, more, {}).lookalikes
    assert one.duplicate and not other.duplicate
    assert other.rate > one.rate and other.probability < one.probability


def test_new_people_are_compared_with_each_other_and_a_correction_is_heeded(store: SQLiteStore) -> None:
    new = [("Ann", template(near(5, 1), "a")), ("Bob", template(near(5, 0.99), "b"))]
    (one,) = find_resemblance(store, CALIBRATION, new, {}).lookalikes
    assert {one.person, one.other} == {"Ann", "Bob"} and one.duplicate
    again = [("person 1", template(near(1, 0.99), "other.jpg"))]
    assert find_resemblance(store, CALIBRATION, again, {}).lookalikes == (), "it is the same person"
    twin = template(near(1, 0.99), "twin.jpg")
    assert find_resemblance(store, CALIBRATION, [("Eve", twin)], {}).lookalikes
    assert not find_resemblance(store, CALIBRATION, [("Eve", twin)], {"person 1": {twin.digest}}).lookalikes
    assert find_resemblance(store, Calibration.none(), [("Eve", twin)], {}) == ((), ())
    assert find_resemblance(store, CALIBRATION, [], {}) == ((), ())


def test_a_photo_unlike_the_others_is_an_outlier(store: SQLiteStore) -> None:
    new = [("Ann", template(near(5, s), str(s))) for s in (1, 0.98, 0.97)]
    assert find_resemblance(store, CALIBRATION, new, {}).outliers == ()
    (one,) = find_resemblance(store, CALIBRATION, [*new, ("Ann", template(near(6, 1), "wrong"))], {}).outliers
    assert (
        (one.person, one.photo) == ("Ann", "wrong")
        and one.score < 0.3
        and "no other photo of Ann" in str(one)
    )
    (stored,) = find_resemblance(store, CALIBRATION, [("person 2", template(near(6, 1), "x"))], {}).outliers
    assert stored.photo == "x", "compared with the templates that are stored"


# ---- on photos ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model() -> Model:
    return Model.load()


def saved(path: Path, photo: Image.Image) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    photo.save(path)
    return path


def test_a_person_under_two_names_is_reported_or_refused(tmp_path: Path, model: Model) -> None:
    gallery = Gallery.open(tmp_path / "g.db", model)
    assert gallery.enroll("Grace", [hopper_path()]).lookalikes == ()
    assert not any(each.duplicate for each in gallery.enroll("Michael", [COLLINS]).lookalikes)
    mirrored = saved(tmp_path / "m.png", Image.open(hopper_path()).transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    with pytest.raises(
        DataError, match=r"G. Hopper: no photo can be enrolled; .*probable duplicate of Grace"
    ):
        gallery.enroll("G. Hopper", [mirrored], refuse_duplicates=True)
    assert "G. Hopper" not in gallery.people()
    result = gallery.enroll("G. Hopper", [mirrored])
    one, *others = result.lookalikes
    assert one.duplicate and one.other == "Grace" and one.probability > 0.9 and result.added == 1
    assert not any(each.duplicate for each in others)
    assert "1 probable duplicate" in str(result) and result.to_dict()["lookalikes"][0]["other"] == "Grace"
    assert gallery.enroll("Grace", [mirrored]).lookalikes[0].duplicate, "known under the other name"
    wrong = gallery.enroll("Michael", [mirrored])
    assert [Path(one.photo).name for one in wrong.outliers] == ["m.png"] and "1 outlier" in str(wrong)


@pytest.mark.parametrize("many", [False, True])
def test_in_bulk_duplicates_are_reported_or_refused(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch, many: bool
) -> None:
    monkeypatch.setattr(intake, "BATCH", 2)
    monkeypatch.setattr(gallery_module, "is_many", lambda count: many)
    grace = Image.open(hopper_path())
    root = tmp_path / "people"
    saved(root / "A Grace" / "1.png", grace)
    saved(root / "B Michael" / "1.png", Image.open(COLLINS))
    saved(root / "C Hopper" / "1.png", grace.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    reported = Gallery.open(tmp_path / "g.db", model).enroll_all(root)
    (one,) = (each for each in reported.lookalikes if each.duplicate)
    assert (one.person, one.other, one.duplicate, reported.added) == ("C Hopper", "A Grace", True, 3)
    gallery = Gallery.open(tmp_path / "other.db", model)
    refused = gallery.enroll_all(root, refuse_duplicates=True)
    assert refused.added == 2 and [each.person for each in refused.refused] == ["C Hopper"]
    assert "enroll it under that name" in refused.refused[0].reason and "C Hopper" not in gallery.people()


def test_the_matrix_of_a_bulk_enrollment_answers_as_the_store_does(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def some(count: int, start: int) -> list[tuple[str, Template]]:
        vectors = rng.normal(size=(count, WIDTH)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return [(f"p{(start + i) % 7}", template(v, f"{start + i}")) for i, v in enumerate(vectors)]

    store = SQLiteStore(tmp_path / "g.db", "m")
    matrix, start = TemplateMatrix(store), 0
    for count in (1, 3, 40, 2000, 5):
        new = some(count, start)
        for one, other in zip(matrix.compare(new), compare_in_store(store, new), strict=True):
            assert (one.other is None) == (other.other is None) and np.allclose(one.own, other.own, atol=1e-6)
            if one.other is not None and other.other is not None:
                assert one.other[::2] == other.other[::2]
                assert one.other.score == pytest.approx(other.other.score, abs=1e-6)
        store.add_many(new)
        matrix.add(new)
        start += count
        assert (len(matrix), matrix.people) == (store.count(), store.count_people())
    again = TemplateMatrix(store)
    new = some(4, start)
    assert [near.other for near in again.compare(new)] == [near.other for near in matrix.compare(new)]
