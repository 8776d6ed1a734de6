"""The data of a run: crops, splits, monitored pairs and the fingerprint that a resumed run must share."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...datasets.pair_sampling import balanced_pairs
from ...datasets.parts import Parts, divide
from ...datasets.people import People, unlabeled_photos
from ...detection.base import Detector
from ...detection.registry import named_detector
from ...embedding.crop_cache import Crops, cached_crops
from ...errors import DataError, TrainingError
from ...imaging.photo_digest import photo_digests
from ...imaging.photo_warning import left_out_counts
from ...model_file.preprocessing import Preprocessing
from ...types import PairIndices, Progress
from ...utils.escape import shown
from ..data.preprocessing import choose_preprocessing
from ..recipe.schema import Recipe

WATCHED_VALIDATION, WATCHED_TRAINING = 5000, 500  # genuine pairs at most, scored after each epoch


@dataclass(frozen=True, eq=False)
class Part:
    """People with crops: ``rows`` (n,) index the crops of the whole folder; labels count from 0."""

    people: People
    rows: NDArray[np.int64]

    @property
    def labels(self) -> NDArray[np.int64]:
        """Person of each row, (n,)."""
        return self.people.labels


@dataclass(frozen=True, eq=False)
class Watched:
    """Pairs that are scored after every epoch; they index ``rows``, the crops to embed for them."""

    name: str
    rows: NDArray[np.int64]
    pairs: PairIndices


def watch(name: str, part: Part, seed: int, limit: int) -> Watched:
    """Return balanced pairs of ``part``, at most ``limit`` genuine ones, with the crops that they need."""
    pairs = balanced_pairs(part.labels, seed, limit)
    used, place = np.unique(np.concatenate([pairs.a, pairs.b]), return_inverse=True)
    a, b = np.split(place.astype(np.int64), 2)
    return Watched(name, part.rows[used], PairIndices(a, b, pairs.same))


@dataclass(frozen=True, eq=False)
class Plan:
    """The data of a run.

    Args:
        root: The folder of people.
        crops: The crops of all photos.
        train: The training people.
        validation: The validation people; empty if the caller named the training people.
        watched: Pairs of the validation people, if there are any, and of the training people.
        test: The test people; used only after training.
        detector: The detector.
        preprocessing: The face crop.
        face: Which face of a photo is used.
        unlabeled: Photos without identity labels from another folder, each a class of its own.
        parts: Which people are in which split; None if the recipe splits photos or the caller named the
            training people.
    """

    root: Path
    crops: Crops
    train: Part
    validation: Part
    watched: tuple[Watched, ...]
    test: People
    detector: Detector
    preprocessing: Preprocessing
    face: str
    unlabeled: Part | None = None
    parts: Parts | None = None

    @cached_property
    def training_data(self) -> Part:
        """The training people and, after them, the unlabeled photos."""
        if self.unlabeled is None:
            return self.train
        named, unnamed = self.train.people, self.unlabeled.people
        people = People(
            named.names + unnamed.names,
            named.paths + unnamed.paths,
            np.concatenate([named.labels, len(named.names) + unnamed.labels]),
        )
        return Part(people, np.concatenate([self.train.rows, self.unlabeled.rows]))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of people, photo names, crops, detector and preprocessing; equal in a resumed run."""
        digest = hashlib.sha256()
        parts = (self.train, self.validation, *([self.unlabeled] if self.unlabeled else []))
        for part in parts:
            people = part.people
            for label, path in zip(people.labels, people.paths, strict=True):
                digest.update(f"{people.names[label]}/{path.name}\n".encode("utf-8", "surrogateescape"))
            digest.update(b"--\n")
            # The pixels as well, a few at a time: a photo may be replaced by another of the same name.
            for start in range(0, len(part.rows), 256):
                digest.update(self.crops.take(part.rows[start : start + 256]).data)
        digest.update(repr((self.detector.spec, self.preprocessing.to_dict())).encode())
        return digest.hexdigest()


def people_in(people: People, names: Collection[str]) -> People:
    """Return those of ``people`` whose name is in ``names``, with all their photos."""
    chosen = np.isin(np.array(people.names, dtype=object), list(names))
    return people.select(chosen[people.labels] if len(people) else np.zeros(0, dtype=bool))


def split_people(people: People, recipe: Recipe, parts: Parts) -> dict[str, People]:
    """Return the people of train, validation and test.

    With ``split = "image"`` the photos of the people outside the test are split: all validation people are
    trained on, and only the test has new people.
    """
    if recipe.data.split == "identity":
        return {name: people_in(people, parts.of(name)) for name in ("train", "validation", "test")}
    test = people.split("test")
    new = set(test.names)
    known = people.select([people.names[label] not in new for label in people.labels])
    divided = known.split_images(recipe.seed)
    train = set(divided["train"].paths)
    return {
        "train": divided["train"],
        "validation": known.select([path not in train for path in known.paths]),
        "test": test,
    }


