"""The lists of templates and of their pairs, as IJB-B and IJB-C are evaluated.

``meta/ijbc_face_tid_mid.txt`` has a line a photo: its file in ``loose_crop``, the number of a template and
that of the medium, a still or a video.  ``meta/ijbc_template_pair_label.txt`` has a line a pair: two numbers
of templates, and 1 for one person or 0.  A template is all photos with its number.
``meta/ijbc_name_5pts_score.txt``, if it is there, has a line a photo: its file, the five landmarks of the
face that is meant, x and y each, and the confidence of the detector that found them.

Source: Whitelam et al., CVPR Workshops 2017 (IJB-B); Maze et al., ICB 2018 (IJB-C); the lists are those of
``evaluation/IJB`` in InsightFace.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..utils.csv_table import read_text
from ..utils.escape import shown

Ints = NDArray[np.int64]

PHOTOS = "loose_crop"
TEMPLATES, PAIRS = "*_face_tid_mid.txt", "*_template_pair_label.txt"
LANDMARKS = "*_name_5pts_score.txt"


class TemplatePairs(NamedTuple):
    """Templates of several photos, and pairs of them.

    Args:
        photos: Every photo, (n,).
        template: The template of each, numbered from 0, (n,).
        medium: The medium of each, (n,).
        first: One template of each pair, (m,).
        second: The other one, (m,).
        same: Whether they show one person, bool (m,).
        landmarks: The five landmarks of each photo in pixels, (n, 5, 2); None without their list.
    """

    photos: tuple[Path, ...]
    template: Ints
    medium: Ints
    first: Ints
    second: Ints
    same: NDArray[np.bool_]
    landmarks: NDArray[np.float64] | None = None


def read_template_pairs(folder: str | Path) -> TemplatePairs:
    """Read the templates and pairs of a folder of IJB-B or IJB-C.

    Args:
        folder: Holds ``loose_crop``, and the lists in itself or in ``meta``.

    Raises:
        DataError: A list is missing, there are two of a kind, or a line cannot be used; the message names it.
    """
    root = Path(folder)
    listed, paired = _list(root, TEMPLATES), _list(root, PAIRS)
    photos, template, medium = _photos(listed, root / PHOTOS)
    numbers, place = np.unique(template, return_inverse=True)
    sides = _pairs(paired)
    at = np.minimum(np.searchsorted(numbers, sides[:, :2]), len(numbers) - 1)
    known = (numbers[at] == sides[:, :2]).all(axis=1)
    if not known.all():
        raise DataError(
            f"{shown(paired)}, pair {int(np.argmin(known)) + 1}: a template that {shown(listed.name)} lacks; "
            "download both"
        )
    same = sides[:, 2].astype(np.bool_)
    if same.all() or not same.any():
        raise DataError(f"{shown(paired)}: an evaluation needs pairs of one person and of two people")
    landmarks = _landmarks(root, photos) if _found(root, LANDMARKS) else None
    numbered = place.reshape(-1).astype(np.int64)
    return TemplatePairs(photos, numbered, medium, at[:, 0], at[:, 1], same, landmarks)


def _found(root: Path, pattern: str) -> list[Path]:
    return sorted({*root.glob(pattern), *root.glob(f"meta/{pattern}")})


def _list(root: Path, pattern: str) -> Path:
    found = _found(root, pattern)
    if len(found) != 1:
        what = "no list" if not found else f"{len(found)} lists"
        raise DataError(
            f"{shown(root)}: {what} {pattern} there or in meta; give the folder of IJB-B or of IJB-C"
        )
    return found[0]


def _photos(file: Path, folder: Path) -> tuple[tuple[Path, ...], Ints, Ints]:
    photos: list[Path] = []
    numbers: list[tuple[int, int]] = []
    for line, words in _lines(file):
        if len(words) != 3 or not all(word.isascii() and word.isdigit() for word in words[1:]):
            raise DataError(f"{shown(file)}, line {line}: a line reads: photo, template, medium; correct it")
        photos.append(folder / words[0])
        numbers.append((int(words[1]), int(words[2])))
    if not photos:
        raise DataError(f"{shown(file)}: no photos; download it again")
    if missing := next((photo for photo in photos if not photo.is_file()), None):
        raise DataError(f"{shown(missing)}: no such photo; unpack {PHOTOS} beside the lists")
    template, medium = np.array(numbers, dtype=np.int64).T
    return tuple(photos), template, medium


def _landmarks(root: Path, photos: Sequence[Path]) -> NDArray[np.float64]:
    file = _list(root, LANDMARKS)
    of_photo: dict[str, list[float]] = {}
    for line, words in _lines(file):
        try:
            values = [float(word) for word in words[1:11]]
        except ValueError:
            values = []
        if len(words) not in (11, 12) or not np.isfinite(values).all() or not values:
            raise DataError(
                f"{shown(file)}, line {line}: a line reads: photo, five times x and y; correct it"
            )
        of_photo[words[0]] = values
    if missing := next((photo for photo in photos if photo.name not in of_photo), None):
        raise DataError(f"{shown(file)}: no landmarks of {shown(missing.name)}; download it again")
    return np.array([of_photo[photo.name] for photo in photos]).reshape(-1, 5, 2)


def _lines(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the words of each line that is not empty, with its number."""
    try:
        lines = read_text(file).splitlines()
    except (OSError, ValueError):
        raise DataError(f"{shown(file)}: not a text file that can be read; download it again") from None
    yield from ((number, words) for number, text in enumerate(lines, start=1) if (words := text.split()))


def _pairs(file: Path) -> Ints:
    """Return the two templates and the truth of each pair, (m, 3); IJB-C has 15 million."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of an empty file
            found = np.loadtxt(file, dtype=np.int64, ndmin=2)
    except (OSError, ValueError):
        found = np.zeros((0, 0), dtype=np.int64)
    if found.ndim != 2 or found.shape[1] != 3 or not np.isin(found[:, 2], (0, 1)).all():
        raise DataError(
            f"{shown(file)}: a line reads: template, template, 1 for one person or 0; download it again"
        )
    return found
