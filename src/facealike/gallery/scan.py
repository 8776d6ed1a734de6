"""Scores of stored vectors with queries: one pass over a file, in 8 bits or in float32.

A vector v is stored as codes c in [-127, 127] and a scale s, with v = s c + r.  A query is quantized alike.
The error of a score is then at most |q| |r_v| + |r_q| |s c|, so a search knows which rows it must score
again in float32 to be exact.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..utils.ordered_threads import default_threads, map_ordered
from .int8_product import int8_product, simsimd_product
from .row_file import BLOCK, Column, RowFile

Precision = Literal["int8", "float32"]

ALIGNED = 32
"""Vectors are padded with zeros to a multiple of so many numbers."""

LEAST_BLOCKS = 4
"""Blocks of a thread from which on it is worth its start."""

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
    count = max(1, threads)
    edges = [len(blocks) * part // count for part in range(count + 1)]
    parts = [blocks[low:high] for low, high in itertools.pairwise(edges)]

    def collected(part: range) -> list[_Pool]:
        return _collect(file, score, margins, best, part)

    found = list(map_ordered(collected, parts, threads))
    for pools in found[1:]:
        for pool, other in zip(found[0], pools, strict=True):
            pool.add(*other.narrow())
    return [
        Collected(*pool.narrow(), pool.bound - float(margin), float(margin) / 2)
        for pool, margin in zip(found[0], margins, strict=True)
    ]


def _threads(precision: Precision, queries: int, blocks: int) -> int:
    """Return how many threads divide the rows among themselves; 0 for none beside the caller's.

    The products of NumPy and onnxruntime have threads of their own, simsimd's have none.
    """
    if precision == "float32" or int8_product(queries) is not simsimd_product():
        return 0
    threads = min(default_threads(), blocks // LEAST_BLOCKS)
    return threads if threads > 1 else 0


def _collect(
    file: RowFile, score: Callable[[int], NDArray[np.float32]], margins: NDArray[np.float64], best: int,
    blocks: range,
) -> list[_Pool]:  # fmt: skip
    """Return, for each query, the rows of some blocks that may be among its best."""
    bounds = np.full(len(margins), -np.inf)
    pools = [_Pool(best, float(margin)) for margin in margins]
    for block in blocks:
        scores = score(block)
        dead = file.column("mark", block) == 0
        if dead.any():
            scores[dead] = -np.inf
        if not np.isfinite(bounds).all() and len(scores) > best:
            bounds = np.maximum(bounds, np.partition(scores, len(scores) - best, axis=0)[-best])
        # np.nonzero of a matrix takes ten times as long.
        rows, which = np.divmod(np.flatnonzero(scores > bounds - margins), len(margins))
        near = scores[rows, which]
        for i in np.unique(which):
            of_query = which == i
            bounds[i] = max(bounds[i], pools[i].add(rows[of_query] + block * BLOCK, near[of_query]))
    return pools


class _Pool:
    """Rows of a query that are near its best ones.

    Attributes:
        bound: The score of the last of the best ones; minus infinity where there are fewer.
    """

    def __init__(self, best: int, margin: float) -> None:
        self.bound = -np.inf
        self._best, self._margin = best, margin
        self._rows: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
        self._scores: list[NDArray[np.float32]] = [np.zeros(0, np.float32)]
        self._held, self._limit = 0, 4 * best

    def add(self, rows: NDArray[np.int64], scores: NDArray[np.float32]) -> float:
        """Add rows; return the bound."""
        self._rows.append(rows)
        self._scores.append(scores)
        self._held += len(rows)
        if self._held > self._limit:
            self._limit = 2 * len(self.narrow()[0]) + 4 * self._best
        return self.bound

    def narrow(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Drop rows that are no longer near the best ones; return the others with their scores."""
        rows, scores = np.concatenate(self._rows), np.concatenate(self._scores)
        if len(scores) >= self._best:
            self.bound = float(np.partition(scores, len(scores) - self._best)[len(scores) - self._best])
            keep = scores > self.bound - self._margin
            rows, scores = rows[keep], scores[keep]
        self._rows, self._scores, self._held = [rows], [scores], len(rows)
        return rows, scores


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
        found = product(code, file.column("code", block)).astype(np.float32, order="C")
        found *= file.column("scale", block)[:, None]
        found *= scale
        return found

    norms = np.linalg.norm(wide, axis=1)
    left = np.linalg.norm(wide - scale[:, None] * code, axis=1)
    return in_int8, norms * file.error + left * (1 + file.error) + ROUNDING
