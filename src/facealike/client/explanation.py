"""The request and the answer of ``POST /v1/explain``: which regions of two faces carry their score."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .fields import Picture
from .schemas import Answer, Compared, CompareRequest


class ExplainRequest(CompareRequest):
    """Two photos whose comparison is to be explained."""

    overlays: Annotated[bool, Field(description="Also return both faces under their maps, as PNG.")] = False


class ExplainedRegion(Answer):
    """How far the score falls with a region of the first or of the second face covered; below 0 it rises."""

    name: str
    first: float
    second: float


class CalibrationPairs(Answer):
    """The calibration pairs that score about as high; see ``facealike.NearbyPairs``."""

    low: float
    high: float
    impostor: float
    impostor_is_bound: bool
    genuine: tuple[float, float] | None
    people: str


class Explained(Answer):
    """Which regions carry the score of a comparison; see ``facealike.Explanation``.

    ``regions`` and ``maps`` hold falls of the score.  Each map is a grid of means, from the upper left.
    ``scale`` is the fall at which the color of ``overlays`` is strongest: blue where a place carries the
    score, vermilion where it lowers it.
    """

    sentence: str
    regions: list[ExplainedRegion]
    smallest: float
    scale: float
    nearby: CalibrationPairs | None
    maps: tuple[list[list[float]], list[list[float]]]
    overlays: tuple[Picture, Picture] | None
    comparison: Compared
    sentences: list[str]
