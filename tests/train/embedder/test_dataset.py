"""Plans: who is trained on, who is watched, and what a resumed run may not change."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from facealike.datasets.parts import divide
from facealike.datasets.people import People
from facealike.datasets.splits import split_of
from facealike.errors import DataError, DetectorError, RecipeError, TrainingError
from facealike.train.data.preprocessing import choose_preprocessing
from facealike.train.embedder.dataset import Plan, describe, make_plan, watch
from facealike.train.recipe.schema import Recipe
from facealike.types import Face, Image
from support.drawn_people import CentralBox, draw_face, make_people, tiny_recipe


class Blind(CentralBox):
    """Finds nobody in photos with a black corner."""

    def detect(self, image: Image) -> list[Face]:
        return super().detect(image) if image[0, 0].any() else []


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_people(tmp_path_factory.mktemp("plan") / "people")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("crops")


def plan_of(root: Path, cache: Path, detector: Any = None, **tables: Any) -> Plan:
    return make_plan(root, tiny_recipe(**tables), detector or CentralBox(), cache)


def blacken(path: Path) -> None:
    pixels = np.array(PillowImage.open(path))
    pixels[:3, :3] = 0
    PillowImage.fromarray(pixels).save(path)


def small_folder(folder: Path, people: dict[str, int], first: int = 0) -> Path:
    """``people`` with that many photos each, drawn as the persons from ``first`` on."""
    for number, (name, photos) in enumerate(people.items(), first):
        (folder / name).mkdir(parents=True)
        for photo in range(photos):
            PillowImage.fromarray(draw_face(number, photo)).save(folder / name / f"{photo}.png")
    return folder


def names_in(split: str, count: int) -> list[str]:
    return [name for name in (f"N{k}" for k in range(1000)) if split_of(name) == split][:count]


# ---- who is in which part ---------------------------------------------------------------------


def test_people_are_apart_and_divided_by_name(root: Path, cache: Path) -> None:
    plan = plan_of(root, cache)
    everybody = People.from_folder(root)
    parts = [set(people.names) for people in (plan.train.people, plan.validation.people, plan.test)]
    assert all(parts) and not any(one & other for one, other in itertools.combinations(parts, 2))
    assert {name for name in everybody.names if split_of(name) == "test"} <= parts[2]
    divided = divide(everybody)
    assert parts == [set(divided.of(split)) for split in ("train", "validation", "test")]


def test_rows_lead_to_the_crops_of_the_photos(root: Path, cache: Path) -> None:
    plan = plan_of(root, cache)
    for part in (plan.train, plan.validation):
        for k in (0, len(part.rows) - 1):
            photo = np.asarray(PillowImage.open(part.people.paths[k]))
            (face,) = CentralBox().detect(photo)
            (crop,) = plan.crops.take(part.rows[k : k + 1])
            np.testing.assert_array_equal(crop, plan.preprocessing.crop(photo, face))


def test_the_watched_pairs_are_those_of_their_part(root: Path, cache: Path) -> None:
    plan = plan_of(root, cache)
    assert [watched.name for watched in plan.watched] == ["val", "train"]
    for watched, part in zip(plan.watched, (plan.validation, plan.train), strict=True):
        person = dict(zip(part.rows.tolist(), part.labels.tolist(), strict=True))
        labels = np.array([person[row] for row in watched.rows.tolist()])
        a, b, same = watched.pairs
        np.testing.assert_array_equal(labels[a] == labels[b], same)
        assert (a != b).all() and same.sum() == (~same).sum() > 0
        assert set(np.r_[a, b]) == set(range(len(watched.rows))), "no crop is embedded in vain"


def test_watching_takes_no_more_pairs_than_asked_for(root: Path, cache: Path) -> None:
    plan = plan_of(root, cache)
    few = watch("train", plan.train, 0, limit=3)
    assert few.pairs.same.sum() == 3 and len(few.rows) <= 12


def test_split_by_image_keeps_the_test_apart(root: Path, cache: Path) -> None:
    """The validation knows everybody of the training, as in the seed repository; the test nobody."""
    plan = plan_of(root, cache, data={"split": "image"})
    train, validation = plan.train.people, plan.validation.people
    assert set(train.names) == {name for name in People.from_folder(root).names if split_of(name) != "test"}
    assert set(validation.names) <= set(train.names)
    assert not set(plan.test.names) & set(train.names)
    assert not set(train.paths) & set(validation.paths)
    assert len(train) + len(validation) + len(plan.test) == len(People.from_folder(root))


def test_images_of_one_person_can_be_limited(root: Path, cache: Path) -> None:
    full, limited = (
        plan_of(root, cache),
        plan_of(root, cache, data={"max_images_per_identity": 3}),
    )
    assert np.bincount(full.train.labels).max() > 3
    assert np.bincount(limited.train.labels).tolist() == [3] * len(full.train.people.names)
    assert limited.validation.people.paths == full.validation.people.paths


def test_photos_without_a_face_are_left_out(tmp_path: Path) -> None:
    root = make_people(tmp_path / "people")
    before = plan_of(root, tmp_path / "crops")
    first, gone = before.train.people.names[:2]
    blacken(root / first / "1.png")
    for photo in (root / gone).iterdir():
        blacken(photo)
    plan = plan_of(root, tmp_path / "crops", Blind())
    assert plan.crops.found.sum() == len(plan.crops) - 1 - len(list((root / gone).iterdir()))
    assert root / first / "1.png" not in plan.train.people.paths
    assert root / first / "2.png" in plan.train.people.paths
    assert gone not in plan.train.people.names
    assert set(plan.train.labels.tolist()) == set(range(len(plan.train.people.names)))


def test_unlabelled_photos_are_people_of_their_own(tmp_path: Path) -> None:
    root, outside = make_people(tmp_path / "people"), tmp_path / "outside"
    small_folder(outside, {"a": 2, "b": 1}, first=80)
    PillowImage.fromarray(draw_face(90, 0)).save(outside / "top.png")
    PillowImage.fromarray(draw_face(91, 0)).save(outside / ".hidden.png")
    (outside / "notes.txt").write_text("no photo")
    blacken(outside / "b" / "0.png")
    before = plan_of(root, tmp_path / "crops", Blind())
    plan = plan_of(root, tmp_path / "crops", Blind(), data={"unlabelled": str(outside)})
    assert plan.unlabeled is not None
    assert [path.name for path in plan.unlabeled.people.paths] == ["0.png", "1.png", "top.png"]
    assert plan.unlabeled.labels.tolist() == [0, 1, 2]
    named = len(plan.train.people.names)
    assert plan.training_data.labels.tolist() == [*plan.train.labels.tolist(), named, named + 1, named + 2]
    for path, row in zip(plan.training_data.people.paths[-3:], plan.training_data.rows[-3:], strict=True):
        photo = np.asarray(PillowImage.open(path))
        (crop,) = plan.crops.take([row])
        np.testing.assert_array_equal(crop, plan.preprocessing.crop(photo, CentralBox().detect(photo)[0]))
    # Nothing else changes: who is watched, who is counted, and who could be found in a card.
    assert plan.train.people.paths == before.train.people.paths
    assert all(
        np.array_equal(one.pairs.a, other.pairs.a)
        for one, other in zip(plan.watched, before.watched, strict=True)
    )
    assert describe(plan)["unlabelled"] == {"images": 3}
    assert plan.fingerprint != before.fingerprint


def test_an_unlabelled_folder_without_photos(root: Path, cache: Path, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DataError, match=r"no photos there"):
            plan_of(root, cache, data={"unlabelled": str(folder)})


def test_counts_for_the_card(root: Path, cache: Path) -> None:
    plan = plan_of(root, cache)
    counts = describe(plan)
    assert counts["train"] == {"people": len(plan.train.people.names), "images": len(plan.train.people)}
    assert set(counts) == {"train", "validation", "test", "parts"}
    assert plan.parts is not None and counts["parts"] == plan.parts.note() != ""


# ---- too few people ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("train", "validation", "said"),
    [
        ({}, {"v": 2, "w": 2}, r"too few training people \(0 with a face, 0 of them with two"),
        ({"a": 3}, {"v": 2, "w": 2}, r"too few training people \(1 with a face, 1 of them"),
        ({"a": 1, "b": 1}, {"v": 2, "w": 2}, r"too few training people \(2 with a face, 0 of them"),
        ({"a": 2, "b": 2}, {}, r"too few validation people \(0 with a face"),
        ({"a": 2, "b": 2}, {"v": 2}, r"too few validation people \(1 with a face"),
    ],
)
def test_too_few_people_is_a_sentence(
    tmp_path: Path, train: dict[str, int], validation: dict[str, int], said: str
) -> None:
    people = dict(zip(names_in("train", len(train)), train.values(), strict=True))
    people |= dict(zip(names_in("validation", len(validation)), validation.values(), strict=True))
    with pytest.raises(DataError, match=said) as caught:
        plan_of(small_folder(tmp_path / "people", people), tmp_path / "crops")
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_people_on_each_side_are_enough_and_the_test_may_be_empty(tmp_path: Path) -> None:
    people = dict.fromkeys([*names_in("train", 2), *names_in("validation", 2)], 2)
    plan = plan_of(small_folder(tmp_path / "people", people), tmp_path / "crops")
    assert len(plan.train.people) == len(plan.validation.people) == 4
    assert len(plan.test) == 0


def test_photos_whose_faces_are_not_found_do_not_count(tmp_path: Path) -> None:
    people = dict.fromkeys([*names_in("train", 2), *names_in("validation", 2)], 2)
    root = small_folder(tmp_path / "people", people)
    for name in names_in("validation", 2):
        blacken(root / name / "0.png")
    with pytest.raises(DataError, match=r"too few validation people \(2 with a face, 0 of them with two"):
        plan_of(root, tmp_path / "crops", Blind())


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        plan_of(tmp_path / "nowhere", tmp_path / "crops")


# ---- detector and crop ------------------------------------------------------------------------


class Landmarks(CentralBox):
    has_landmarks = True


@pytest.mark.parametrize(
    ("asked", "detector", "align"),
    [
        ("auto", CentralBox, "box"), ("auto", Landmarks, "landmarks"), ("box", Landmarks, "box"),
        ("box", CentralBox, "box"), ("landmarks", Landmarks, "landmarks"),
    ],
)  # fmt: skip
def test_alignment(asked: str, detector: type[CentralBox], align: str) -> None:
    recipe = tiny_recipe(crop={"align": asked, "margin": 0.3, "edge": "clip", "size": 40})
    made = choose_preprocessing(recipe, detector())
    assert (made.align, made.margin, made.edge, made.size) == (align, 0.3, "clip", 40)


def test_context_is_for_landmarks() -> None:
    recipe = tiny_recipe(crop={"align": "auto", "context": 0.2})
    assert choose_preprocessing(recipe, Landmarks()).context == 0.2
    with pytest.raises(TrainingError, match=r"crop\.context needs landmarks"):
        choose_preprocessing(recipe, CentralBox())
    with pytest.raises(RecipeError, match=r"crop\.context fits align"):
        tiny_recipe(crop={"align": "box", "context": 0.2})


def test_landmarks_that_nobody_finds() -> None:
    with pytest.raises(TrainingError, match="YuNet"):
        choose_preprocessing(tiny_recipe(crop={"align": "landmarks"}), CentralBox())


def test_the_recipe_names_the_detector_unless_one_is_given(root: Path, cache: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(crop={"detector": str(tmp_path / "none.onnx")})
    with pytest.raises(DetectorError, match=r"none\.onnx"):
        make_plan(root, recipe, None, cache)
    assert make_plan(root, recipe, CentralBox(), cache).detector.spec == CentralBox.spec
    # The stand-in shares its crops with dlib's detector, which other tests of training count on.
    assert make_plan(root, tiny_recipe(crop={"detector": "dlib"}), None, cache).crops.found.all()


# ---- fingerprint ------------------------------------------------------------------------------


def fingerprint(root: Path, cache: Path, detector: Any = None, **tables: Any) -> str:
    return plan_of(root, cache, detector, **tables).fingerprint


def test_equal_folders_have_equal_fingerprints(
    root: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever they lie, and whatever happens to the people of the test."""
    # As in a large folder: in a small one another person takes the place of the one that is removed.
    monkeypatch.setattr("facealike.datasets.parts.MIN_PART", 0)
    copy = shutil.copytree(root, tmp_path / "elsewhere")
    before = fingerprint(root, cache)
    assert len(before) == 64
    assert fingerprint(copy, tmp_path / "crops") == before
    shutil.rmtree(copy / plan_of(root, cache).test.names[0])
    assert fingerprint(copy, tmp_path / "crops") == before


