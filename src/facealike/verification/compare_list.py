"""Compare the pairs of a list, one row a pair, of any length, in constant memory.

Photos are cropped and embedded a few hundred at a time, each once as long as it is cached.  A row that cannot
be scored has a reason in place of a score.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..calibration.calibration import Calibration
from ..datasets.pair_lists import PAIR_COLUMNS
from ..embedding.batching import in_batches
from ..embedding.cropper import NO_PIXELS, FaceCrop, crop_faces
from ..embedding.face_model import Model
from ..errors import DataError, FacealikeError, UsageError
from ..types import Embeddings, Image
from ..utils.csv_table import Row, Table, open_table
from ..utils.escape import csv_path, csv_text, shown
from .best_pair import best_pair
from .compare import CompareOptions, Decision, comparison_of, decide
from .result import Comparison

AT_A_TIME = 256
"""Pairs whose photos are embedded together."""

CACHED = 20_000
"""Faces whose embeddings are kept, so that a photo of many pairs is embedded once."""

COLUMNS = (
    "line", "a", "b", "score", "verdict", "uncertain", "probability", "fmr", "fmr_is_bound",
    "quality_a", "quality_b", "best_of", "face_a", "face_b", "reason",
)  # fmt: skip


@dataclass(frozen=True)
class ListedPair:
    """One row of a list: its line, its two photos as given, and the comparison or the error."""

    line: int
    a: str
    b: str
    comparison: Comparison | None
    error: FacealikeError | None = None

    def cells(self) -> list[str]:
        """Return the cells of ``COLUMNS``."""
        place = [str(self.line), csv_path(self.a), csv_path(self.b)]
        found = self.comparison
        if found is None:
            return [*place, *[""] * (len(COLUMNS) - 4), csv_text(str(self.error))]
        quality = ["" if each is None else f"{each.score:.4f}" for each in found.quality]
        probability, fmr = ("" if each is None else f"{each:.6g}" for each in (found.probability, found.fmr))
        bound = str(int(found.fmr_is_bound)) if fmr else ""
        decided = [f"{found.score:.6f}", found.verdict, str(int(found.uncertain))]
        faces = ["", "", ""] if found.face_numbers is None else map(str, (found.best_of, *found.face_numbers))
        return [*place, *decided, probability, fmr, bound, *quality, *faces, ""]


@dataclass(frozen=True)
class _Known:
    """A photo that was embedded: its faces without pixels, and their vectors (n, d)."""

    faces: tuple[FaceCrop, ...]
    vectors: Embeddings


def compare_list(
    path: str | Path, model: Model, root: str | Path | None = None, options: CompareOptions | None = None,
    progress: Callable[[int], None] | None = None, threads: int | None = None,
) -> Iterator[ListedPair]:  # fmt: skip
    """Compare every pair of a CSV with the columns a and b, in its order, as ``compare`` does.

    Args:
        path: The CSV.
        model: The model.
        root: Where relative paths are looked up, before the folder of the list.
        options: How to compare; with the face policy ``any`` each row has the numbers of the two faces.
        progress: Called with the number of rows that are done.
        threads: None for one a core.

    Raises:
        DataError: The file is no such list.
        NotCalibrated: The model has no threshold, and none is given.
        UsageError: The model has no threshold for the FMR.  A row that cannot be scored raises nothing.
    """
    options = options or CompareOptions()
    decisions = _Decisions(model.calibration, options)
    file = Path(path)
    with open_table(file, "list of pairs", ("a", "b"), PAIR_COLUMNS, "surrogateescape") as table:
        if not {"a", "b"} <= set(table.columns):
            raise DataError(
                f"{shown(file)}, line {table.line}: no columns a and b; add a header that names them"
            )
        folders = [file.parent] if root is None else [Path(root), file.parent]
        photos = _Photos(model, options, threads)
        done = 0
        for rows in _chunks(table):
            pairs = [_located(row, folders) for row in rows]
            photos.embed([path for pair in pairs if isinstance(pair, tuple) for path in pair])
            for row, pair in zip(rows, pairs, strict=True):
                yield _compared(row, pair, photos, model, decisions, options)
            done += len(rows)
            if progress is not None:
                progress(done)


def _chunks(table: Table) -> Iterator[list[Row]]:
    while rows := list(islice(table.rows, AT_A_TIME)):
        yield rows


def _located(row: Row, folders: Sequence[Path]) -> tuple[str, str] | DataError:
    """The two photos of a row where they lie; an error for a row without two."""
    if row.problem is not None:
        return DataError(row.problem)
    paths = []
    for name in (row.cells["a"], row.cells["b"]):
        if not name or "\0" in name:
            return DataError("a photo is missing; name two photos")
        tried = [os.path.join(folder, name) for folder in folders]  # noqa: PTH118
        # A photo that is nowhere keeps its first place; reading it raises the error.
        paths.append(next((path for path in tried if os.path.isfile(path)), tried[0]))  # noqa: PTH113
    return paths[0], paths[1]


def _compared(
    row: Row,
    pair: tuple[str, str] | DataError,
    photos: _Photos,
    model: Model,
    decisions: _Decisions,
    options: CompareOptions,
) -> ListedPair:
    line, a, b = row.line, row.cells.get("a", ""), row.cells.get("b", "")
    if isinstance(pair, DataError):
        return ListedPair(line, a, b, None, pair)
    first, second = (photos.known[path] for path in pair)
    for each in (first, second):
        if isinstance(each, FacealikeError):
            return ListedPair(line, a, b, None, each)
    assert isinstance(first, _Known) and isinstance(second, _Known)
    best = best_pair(first.vectors, second.vectors)
    try:
        decision = decisions.of(best.of)
    except UsageError as error:  # an FMR that so many pairs of faces cannot have
        return ListedPair(line, a, b, None, error)
    faces = first.faces[best.first], second.faces[best.second]
    found = comparison_of(best, options.face, faces, model, decision, options.prior, {})
    return ListedPair(line, a, b, found)


class _Decisions:
    """The decision for each number of pairs of faces, computed once; that of one pair raises at once."""

    def __init__(self, calibration: Calibration, options: CompareOptions) -> None:
        self._given = calibration, options.threshold, options.fmr
        self._known = {1: decide(*self._given)}

    def of(self, pairs: int) -> Decision:
        if pairs not in self._known:
            self._known[pairs] = decide(*self._given, pairs)
        return self._known[pairs]


class _Photos:
    """Photos by path: their embeddings, or the error in their place."""

    def __init__(self, model: Model, options: CompareOptions, threads: int | None) -> None:
        self.known: OrderedDict[str, _Known | FacealikeError] = OrderedDict()
        self._model, self._face, self._threads = model, options.face_policy, threads
        self._cropper = model.cropper(options.aligned, many=True)
        self._held = 0

    def embed(self, paths: Sequence[str]) -> None:
        """Embed the photos that are not cached, and drop the least recently used ones."""
        wanted = dict.fromkeys(paths)
        for path in wanted:
            if path in self.known:
                self.known.move_to_end(path)
        embedded: dict[str, list[tuple[FaceCrop, NDArray[np.float32]]]] = {}
        missing = [path for path in wanted if path not in self.known]
        with closing(in_batches(self._model.embed_many, self._crops(missing), 64, self._threads)) as batches:
            for keys, vectors in batches:
                for (path, face), vector in zip(keys, vectors, strict=True):
                    embedded.setdefault(path, []).append((face, vector))
        for path, faces in embedded.items():
            self._keep(path, _Known(tuple(face for face, _ in faces), np.stack([row for _, row in faces])))
        while self._held > CACHED and len(self.known) > len(wanted):
            self._held -= _faces(self.known.popitem(last=False)[1])

    def _keep(self, path: str, known: _Known | FacealikeError) -> None:
        self.known[path] = known
        self._held += _faces(known)

    def _crops(self, paths: Sequence[str]) -> Iterator[tuple[tuple[str, FaceCrop], Image]]:
        named = ((path, shown(path)) for path in paths)
        photos = crop_faces(self._cropper, named, self._face, self._threads, quality=True)
        with closing(photos):
            for path, faces in zip(paths, photos, strict=True):
                if isinstance(faces, FacealikeError):
                    self._keep(path, faces)
                else:
                    yield from (((path, replace(face, crop=NO_PIXELS)), face.crop) for face in faces)


def _faces(known: _Known | FacealikeError) -> int:
    """Number of faces of a photo in the cache; an error counts as one."""
    return len(known.faces) if isinstance(known, _Known) else 1
