"""The nouns that travel between rooms: arrays, ``Face``, ``Quality``, ``Pair`` and ``Comparison``.

Coordinates are pixels of the upright image, x to the right and y down; the centre of the top
left pixel is (0, 0).  Every noun is frozen and checked when it is made, so a function that
receives one need not check it again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from .errors import UsageError
from .result import Result, Shown

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
        verdict, score, _ = self.lines()
        return f"{verdict}: {score.partition(' (')[0]}"

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
            "faces": [None if face is None else face.to_dict() for face in self.faces],
            "faces_found": list(self.found),
            "quality": [None if quality is None else quality.to_dict() for quality in self.quality],
            "model": self.model,
            "device": self.device,
            "milliseconds": {k: round(v, 2) for k, v in self.milliseconds.items()},
        }

    def lines(self) -> tuple[str, str, str]:
        """The verdict, the score beside the threshold, and what the score means; in words."""
        verdict = "same person" if self.same else "different people"
        if not self.uncertain or self.band is None:
            return verdict, f"score {self.score:.3f}, threshold {self.threshold:.3f}", self._meaning()
        low, high = self.band
        other = "with other people to calibrate on"
        if any(self.widening):
            other += ", or better photos"
        return (
            f"{verdict}, but uncertain",
            f"score {self.score:.3f}, threshold {self.threshold:.3f} ({other}, "
            f"anywhere from {low:.3f} to {high:.3f})",
            self._meaning(),
        )

    def _meaning(self) -> str:
        if self.probability is None:
            text = "no probability: this model has no calibration"
        else:
            text = f"probability {in_digits(self.probability)} ({_prior_in_words(self.prior)})"
            if (self.probability >= 0.5) != self.same:
                text += ", but the threshold decides"
        return text if self.fmr is None else f"{text}; {strangers(self.fmr, self.fmr_is_bound)}"

    def __str__(self) -> str:
        verdict, score, meaning = self.lines()
        return "; ".join([f"{verdict}: {score}; {meaning}", *self.warnings])


def in_a_row(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def in_digits(probability: float) -> str:
    """A probability as far as a calibration can tell it: two digits, three near 0 and 1, no certainty."""
    if probability > 0.999:
        return "above 0.999"
    if probability < 0.001:
        return "below 0.001"
    return f"{probability:.2f}" if 0.01 <= probability <= 0.99 else f"{probability:.3f}"


def strangers(fmr: float, is_bound: bool = False) -> str:
    """A false match rate in words, to two digits; ``is_bound`` says that it is smaller than ``fmr``."""
    if is_bound:
        return f"fewer than 1 stranger in {_one_in(fmr)} would score this high"
    if fmr > 0.95:
        return "almost every stranger would score this high"
    if fmr >= 0.15:
        return f"about {round(10 * fmr)} strangers in 10 would score this high"
    return f"about 1 stranger in {_one_in(fmr)} would score this high"


def _one_in(rate: float) -> str:
    number = 1 / max(rate, 1e-12)
    digits = max(0, math.floor(math.log10(number)) - 1)
    return f"{round(number / 10**digits) * 10**digits:,}"


def _prior_in_words(prior: float) -> str:
    if prior == 0.5:
        return "if half of all pairs show the same person"
    if prior < 0.01:
        return f"if 1 pair in {round(1 / prior):,} shows the same person"
    return f"if {100 * prior:.6g} % of all pairs show the same person"
