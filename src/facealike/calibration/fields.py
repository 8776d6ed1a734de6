"""Check the fields of a calibration: operating points, impostor survival function, face policies."""

from __future__ import annotations

from typing import Any

from ..detection.face_policy import FACE_POLICIES
from ..errors import ModelError
from ..utils.json_fields import from_dict, in_words, is_number
from .operating_points import OperatingPoint

ROUNDING = 1e-5  # the cosine of a photo and itself may exceed 1 by this


def checked_policy(value: Any, *more: str) -> None:
    """Raise ModelError for a value that is not a policy for one face, nor one of ``more``, nor None."""
    if value is not None and value not in (*(p for p in FACE_POLICIES if p != "all"), *more):
        raise ModelError(f"calibration: the face policy is largest, central or only, not {in_words(value)}")


def checked_points(values: Any) -> tuple[OperatingPoint, ...]:
    """Return operating points, the highest FMR first."""
    if not isinstance(values, list | tuple):
        raise ModelError("calibration: operating_points must be a list; calibrate the model again")
    points = tuple(
        value
        if isinstance(value, OperatingPoint)
        else from_dict(OperatingPoint, value, "operating point", ("band",))
        for value in values
    )
    return tuple(sorted(points, key=lambda point: -point.fmr))


def checked_tail(values: Any) -> tuple[tuple[float, float], ...]:
    """Return the points (score, FMR) of the impostor survival function, ascending in score."""
    if not isinstance(values, list | tuple):
        raise ModelError("calibration: the tail must be a list of points; calibrate the model again")
    points: list[tuple[float, float]] = []
    for value in values:
        if not isinstance(value, list | tuple) or len(value) != 2 or not all(map(is_number, value)):
            raise ModelError(f"calibration: a point of the tail is a score and an FMR, not {in_words(value)}")
        score, fmr = float(value[0]), float(value[1])
        if not (-1 - ROUNDING <= score <= 1 + ROUNDING and 0 < fmr <= 1):
            raise ModelError(f"calibration: no point of the tail can be {in_words(value)}")
        if points and not (score > points[-1][0] and fmr < points[-1][1]):
            raise ModelError("calibration: along the tail scores must rise and FMRs fall; calibrate it again")
        points.append((score, fmr))
    return tuple(points)
