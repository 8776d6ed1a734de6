"""The nouns that travel between rooms: arrays, ``Face``, ``Quality``, ``Pair`` and ``Comparison``.

Coordinates are pixels of the upright image, x to the right and y down; the centre of the top
left pixel is (0, 0).  Every noun is frozen and checked when it is made, so a function that
receives one need not check it again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .errors import UsageError
from .face_policy import DEFAULT_FACE as DEFAULT_FACE
from .face_policy import FACE_POLICIES as FACE_POLICIES
from .face_policy import FacePolicy as FacePolicy
from .plots import new_axes
from .result import Result, Shown
from .score_plots import draw_comparison, draw_quality
from .wording import comparison_lines, in_a_row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Image: TypeAlias = NDArray[np.uint8]
"""RGB, uint8, shape (H, W, 3)."""

Embeddings: TypeAlias = NDArray[np.float32]
"""One unit vector a row, shape (n, d)."""

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

    def __repr__(self) -> str:
        return "Box(" + ", ".join(f"{name}={value:.6g}" for name, value in self._asdict().items()) + ")"


@dataclass(frozen=True, repr=False)
class Face(Shown):
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


@dataclass(frozen=True, repr=False)
class Quality(Result):
    """How fit one face of a photo is to be compared, judged by the photo alone.

    ``score`` lies in [0, 1]: about the share that is left of what speaks for one person, against a
    flawless photo of the same face.  It is the product of ``parts``, one a kind of flaw, and
    ``reasons`` name the flaws that matter, in words, the worst first; none where nothing is wrong.
    ``measures`` hold what was measured, in the units that ``facealike.quality`` states.  A face is
    ``poor`` where a verdict should not rest on it without a second look.
    """

    ASK: ClassVar[str] = "ask .poor or .score"

    score: float
    reasons: tuple[str, ...] = ()
    measures: dict[str, float] = field(default_factory=dict)
    parts: dict[str, float] = field(default_factory=dict)
    poor: bool = False

    def __post_init__(self) -> None:
        for name, value in {"score": self.score, **self.parts}.items():
            if not 0 <= value <= 1:
                raise UsageError(f"the {name} of a face's quality lies between 0 and 1, not at {value}")

    def to_dict(self) -> dict[str, Any]:
        return {
            "score": round(self.score, 4),
            "poor": self.poor,
            "reasons": list(self.reasons),
            "parts": {name: round(value, 4) for name, value in self.parts.items()},
            "measures": {name: round(value, 4) for name, value in self.measures.items()},
        }

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw a bar for the quality and each of its parts, with what was measured beside them.

        Draws into ``ax``, else into a new figure.  Raises MissingExtra without matplotlib.
        """
        ax = new_axes(6.4, 3.6) if ax is None else ax
        draw_quality(ax, self)
        return ax

    def __str__(self) -> str:
        told = f": {in_a_row(self.reasons)}" if self.reasons else ""
        return f"quality {self.score:.2f}{told}"


@dataclass(frozen=True, repr=False)
class Pair(Result):
    """Two images by path, and whether they show the same person (None: not known).

    ``fold`` is the fold of a protocol such as LFW View 2, where there is one.
    """

    ASK: ClassVar[str] = "ask .same, which is None where it is not known"

    a: str
    b: str
    same: bool | None = None
    fold: int | None = None


class PairIndices(NamedTuple):
    """Pairs of photos by index: int64 ``a`` and ``b``, both (n,), and bool ``same`` (n,)."""

    a: NDArray[np.int64]
    b: NDArray[np.int64]
    same: NDArray[np.bool_]


