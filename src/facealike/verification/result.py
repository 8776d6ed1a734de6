"""``Comparison``: the result of ``compare``."""

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
    """The result of comparing two photos; true for the same person.

    Attributes:
        score: Cosine of the two embeddings, in [-1, 1]; it rises with similarity.
        threshold: ``same`` is ``score >= threshold``.
        faces: The two faces used; None where the input was a face crop already (``aligned``).
        model: Id of the model.
        device: Device of the model.
        milliseconds: Time of each step.
        found: Number of faces in each photo; None for a face crop.
        probability: Probability that both are one person if a share ``prior`` of all compared pairs is
            genuine; None without a calibration.
        prior: See ``probability``.
        fmr: Share of the impostor pairs that score at least this high.
        fmr_is_bound: The true share is smaller than ``fmr``.
        threshold_from: Source of the threshold.
        band: 95 % interval of the threshold, extended by the quality margin; None where it has none.  A
            score in it is ``uncertain``: with other calibration people the verdict could differ.
        quality: Quality of the two faces; None where no face was looked for.
        warnings: Sentences on poor faces and on the calibration.
        widening: Quality margin: how far the poorer face extends ``band`` below and above.  There the
            verdict could differ with good photos of the same people.
        threshold_fmr: FMR at the threshold on the calibration people; None where it is unknown.
        threshold_fmr_is_bound: The true FMR is smaller than ``threshold_fmr``.
        threshold_fnmr: FNMR at the threshold lies between these values, which are equal where it was
            measured at this threshold.
        best_of: Number n of pairs of faces of which this is the best; 1 unless every face was compared
            (``face="any"``).  ``fmr`` and ``threshold_fmr`` are then those of the best of n impostor pairs,
            1 - (1 - FMR)^n, as if they were independent.  ``prior`` is the share of photo pairs with a
            common person, so the odds of each pair are divided by n.  ``threshold_fnmr`` is that of one
            genuine pair.
        face_numbers: Which faces ``any`` has selected, from 1, the most confident first; else None.
        threshold_rates_of: People on whom the rates at the threshold were measured.

    Examples:
        >>> if compare("a.jpg", "b.jpg"):
        ...     print("the same person")
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
        """Whether the score reaches the threshold."""
        return self.score >= self.threshold

    def __bool__(self) -> bool:
        """Return ``same``."""
        return self.same

    def _brief(self) -> str:
        verdict = self.lines()[0].partition(" (")[0]
        return f"{verdict}: score {self.score:.3f}, threshold {self.threshold:.3f}"

    @property
    def verdict(self) -> str:
        """``same`` or ``different``."""
        return "same" if self.same else "different"

    @property
    def uncertain(self) -> bool:
        """Whether the score lies in ``band``."""
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
        """Return sentences on the verdict, its probability, the operating point and the score.

        Args:
            photos: Names of the photos, used where several pairs of faces were compared.
        """
        return comparison_lines(self, photos)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the score, the threshold with its interval, and the error rates known there.

        ``model.calibration.plot(score=result.score)`` draws it against the calibration's curves.

        Args:
            ax: The axes to draw into; None for a new figure (``.figure.savefig(...)``).

        Raises:
            MissingExtra: matplotlib is not installed.
        """
        ax = new_axes(6.4, 3.0) if ax is None else ax
        draw_comparison(ax, self)
        return ax

    def __str__(self) -> str:
        return "; ".join([*self.lines(), *self.warnings])
