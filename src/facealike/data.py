"""Folders of people, splits that keep people apart, pairs drawn from them, and lists of pairs.

A split asks only for a person's name: the SHA-256 of the name, its accents composed, is read as a number
between 0 and 1 and decides.  No file of splits has to travel along, adding or removing people moves
nobody else, and no person can ever be in training on one machine and in the test on another.  That last point
is what a test of face verification stands on: a model that saw other photos of the same people in
training looks far better than it is.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .csv_table import open_table, read_text
from .errors import DataError, UsageError
from .folders import Skipped, photos_in, tell_skipped
from .image import IMAGE_EXTENSIONS, shown
from .result import Shown
from .seen import composed, normal_name
from .types import Pair
from .types import PairIndices as PairIndices  # made here, hence found here

Split = Literal["train", "validation", "calibration", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "calibration", "test")

# A position in [0, 1) below the first of these is the test, below the second calibration, and so on.
# Never change them: people of published tests would move into training.  Validation chooses epochs
# and recipes; calibration only ever thresholds and probabilities, and no model trains on either.
TEST_BELOW, CALIBRATION_BELOW, VALIDATION_BELOW = 0.15, 0.20, 0.25

MAX_PAIRS = 20_000_000
"""More pairs than this are only drawn with a limit: they would fill memory and measure no better."""


def split_of(name: str) -> Split:
    """The split of the person called ``name``: 15 % test, 5 % calibration, 5 % validation, the rest train.

    The same on every machine and in every version, whoever else is in the folder.  Blanks around the name
    and how its accents are encoded do not matter.  Upper and lower case do, as they always did: folding them
    would move people of published tests, such as LFW's, into training.
    """
    position = position_of(name)
    if position < TEST_BELOW:
        return "test"
    if position < CALIBRATION_BELOW:
        return "calibration"
    return "validation" if position < VALIDATION_BELOW else "train"


def position_of(name: str) -> float:
    """Return the number in [0, 1) that the person's name hashes to, by which ``split_of`` decides."""
    digest = hashlib.sha256(composed(name).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


@dataclass(frozen=True, eq=False, repr=False)
class People(Shown):
    """Photos by person: ``paths[i]`` shows ``names[labels[i]]``.

    ``labels`` is (n,) int64.  Everybody in ``names`` has at least one photo.  ``skipped`` are the other
    entries of the folder that these people were read from.
    """

    names: tuple[str, ...]
    paths: tuple[Path, ...]
    labels: NDArray[np.int64]
    skipped: tuple[Skipped, ...] = ()

    def __post_init__(self) -> None:
        if self.labels.shape != (len(self.paths),):
            raise UsageError(f"{len(self.paths)} photos need as many labels, not shape {self.labels.shape}")
        if not np.array_equal(np.unique(self.labels), np.arange(len(self.names))):
            raise UsageError("each of the names needs at least one photo, and each label a name")

    @classmethod
    def from_folder(cls, folder: str | Path) -> People:
        """Everybody in ``folder``: one sub-folder a person, named after them, with their photos.

        Sorted by name, so that equal folders give equal results.  Everything else in the folder is in
        ``skipped``, and one PhotoWarning counts and names it; see ``facealike.folders`` for the rules.

        Raises DataError where there is no such folder or nobody in it, and where two sub-folders differ only
        in case, accents' encoding or blanks: they name one person, whom a split might put on two sides.
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
        tell_skipped(root, skipped)
        if not names:
            raise DataError(
                f"{shown(root)}: no photos of people; give a folder with one sub-folder of photos a person"
            )
        _refuse_two_spellings(root, names)
        return cls(tuple(names), tuple(paths), np.array(labels, dtype=np.int64), tuple(skipped))

    def __len__(self) -> int:
        return len(self.paths)

    def __str__(self) -> str:
        return f"{len(self):,} photos of {len(self.names):,} people"

    def select(self, chosen: ArrayLike) -> People:
        """The photos that ``chosen`` names, by a bool mask (n,) or by indices (in their order).

        People who are left without a photo drop out, and the labels count anew.
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
        )

    def split(self, split: Split) -> People:
        """Everybody of one split, with all their photos; see ``split_of``.  May be empty."""
        if split not in SPLITS:
            raise UsageError(f"the splits are {', '.join(SPLITS)}, not {split!r}")
        mine = np.array([split_of(name) == split for name in self.names], dtype=bool)
        return self.select(mine[self.labels] if len(self) else np.zeros(0, dtype=bool))

    def split_images(self, seed: int) -> dict[Split, People]:
        """The split of the seed repository, for comparison only: it LEAKS people.

        75 / 10 / 15 % of each person's photos go to train, validation and test, so the people of
        the test are those of training, and scores on it say little about strangers.
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
        """At most ``n`` photos of each person, drawn at random; the others drop out."""
        if n < 1:
            raise UsageError(f"at least one photo a person has to stay, not {n}")
        rng = np.random.default_rng(seed)
        keep = np.zeros(len(self), dtype=bool)
        for photos in self._by_person():
            keep[rng.permutation(photos)[:n]] = True
        return self.select(keep)

    def _by_person(self) -> list[NDArray[np.intp]]:
        """The indices of each person's photos."""
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


