"""Evaluate the grouping of photos by person, on people who are known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..datasets.splits import Split
from ..embedding.face_model import Model
from ..evaluation.embedded_set import CountedPhotos, embed_set, metrics_of, photo_counts, remarks
from ..evaluation.evaluator import DEFAULT_OPTIONS, EvaluationOptions
from ..metrics.bootstrap import Interval
from ..metrics.clustering import ClusterAgreement, bcubed_f1_interval, cluster_agreement
from ..plotting.cluster_curves import draw_clusterings
from ..plotting.style import new_axes
from ..utils.escape import figure_text, markdown
from ..utils.markdown_table import markdown_table
from ..utils.result import Shown
from ..utils.wording import rate_text
from .average_linkage import average_linkage
from .options import FMR, ClusterOptions, cluster_threshold

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FMRS = (1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 1e-6)
"""Target FMRs of the thresholds that are measured, beside the one asked for."""


@dataclass(frozen=True, repr=False)
class ClusterPoint(Shown):
    """How well clusters agree with people at one threshold, looked up for ``fmr`` unless it was given."""

    threshold: float
    fmr: float | None
    extrapolated: bool
    agreement: ClusterAgreement

    def to_dict(self) -> dict[str, Any]:
        return {
            "threshold": self.threshold,
            "fmr": self.fmr,
            "extrapolated": self.extrapolated,
            **self.agreement.to_dict(),
        }


@dataclass(frozen=True, eq=False, repr=False)
class ClusteringEvaluation(CountedPhotos):
    """How well groups of photos agree with the people on them.

    Examples:
        >>> print(ClusteringEvaluator("people", "all")(Model.load()).at.agreement.bcubed_f1)

    Attributes:
        name: Of the set.
        at: The result at the default target FMR, or at the threshold that was given.
        points: The results at other target FMRs, the highest first.
        bcubed_f1: B-cubed F1 of ``at`` with its interval.
    """

    name: str
    at: ClusterPoint
    points: tuple[ClusterPoint, ...]
    bcubed_f1: Interval

    @property
    def metrics(self) -> dict[str, float]:
        """The figures of ``at`` by name, and the failure-to-acquire rate."""
        return metrics_of({"fta": self.fta, **self.at.agreement.to_dict()})

    @property
    def primary(self) -> str:
        """The name of the figure to compare models by."""
        return "bcubed_f1"

    def to_dict(self) -> dict[str, Any]:
        return {
            "protocol": "clustering",
            "face": self.face,
            "name": self.name,
            "leaked": self.leaked,
            **photo_counts(self),
            **self.at.to_dict(),
            "intervals": {"bcubed_f1": self.bcubed_f1.to_dict()},
            "points": [point.to_dict() for point in self.points],
        }

    def to_markdown(self) -> str:
        """Return a table with one row a threshold, and the result in one sentence."""
        header = ["target FMR", "threshold", "clusters", "B-cubed F1", "precision", "recall", "pairwise F1",
                  "precision", "recall"]  # fmt: skip
        rows = []
        for point in sorted((*self.points, self.at), key=lambda one: one.threshold):
            found = point.agreement
            fmr = "given" if point.fmr is None else rate_text(point.fmr)
            rates = (
                found.bcubed_f1, found.bcubed_precision, found.bcubed_recall,
                found.f1, found.precision, found.recall,
            )  # fmt: skip
            rows.append(
                [f"{fmr}{', extrapolated' * point.extrapolated}", f"{point.threshold:.3f}",
                 f"{found.clusters:,}", *(f"{rate:.3f}" for rate in rates)]
            )  # fmt: skip
        return f"{markdown_table(header, rows)}\n\n{markdown(str(self))}\n"

    def __str__(self) -> str:
        found = self.at.agreement
        rule = "" if self.at.fmr is None else f" (FMR {rate_text(self.at.fmr)})"
        return (
            f"{self.name}: {found}; 95 % interval of B-cubed F1 [{self.bcubed_f1.low:.3f}, "
            f"{self.bcubed_f1.high:.3f}]; threshold {self.at.threshold:.3f}{rule}{remarks(self)}"
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw B-cubed precision, recall and F1 over the target FMR.

        Args:
            ax: The axes to draw into; None for a new figure.

        Raises:
            MissingExtra: matplotlib is not installed.
        """
        ax = new_axes() if ax is None else ax
        points = [
            (point.fmr, point.agreement)
            for point in sorted((*self.points, self.at), key=lambda one: one.threshold)
            if point.fmr is not None
        ]
        draw_clusterings(
            ax,
            [fmr for fmr, _ in points],
            [found.bcubed_precision for _, found in points],
            [found.bcubed_recall for _, found in points],
            [found.bcubed_f1 for _, found in points],
        )
        ax.set_title(f"{figure_text(self.name)}: B-cubed F1 {self.at.agreement.bcubed_f1:.3f}")
        return ax


@dataclass(frozen=True)
class ClusteringEvaluator:
    """Group the photos of a split without their names, and compare the groups with the people.

    One face a photo is used, since its folder names one person.  Rates get worse with the number of people,
    so compare only those of equal sets.

    Uses the options ``threshold``, ``seed``, ``resamples``, ``allow_overlap`` and ``allow_duplicates``.

    Examples:
        >>> ClusteringEvaluator("people", "all")(Model.load()).at.agreement.bcubed_f1

    Args:
        root: A folder with one sub-folder of photos a person.
        split: A split by the hash of a person's name, or ``all`` for every person in the folder.
        options: See ``EvaluationOptions``.

    Raises:
        NotCalibrated: No threshold is given, and the model has no table of impostor scores.
        FacealikeError: The errors of ``SplitEvaluator``.
    """

    root: str | Path
    split: Split | Literal["all"] = "test"
    options: EvaluationOptions = DEFAULT_OPTIONS

    def __post_init__(self) -> None:
        self.options.check_used(
            "ClusteringEvaluator", "threshold", "seed", "resamples", "allow_overlap", "allow_duplicates"
        )

    def __call__(self, model: Model) -> ClusteringEvaluation:
        """Return how well the groups of ``model`` agree with the people."""
        options, calibration = self.options, model.calibration
        asked = cluster_threshold(calibration, ClusterOptions(threshold=options.threshold))
        others = [
            cluster_threshold(calibration, ClusterOptions(fmr=fmr))
            for fmr in FMRS
            if fmr != FMR and len(calibration.tail) > 1
        ]
        found = embed_set(model, self.root, self.split, options, calibration=True)
        people = found.people.labels
        groups = average_linkage(found.vectors, asked.value)

        points = [
            ClusterPoint(
                one.value, one.fmr, one.extrapolated,
                cluster_agreement(average_linkage(found.vectors, one.value), people),
            )
            for one in others
        ]  # fmt: skip
        return ClusteringEvaluation(
            name=f"{self.split}, clusters",
            at=ClusterPoint(asked.value, asked.fmr, asked.extrapolated, cluster_agreement(groups, people)),
            points=tuple(points),
            bcubed_f1=bcubed_f1_interval(groups, people, options.resamples, options.seed),
            **found.counts,
        )
