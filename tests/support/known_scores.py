"""A calibration of scores whose distributions are known: Fisher's z is normal for both kinds of pairs."""

from __future__ import annotations

import math
from statistics import NormalDist

from facealike.calibration.calibration import Calibration
from facealike.calibration.operating_points import OperatingPoint

IMPOSTOR, GENUINE = NormalDist(0.1, 0.12), NormalDist(0.8, 0.18)
"""Of Fisher's z, artanh of the score."""


def known_calibration() -> Calibration:
    """Return the calibration of these scores, with a survival function down to an FMR of 1e-5."""
    shares = [10 ** -(0.1 * i) for i in range(51)]
    at = [math.tanh(IMPOSTOR.inv_cdf(1 - share)) if share < 1 else -0.9 for share in shares]
    points = []
    for fmr in (0.1, 0.01, 0.001, 0.0001):
        z = IMPOSTOR.inv_cdf(1 - fmr)
        points.append(OperatingPoint(fmr, math.tanh(z), fmr / 2, fmr * 2, GENUINE.cdf(z), 1_000_000))
    curve = {"method": "platt", "a": 30.0, "b": -13.0, "scale": "fisher"}
    return Calibration(
        points[2].threshold, "FMR 0.001", "people of known scores", 1_000_000, probability=curve,
        operating_points=tuple(points), tail=tuple(zip(at, shares, strict=True)),
    )  # fmt: skip
