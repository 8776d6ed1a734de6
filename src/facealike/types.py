"""The nouns that travel between rooms: arrays, ``Face``, ``Pair`` and ``Comparison``.

Coordinates are pixels of the upright image, x to the right and y down; the centre of the top
left pixel is (0, 0).  Every noun is frozen and checked when it is made, so a function that
receives one need not check it again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from .errors import UsageError

Image: TypeAlias = NDArray[np.uint8]
"""RGB, uint8, shape (H, W, 3)."""

Embeddings: TypeAlias = NDArray[np.float32]
"""One unit vector a row, shape (n, d)."""

FacePolicy: TypeAlias = Literal["largest", "central", "only", "all"]
"""Which face of a photo is meant; ``all`` only where a verb can return several."""

FACE_POLICIES: tuple[str, ...] = get_args(FacePolicy)

Point: TypeAlias = tuple[float, float]


class Box(NamedTuple):
    """A rectangle in pixels; it may reach beyond the image."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def area(self) -> float:
        return self.width * self.height

    @property
    def centre(self) -> Point:
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2


@dataclass(frozen=True)
class Face:
    """One face found in an image.

    ``landmarks`` are five points or None: the eye on the image's left, the eye on the right,
    the tip of the nose, the corner of the mouth on the left, the corner on the right.
    ``confidence`` rises with the detector's belief; its scale is the detector's own.
    """

    box: Box
    confidence: float
    landmarks: tuple[Point, ...] | None = None

    def __post_init__(self) -> None:
        if not all(math.isfinite(v) for v in self.box) or self.box.width <= 0 or self.box.height <= 0:
            raise ValueError(f"a face needs a finite box of positive size, not {self.box}")
        if not math.isfinite(self.confidence):
            raise ValueError("the confidence of a face must be finite")
        if self.landmarks is not None:
            if len(self.landmarks) != 5:
                raise ValueError(f"a face has five landmarks or none, not {len(self.landmarks)}")
            if not all(math.isfinite(v) for point in self.landmarks for v in point):
                raise ValueError("the landmarks of a face must be finite")

    def to_dict(self) -> dict[str, Any]:
        return {
            "box": [round(v, 2) for v in self.box],
            "confidence": round(self.confidence, 4),
            "landmarks": None
            if self.landmarks is None
            else [[round(x, 2), round(y, 2)] for x, y in self.landmarks],
        }

    def __str__(self) -> str:
        left, top, right, bottom = (round(v) for v in self.box)
        return f"face {right - left}x{bottom - top} at ({left}, {top}), confidence {self.confidence:.2f}"


@dataclass(frozen=True)
class Pair:
    """Two images by path, and whether they show the same person (None: not known).

    ``fold`` is the fold of a protocol such as LFW View 2, where there is one.
    """

    a: str
    b: str
    same: bool | None = None
    fold: int | None = None


class PairIndices(NamedTuple):
    """Pairs of photos by index: int64 ``a`` and ``b``, both (n,), and bool ``same`` (n,)."""

    a: NDArray[np.int64]
    b: NDArray[np.int64]
    same: NDArray[np.bool_]


@dataclass(frozen=True)
class Comparison:
    """What ``compare`` found out about two photos.

    ``score`` is the cosine of the two embeddings, in [-1, 1], and rises with likeness.
    ``same`` is ``score >= threshold``.  ``faces`` are the two faces that were used; an entry is
    None where the input was declared to be a face crop already (``aligned``); ``found`` is how many
    faces each photo showed, None likewise.  ``milliseconds`` tells how long each step took.
    """

    score: float
    threshold: float
    faces: tuple[Face | None, Face | None]
    model: str
    device: str
    milliseconds: dict[str, float] = field(default_factory=dict)
    found: tuple[int | None, int | None] = (None, None)

    def __post_init__(self) -> None:
        if not math.isfinite(self.score) or not math.isfinite(self.threshold):
            raise UsageError("a comparison needs a finite score and a finite threshold")

    @property
    def same(self) -> bool:
        return self.score >= self.threshold

    @property
    def verdict(self) -> str:
        return "same" if self.same else "different"

    def to_dict(self) -> dict[str, Any]:
        return {
            "score": round(self.score, 6),
            "threshold": round(self.threshold, 6),
            "same": self.same,
            "verdict": self.verdict,
            "faces": [None if face is None else face.to_dict() for face in self.faces],
            "faces_found": list(self.found),
            "model": self.model,
            "device": self.device,
            "milliseconds": {k: round(v, 2) for k, v in self.milliseconds.items()},
        }

    def __str__(self) -> str:
        return f"{self.verdict} person: score {self.score:.3f}, threshold {self.threshold:.3f}"
