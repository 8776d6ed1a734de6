"""The calibration pairs whose score is near a given one, as shares of the genuine and the impostor pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ..utils.result import Result
from ..utils.wording import percent_range, rate_text
from .calibration import Calibration

HALF_WIDTH = 0.1
"""Half the width of the interval, as a share of the distance from the median impostor to the threshold."""


@dataclass(frozen=True, repr=False)
class NearbyPairs(Result):
    """How many calibration pairs score within an interval around a score.

    Attributes:
        low: The lower end of the interval.
        high: The upper end.
        impostor: Share of the impostor pairs in it.
        impostor_is_bound: The interval reaches above what the impostor pairs support; the true share is
            smaller than ``impostor``.
        genuine: Lowest and highest share of the genuine pairs that the FNMRs of the calibration allow; None
            where none was measured at a threshold below the interval, or at one above.
        people: The calibration people.
    """

    ASK: ClassVar[str] = "ask .impostor or .genuine"

    low: float
    high: float
    impostor: float
    impostor_is_bound: bool
    genuine: tuple[float, float] | None
    people: str

    def to_dict(self) -> dict[str, Any]:
        return {
            "low": round(self.low, 6),
            "high": round(self.high, 6),
            "impostor": self.impostor,
            "impostor_is_bound": self.impostor_is_bound,
            "genuine": None if self.genuine is None else list(self.genuine),
            "people": self.people,
        }

    def __str__(self) -> str:
        impostor = f"{'below ' * self.impostor_is_bound}{rate_text(self.impostor)} of impostor pairs"
        genuine = "" if self.genuine is None else f" and {percent_range(*self.genuine)} of genuine pairs"
        return f"calibration: {impostor}{genuine} score {self.low:.3f} to {self.high:.3f} ({self.people})"


def nearby_pairs(calibration: Calibration, score: float) -> NearbyPairs | None:
    """Return the calibration pairs near ``score``; None where the calibration has no survival function."""
    typical = calibration.typical_impostor
    if typical is None or typical >= calibration.threshold:
        return None
    half = HALF_WIDTH * (calibration.threshold - typical)
    low, high = max(score - half, -1.0), min(score + half, 1.0)
    from_low, from_high = calibration.fmr_of(low), calibration.fmr_of(high)
    assert from_low is not None and from_high is not None  # there is a survival function
    # Above the last point only a bound is known, and no part of it may be taken off.
    bound = calibration.fmr_is_bound(high)
    share = from_low if bound else from_low - from_high
    return NearbyPairs(low, high, share, bound, _genuine(calibration, low, high), calibration.people)


def _genuine(calibration: Calibration, low: float, high: float) -> tuple[float, float] | None:
    below, above = calibration.fnmr_between(low), calibration.fnmr_between(high)
    if below is None or above is None:
        return None
    return max(0.0, above[0] - below[1]), above[1] - below[0]
