"""The score and the truth of every evaluated pair in one file, so that a report can be drawn later.

``scores.npz`` is NumPy's archive without pickle:

    about       JSON: the version, and of each evaluation its name, threshold and counts
    photos      text (m,): the path of each photo, relative to the folder of people
    0.scores    float64 (n,), and so on for each evaluation, counted from 0 in their order
    0.same      bool (n,)
    0.first     int64 (n,): a number for the person of each side; absent where people are not known
    0.second
    0.probability  float64 (n,): absent where the model has none
    0.a         int32 (n,): index into ``photos`` of each side; absent where photos were not given
    0.b
"""

from __future__ import annotations

import io
import json
import os
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, UsageError
from ..types import Pair
from ..utils.atomic_write import write_bytes
from ..utils.escape import shown
from .verification_result import Evaluation

VERSION = 1
ARRAYS = ("scores", "same", "first", "second", "probability")
FACTS = ("name", "threshold", "threshold_from", "people", "leaked", "failures", "skipped")
LATER_FACTS = ("photos", "missing")  # not in the files of older versions


@dataclass(frozen=True, eq=False)
class ScoredPairs:
    """An evaluation and the photos of its pairs.

    Args:
        evaluation: The evaluation.
        a: One path a pair, relative to the folder of people and with ``/`` between its parts; None where the
            photos were not stored.
        b: The same of the other side.
    """

    evaluation: Evaluation
    a: tuple[str, ...] | None = None
    b: tuple[str, ...] | None = None


def save_scores(
    path: str | os.PathLike[str],
    evaluations: Sequence[Evaluation],
    pairs: Mapping[str, Sequence[Pair]] | None = None,
    root: str | os.PathLike[str] | None = None,
) -> None:
    """Write ``evaluations`` to ``path``, whole or not at all.

    Args:
        path: The file to write.
        evaluations: Evaluations of different names.
        pairs: By the name of an evaluation, the pairs it was made of, in their order.
        root: The folder of people; photos in it are stored relative to it, others with their whole path.

    Raises:
        UsageError: There are no evaluations, two of one name, or pairs that do not fit them.
        DataError: The file cannot be written.
    """
    names = [evaluation.name for evaluation in evaluations]
    if not names or len(set(names)) != len(names):
        raise UsageError("a file of scores needs at least one evaluation, and each its own name")
    content: dict[str, NDArray[Any]] = {}
    place: dict[str, int] = {}  # of each photo in the list of all
    for number, evaluation in enumerate(evaluations):
        for array in ARRAYS:
            values = getattr(evaluation, array)
            if values is not None:
                content[f"{number}.{array}"] = values
        listed = (pairs or {}).get(evaluation.name)
        if listed is None:
            continue
        if len(listed) != evaluation.pairs:
            raise UsageError(
                f"{evaluation.name}: {len(listed):,} pairs do not fit {evaluation.pairs:,} scores; give "
                "those that were evaluated, in their order"
            )
        for side in ("a", "b"):
            photos = [_relative(getattr(pair, side), root) for pair in listed]
            content[f"{number}.{side}"] = np.array(
                [place.setdefault(photo, len(place)) for photo in photos], dtype=np.int32
            )
    about = {
        "version": VERSION,
        "evaluations": [{f: getattr(e, f) for f in (*FACTS, *LATER_FACTS)} for e in evaluations],
    }
    content["about"] = np.array(json.dumps(about))
    content["photos"] = np.array(list(place), dtype=np.str_)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **content)  # type: ignore[arg-type]
    write_bytes(path, buffer.getvalue())


def load_scores(path: str | os.PathLike[str]) -> tuple[ScoredPairs, ...]:
    """Return what ``save_scores`` wrote to ``path``, in its order.

    Raises:
        DataError: The file is missing, damaged, or of another kind or version.
    """
    file = Path(path)
    try:
        with np.load(file, allow_pickle=False) as archive:
            content = {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise DataError(f"{shown(file)}: no such file; check the path") from None
    # NumPy answers damage with any of these, depending on where it lies.
    except (OSError, ValueError, EOFError, KeyError, TypeError, AttributeError, RuntimeError, MemoryError,
            NotImplementedError, zipfile.BadZipFile, zlib.error) as error:  # fmt: skip
        raise _wrong(file) from error
    try:
        about = json.loads(str(content["about"]))
        if about["version"] != VERSION:
            raise DataError(
                f"{shown(file)}: version {about['version']!r} of a file of scores, not {VERSION}; "
                "update facealike or evaluate again"
            )
        return tuple(_entry(facts, str(i), content) for i, facts in enumerate(about["evaluations"]))
    except (KeyError, IndexError, TypeError, ValueError, UsageError) as error:
        raise _wrong(file) from error


def _entry(facts: dict[str, Any], number: str, content: dict[str, NDArray[Any]]) -> ScoredPairs:
    arrays: dict[str, Any] = {name: content.get(f"{number}.{name}") for name in ARRAYS}
    entries = {name: facts[name] for name in FACTS} | {name: facts.get(name) for name in LATER_FACTS}
    evaluation = Evaluation(**entries, **arrays)
    if f"{number}.a" not in content:
        return ScoredPairs(evaluation)
    photos = content["photos"]
    sides = [content[f"{number}.{side}"] for side in ("a", "b")]
    if any(side.shape != evaluation.scores.shape or (side < 0).any() for side in sides):
        raise ValueError("photos that do not fit the scores")
    a, b = (tuple(photos[side].tolist()) for side in sides)
    return ScoredPairs(evaluation, a, b)


def _relative(photo: str, root: str | os.PathLike[str] | None) -> str:
    path = Path(photo)
    if root is not None and path.is_relative_to(root):
        path = path.relative_to(root)
    return path.as_posix()


def _wrong(file: Path) -> DataError:
    return DataError(
        f"{shown(file)}: no file of scores, or a damaged one; it is written at the end of a training run"
    )
