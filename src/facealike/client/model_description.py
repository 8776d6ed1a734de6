"""The answer to ``GET /v1/model``: what the served model is, how far to trust it, and the limits."""

from __future__ import annotations

from .schemas import Answer


class Limits(Answer):
    """What the service accepts."""

    bytes: int
    pixels: int
    faces: int
    photos: int
    cluster_photos: int


class CardDescription(Answer):
    """What the card of the model says of use, limits and licenses (by part)."""

    created: str
    intended_use: str
    limits: str
    licence: dict[str, str]


class OperatingRates(Answer):
    """The threshold for a target FMR, with the 95 % interval of the FMR and the FNMR at it."""

    fmr: float
    fmr_interval: tuple[float, float]
    threshold: float
    fnmr: float
    impostor_pairs: int


class GroupRates(Answer):
    """The FMR of each demographic group, by kind and group: (FMR, low, high) of a 95 % interval.

    None stands for a group that is too small.
    """

    data: str
    photos: int
    threshold: float
    overall: tuple[float, float, float]
    fmr: dict[str, dict[str, tuple[float, float, float] | None]]


class ModelDescription(Answer):
    """The model of the service, its operating points, how far to trust them, and the limits of the service.

    ``survival`` is the impostor survival function: (score, share of impostor pairs that reach it).
    """

    name: str
    id: str
    version: str
    device: str
    dimensions: int
    threshold: float | None
    threshold_from: str | None
    calibration_people: str | None
    calibration_pairs: int | None
    operating_points: list[OperatingRates]
    survival: list[tuple[float, float]]
    groups: GroupRates | None
    card: CardDescription
    limits: Limits
    key_required: bool