def test_a_photo_more_less_renamed_or_changed_changes_it(root: Path, cache: Path, tmp_path: Path) -> None:
    plan = plan_of(root, cache)
    prints = [plan.fingerprint]
    for split, part in (("train", plan.train), ("validation", plan.validation)):
        for change in ("more", "less", "renamed", "changed", "moved"):
            copy = shutil.copytree(root, tmp_path / split / change)
            person, other = (copy / name for name in part.people.names[:2])
            if change == "more":
                shutil.copy(person / "0.png", person / "extra.png")
            elif change == "less":
                (person / "3.png").unlink()
            elif change == "renamed":
                (person / "3.png").rename(person / "4th.png")
            elif change == "changed":
                PillowImage.fromarray(draw_face(777, 3)).save(person / "3.png")
            else:
                (person / "3.png").rename(other / "9.png")
            prints.append(fingerprint(copy, tmp_path / "crops"))
    assert len(set(prints)) == len(prints)


def test_what_the_recipe_crops_changes_it(root: Path, cache: Path) -> None:
    class Other(CentralBox):
        spec = {**CentralBox.spec, "min_confidence": 0.1}  # noqa: RUF012

    prints = [
        fingerprint(root, cache),
        fingerprint(root, cache, crop={"size": 40}),
        fingerprint(root, cache, crop={"margin": 0.1}),
        fingerprint(root, cache, crop={"edge": "clip"}),
        fingerprint(root, cache, data={"split": "image"}),
        fingerprint(root, cache, data={"max_images_per_identity": 2}),
        fingerprint(root, cache, Other()),
    ]
    assert len(set(prints)) == len(prints)


def test_how_it_is_trained_does_not_change_it(root: Path, cache: Path) -> None:
    other: Recipe = tiny_recipe(training={"epochs": 9}, loss={"margin": 0.5}, network={"dimensions": 8})
    assert make_plan(root, other, CentralBox(), cache).fingerprint == fingerprint(root, cache)
