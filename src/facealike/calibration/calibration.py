"""What a score of a model means: the threshold, the probability, and the impostor survival function.

A ``Calibration`` is fitted to scored pairs of held-out people and is part of the model file, as JSON.  Terms
as in ISO/IEC 19795-1:2021.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from ..datasets.seen import Seen, counts, read_records
from ..detection.face_policy import ALIGNED, FacePolicy, face_words
from ..errors import ModelError, NotCalibrated, UsageError
from ..imaging.photo_warning import LEFT_OUT, UnusedPhoto, left_out_summary
from ..plotting.results import draw_calibration
from ..plotting.style import new_axes
from ..utils.json_fields import (
    check_lengths,
    check_types,
    checked_number,
    checked_pair,
    from_dict,
    in_words,
    is_number,
)
from ..utils.result import Shown
from ..utils.wording import copies_note, rule_in_words
from .fields import checked_points, checked_policy, checked_tail
from .operating_points import (
    OperatingPoint,
)
from .probability import (
    PRIOR,
    Calibrator,
    calibrator_from_dict,
    check_prior,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


Method: TypeAlias = Literal["platt", "isotonic"]

MAX_PAIRS = 10**15  # more than all pairs of ten million photos

NO_RULE = "none"  # the rule of a model without a calibration

OPTIONAL = (
    "band", "probability", "operating_points", "tail", "threshold_people", "threshold_pairs", "face",
    "threshold_face",
)  # fmt: skip


@dataclass(frozen=True, repr=False)
class Calibration(Shown):
    """The threshold of a model, where it comes from, and what a score means.

    ``Calibration.none()`` is that of an embedder that is not calibrated: ``check`` refuses it wherever a
    verdict needs a threshold.

    Examples:
        >>> calibration = Model.load().file.calibration
        >>> calibration.probability_of(0.6, prior=0.01)

    Args:
        threshold: A cosine; pairs that score at least as high count as the same person.
        rule: How it was chosen, in words.
        people: The people on whose pairs the calibration was fitted, in words.
        pairs: How many pairs they were.
        metrics: Rates on the pairs that the threshold was chosen on, hence no estimate for others.
        band: The 95 % interval of the threshold by resampling people.
        probability: A fitted ``Platt`` or ``Isotonic`` curve as a table.
        operating_points: Thresholds for target FMRs.
        tail: The impostor survival function: points (score, FMR), the share of impostor pairs that score at
            least that high.  Like the three before, empty in a model of format version 1.
        threshold_people: The people on whose pairs the threshold was chosen, where they are others; else
            None.
        threshold_pairs: How many pairs those were; None likewise.
        seen: The people and photos it was fitted to, as salted digests; empty in a model from before they
            were recorded.
        copies: The number of photos left out as copies of others.
        face: The face policy for the photos of ``people``; None where it was not recorded.
        left_out: How many photos gave no face: ``no_face``, ``unreadable``, ``several_faces``; only kinds
            that occurred.
        unused: The photos of the latter two kinds, with the reasons; known only after ``calibrate``, as a
            model file names no photo.
        threshold_face: The face policy for the photos of ``threshold_people``, or ``aligned``.

    Raises:
        ModelError: A value makes no sense.
    """

    threshold: float
    rule: str
    people: str
    pairs: int
    metrics: dict[str, float] = field(default_factory=dict)
    band: tuple[float, float] | None = None
    probability: dict[str, Any] | None = None
    operating_points: tuple[OperatingPoint, ...] = ()
    tail: tuple[tuple[float, float], ...] = ()
    threshold_people: str | None = None
    threshold_pairs: int | None = None
    seen: tuple[Seen, ...] = ()
    copies: int = 0
    face: FacePolicy | None = None
    left_out: dict[str, int] = field(default_factory=dict)
    unused: tuple[UnusedPhoto, ...] = field(default=(), compare=False)
    threshold_face: FacePolicy | Literal["aligned"] | None = None

    def __post_init__(self) -> None:
        if not is_number(self.threshold) or not -1 <= self.threshold <= 1:
            raise ModelError(
                f"calibration: the threshold must lie between -1 and 1, not {in_words(self.threshold)}"
            )
        checked_number(self.pairs, "calibration: the number of pairs", 0, MAX_PAIRS, whole=True)
        check_types(self, "calibration", rule=str, people=str, metrics=dict)
        check_lengths(self, "calibration", rule=1000, people=1000, metrics=100)
        if (self.threshold_people is None) != (self.threshold_pairs is None):
            raise ModelError("calibration: threshold_people and threshold_pairs belong together")
        if self.threshold_people is not None:
            check_types(self, "calibration", threshold_people=str)
            check_lengths(self, "calibration", threshold_people=1000)
            checked_number(
                self.threshold_pairs, "calibration: the threshold's pairs", 0, MAX_PAIRS, whole=True
            )
        checked_policy(self.face)
        checked_policy(self.threshold_face, ALIGNED)
        if self.threshold_face is not None and self.threshold_people is None:
            raise ModelError("calibration: threshold_face belongs to threshold_people")
        for name, value in self.metrics.items():
            if not is_number(value):
                raise ModelError(
                    f"calibration: the metric {in_words(name)} must be a finite number, not {in_words(value)}"
                )
        band = None if self.band is None else checked_pair(self.band, "calibration: the band")
        if band is not None and not band[0] <= self.threshold <= band[1]:
            raise ModelError("calibration: the threshold must lie in its band; calibrate the model again")
        object.__setattr__(self, "threshold", float(self.threshold))
        object.__setattr__(self, "metrics", {k: float(v) for k, v in self.metrics.items()})
        object.__setattr__(self, "band", band)
        object.__setattr__(self, "operating_points", checked_points(self.operating_points))
        object.__setattr__(self, "tail", checked_tail(self.tail))
        object.__setattr__(self, "seen", read_records(self.seen, "calibration: seen"))
        checked_number(self.copies, "calibration: the number of copies", 0, MAX_PAIRS, whole=True)
        check_types(self, "calibration", left_out=dict, unused=tuple)
        if set(self.left_out) - set(LEFT_OUT) or not all(isinstance(one, UnusedPhoto) for one in self.unused):
            raise ModelError(f"calibration: photos are left out as {', '.join(LEFT_OUT)}, and not by name")
        for name, count in self.left_out.items():
            checked_number(count, f"calibration: the photos left out as {name}", 1, MAX_PAIRS, whole=True)
        if self.calibrator is not None:
            object.__setattr__(self, "probability", self.calibrator.to_dict())

    @classmethod
    def none(cls) -> Calibration:
        """Return the calibration of a model that has none: only a photo and itself would match."""
        return cls(1.0, NO_RULE, "nobody", 0)

    @property
    def is_none(self) -> bool:
        """Whether there is no threshold."""
        return self.rule == NO_RULE

    def __bool__(self) -> bool:
        """Whether there is a calibration: ``Calibration.none()`` counts as false."""
        return not self.is_none

    def check(self) -> Calibration:
        """Return this calibration.  Raises NotCalibrated where there is none."""
        if self.is_none:
            raise NotCalibrated(
                "this model is not calibrated, so no score of it has a verdict yet; give --threshold, or "
                "learn one from your own people with facealike calibrate"
            )
        return self

    @property
    def threshold_from(self) -> str:
        """The pairs that the threshold was chosen on: how many, and of whom."""
        pairs = self.pairs if self.threshold_pairs is None else self.threshold_pairs
        return f"{pairs:,} pairs of {self.chosen_on}"

    @property
    def chosen_on(self) -> str:
        """The people on whose pairs the threshold was chosen."""
        return self.people if self.threshold_people is None else self.threshold_people

    @property
    def faces(self) -> tuple[str, ...]:
        """The face policies under which it was fitted, each once; empty where none was recorded."""
        return tuple(dict.fromkeys(policy for policy in (self.face, self.threshold_face) if policy))

    @property
    def state(self) -> Literal["calibrated", "threshold only", "not calibrated"]:
        """What is known of scores: probabilities too, a threshold only, or nothing."""
        if self.is_none:
            return "not calibrated"
        return "threshold only" if self.calibrator is None else "calibrated"

    @cached_property
    def calibrator(self) -> Calibrator | None:
        """The curve from scores to probabilities; None where the model has none."""
        return None if self.probability is None else calibrator_from_dict(self.probability)

    def probability_of(self, score: float, prior: float = PRIOR) -> float | None:
        """Return the probability that a pair of this score shows one person.

        None where the model has no curve for it.

        Args:
            score: A cosine.
            prior: The share of all pairs that show one person.

        Raises:
            UsageError: The prior does not lie between 0 and 1.
        """
        check_prior(prior)
        return None if self.calibrator is None else float(self.calibrator.probability(score, prior))

    def fmr_of(self, score: float) -> float | None:
        """Return the share of impostor pairs that score at least this high; None without a ``tail``.

        Where ``fmr_is_bound(score)``, the share is smaller than what is returned.
        """
        if not self.tail:
            return None
        scores, shares = np.array(self.tail).T
        return float(np.exp(np.interp(score, scores, np.log(shares))))

    def fnmr_between(self, threshold: float) -> tuple[float, float] | None:
        """Return the lowest and the highest FNMR that ``threshold`` can have.

        The FNMR rises with the threshold, so those measured at the nearest thresholds below and above bound
        it; at a measured threshold both values are equal.  None where no measured threshold lies below, or
        none above.
        """
        known = {point.threshold: point.fnmr for point in self.operating_points}
        if "fnmr" in self.metrics:
            known[self.threshold] = self.metrics["fnmr"]
        below = [fnmr for cut, fnmr in known.items() if cut <= threshold]
        above = [fnmr for cut, fnmr in known.items() if cut >= threshold]
        return (max(below), min(above)) if below and above else None

    @property
    def typical_impostor(self) -> float | None:
        """The median score of impostor pairs; None without a ``tail``."""
        if not self.tail:
            return None
        scores, shares = np.array(self.tail).T
        return float(np.interp(np.log(0.5), np.log(shares[::-1]), scores[::-1]))

    @property
    def typical_stranger(self) -> float | None:
        """Deprecated: ``typical_impostor``."""
        warnings.warn(
            "Calibration.typical_stranger is now typical_impostor", DeprecationWarning, stacklevel=2
        )
        return self.typical_impostor

    def fmr_is_bound(self, score: float) -> bool:
        """Return whether ``score`` exceeds what the impostor pairs support, so that the FMR is a bound."""
        return bool(self.tail) and score > self.tail[-1][0]

    def threshold_for(self, fmr: float) -> OperatingPoint:
        """Return the operating point of a target FMR.

        Raises:
            UsageError: There is none; the message names those there are.
        """
        for point in self.operating_points:
            if math.isclose(point.fmr, fmr, rel_tol=1e-9):
                return point
        known = ", ".join(f"{point.fmr:g}" for point in self.operating_points)
        advice = f"those it has are {known}" if known else "it has none; see facealike calibrate"
        raise UsageError(f"the model has no threshold for an FMR of {fmr:g}; {advice}")

    def to_dict(self) -> dict[str, Any]:
        """Return the calibration for JSON, complete but for ``unused``."""
        people = self.threshold_people
        # Left out where it is not known, so that older calibrations keep their bytes.
        seen = {"seen": [record.to_dict() for record in self.seen]} if self.seen else {}
        return {
            "threshold": self.threshold,
            "rule": self.rule,
            "people": self.people,
            "pairs": self.pairs,
            "metrics": dict(self.metrics),
            "band": None if self.band is None else list(self.band),
            "probability": self.probability,
            "operating_points": [point.to_dict() for point in self.operating_points],
            "tail": [list(point) for point in self.tail],
            # Left out where it is empty, so that older versions of facealike can read the file.
            **({"threshold_people": people, "threshold_pairs": self.threshold_pairs} if people else {}),
            **seen,
            **({"copies": self.copies} if self.copies else {}),
            **({"face": self.face} if self.face else {}),
            **({"left_out": dict(self.left_out)} if self.left_out else {}),
            **({"threshold_face": self.threshold_face} if self.threshold_face else {}),
        }

    def summary(self) -> dict[str, Any]:
        """Return ``to_dict`` with people and photos counted in place of their digests."""
        return {**self.to_dict(), **({"seen": counts(self.seen)} if self.seen else {})}

    @classmethod
    def from_dict(cls, values: Any) -> Calibration:
        """Return the calibration that ``to_dict`` wrote.

        Raises:
            ModelError: An entry is missing, unknown or makes no sense.
        """
        return from_dict(cls, values, "calibration", (*OPTIONAL, "seen", "copies", "left_out", "unused"))

    def plot(self, ax: Axes | None = None, score: float | None = None, prior: float = PRIOR) -> Axes:
        """Draw FMR, FNMR and the probability over the score, with the threshold.

        Args:
            ax: The axes to draw into; None for a new figure (``.figure.savefig(...)``).
            score: A score to mark.
            prior: The share of all pairs that show one person.

        Raises:
            NotCalibrated: There is nothing to draw.
            UsageError: The prior does not lie between 0 and 1, or the score is not finite.
            MissingExtra: matplotlib is not installed.
        """
        check_prior(prior)
        if score is not None and not math.isfinite(score):
            raise UsageError(f"a score to be marked is a finite number, not {score}")
        self.check()
        ax = new_axes() if ax is None else ax
        draw_calibration(ax, self, prior, score)
        return ax

    def __str__(self) -> str:
        if self.is_none:
            return "not calibrated: no threshold, no probability"
        band = "" if self.band is None else f" [{self.band[0]:.3f}, {self.band[1]:.3f}]"
        curve = "no probability" if self.calibrator is None else f"probability {self.calibrator}"
        if self.threshold_people is not None and self.calibrator is not None:
            curve += f" (on {self.pairs:,} pairs of {self.people})"
        suffix = f"; {face_words(self.face)} of each photo" if self.face else ""
        suffix += left_out_summary(self.left_out) + copies_note(self.copies)
        rule = rule_in_words(self.rule)
        return f"threshold {self.threshold:.3f}{band} ({rule}, on {self.threshold_from}); {curve}{suffix}"
