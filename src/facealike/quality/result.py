"""The quality of a face: a score, its parts, and the reasons in words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import UsageError
from ..plotting.results import draw_quality
from ..plotting.style import new_axes
from ..utils.result import Result
from ..utils.wording import join_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, repr=False)
class Quality(Result):
    """The quality of one face: how suitable it is for comparison, from the photo alone.

    ``score`` lies in [0, 1]: about the share of the genuine similarity that is left, relative to a flawless
    photo of the same face.  It is the product of ``parts``, one for each kind of flaw.  ``reasons`` name the
    flaws that matter, the worst first.  ``measures`` are in the units that ``face_quality`` states.  A face
    is ``poor`` where a verdict on it should be checked.

    Examples:
        >>> (face,) = Model.load().faces("portrait.jpg")
        >>> face.quality.score, face.quality.reasons
        (0.93, ())
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
        """Draw a bar for the quality and each of its parts, with the measures beside them.

        Args:
            ax: The axes to draw into; None for a new figure.

        Raises:
            MissingExtra: matplotlib is not installed.
        """
        ax = new_axes(6.4, 3.6) if ax is None else ax
        draw_quality(ax, self)
        return ax

    def __str__(self) -> str:
        reasons = f": {join_words(self.reasons)}" if self.reasons else ""
        return f"quality {self.score:.2f}{reasons}"
