"""Before a run: which photos it trains on, which it watches, and what must not change on resuming."""

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
from ...datasets.people import People, unlabelled_photos
from ...detection.base import Detector
from ...detection.registry import named_detector
from ...embedding.crop_cache import Crops, cached_crops
from ...errors import DataError, TrainingError
from ...imaging.photo_digest import photo_digests
from ...imaging.photo_warning import unused_counts
from ...model_file.preprocessing import Preprocessing
from ...types import PairIndices, Progress
from ...utils.escape import shown
from ..data.preprocessing import choose_preprocessing
from ..recipe.schema import Recipe

WATCHED_VALIDATION, WATCHED_TRAINING = 5000, 500  # genuine pairs, at most, scored after each epoch


@dataclass(frozen=True, eq=False)
class Part:
    """Some people with crops: ``rows`` (n,) index the crops of the whole folder, labels count from 0."""

    people: People
    rows: NDArray[np.int64]

    @property
    def labels(self) -> NDArray[np.int64]:
        return self.people.labels


@dataclass(frozen=True, eq=False)
class Watched:
    """Pairs that are scored after every epoch; they index ``rows``, the crops to embed for them."""

    name: str
    rows: NDArray[np.int64]
    pairs: PairIndices


def watch(name: str, part: Part, seed: int, limit: int) -> Watched:
    """Balanced pairs of ``part``, at most ``limit`` genuine ones, and only the crops they need."""
    pairs = balanced_pairs(part.labels, seed, limit)
    used, place = np.unique(np.concatenate([pairs.a, pairs.b]), return_inverse=True)
    a, b = np.split(place.astype(np.int64), 2)
    return Watched(name, part.rows[used], PairIndices(a, b, pairs.same))


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything a run reads: crops, the parts to train on and to validate on, and pairs to watch.

    ``watched`` are pairs of the validation, and of the training to show how far the two part; without
    validation people only the latter.
    ``test`` is only looked at when training is over.  ``unlabelled`` are photos from outside the folder,
    each a person of its own.  ``parts`` says who is in which part; None where the recipe divides photos, or
    the caller named who is trained on.
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
    unlabelled: Part | None = None
    parts: Parts | None = None

    @cached_property
    def learnt(self) -> Part:
        """All that the loop learns from: the training people, and behind them the unlabelled photos."""
        if self.unlabelled is None:
            return self.train
        named, unnamed = self.train.people, self.unlabelled.people
        people = People(
            named.names + unnamed.names,
            named.paths + unnamed.paths,
            np.concatenate([named.labels, len(named.names) + unnamed.labels]),
        )
        return Part(people, np.concatenate([self.train.rows, self.unlabelled.rows]))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of people, photo names, face crops and the pipeline: what a resumed run must share."""
        digest = hashlib.sha256()
        parts = (self.train, self.validation, *([self.unlabelled] if self.unlabelled else []))
        for part in parts:
            people = part.people
            for label, path in zip(people.labels, people.paths, strict=True):
                digest.update(f"{people.names[label]}/{path.name}\n".encode("utf-8", "surrogateescape"))
            digest.update(b"--\n")
            # The pixels as well, a few at a time: a photo may be replaced by another of its name.
            for start in range(0, len(part.rows), 256):
                digest.update(self.crops.take(part.rows[start : start + 256]).data)
        digest.update(repr((self.detector.spec, self.preprocessing.to_dict())).encode())
        return digest.hexdigest()


def people_in(people: People, names: Collection[str]) -> People:
    """Those of ``people`` whose name is among ``names``, with all their photos."""
    chosen = np.isin(np.array(people.names, dtype=object), list(names))
    return people.select(chosen[people.labels] if len(people) else np.zeros(0, dtype=bool))


def split_people(people: People, recipe: Recipe, parts: Parts) -> dict[str, People]:
    """train, validation and test people.

    With ``split = "image"`` the people outside the test are divided by image, as the seed
    repository did: its validation then knows everybody, and only the test shows strangers.
    """
    if recipe.data.split == "identity":
        return {name: people_in(people, parts.of(name)) for name in ("train", "validation", "test")}
    test = people.split("test")
    strangers = set(test.names)
    known = people.select([people.names[label] not in strangers for label in people.labels])
    divided = known.split_images(recipe.seed)
    train = set(divided["train"].paths)
    return {
        "train": divided["train"],
        "validation": known.select([path not in train for path in known.paths]),
        "test": test,
    }


def make_plan(
    root: Path, recipe: Recipe, detector: Detector | None, cache: Path, progress: Progress | None = None,
    only: Collection[str] | None = None, strict: bool = False,
) -> Plan:  # fmt: skip
    """Read the folder, detect and crop every face once, and divide the people.

    ``only`` names the people to train on, whatever the recipe splits by; nobody then validates.
    Photos that cannot be read are left out and told; with ``strict`` the first of them is an ImageError.

    Raises DataError or TrainingError where there are too few people or photos to train or to judge, and where
    the unlabelled photos are those of the folder, or copies of photos of people who are not trained on.
    """
    detector = detector if detector is not None else named_detector(recipe.crop.detector)
    preprocessing = choose_preprocessing(recipe, detector)
    everybody = People.from_folder(root)
    parts = divide(everybody)
    splits = split_people(everybody, recipe, parts) if only is None else _these(everybody, only)
    unnamed = None
    if recipe.data.unlabelled:
        _refuse_the_people(root, Path(recipe.data.unlabelled))
        unnamed = unlabelled_photos(Path(recipe.data.unlabelled))
        _refuse_copies(everybody, unnamed, {*splits["train"].names}, recipe.data.unlabelled)
    paths = (*everybody.paths, *(unnamed.paths if unnamed is not None else ()))
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


def _refuse_the_people(root: Path, unlabelled: Path) -> None:
    """Refuse ``data.unlabelled`` if it is the folder of people, lies in it, or holds it."""
    people, other = root.resolve(), unlabelled.resolve()
    if people == other or people in other.parents or other in people.parents:
        raise TrainingError(
            f"{shown(unlabelled)}: data.unlabelled and the folder of people {shown(root)} share photos, so "
            "that people of the test would be trained on; name a folder of other people"
        )


def _refuse_copies(everybody: People, unnamed: People, trained: Collection[str], folder: str) -> None:
    """Refuse unlabelled photos that are copies of photos of people who are validated or tested on."""
    kept = everybody.select([everybody.names[label] not in trained for label in everybody.labels])
    held_out = {digest.pixels for digest in photo_digests(kept.paths) if digest is not None}
    copies = [
        name
        for name, digest in zip(unnamed.names, photo_digests(unnamed.paths), strict=True)
        if digest is not None and digest.pixels in held_out
    ]
    if copies:
        named = shown(", ".join(copies[:3])) + (", ..." if len(copies) > 3 else "")
        raise TrainingError(
            f"{shown(folder)}: {len(copies):,} of the unlabelled photos are copies of photos of people who "
            f"are not trained on ({named}), so that "
            "their test would mean nothing; remove the copies"
        )


def _these(people: People, only: Collection[str]) -> dict[str, People]:
    """Everybody in ``only`` is trained on, and nobody else is looked at."""
    nobody = people.select([])
    return {"train": people_in(people, only), "validation": nobody, "test": nobody}


def _check(root: Path, name: str, part: Part) -> None:
    people = len(part.people.names)
    several = int((np.bincount(part.labels) > 1).sum()) if people else 0
    if people < 2 or several < 1:
        raise DataError(
            f"{root}: too few {name} people ({people} with a face, {several} of them with two photos); add "
            "people with several photos each, at least 30, or use the default model as it is"
        )


def describe(plan: Plan) -> dict[str, Any]:
    """Counts for the card and the log."""
    counts: dict[str, Any] = {
        name: {"people": len(people.names), "images": len(people)}
        for name, people in (
            ("train", plan.train.people), ("validation", plan.validation.people), ("test", plan.test),
        )
    }  # fmt: skip
    if plan.parts is not None and plan.parts.note():
        counts["parts"] = plan.parts.note()
    if plan.crops.unused:
        counts["left_out"] = unused_counts(plan.crops.unused)
    if plan.unlabelled is not None:
        counts["unlabelled"] = {"images": len(plan.unlabelled.people)}
    return counts
