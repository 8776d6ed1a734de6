"""Choose the threshold of an identification for a target FPIR and the number of templates.

With N independent comparisons, FPIR(N) = 1 - (1 - FMR(t))^N (ISO/IEC 19795-1).  A person's score is the
maximum over their templates, so each template is a comparison.  Scores of one probe are correlated, so
this is a model and not a measurement.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..calibration.survival_threshold import survival_threshold
from ..errors import UsageError
from ..utils.result import Result
from ..utils.wording import counted


@dataclass(frozen=True, repr=False)
class FpirThreshold(Result):
    """The threshold for a target FPIR at a number of templates; ``extrapolated`` beyond counted pairs."""

    fpir: float
    templates: int
    fmr: float
    threshold: float
    extrapolated: bool

    def __str__(self) -> str:
        how = ", extrapolated" if self.extrapolated else ""
        held = counted(self.templates, "template")
        return f"{self.threshold:.3f} for an FPIR of {self.fpir:g} with {held}{how}"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def check_fpir(fpir: float) -> None:
    """Raise UsageError for a target FPIR that is no share between 0 and 1, both excluded."""
    if not 0 < fpir < 1:
        raise UsageError(f"the FPIR lies between 0 and 1, both excluded, not at {fpir:g}")


def threshold_at_fpir(survival: Sequence[tuple[float, float]], fpir: float, templates: int) -> FpirThreshold:
    """Return the threshold from the (score, FMR) table of a calibration, linear in the logarithm of the FMR.

    Below the lowest FMR of the table the line through the last decade of the table is continued.

    Raises:
        NotCalibrated: The table has fewer than two entries.
        UsageError: ``fpir`` or ``templates`` is out of range.
    """
    check_fpir(fpir)
    if templates < 1:
        raise UsageError("a threshold for an FPIR needs a gallery with at least one template")
    fmr = -math.expm1(math.log1p(-fpir) / templates)
    if not fmr:
        raise UsageError(f"an FPIR of {fpir:g} is too small to have a threshold; give a higher one")
    return FpirThreshold(fpir, templates, fmr, *survival_threshold(survival, fmr))