def balanced_pairs(labels: ArrayLike, seed: int, limit: int | None = None) -> PairIndices:
    """Genuine pairs and as many impostor pairs, for photos with these ``labels`` (n,).

    All unordered pairs of two photos of one person, or ``limit`` of them drawn without replacement;
    then as many distinct pairs of two different people, drawn uniformly.  Genuine pairs come first,
    a < b in each, and equal arguments give equal pairs.

    Raises DataError where there is no genuine pair or not enough impostor pairs.
    """
    kinds = np.asarray(labels)
    if kinds.ndim != 1 or (limit is not None and limit < 1):
        raise UsageError(f"pairs need labels of one dimension, and a limit of 1 or more, not {limit}")
    order = np.argsort(kinds, kind="stable")
    _, group, sizes = np.unique(kinds, return_inverse=True, return_counts=True)
    place = np.arange(len(kinds))
    # With the photos sorted by person, the genuine partners of the photo at each place that come
    # later are the rest of its group, and its impostor partners everything behind the group.
    group_end = np.cumsum(sizes)[group.reshape(-1)[order]] if len(kinds) else place
    genuine, impostor = group_end - place - 1, len(kinds) - group_end
    available = int(genuine.sum())
    if not available:
        raise DataError("nobody has two photos, so there is no pair of one person; add photos")
    wanted = available if limit is None else min(limit, available)
    if wanted > MAX_PAIRS:
        raise DataError(f"{wanted:,} pairs of one person are too many; set a limit of at most {MAX_PAIRS:,}")
    if impostor.sum() < wanted:
        raise DataError(
            f"{wanted:,} pairs of one person but only {int(impostor.sum()):,} of different people; "
            "add people, or lower the number of pairs"
        )
    rng = np.random.default_rng(seed)
    if wanted < available:
        same_number = np.sort(rng.choice(available, wanted, replace=False))
    else:
        same_number = np.arange(available)
    other_number = rng.choice(int(impostor.sum()), wanted, replace=False)
    first, offset = _nth_pair(genuine, same_number)
    left, behind = _nth_pair(impostor, other_number)
    a = order[np.concatenate([first, left])]
    b = order[np.concatenate([first + 1 + offset, group_end[left] + behind])]
    same = np.repeat([True, False], wanted)
    return PairIndices(np.minimum(a, b).astype(np.int64), np.maximum(a, b).astype(np.int64), same)


def listed_pairs(people: People, index: PairIndices) -> list[Pair]:
    """Pairs by index as pairs of paths, in their order."""
    paths = [str(path) for path in people.paths]
    return [Pair(paths[a], paths[b], bool(same)) for a, b, same in zip(*index, strict=True)]


