"""Stored embeddings of the teachers for many views of each face, and the joint target made of them.

A round holds each face once, faces of rare ages more often, in random order.  It is stored in parts, so
that a student can begin with the first ones and an interrupted run continues.  A stored row is the
concatenation of the teachers' unit vectors in float16.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...errors import DataError
from ...utils.atomic_write import write_bytes, write_text
from .views import Layout, ViewMaker, ViewSpec

Part = tuple[int, int]
"""Round and number of a stored part."""

PART = 4096  # views in a stored file
CHUNK = 32  # views rendered at a time; more do not fit the CPU cache
ABOUT = "about.json"


@dataclass(frozen=True)
class Teacher:
    """A network that embeds RGB crops in 0..255, (n, 3, size, size), as float32 (n, d).

    Args:
        name: Name of the model.
        size: Side of its crops.
        embed: The network.
        weight: Weight of its cosines in the target.
        layout: Template of its crops.
    """

    name: str
    size: int
    embed: Callable[[Tensor], NDArray[np.float32]]
    weight: float
    layout: Layout = "arcface"


@dataclass(frozen=True, eq=False)
class Rounds:
    """The views of each round; ``weights`` (count,) is how often a face comes in a round, on average."""

    weights: NDArray[np.float64]
    seed: int = 0

    def views(self, number: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return faces and view numbers of a round, both (n,)."""
        rng = np.random.default_rng([self.seed, 71, number])
        copies = np.floor(self.weights + rng.random(len(self.weights))).astype(np.int64)
        faces = np.repeat(np.arange(len(copies)), copies)
        within = np.arange(len(faces)) - np.repeat(np.cumsum(copies) - copies, copies)
        order = rng.permutation(len(faces))
        return faces[order], (100 * number + within)[order]

    def parts(self, number: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Return faces and view numbers of each part of a round."""
        faces, numbers = self.views(number)
        return [(faces[i : i + PART], numbers[i : i + PART]) for i in range(0, len(faces), PART)]


def part_path(folder: Path, number: int, part: int) -> Path:
    """Return the file of a part of round ``number``."""
    return folder / f"round{number:03d}-{part:02d}.npy"


def stored_parts(folder: Path) -> list[Part]:
    """Return the parts that are stored, in order."""
    names = [path.stem.removeprefix("round").split("-") for path in folder.glob("round*.npy")]
    return sorted((int(number), int(part)) for number, part in names)


@dataclass(frozen=True)
class TargetsAbout:
    """How stored targets were made; they are continued only with the same teachers and views."""

    teachers: tuple[str, ...]
    weights: tuple[float, ...]
    widths: tuple[int, ...]
    views: dict[str, float]

    @classmethod
    def of(cls, teachers: Sequence[Teacher], widths: Sequence[int], spec: ViewSpec) -> TargetsAbout:
        """Return the description of targets of ``teachers`` with embeddings of ``widths``."""
        names, weights = tuple(t.name for t in teachers), tuple(t.weight for t in teachers)
        return cls(names, weights, tuple(widths), spec.to_dict())

    @classmethod
    def read(cls, folder: Path) -> TargetsAbout:
        """Read the description of a folder of targets; raise DataError where there is none."""
        try:
            found = json.loads((folder / ABOUT).read_text("utf-8"))
            teachers, weights, widths = (tuple(found[name]) for name in ("teachers", "weights", "widths"))
            return cls(teachers, weights, widths, dict(found["views"]))
        except (OSError, ValueError, KeyError, TypeError):
            raise DataError(f"{folder}: no stored targets; run with --only targets first") from None

    def write(self, folder: Path) -> None:
        """Write the description."""
        write_text(folder / ABOUT, json.dumps(asdict(self), indent=2) + "\n")


def store_targets(
    maker: ViewMaker, rounds: Rounds, teachers: Sequence[Teacher], folder: Path, number: int,
    progress: Callable[[int, int], None] | None = None,
) -> None:  # fmt: skip
    """Store the missing parts of round ``number``; each is written atomically.

    Args:
        maker: Renders the views.
        rounds: The views of each round.
        teachers: The teachers.
        folder: Where the parts are stored.
        number: The round.
        progress: Called when a part is stored, new or before, with its number and the number of parts.
    """
    parts = rounds.parts(number)
    for part, (faces, numbers) in enumerate(parts):
        path = part_path(folder, number, part)
        if not path.is_file():
            rows = [np.concatenate(each, axis=1) for each in embed_views(maker, faces, numbers, teachers)]
            write_array(path, np.concatenate(rows).astype(np.float16))
        if progress is not None:
            progress(part, len(parts))


@torch.no_grad()
def embed_views(
    maker: ViewMaker, faces: NDArray[np.int64], numbers: NDArray[np.int64], teachers: Sequence[Teacher]
) -> Iterator[list[NDArray[np.float32]]]:
    """Yield each teacher's unit vectors of some views, ``CHUNK`` views at a time."""
    for start in range(0, len(faces), CHUNK):
        some = slice(start, start + CHUNK)
        chips, draw = maker.open(faces[some], numbers[some])
        yield [unit(t.embed(maker.render(chips, draw, t.layout, t.size))) for t in teachers]


def unit(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return rows (n, d) scaled to unit length; rows of zeros stay."""
    scaled: NDArray[np.float32] = rows / np.maximum(
        np.linalg.norm(rows, axis=1, keepdims=True), 1e-12
    ).astype(np.float32)
    return scaled


def write_array(path: Path, values: NDArray[Any]) -> None:
    """Write a .npy file atomically."""
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=False)
    write_bytes(path, buffer.getvalue())


@dataclass(frozen=True, eq=False)
class JointTarget:
    """Maps stored rows to the target.

    Rows scaled by the square roots of the weights have the weighted mean of the teachers' cosines.  The
    matrix projects them onto their first d principal directions, without centering, so that cosines are
    preserved.

    Args:
        widths: Dimensions of each teacher's embeddings.
        weights: Weight of each teacher.
        matrix: The projection, (sum of widths, d).
    """

    widths: tuple[int, ...]
    weights: tuple[float, ...]
    matrix: NDArray[np.float32]

    @classmethod
    def fit(
        cls, rows: NDArray[np.float16], widths: Sequence[int], weights: Sequence[float], dimensions: int
    ) -> JointTarget:
        """Return the target of ``dimensions`` dimensions, fitted to stored rows (n, sum of widths)."""
        scaled = rows.astype(np.float32) * _scale(widths, weights)
        _, vectors = np.linalg.eigh(scaled.T.astype(np.float64) @ scaled)
        return cls(tuple(widths), tuple(weights), vectors[:, ::-1][:, :dimensions].astype(np.float32))

    def __call__(self, rows: NDArray[np.float16] | NDArray[np.float32]) -> NDArray[np.float32]:
        """Return unit vectors (n, d) of stored rows (n, sum of widths)."""
        scaled: NDArray[np.float32] = rows.astype(np.float32) * _scale(self.widths, self.weights)
        return unit(scaled @ self.matrix)


def _scale(widths: Sequence[int], weights: Sequence[float]) -> NDArray[np.float32]:
    return np.repeat(np.sqrt(np.asarray(weights, dtype=np.float32)), widths)