@dataclass(frozen=True, repr=False)
class Comparison(Shown):
    """What ``compare`` found out about two photos.

    ``score`` is the cosine of the two embeddings, in [-1, 1], and rises with likeness.
    ``same`` is ``score >= threshold``.  ``faces`` are the two faces that were used; an entry is
    None where the input was declared to be a face crop already (``aligned``); ``found`` is how many
    faces each photo showed, None likewise.  ``milliseconds`` tells how long each step took.

    ``probability`` is the chance that the two are one person if a share ``prior`` of all pairs that
    are compared show one person; None where the model has no calibration.  ``fmr`` is the share of
    pairs of strangers that score at least this high; the true share is smaller if ``fmr_is_bound``.
    ``threshold_from`` says where the threshold comes from, and ``band`` is its 95 % interval, None
    where it has none; ``uncertain`` is a score within the band: with other people to calibrate on,
    the verdict could have been the other one.

    ``quality`` is that of the two faces, None where no face was looked for.  ``warnings`` are sentences
    on poor faces.  ``widening`` is what the poorer face has added to ``band`` below and above: there
    the verdict could have been the other one with good photos of the same people.

    ``threshold_fmr`` and ``threshold_fnmr`` are the rates at the threshold on the calibration people, whom
    ``threshold_rates_of`` names; None where the calibration does not have them.  The true FMR is smaller if
    ``threshold_fmr_is_bound``; the FNMR lies between the two values, which are equal where it was measured
    at this very threshold.

    ``best_of`` is the number n of pairs of faces of which this is the best, 1 unless every face was compared
    (``face="any"``); ``face_numbers`` says which faces, counted from 1, the most confident first, None for
    other policies.  ``fmr`` and ``threshold_fmr`` are those of the best of n pairs of different people,
    1 - (1 - FMR)^n, as if the pairs were independent.  ``prior`` is the share of photo pairs that show a
    common person; it is spread over the n pairs, so the odds of each are divided by n.  ``threshold_fnmr``
    stays that of one genuine pair.
    """

    score: float
    threshold: float
    faces: tuple[Face | None, Face | None]
    model: str
    device: str
    milliseconds: dict[str, float] = field(default_factory=dict)
    found: tuple[int | None, int | None] = (None, None)
    probability: float | None = None
    prior: float = 0.5
    fmr: float | None = None
    fmr_is_bound: bool = False
    threshold_from: str = "the caller"
    band: tuple[float, float] | None = None
    quality: tuple[Quality | None, Quality | None] = (None, None)
    warnings: tuple[str, ...] = ()
    widening: tuple[float, float] = (0.0, 0.0)
    threshold_fmr: float | None = None
    threshold_fmr_is_bound: bool = False
    threshold_fnmr: tuple[float, float] | None = None
    best_of: int = 1
    face_numbers: tuple[int, int] | None = None
    threshold_rates_of: str | None = None

    def __post_init__(self) -> None:
        if not math.isfinite(self.score) or not math.isfinite(self.threshold):
            raise UsageError("a comparison needs a finite score and a finite threshold")
        for name in ("probability", "fmr"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise UsageError(f"the {name} of a comparison lies between 0 and 1, not at {value}")

    @property
    def same(self) -> bool:
        return self.score >= self.threshold

    def __bool__(self) -> bool:
        """Return the verdict, so that ``if compare(a, b):`` asks whether the two are one person."""
        return self.same

    def _brief(self) -> str:
        verdict = self.lines()[0].partition(" (")[0]
        return f"{verdict}: score {self.score:.3f}, threshold {self.threshold:.3f}"

    @property
    def verdict(self) -> str:
        return "same" if self.same else "different"

    @property
    def uncertain(self) -> bool:
        return self.band is not None and self.band[0] <= self.score < self.band[1]

    def to_dict(self) -> dict[str, Any]:
        return {
            "score": round(self.score, 6),
            "threshold": round(self.threshold, 6),
            "threshold_from": self.threshold_from,
            "band": None if self.band is None else [round(v, 6) for v in self.band],
            "same": self.same,
            "verdict": self.verdict,
            "uncertain": self.uncertain,
            "widening": [round(v, 6) for v in self.widening],
            "warnings": list(self.warnings),
            "probability": self.probability,
            "prior": self.prior,
            "fmr": self.fmr,
            "fmr_is_bound": self.fmr_is_bound,
            "threshold_fmr": self.threshold_fmr,
            "threshold_fmr_is_bound": self.threshold_fmr_is_bound,
            "threshold_fnmr": None if self.threshold_fnmr is None else list(self.threshold_fnmr),
            "threshold_rates_of": self.threshold_rates_of,
            "faces": [None if face is None else face.to_dict() for face in self.faces],
            "faces_found": list(self.found),
            "best_of": self.best_of,
            "face_numbers": None if self.face_numbers is None else list(self.face_numbers),
            "quality": [None if quality is None else quality.to_dict() for quality in self.quality],
            "model": self.model,
            "device": self.device,
            "milliseconds": {k: round(v, 2) for k, v in self.milliseconds.items()},
        }

    def lines(self, photos: tuple[str, str] = ("the first photo", "the second photo")) -> tuple[str, ...]:
        """In words: the verdict and its probability, the operating point, the score, what it means.

        ``photos`` are the names of the two where the best of several pairs of faces is told.
        """
        return comparison_lines(self, photos)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the score with the threshold, its band, and the error rates that are known there.

        ``model.calibration.plot(score=result.score)`` draws it against the calibration's curves.  Draws into
        ``ax``, else into a new figure (``.figure.savefig(...)``).  Raises MissingExtra without matplotlib.
        """
        ax = new_axes(6.4, 3.0) if ax is None else ax
        draw_comparison(ax, self)
        return ax

    def __str__(self) -> str:
        return "; ".join([*self.lines(), *self.warnings])
