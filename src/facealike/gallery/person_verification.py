"""The answer to "is this that person?": a face against all templates of a person, as ``compare`` words it.

Error rates are those of the best of n independent pairs, as for ``compare`` with ``face="any"``: where the
score is the best of n templates, an impostor has n chances.  The mean, on the scale of one template, adds
few, as ``docs/results/identification.md`` has measured.  The odds of the prior are
divided by n, which is cautious: it takes the genuine scores of the templates as equal, and the impostor
scores as independent.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..embedding.cropper import FaceCrop
from ..embedding.face_model import Model
from ..quality.result import Quality
from ..utils.result import Shown
from ..verification.best_pair import BestPair
from ..verification.compare import CompareOptions, comparison_of, decide
from ..verification.result import Comparison
from .aggregation import DEFAULT_AGGREGATION, Aggregation, person_score
from .template import Template


@dataclass(frozen=True, repr=False)
class PersonVerification(Shown):
    """Whether a photo shows an enrolled person; true where it does.

    Attributes:
        person: The name.
        photo: The photo.
        source: The enrolled photo that scores highest.
        templates: How many templates of the person were compared.
        comparison: The comparison with them.  ``faces[1]`` is None: of an enrolled face the
            embedding and the overall quality are known.
        corrected: A correction states that the photo does not show the person, whatever the score.
        aggregation: How the templates gave one score.

    Examples:
        >>> result = gallery.verify("visitor.jpg", "Ann")
        >>> result.same, result.probability
        (True, 0.998)
    """

    person: str
    photo: str
    source: str
    templates: int
    comparison: Comparison
    corrected: bool = False
    aggregation: Aggregation = DEFAULT_AGGREGATION

    @property
    def same(self) -> bool:
        """Whether the score reaches the threshold and no correction contradicts."""
        return self.comparison.same and not self.corrected

    def __bool__(self) -> bool:
        """Return ``same``."""
        return self.same

    @property
    def verdict(self) -> str:
        """``same`` or ``different``."""
        return "same" if self.same else "different"

    @property
    def score(self) -> float:
        """The score with the person's templates; it rises with similarity."""
        return self.comparison.score

    @property
    def probability(self) -> float | None:
        """The probability of a match; 0 after a correction, None without a calibration."""
        return 0.0 if self.corrected else self.comparison.probability

    def to_dict(self) -> dict[str, Any]:
        return {
            "person": self.person, "photo": self.photo, "source": self.source, "templates": self.templates,
            **self.comparison.to_dict(), "same": self.same, "verdict": self.verdict,
            "probability": self.probability, "corrected": self.corrected, "aggregation": self.aggregation,
        }  # fmt: skip

    def lines(self) -> tuple[str, ...]:
        """Return sentences on the verdict, the operating point, the score and the best template."""
        first, *rest = self.comparison.lines()
        if self.corrected:
            first = "different people (by a correction, whatever the score)"
        many = f"of {self.templates:,} templates"
        how = f"{self.aggregation} {many}, the nearest" if self.templates > 1 else "the only template"
        return (first, *rest, f"{self.person}: {how}: {self.source}")

    def _brief(self) -> str:
        verdict = self.lines()[0].partition(" (")[0]
        return f"{self.person}: {verdict}: score {self.score:.3f}, threshold {self.comparison.threshold:.3f}"

    def __str__(self) -> str:
        return "; ".join([*self.lines(), *self.comparison.warnings])


@dataclass(frozen=True)
class Probe:
    """A face that is embedded already, to be enrolled or searched.

    Attributes:
        photo: The name of its photo.
        face: Its crop, with quality.
        vector: Its unit vector (d,).
        start: When the work began, as ``time.perf_counter`` has it.
        digest: The digest of the photo's pixels; see ``PhotoDigest``.
    """

    photo: str
    face: FaceCrop
    vector: NDArray[np.float32]
    start: float
    digest: str


def verify_person(
    probe: Probe, person: str, templates: Sequence[Template], model: Model, options: CompareOptions,
    corrected: bool, aggregation: Aggregation = DEFAULT_AGGREGATION,
) -> PersonVerification:  # fmt: skip
    """Compare a face with all templates of a person; at least one is needed.

    Raises:
        NotCalibrated: The model has no threshold, and none is given.
        UsageError: The model has no threshold for the target FMR.
    """
    typical = model.calibration.typical_impostor or 0.0
    score, nearest = person_score(probe.vector, templates, aggregation, typical)
    best = BestPair(0, nearest, score, len(templates))
    decision = decide(model.calibration, options.threshold, options.fmr, best.of)
    one = templates[best.second]
    quality = None if one.quality is None else Quality(one.quality, parts={"enrolled face": one.quality})
    pair = probe.face, FaceCrop(None, quality=quality)
    spent = {"total": (time.perf_counter() - probe.start) * 1000}
    compared = comparison_of(best, options.face, pair, model, decision, options.prior, spent)
    return PersonVerification(
        person, probe.photo, one.source, len(templates), compared, corrected, aggregation
    )
