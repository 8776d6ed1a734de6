"""Evaluate all genuine and all impostor pairs of a set of people."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..datasets.splits import Split
from ..detection.face_policy import DEFAULT_FACE, FacePolicy, policy_difference
from ..embedding.face_model import Model
from ..metrics.all_pairs import Exhaustive, exhaustive
from ..metrics.bootstrap import Interval
from ..metrics.score_histogram import with_missing
from ..utils.wording import rate_text
from .embedded_set import CountedPhotos, EmbeddedSet, embed_set, metrics_of, photo_counts, rate_table, remarks
from .evaluator import DEFAULT_OPTIONS, EvaluationKeywords, EvaluationOptions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from typing_extensions import Unpack


@dataclass(frozen=True, eq=False, repr=False)
class SetEvaluation(CountedPhotos):
    """The result of comparing every photo of a set of people with every other, at a threshold set beforehand.

    FMR and FNMR are of the comparisons made.  ``far`` and ``frr`` are of all pairs of the ``photos`` and
    count those without a comparison as rejected (ISO/IEC 19795-1: failure to acquire).

    Examples:
        >>> print(evaluate_exhaustive(Model.load(), "people", "all").fmr)

    Args:
        comparisons: The scores of the comparisons made.
        threshold: A score; pairs that score at least as high match.
        threshold_from: The people that the threshold was chosen on, in words.
        attempts: The scores of all pairs of all photos; one that was not compared scores -1.  None where they
            are not known.
        learned_faces: The face policies of the calibration that was used.
    """

    comparisons: Exhaustive
    threshold: float
    threshold_from: str
    attempts: Exhaustive | None = None
    learned_faces: tuple[str, ...] = ()

    @property
    def attempted(self) -> tuple[int, int] | None:
        """The number of genuine and of impostor pairs of all photos; None as ``fta``."""
        return None if self.attempts is None else (self.attempts.genuine, self.attempts.impostor)

    @property
    def fmr(self) -> float:
        """The share of impostor comparisons that match."""
        return self.comparisons.fmr_at(self.threshold)

    @property
    def fnmr(self) -> float:
        """The share of genuine comparisons that do not match."""
        return self.comparisons.fnmr_at(self.threshold)

    @property
    def far(self) -> float | None:
        """The false accept rate: false matches over all impostor pairs, compared or not; None as ``fta``."""
        return None if self.attempts is None else self.attempts.fmr_at(self.threshold)

    @property
    def frr(self) -> float | None:
        """The false reject rate: genuine pairs rejected or not compared, over all; None as ``fta``."""
        return None if self.attempts is None else self.attempts.fnmr_at(self.threshold)

    @property
    def metrics(self) -> dict[str, float]:
        """The rates by name: at the threshold, the AUC, the EER and the FNMR at each FMR."""
        at_threshold = {"fmr": self.fmr, "fnmr": self.fnmr, "far": self.far, "frr": self.frr, "fta": self.fta}
        return metrics_of(
            at_threshold | {k: v.estimate for k, v in self.intervals.items() if k not in at_threshold}
        )

    @property
    def primary(self) -> str:
        """The name of the figure to compare models by: the equal error rate."""
        return "eer"

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        """Intervals of ``fmr`` and ``fnmr`` at the threshold, and those of ``Exhaustive.intervals``.

        Where photos had no face also of ``far`` and ``frr``.
        """
        found = self.comparisons.intervals(threshold=self.threshold)
        if self.missing and self.attempts is not None:
            both = self.attempts.intervals((), self.threshold)
            found |= {"far": both["fmr"], "frr": both["fnmr"]}
        return found

    def to_dict(self) -> dict[str, Any]:
        return {
            "protocol": "exhaustive",
            "face": self.face,
            "learned_faces": list(self.learned_faces),
            "name": self.comparisons.name,
            "leaked": self.leaked,
            **photo_counts(self),
            "far": self.far,
            "frr": self.frr,
            "threshold": self.threshold,
            "threshold_from": self.threshold_from,
            "fmr": self.fmr,
            "fnmr": round(self.fnmr, 6),
            "intervals": {name: interval.to_dict() for name, interval in self.intervals.items()},
            "comparisons": self.comparisons.to_dict(),
        }

    def to_markdown(self) -> str:
        """Return a table of the rates with their intervals, and the result in one sentence."""
        words = {"auc": "AUC", "eer": "EER"}
        words |= {name: f"{name.upper()} at the threshold" for name in ("fmr", "fnmr", "far", "frr")}
        rows = {}
        for name, found in self.intervals.items():
            kind, _, limit = name.partition("@")
            if kind != "fmr" or not limit:  # the FMR of other people matters only for a calibration
                rows[words.get(name) or f"FNMR at FMR {rate_text(float(limit))}"] = found
        return rate_table(rows, str(self))

    def _brief(self) -> str:
        rates = f"FMR {rate_text(self.fmr)}, FNMR {rate_text(self.fnmr)}"
        return f"{rates} at {self.threshold:.3f}, {self.comparisons.name}"

    def __str__(self) -> str:
        rates = f"FMR {rate_text(self.fmr)}, FNMR {rate_text(self.fnmr)}"
        notes = remarks(self, policy_difference(self.face, self.learned_faces, "; "))
        return (
            f"{self.comparisons}; at threshold {self.threshold:.3f} from {self.threshold_from} {rates}{notes}"
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the ROC curve of all comparisons.

        Args:
            ax: The axes to draw into; None for a new figure.

        Raises:
            MissingExtra: matplotlib is not installed.
        """
        return self.comparisons.plot(ax)