def _nth_pair(
    partners: NDArray[np.int64], number: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where all pairs are counted through place by place, and place i has ``partners[i]`` of them:
    the place of each pair ``number``, and the how-manieth partner of that place it is."""
    ends = np.cumsum(partners)
    place = np.searchsorted(ends, number, side="right")
    return place, number - (ends[place] - partners[place])


_PHOTOS = ("image", "img", "photo", "picture", "file", "filename", "path")
PAIR_COLUMNS = {
    "a": tuple(name + end for name in _PHOTOS for end in ("1", "a")),
    "b": tuple(name + end for name in _PHOTOS for end in ("2", "b")),
    "same": ("issame", "sameperson", "match", "genuine"),
}
"""Further names of the columns of a list of pairs, as ``open_table`` compares them."""

_TRUTH = {"1": True, "true": True, "yes": True, "same": True}
_TRUTH |= {"0": False, "false": False, "no": False, "different": False}


def read_pairs(path: str | Path, root: str | Path | None = None) -> list[Pair]:
    """The pairs that a file lists, in its order; every photo is checked to be there.

    Two formats, told apart by the first line.  LFW (Huang et al., 2007; ``pairs.txt``,
    ``pairsDevTrain.txt``): the number of folds, if any, and of pairs; then for each fold that many
    lines "name i j" and as many "name1 i name2 j", meaning ``root/name/name_000i.jpg`` (or another
    image extension).  CSV: a header with the columns a, b, same (1 or 0; empty or no column: not
    known) and fold (optional), separated by commas, semicolons or tabs (``facealike.csv_table``);
    relative paths are looked up in ``root``, then beside the file.

    Raises DataError naming the file and the line.
    """
    file = Path(path)
    try:
        if not _is_file(file):
            raise DataError(f"{shown(file)}: no such file of pairs; check the path")
        text = read_text(file)
    except OSError as error:
        raise DataError(f"{shown(file)}: cannot be read ({error.strerror}); check the file") from None
    except ValueError:
        raise DataError(
            f"{shown(file)}: not a text file in UTF-8; give an LFW or CSV list of pairs"
        ) from None
    lines = [(i, line.strip()) for i, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise DataError(f"{shown(file)}: the file is empty; give an LFW or CSV list of pairs")
    folder = file.parent if root is None else Path(root)
    if re.fullmatch(r"\d{1,9}(\s+\d{1,9})?", lines[0][1]):
        return _lfw_pairs(file, lines, folder)
    return _csv_pairs(file, [folder, file.parent])


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113 (Path.is_file raises for a name that is too long)


def _wrong(file: Path, line: int, what: str) -> DataError:
    return DataError(f"{shown(file)}, line {line}: {what}")


def _lfw_pairs(file: Path, lines: list[tuple[int, str]], root: Path) -> list[Pair]:
    header = [int(word) for word in lines[0][1].split()]
    folds, each = (None, header[0]) if len(header) == 1 else (header[0], header[1])
    wanted = (folds or 1) * 2 * each
    if not wanted:
        raise _wrong(file, lines[0][0], "the header announces no pairs; use the official file")
    if len(lines) - 1 != wanted:
        raise _wrong(
            file,
            lines[-1][0],
            f"{len(lines) - 1} pairs where the header announces {wanted}; download it again",
        )
    pairs: list[Pair] = []
    for position, (number, line) in enumerate(lines[1:]):
        words = [word.strip() for word in line.split("\t")] if "\t" in line else line.split()
        fold = None if folds is None else position // (2 * each) + 1
        if position % (2 * each) < each:
            if len(words) != 3:
                raise _wrong(file, number, "a pair of one person reads: name, number, number; correct it")
            name, i, j = words
            a, b = _lfw_photo(file, number, root, name, i), _lfw_photo(file, number, root, name, j)
            pairs.append(Pair(a, b, True, fold))
        else:
            if len(words) != 4:
                raise _wrong(
                    file, number, "a pair of two people reads: name, number, name, number; correct it"
                )
            a = _lfw_photo(file, number, root, *words[:2])
            b = _lfw_photo(file, number, root, *words[2:])
            pairs.append(Pair(a, b, False, fold))
    return pairs


def _lfw_photo(file: Path, line: int, root: Path, name: str, number: str) -> str:
    if not re.fullmatch(r"[0-9]{1,9}", number):
        raise _wrong(file, line, f"{shown(number)!r} is not the number of a photo; correct it")
    if not name or name.startswith(".") or re.search(r"[/\\\0]", name):
        raise _wrong(file, line, f"{shown(name)!r} is not the name of a person; correct it")
    stem = f"{name}_{int(number):04d}"
    for extension in IMAGE_EXTENSIONS:
        photo = root / name / (stem + extension)
        if _is_file(photo):
            return str(photo)
    raise _wrong(file, line, f"no photo {shown(root / name / stem)}.jpg; check the folder of people")


def _csv_pairs(file: Path, folders: list[Path]) -> list[Pair]:
    pairs: list[Pair] = []
    with open_table(file, "list of pairs", ("a", "b"), PAIR_COLUMNS) as table:
        if not {"a", "b"} <= set(table.columns):
            raise _wrong(
                file, table.line, "neither an LFW header nor CSV with the columns a, b and same; add a header"
            )
        for number, cell, _ in table.whole_rows():
            a, b = (_csv_photo(file, number, folders, cell[column]) for column in ("a", "b"))
            pairs.append(Pair(a, b, *_truth_and_fold(file, number, cell)))
        if not pairs:
            raise _wrong(file, table.line, "a header and no pairs; add at least one line")
    return pairs


def _truth_and_fold(file: Path, number: int, cell: dict[str, str]) -> tuple[bool | None, int | None]:
    truth = cell.get("same", "").lower()
    if truth and truth not in _TRUTH:
        raise _wrong(file, number, f"same is 1 or 0, not {shown(truth)!r}; correct it")
    fold = cell.get("fold", "")
    if fold and not re.fullmatch(r"[0-9]{1,9}", fold):
        raise _wrong(file, number, f"fold is a whole number, not {shown(fold)!r}; correct it")
    return _TRUTH[truth] if truth else None, int(fold) if fold else None


def _csv_photo(file: Path, line: int, folders: list[Path], value: str) -> str:
    if not value or "\0" in value:
        raise _wrong(file, line, "a photo is missing; name two photos")
    for folder in folders:
        photo = folder / value
        if _is_file(photo):
            return str(photo)
    raise _wrong(file, line, f"no photo {shown(value)} in {shown(folders[0])}; check the folder")
