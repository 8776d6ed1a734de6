"""Evaluate the quality score: how the FNMR falls as the photos of lowest quality are left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..datasets.pair_sampling import balanced_pairs
from ..datasets.splits import Split
from ..embedding.face_model import Model
from ..errors import UsageError
from ..metrics.error_discard import SHARES, ErrorDiscard, error_discard
from ..metrics.similarity import paired_cosines
from ..metrics.verification import confusion, supported_fmrs, threshold_at_fmr
from ..plotting.discard_curves import DiscardCurve, draw_discard
from ..plotting.style import new_axes
from ..quality.result import Quality
from ..utils.escape import figure_text, markdown
from ..utils.markdown_table import markdown_table
from ..utils.result import Shown
from ..utils.wording import rate_text, rate_with_interval
from .embedded_set import CountedPhotos, EmbeddedSet, embed_set, metrics_of, photo_counts, remarks
from .evaluator import DEFAULT_OPTIONS, EvaluationOptions
from .verification_table import FEW_PEOPLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FMRS = (1e-2, 1e-3, 1e-4)
"""FMRs at whose thresholds the curve is drawn, where the impostor pairs support them."""

DRAWN = 0.5
"""The share of photos left out up to which the curve is drawn."""


@dataclass(frozen=True, repr=False)
class DiscardPoint(Shown):
    """The error-versus-discard curve at one threshold.

    Attributes:
        name: ``threshold`` for the one in use, else ``fmr@F``.
        fmr: The share of the impostor pairs that match at it, before a photo is left out.
        curve: The FNMR as photos are left out.
    """

    name: str
    fmr: float
    curve: ErrorDiscard

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, "fmr": self.fmr, **self.curve.to_dict()}

    def __str__(self) -> str:
        return f"threshold {self.curve.threshold:.3f} (FMR {rate_text(self.fmr)}): {self.curve}"


@dataclass(frozen=True, eq=False, repr=False)
class DiscardEvaluation(CountedPhotos):
    """How well the quality score names the photos that cause false non-matches.

    A score that names them makes the FNMR fall faster than a random order does.

    Examples:
        >>> result = DiscardEvaluator("people", "all")(Model.load())
        >>> result.metrics[result.primary]

    Attributes:
        name: Of the set.
        points: The curve at the threshold in use, then at each FMR that the pairs support.
        seed: By which the impostor pairs were drawn, and people resampled.
    """

    name: str
    points: tuple[DiscardPoint, ...]
    seed: int

    @property
    def metrics(self) -> dict[str, float]:
        """The figures by name: relative area and FNMRs at the threshold in use."""
        curve = self.points[0].curve
        rates = {f"fnmr_without@{share:g}": rate.estimate for share, rate in curve.rates.items()}
        return metrics_of({"fta": self.fta, "relative_area": curve.relative_area.estimate, **rates})

    @property
    def primary(self) -> str:
        """The name of the figure to compare quality scores by: lower is better."""
        return "relative_area"

    def to_dict(self) -> dict[str, Any]:
        return {
            "protocol": "discard",
            "face": self.face,
            "name": self.name,
            "seed": self.seed,
            "leaked": self.leaked,
            **photo_counts(self),
            "points": [point.to_dict() for point in self.points],
        }

    def to_markdown(self) -> str:
        """Return a table with one row a threshold, and the result in one sentence."""
        header = [
            "threshold",
            "FMR",
            *(f"FNMR, {100 * share:g} % left out" for share in SHARES),
            "relative area",
        ]
        rows = [
            [
                f"{point.curve.threshold:.3f}", rate_text(point.fmr),
                *(
                    rate_with_interval(rate.estimate, rate.low, rate.high)
                    if np.isfinite(rate.low) else rate_text(rate.estimate)
                    for rate in point.curve.rates.values()
                ),
                str(point.curve.relative_area),
            ]
            for point in self.points
        ]  # fmt: skip
        return f"{markdown_table(header, rows)}\n\n{markdown(str(self))}\n"

    def __str__(self) -> str:
        first = self.points[0]
        rejected = first.curve.people_rejected or 0
        few = f"; the false non-matches are those of {rejected} people" * (rejected <= FEW_PEOPLE)
        return (
            f"{self.name}: {first} ({first.curve.pairs:,} genuine pairs of {first.curve.photos:,} photos)"
            f"{few}{remarks(self)}"
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the FNMR over the share of photos left out.

        Args:
            ax: The axes to draw into; None for a new figure.

        Raises:
            MissingExtra: matplotlib is not installed.
        """
        ax = new_axes() if ax is None else ax
        curves = [
            DiscardCurve(
                point.curve.discarded, point.curve.fnmr,
                f"threshold {point.curve.threshold:.3f}: FMR {rate_text(point.fmr)}",
            )
            for point in self.points
        ]  # fmt: skip
        draw_discard(ax, curves, DRAWN)
        ax.set_title(figure_text(self.name))
        return ax


@dataclass(frozen=True)
class DiscardEvaluator:
    """Leave out the photos of lowest quality, more and more, and measure the FNMR of all others.

    All genuine pairs of the split, and as many impostor pairs, which set the thresholds.  Photos without a
    face have no quality; their share is the failure-to-acquire rate.

    Uses the options ``threshold``, ``seed``, ``allow_overlap`` and ``allow_duplicates``, and no ``cache``.

    Examples:
        >>> print(DiscardEvaluator("people", "all")(Model.load()))

    Source: See ``facealike.metrics.error_discard``.

    Args:
        root: A folder with one sub-folder of photos a person.
        split: A split by the hash of a person's name, or ``all`` for every person in the folder.
        options: See ``EvaluationOptions``.

    Raises:
        UsageError: A cache is given.
        FacealikeError: The errors of ``SplitEvaluator``.
    """

    root: str | Path
    split: Split | Literal["all"] = "test"
    options: EvaluationOptions = DEFAULT_OPTIONS

    def __post_init__(self) -> None:
        self.options.check_used("DiscardEvaluator", "threshold", "seed", "allow_overlap", "allow_duplicates")
        if self.options.cache is not None:
            raise UsageError("a cache of face crops keeps no quality of the photos; leave it out")

    def __call__(self, model: Model) -> DiscardEvaluation:
        """Return the curves of ``model`` and of the quality score."""
        qualities: list[Quality] = []
        found = embed_set(model, self.root, self.split, self.options, calibration=True, qualities=qualities)
        return self.of(model, found, qualities)

    def of(self, model: Model, found: EmbeddedSet, qualities: Sequence[Quality]) -> DiscardEvaluation:
        """Return the curves of photos that are embedded already, with the quality of each that has a face."""
        options = self.options
        limit = model.threshold if options.threshold is None else float(options.threshold)
        labels = found.people.labels
        a, b, same = balanced_pairs(labels, options.seed)
        scores = paired_cosines(found.vectors, a, b)
        thresholds = {"threshold": limit}
        for fmr in supported_fmrs(int(np.sum(~same)), FMRS):
            thresholds[f"fmr@{fmr:g}"] = threshold_at_fmr(scores, same, fmr)
        quality = [one.score for one in qualities]
        points = [
            DiscardPoint(
                name, confusion(scores, same, value).fmr,
                error_discard(scores[same], a[same], b[same], quality, value, labels, seed=options.seed),
            )
            for name, value in thresholds.items()
        ]  # fmt: skip
        return DiscardEvaluation(
            name=f"{self.split}, photos left out by quality",
            points=tuple(points),
            seed=options.seed,
            **found.counts,
        )
