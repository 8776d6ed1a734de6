"""The threshold for a target FMR from the impostor survival function, also below the rates it holds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..errors import NotCalibrated


def survival_threshold(survival: Sequence[tuple[float, float]], fmr: float) -> tuple[float, bool]:
    """Return the threshold for an FMR, linear in its logarithm, and whether it is extrapolated.

    Below the lowest FMR of the table the line through its last decade is continued.

    Args:
        survival: The table of a calibration: (score, share of impostor pairs that score at least that).
        fmr: A share between 0 and 1.

    Raises:
        NotCalibrated: The table has fewer than two entries.
    """
    if len(survival) < 2:
        raise NotCalibrated("the model has no table of impostor scores; calibrate it on more people")
    scores, shares = np.array(sorted(survival), dtype=np.float64).T
    logs, wanted = np.log10(shares), math.log10(fmr)
    low = float(logs[-1])
    if wanted >= low:
        return float(np.interp(-wanted, -logs, scores)), False
    tail = logs <= max(low + 1, float(logs[-2]))
    slope, offset = np.polyfit(logs[tail], scores[tail], 1)
    return min(max(float(scores[-1]), float(slope * wanted + offset)), 1.0), True
