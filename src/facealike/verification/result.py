"""What ``compare`` found out about two photos."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from ..plotting.results import draw_comparison
from ..plotting.style import new_axes
from ..quality.result import Quality
from ..types import Face
from ..utils.result import Shown
from .wording import comparison_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
