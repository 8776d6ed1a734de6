"""Scores of stored vectors with queries: one pass over a file, in 8 bits or in float32.

A vector v is stored as codes c in [-127, 127] and a scale s, with v = s c + r.  A query is quantized alike.
The error of a score is then at most |q| |r_v| + |r_q| |s c|, so a search knows which rows it must score
again in float32 to be exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..utils.ordered_threads import default_threads
from ..utils.shared_work import share_work
from .int8_product import int8_product, simsimd_product
from .row_file import BLOCK, Column, RowFile

Precision = Literal["int8", "float32"]

ALIGNED = 32
"""Vectors are padded with zeros to a multiple of so many numbers."""

LEAST_BLOCKS = 4
"""Blocks of a thread from which on it is worth its start."""

SLACK = 16
"""So many times the best rows are held before those are dropped that are no longer near."""

ROUNDING = 1e-5
"""How far two float32 scores of the same vectors may differ by the order of their sums."""


def padded(width: int) -> int:
    """Return the width as it is stored."""
    return -(-width // ALIGNED) * ALIGNED


def columns(precision: Precision, width: int) -> tuple[Column, ...]:
    """Return the columns of vectors of ``width`` numbers."""
    if precision == "float32":
        return (Column("vector", "<f4", padded(width)),)
    return (Column("scale", "<f4"), Column("code", "i1", padded(width)))


def encode(vectors: NDArray[np.float32], precision: Precision) -> tuple[dict[str, NDArray[Any]], float]:
    """Return the columns of vectors (n, d), and the largest norm of what they leave out."""
    width = vectors.shape[1]
    wide = np.zeros((len(vectors), padded(width)), np.float32)
    wide[:, :width] = vectors
    if precision == "float32":
        return {"vector": wide}, 0.0
    scale, code = quantize(wide)
    rest = wide - scale[:, None] * code
    error = float(np.sqrt(np.einsum("ij,ij->i", rest, rest).max(initial=0)))
    return {"scale": scale, "code": code}, error


def quantize(vectors: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """Return a scale (n,) and codes (n, d) for vectors (n, d)."""
    scale = np.abs(vectors).max(axis=1, initial=0) / np.float32(127)
    safe = np.where(scale > 0, scale, np.float32(1))
    return scale.astype(np.float32), np.rint(vectors / safe[:, None]).astype(np.int8)


class Collected(NamedTuple):
    """The rows of a query that may be among its best.

    Attributes:
        rows: Row numbers (m,).
        scores: Their scores (m,), each within ``error`` of the exact one.
        floor: Every row with a score above it is among them.
        error: Bound of the error.
    """

    rows: NDArray[np.int64]
    scores: NDArray[np.float32]
    floor: float
    error: float

    @classmethod
    def none(cls) -> Collected:
        """Return what is collected where there are no rows."""
        return cls(np.zeros(0, np.int64), np.zeros(0, np.float32), -np.inf, 0.0)


def collect(file: RowFile, precision: Precision, queries: NDArray[np.float32], best: int) -> list[Collected]:
    """Return, for each query, the ``best`` rows and those whose scores come near.

    Args:
        file: Vectors in the ``columns`` of ``precision``.
        precision: How they are stored.
        queries: Unit vectors (q, d).
        best: How many rows.
    """
    score, error = _scorer(file, precision, queries)
    margins = 2 * error
    blocks = file.blocks()
    threads = _threads(precision, len(queries), len(blocks))

    def collected(part: Iterator[int]) -> Pool:
        return _collect(file, score, margins, best, part)

    pool, *others = share_work(collected, blocks, threads)
    for other in others:
        pool.join(other)
    return pool.collected(error)


def _threads(precision: Precision, queries: int, blocks: int) -> int:
    """Return how many threads divide the blocks among themselves.

    The products of NumPy and onnxruntime have threads of their own, simsimd's have none.
    """
    if precision == "float32" or int8_product(queries) is not simsimd_product():
        return 1
    return max(1, min(default_threads(), blocks // LEAST_BLOCKS))


def _collect(
    file: RowFile, score: Callable[[int], NDArray[np.float32]], margins: NDArray[np.float64], best: int,
    blocks: Iterator[int],
) -> Pool:  # fmt: skip
    """Return the rows of some blocks that may be among the best of a query."""
    pool = Pool(best, margins)
    for block in blocks:
        scores, marks = score(block), file.column("mark", block)
        if not pool.bounded and len(scores) > best:
            scores[marks == 0] = -np.inf
            pool.bound(np.partition(scores, len(scores) - best, axis=0)[-best])
        # np.nonzero of a matrix takes ten times as long.
        rows, which = np.divmod(np.flatnonzero(scores > pool.cut), len(margins))
        near = scores[rows, which]
        if not near.all():  # a blanked row scores 0; to read the marks of all candidates takes longer
            live = marks[rows] != 0
            rows, which, near = rows[live], which[live], near[live]
        pool.add(rows + block * BLOCK, which, near)
    return pool


class Pool:
    """Rows that are near the best ones of their query.

    Args:
        best: How many rows are the best ones of a query.
        margins: How far below the last of them a row is near, (q,).

    Attributes:
        bounds: A score that the last of the best rows has at least, (q,); minus infinity where it is unknown.
        bounded: Whether all are known.
        cut: Rows with a score up to this are not near, (q,).
    """

    def __init__(self, best: int, margins: NDArray[np.float64]) -> None:
        self._best, self._margins = best, margins
        self._rows: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
        self._which: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
        self._scores: list[NDArray[np.float32]] = [np.zeros(0, np.float32)]
        self._held, self._limit = 0, SLACK * best * len(margins)
        self.bounds = np.full(len(margins), -np.inf)
        self.bound(self.bounds)

    def bound(self, bounds: NDArray[Any]) -> None:
        """Take note of scores that the best rows have at least."""
        self.bounds = np.maximum(self.bounds, bounds)
        self.cut = self.bounds - self._margins
        self.bounded = bool(np.isfinite(self.bounds).all())

    def add(self, rows: NDArray[np.int64], which: NDArray[np.int64], scores: NDArray[np.float32]) -> None:
        """Add rows with the number of their query and their scores, each (n,)."""
        self._rows.append(rows)
        self._which.append(which)
        self._scores.append(scores)
        self._held += len(rows)
        if self._held > self._limit:
            self._narrow()
            self._limit = 2 * self._held + SLACK * self._best * len(self._margins)

    def join(self, other: Pool) -> None:
        """Add the rows of another pool, of other blocks."""
        self.bound(other.bounds)
        for rows, which, scores in zip(other._rows, other._which, other._scores, strict=True):
            self.add(rows, which, scores)

    def collected(self, errors: NDArray[np.float64]) -> list[Collected]:
        """Return what is collected for each query, whose scores have the errors (q,)."""
        rows, which, scores = self._narrow()
        edges = np.searchsorted(which, np.arange(len(errors) + 1))
        return [
            Collected(rows[low:high], scores[low:high], float(cut), float(error))
            for low, high, cut, error in zip(edges[:-1], edges[1:], self.cut, errors, strict=True)
        ]

    def _narrow(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """Drop rows that are no longer near; return the others, in the order of their queries."""
        rows, which = np.concatenate(self._rows), np.concatenate(self._which)
        scores = np.concatenate(self._scores)
        order = np.lexsort((-scores, which))
        rows, which, scores = rows[order], which[order], scores[order]
        edges = np.searchsorted(which, np.arange(len(self.bounds) + 1))
        full = np.diff(edges) >= self._best
        reached = np.full(len(self.bounds), -np.inf)
        reached[full] = scores[edges[:-1][full] + self._best - 1]
        self.bound(reached)
        near = scores > self.cut[which]
        rows, which, scores = rows[near], which[near], scores[near]
        self._rows, self._which, self._scores, self._held = [rows], [which], [scores], len(rows)
        return rows, which, scores


def _scorer(
    file: RowFile, precision: Precision, queries: NDArray[np.float32]
) -> tuple[Callable[[int], NDArray[np.float32]], NDArray[np.float64]]:
    """Return what computes the scores (rows, q) of a block, and the bound of their error for each query."""
    width = padded(queries.shape[1])
    wide = np.zeros((len(queries), width), np.float32)
    wide[:, : queries.shape[1]] = queries
    if precision == "float32":

        def in_float(block: int) -> NDArray[np.float32]:
            vectors = file.column("vector", block)
            # A vector and not a matrix of one column, whose product is slower.
            found: NDArray[np.float32] = (vectors @ wide[0])[:, None] if len(wide) == 1 else vectors @ wide.T
            return found

        return in_float, np.full(len(queries), ROUNDING)
    scale, code = quantize(wide)
    product = int8_product(len(code))

    def in_int8(block: int) -> NDArray[np.float32]:
        found = product(code, file.column("code", block)).astype(np.float32, order="C", copy=False)
        found *= file.column("scale", block)[:, None]
        found *= scale
        return found

    norms = np.linalg.norm(wide, axis=1)
    left = np.linalg.norm(wide - scale[:, None] * code, axis=1)
    return in_int8, norms * file.error + left * (1 + file.error) + ROUNDING
