"""Folders of people, with one sub-folder a person, and folders of unlabeled photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError, UsageError
from ..utils.escape import shown
from ..utils.result import Shown
from ..utils.wording import counted
from .aged_photos import AgedName, aged_names
from .folders import Skipped, find_photos, photos_in, warn_skipped
from .seen import normal_name
from .splits import SPLITS, Split, split_of


@dataclass(frozen=True, eq=False, repr=False)
class People(Shown):
    """Photos by person: ``paths[i]`` shows ``names[labels[i]]``.

    Examples:
        >>> people = People.from_folder("photos").split("test")
        >>> print(len(people.names), "people,", len(people), "photos")

    Args:
        names: The people; each has at least one photo.
        paths: The photos, (n,).
        labels: The person of each photo, int64 (n,).
        skipped: The other entries of the folder that these people were read from.
        ages: The age on each photo in years, int64 (n,); None where it is not known.

    Raises:
        UsageError: The labels do not fit.
    """

    names: tuple[str, ...]
    paths: tuple[Path, ...]
    labels: NDArray[np.int64]
    skipped: tuple[Skipped, ...] = ()
    ages: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        if self.labels.shape != (len(self.paths),):
            raise UsageError(f"{len(self.paths)} photos need as many labels, not shape {self.labels.shape}")
        if self.ages is not None and self.ages.shape != self.labels.shape:
            raise UsageError(f"{len(self.paths)} photos need as many ages, not shape {self.ages.shape}")
        if not np.array_equal(np.unique(self.labels), np.arange(len(self.names))):
            raise UsageError("each of the names needs at least one photo, and each label a name")

    @classmethod
    def from_folder(cls, folder: str | Path) -> People:
        """Return the people in ``folder``: one sub-folder a person, named after them, with their photos.

        A folder of photos without sub-folders may be one of AgeDB or FG-NET, whose file names state person
        and age.  Sorted by name, so that equal folders give equal results.  Everything else in the folder is
        in ``skipped`` and reported in one PhotoWarning, by the rules of ``facealike.datasets.folders``.

        Raises:
            DataError: The folder does not exist or has no people, or two sub-folders differ only in case,
                accents' encoding or blanks: they name one person, who might fall into two splits.
        """
        root = Path(folder)
        names: list[str] = []
        paths: list[Path] = []
        labels: list[int] = []
        skipped: list[Skipped] = []
        try:
            loose, folders = photos_in(root, skipped)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not a possible name"
            raise DataError(f"{shown(root)}: this folder cannot be read ({reason}); check the path") from None
        stated = None if folders else aged_names(loose)
        if stated is not None:
            return cls._aged(root, loose, stated, skipped)
        skipped += [Skipped(path, "in no folder of a person") for path in loose]
        for person in folders:
            try:
                photos, inner = photos_in(person, skipped)
            except OSError as error:
                skipped.append(Skipped(person, f"cannot be read ({error.strerror})"))
                continue
            skipped += [Skipped(path, "a folder within a person's") for path in inner]
            if photos:
                labels.extend([len(names)] * len(photos))
                names.append(person.name)
                paths.extend(photos)
            else:
                skipped.append(Skipped(person, "a folder without photos"))
        warn_skipped(root, skipped)
        if not names:
            raise DataError(
                f"{shown(root)}: no photos of people; give a folder with one sub-folder of photos a person, "
                "or one whose file names are those of AgeDB or FG-NET"
            )
        _refuse_two_spellings(root, names)
        return cls(tuple(names), tuple(paths), np.array(labels, dtype=np.int64), tuple(skipped))

    @classmethod
    def _aged(
        cls, root: Path, photos: Sequence[Path], stated: Sequence[AgedName | None], skipped: list[Skipped]
    ) -> People:
        """Return the people whom the file names in ``root`` state."""
        named = [(path, name) for path, name in zip(photos, stated, strict=True) if name is not None]
        skipped += [
            Skipped(path, "a name without person and age")
            for path, name in zip(photos, stated, strict=True)
            if name is None
        ]
        warn_skipped(root, skipped)
        names, labels = np.unique([name.person for _, name in named], return_inverse=True)
        return cls(
            tuple(names.tolist()),
            tuple(path for path, _ in named),
            labels.reshape(-1).astype(np.int64),
            tuple(skipped),
            np.array([name.age for _, name in named], dtype=np.int64),
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __str__(self) -> str:
        return f"{counted(len(self), 'photo')} of {counted(len(self.names), 'person', 'people')}"

    def select(self, chosen: ArrayLike) -> People:
        """Return the photos chosen by a bool mask (n,) or by indices (in their order).

        People without a photo left are dropped, and the labels are renumbered.
        """
        index = np.asarray(chosen)
        if index.dtype == bool and index.shape != self.labels.shape:
            raise UsageError(f"a mask for {len(self)} photos has as many entries, not shape {index.shape}")
        if index.dtype == bool:
            index = np.flatnonzero(index)
        index = index.astype(np.int64, casting="same_kind") if index.size else index.astype(np.int64)
        used, labels = np.unique(self.labels[index], return_inverse=True)
        return People(
            tuple(self.names[i] for i in used),
            tuple(self.paths[i] for i in index),
            labels.reshape(-1).astype(np.int64),
            ages=None if self.ages is None else self.ages[index],
        )

    def named(self) -> dict[str, str] | None:
        """Return the person on each photo by path; None where that is the name of its folder."""
        people = [self.names[label] for label in self.labels]
        if all(path.parent.name == person for path, person in zip(self.paths, people, strict=True)):
            return None
        return dict(zip(map(str, self.paths), people, strict=True))

    def known_names(self) -> tuple[str, ...]:
        """Return the names by which another set could know these people: a number in a file name is none."""
        if self.named() is None:
            return self.names
        return tuple(name for name in self.names if not name.isdigit())

    def split(self, split: Split) -> People:
        """Return the people of one split with all their photos; see ``split_of``.  May be empty."""
        if split not in SPLITS:
            raise UsageError(f"the splits are {', '.join(SPLITS)}, not {split!r}")
        mine = np.array([split_of(name) == split for name in self.names], dtype=bool)
        return self.select(mine[self.labels] if len(self) else np.zeros(0, dtype=bool))

    def split_images(self, seed: int) -> dict[Split, People]:
        """Return a split by image, for comparison only: it LEAKS people.

        75 / 10 / 15 % of each person's photos go to train, validation and test, so the people of the test are
        those of training, and scores on it do not estimate those of other people.
        """
        rng = np.random.default_rng(seed)
        part = np.zeros(len(self), dtype=np.int64)
        for photos in self._by_person():
            shuffled = rng.permutation(photos)
            part[shuffled[round(0.75 * len(photos)) :]] = 1
            part[shuffled[round(0.85 * len(photos)) :]] = 2
        return {
            "train": self.select(part == 0),
            "validation": self.select(part == 1),
            "test": self.select(part == 2),
        }

    def limit_images(self, n: int, seed: int) -> People:
        """Return at most ``n`` photos of each person, drawn at random."""
        if n < 1:
            raise UsageError(f"at least one photo a person has to stay, not {n}")
        rng = np.random.default_rng(seed)
        keep = np.zeros(len(self), dtype=bool)
        for photos in self._by_person():
            keep[rng.permutation(photos)[:n]] = True
        return self.select(keep)

    def _by_person(self) -> list[NDArray[np.intp]]:
        """The indices of the photos of each person."""
        order = np.argsort(self.labels, kind="stable")
        ends = np.cumsum(np.bincount(self.labels, minlength=len(self.names)))
        return np.split(order, ends[:-1]) if len(ends) else []


def _refuse_two_spellings(root: Path, names: list[str]) -> None:
    known: dict[str, str] = {}
    for name in names:
        other = known.setdefault(normal_name(name), name)
        if other != name:
            raise DataError(
                f"{shown(root)}: the folders {other!a} and {name!a} name one person but for case, accents or "
                "blanks; merge them, or rename one if these are two people"
            )


def people_of(root: str | Path, split: Split | Literal["all"]) -> People:
    """Return the people of one split of a folder, or all.

    Raises:
        DataError: There are none.
    """
    everyone = People.from_folder(root)
    people = everyone if split == "all" else everyone.split(split)
    if len(people) == 0:
        raise DataError(
            f"{shown(root)}: no person in this folder belongs to the split {split}; use a larger folder, "
            "or all people with --split all"
        )
    return people


def unlabeled_photos(folder: Path) -> People:
    """Return every photo in ``folder`` and below it, sorted, each as a person of its own.

    Raises:
        DataError: There is none.
    """
    found, skipped = find_photos(folder) if folder.is_dir() else ([], [])
    warn_skipped(folder, skipped)
    if not found:
        raise DataError(f"{folder}: no photos there; name a folder with photos in it or below it")
    names = tuple(str(path.relative_to(folder)) for path in found)
    return People(names, tuple(found), np.arange(len(found), dtype=np.int64))
