"""The size of a template, and how long one takes to make and to compare."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..detection.face_policy import FacePolicy
from ..embedding.face_model import Model
from ..types import Embeddings
from ..utils.result import Shown

PHOTOS = 50
"""Photos that are timed."""

COMPARED = 10_000
"""Templates that one template is compared with."""

REPEATS = 20


@dataclass(frozen=True, repr=False)
class TemplateTimes(Shown):
    """The size of a template, and the times of this machine, as FRTE states them.

    Args:
        dimensions: Numbers in a template.
        size: Bytes of a template, as float32.
        photos: How many photos were timed, one after the other.
        creation: Seconds from the file of a photo to its template, the median.
        creation_90: The same, of the slowest tenth the fastest.
        comparison: Seconds of one comparison, where a template is compared with ``COMPARED`` others at once.
    """

    dimensions: int
    size: int
    photos: int
    creation: float
    creation_90: float
    comparison: float

    def to_dict(self) -> dict[str, Any]:
        seconds = ("creation", "creation_90", "comparison")
        return {
            "dimensions": self.dimensions,
            "size": self.size,
            "photos": self.photos,
            **{name: float(f"{getattr(self, name):.3g}") for name in seconds},
        }

    def __str__(self) -> str:
        return (
            f"template of {self.size:,} bytes, made in {1e3 * self.creation:.0f} ms, compared in "
            f"{1e9 * self.comparison:.0f} ns"
        )


def template_times(
    model: Model, photos: Sequence[Path], vectors: Embeddings, face: FacePolicy
) -> TemplateTimes:
    """Time the making of templates, and their comparison.

    Args:
        model: The model.
        photos: Photos with a face; some of them are timed, spread over all.
        vectors: Templates, (n, d).
        face: Which face of a photo is meant.
    """
    chosen = [photos[i] for i in np.unique(np.linspace(0, len(photos) - 1, PHOTOS).astype(int))]
    _make(model, chosen[0], face)  # the first one loads what the others use
    made = np.array([_timed(lambda photo=photo: _make(model, photo, face)) for photo in chosen])
    many = np.resize(vectors, (COMPARED, vectors.shape[1])).astype(np.float32)
    compared = [_timed(lambda: many @ vectors[0]) for _ in range(REPEATS)]
    return TemplateTimes(
        dimensions=vectors.shape[1],
        size=4 * vectors.shape[1],
        photos=len(chosen),
        creation=float(np.median(made)),
        creation_90=float(np.quantile(made, 0.9)),
        comparison=float(np.median(compared)) / COMPARED,
    )


def _make(model: Model, photo: Path, face: FacePolicy) -> None:
    (found,) = model.faces(photo, face, quality=False)
    model.embed_crops(found.crop[np.newaxis])


def _timed(work: Any) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