def make_plan(
    root: Path, recipe: Recipe, detector: Detector | None, cache: Path, progress: Progress | None = None,
    only: Collection[str] | None = None, strict: bool = False, start: Preprocessing | None = None,
) -> Plan:  # fmt: skip
    """Read the folder, detect and crop all faces, and split the people.

    Args:
        root: The folder of people.
        recipe: The recipe.
        detector: The detector; None for that of the recipe.
        cache: Folder of the face crops.
        progress: Called with (done, total) photos.
        only: Names of the people to train on, instead of the recipe's split; there is no validation then.
        strict: Raise at a photo that cannot be read, instead of leaving it out.
        start: The face crop of the model that training continues.

    Raises:
        DataError: There are too few people or photos to train or validate.
        TrainingError: The unlabeled photos are those of the folder, or copies of photos of people who are not
            trained on.
        ImageError: With ``strict``, a photo that cannot be read.
    """
    detector = detector if detector is not None else named_detector(recipe.crop.detector)
    preprocessing = choose_preprocessing(recipe, detector, start)
    everyone = People.from_folder(root)
    parts = divide(everyone)
    splits = split_people(everyone, recipe, parts) if only is None else _these(everyone, only)
    unnamed = None
    if recipe.data.unlabeled:
        _refuse_the_people(root, Path(recipe.data.unlabeled))
        unnamed = unlabeled_photos(Path(recipe.data.unlabeled))
        _refuse_copies(everyone, unnamed, {*splits["train"].names}, recipe.data.unlabeled)
    paths = (*everyone.paths, *(unnamed.paths if unnamed is not None else ()))
    crops = cached_crops(paths, detector, preprocessing, recipe.data.face, cache, progress, strict=strict)
    row = {path: number for number, path in enumerate(paths)}

    def part(people: People) -> Part:
        rows = np.array([row[path] for path in people.paths], dtype=np.int64)
        found = crops.found[rows] if len(rows) else np.zeros(0, dtype=bool)
        return Part(people.select(found), rows[found])

    train = splits["train"]
    if recipe.data.max_images_per_identity and len(train):
        train = train.limit_images(recipe.data.max_images_per_identity, recipe.seed)
    training, validation = part(train), part(splits["validation"])
    _check(root, "training", training)
    watched = [watch("train", training, recipe.seed, WATCHED_TRAINING)]
    if only is None:
        _check(root, "validation", validation)
        watched.insert(0, watch("val", validation, recipe.seed, WATCHED_VALIDATION))
    return Plan(
        root, crops, training, validation, tuple(watched), splits["test"], detector, preprocessing,
        recipe.data.face, part(unnamed) if unnamed is not None else None,
        parts if only is None and recipe.data.split == "identity" else None,
    )  # fmt: skip


def _refuse_the_people(root: Path, unlabeled: Path) -> None:
    """Raise TrainingError if ``data.unlabeled`` is the folder of people, lies in it, or contains it."""
    people, other = root.resolve(), unlabeled.resolve()
    if people == other or people in other.parents or other in people.parents:
        raise TrainingError(
            f"{shown(unlabeled)}: data.unlabeled and the folder of people {shown(root)} share photos, so "
            "that people of the test would be trained on; name a folder of other people"
        )


def _refuse_copies(everyone: People, unnamed: People, trained: Collection[str], folder: str) -> None:
    """Raise TrainingError if unlabeled photos are copies of photos of validation or test people."""
    kept = everyone.select([everyone.names[label] not in trained for label in everyone.labels])
    held_out = {digest.pixels for digest in photo_digests(kept.paths) if digest is not None}
    copies = [
        name
        for name, digest in zip(unnamed.names, photo_digests(unnamed.paths), strict=True)
        if digest is not None and digest.pixels in held_out
    ]
    if copies:
        named = shown(", ".join(copies[:3])) + (", ..." if len(copies) > 3 else "")
        raise TrainingError(
            f"{shown(folder)}: {len(copies):,} of the unlabeled photos are copies of photos of people who "
            f"are not trained on ({named}), so that "
            "the test would be void; remove the copies"
        )


def _these(people: People, only: Collection[str]) -> dict[str, People]:
    """Return the people named in ``only`` for training, and no others."""
    empty = people.select([])
    return {"train": people_in(people, only), "validation": empty, "test": empty}


def _check(root: Path, name: str, part: Part) -> None:
    people = len(part.people.names)
    several = int((np.bincount(part.labels) > 1).sum()) if people else 0
    if people < 2 or several < 1:
        raise DataError(
            f"{root}: too few {name} people ({people} with a face, {several} of them with two photos); add "
            "people with several photos each, at least 30, or use the default model as it is"
        )


def describe(plan: Plan) -> dict[str, Any]:
    """Return counts of people and images for the card and the log."""
    counts: dict[str, Any] = {
        name: {"people": len(people.names), "images": len(people)}
        for name, people in (
            ("train", plan.train.people), ("validation", plan.validation.people), ("test", plan.test),
        )
    }  # fmt: skip
    if plan.parts is not None and plan.parts.note():
        counts["parts"] = plan.parts.note()
    if plan.crops.unused:
        counts["left_out"] = left_out_counts(plan.crops.unused)
    if plan.unlabeled is not None:
        counts["unlabelled"] = {"images": len(plan.unlabeled.people)}
    return counts