@dataclass(frozen=True)
class AllPairsEvaluator:
    """Compare every photo of a split with every other: all genuine and all impostor pairs.

    There are so many impostor pairs that lower FMRs can be measured than from balanced pairs.

    Uses the options ``allow_overlap``, ``allow_duplicates`` and ``threshold``.

    Examples:
        >>> AllPairsEvaluator("people", "all")(Model.load()).fmr

    Args:
        root: A folder with one sub-folder of photos a person.
        split: A split by the hash of a person's name, or ``all`` for every person in the folder.
        options: See ``EvaluationOptions``.

    Raises:
        FacealikeError: The errors of ``SplitEvaluator``.
    """

    root: str | Path
    split: Split | Literal["all"] = "test"
    options: EvaluationOptions = DEFAULT_OPTIONS

    def __post_init__(self) -> None:
        self.options.check_used("AllPairsEvaluator", "allow_overlap", "allow_duplicates", "threshold")

    def __call__(self, model: Model) -> SetEvaluation:
        """Return the rates of all comparisons by ``model``."""
        calibration = self.options.threshold is None
        return self.of(model, embed_set(model, self.root, self.split, self.options, calibration))

    def of(self, model: Model, found: EmbeddedSet) -> SetEvaluation:
        """Return the rates of all comparisons of photos that are embedded already."""
        threshold = self.options.threshold
        limit = model.threshold if threshold is None else float(threshold)
        calibration = model.file.calibration
        comparisons = exhaustive(found.vectors, found.people.labels, name=f"{self.split}, every pair")
        attempts = with_missing(comparisons.pair_scores, found.labels, found.found)
        return SetEvaluation(
            comparisons=comparisons,
            threshold=limit,
            threshold_from=calibration.chosen_on if threshold is None else "the caller",
            learned_faces=calibration.faces if threshold is None else (),
            attempts=Exhaustive(attempts, comparisons.name),
            **found.counts,
        )


def evaluate_exhaustive(
    model: Model, root: str | Path, split: Split | Literal["all"] = "test", face: FacePolicy = DEFAULT_FACE,
    **options: Unpack[EvaluationKeywords],
) -> SetEvaluation:  # fmt: skip
    """Compare every photo of a split with every other.

    Short for ``AllPairsEvaluator(root, split, EvaluationOptions(face, ...))(model)``: arguments, options and
    errors are those of ``AllPairsEvaluator`` and ``EvaluationOptions``.

    Examples:
        >>> evaluate_exhaustive(Model.load(), "people", "all")
    """
    return AllPairsEvaluator(root, split, EvaluationOptions(face=face, **options))(model)
