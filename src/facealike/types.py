"""What travels between packages: arrays, ``Box``, ``Face`` and ``Pair``.

Coordinates are pixels of the upright image, x to the right and y down; the center of the top left pixel is
(0, 0).  Every class is frozen and checked on creation, so functions need not check it again.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .utils.result import Result, Shown

Image: TypeAlias = NDArray[np.uint8]
"""RGB, uint8, shape (H, W, 3)."""

Embeddings: TypeAlias = NDArray[np.float32]
"""Unit vectors, float32, shape (n, d)."""

Point: TypeAlias = tuple[float, float]


class Box(NamedTuple):
    """A rectangle in pixels; it may reach beyond the image.

    Examples:
        >>> Box(10, 20, 110, 140).center
        (60.0, 80.0)
    """

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        """``right - left``."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """``bottom - top``."""
        return self.bottom - self.top

    @property
    def area(self) -> float:
        """``width * height``."""
        return self.width * self.height

    @property
    def center(self) -> Point:
        """The middle of the box."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    @property
    def centre(self) -> Point:
        """``center``, under the name of earlier releases."""
        warnings.warn("Box.centre is now Box.center", DeprecationWarning, stacklevel=2)
        return self.center

    def __repr__(self) -> str:
        return "Box(" + ", ".join(f"{name}={value:.6g}" for name, value in self._asdict().items()) + ")"


@dataclass(frozen=True, repr=False)
class Face(Shown):
    """One face in an image.

    ``landmarks`` are None or five points: the eye on the image's left, the eye on the right, the tip of the
    nose, the left and the right corner of the mouth.  ``confidence`` has a scale of the detector's own;
    higher is surer.

    Examples:
        >>> Face(Box(10, 20, 110, 140), confidence=0.99)
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


@dataclass(frozen=True, repr=False)
class Pair(Result):
    """Two images by path, and whether they show the same person (None: unknown).

    ``fold`` is the fold of a protocol such as LFW View 2, where there is one.  ``people`` are the people on
    the two sides, where a list names them; None where a person is the folder that a photo lies in.

    Examples:
        >>> Pair("a.jpg", "b.jpg", same=True)
    """

    ASK: ClassVar[str] = "ask .same, which is None where it is not known"

    a: str
    b: str
    same: bool | None = None
    fold: int | None = None
    people: tuple[str, str] | None = field(default=None, repr=False)


class PairIndices(NamedTuple):
    """Pairs of photos by index: int64 ``a`` and ``b``, both (n,), and bool ``same`` (n,)."""

    a: NDArray[np.int64]
    b: NDArray[np.int64]
    same: NDArray[np.bool_]


Progress = Callable[[int, int], None]
"""Called with (done, total)."""
