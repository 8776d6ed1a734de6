"""The result of a full test of a model, in the order of a report by ISO/IEC 19795-1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..metrics.bootstrap import Interval
from ..metrics.extrapolation import Extrapolation
from ..metrics.genuine_subsets import SubsetRate, highest_over_lowest
from ..metrics.intervals import wilson
from ..plotting.error_curves import ErrorCurve, draw_det
from ..plotting.style import new_axes
from ..utils.escape import figure_text, markdown
from ..utils.markdown_table import markdown_table
from ..utils.wording import rate_text, rate_with_interval
from .all_pairs import SetEvaluation
from .conditions import Conditions
from .discard import DiscardEvaluation
from .embedded_set import CountedPhotos, metrics_of, photo_counts
from .gallery_sizes import GallerySearches
from .template_times import TemplateTimes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..metrics.demographics import GroupEvaluation

BAND_POINTS = 60  # of a DET curve at which its interval is computed


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class FullEvaluation(CountedPhotos):
    """Every figure that a report of a face recognition test states.

    The order is that of NIST's FRTE and of ISO/IEC 19795-1:2021: what was tested and on whom, failure to
    acquire, templates, verification, age and groups (ISO/IEC 19795-10:2024), identification, quality.

    Examples:
        >>> result = FullEvaluator("people", "all")(Model.load())
        >>> result.verification.fnmr, result.missing_parts

    Attributes:
        conditions: What was tested, on what, where and when.
        people: The number of people.
        not_enrolled: How many of them have no photo with a face.
        verification: The rates of all pairs.
        extrapolation: FMRs lower than can be counted; None where the set is too small.
        age_gaps: The FNMR by the years between two photos; empty where the ages are not known.
        groups: The FMR within each group; None where no groups are known.
        group_fnmr: The FNMR of each group, for each kind of groups.
        searches: Searches in galleries of rising size; empty where the set is too small.
        discard: The FNMR as photos of low quality are left out; None where it cannot be measured.
        times: The size and the times of templates.
        missing_parts: What was not measured, and why, in sentences.
    """

    conditions: Conditions
    people: int
    not_enrolled: int
    verification: SetEvaluation
    times: TemplateTimes
    extrapolation: Extrapolation | None = None
    age_gaps: tuple[SubsetRate, ...] = ()
    groups: GroupEvaluation | None = None
    group_fnmr: dict[str, tuple[SubsetRate, ...]] | None = None
    searches: tuple[GallerySearches, ...] = ()
    discard: DiscardEvaluation | None = None
    missing_parts: tuple[str, ...] = ()

    @property
    def acquire(self) -> Interval:
        """The failure-to-acquire rate with Wilson's interval."""
        return _share(self.missing, self.photos or 0)

    @property
    def enroll(self) -> Interval:
        """The failure-to-enroll rate: the share of people without a photo with a face."""
        return _share(self.not_enrolled, self.people)

    @property
    def metrics(self) -> dict[str, float]:
        """The figures by name: those of the verification, of the largest gallery, and the relative area."""
        values: dict[str, float | None] = {**self.verification.metrics, "fte": self.enroll.estimate}
        if self.searches:
            largest = self.searches[-1]
            values |= {f"miss@rank{rank}": miss.estimate for rank, miss in largest.misses.items()}
            values |= {f"fnir@{fpir:g}": rate.estimate for fpir, rate in largest.fnir.items()}
        if self.discard is not None:
            values["relative_area"] = self.discard.metrics.get("relative_area")
        return metrics_of(values)

    @property
    def primary(self) -> str:
        """The name of the figure to compare models by: the equal error rate."""
        return "eer"

    def to_dict(self) -> dict[str, Any]:
        fnmr = self.group_fnmr or {}
        return {
            "protocol": "full",
            "conditions": self.conditions.to_dict(),
            "leaked": self.leaked,
            "people": self.people,
            "not_enrolled": self.not_enrolled,
            "fte": self.enroll.to_dict(),
            **photo_counts(self),
            "face": self.face,
            "times": self.times.to_dict(),
            "verification": self.verification.to_dict(),
            "extrapolation": None if self.extrapolation is None else self.extrapolation.to_dict(),
            "age_gaps": [rate.to_dict() for rate in self.age_gaps],
            "groups": None if self.groups is None else self.groups.to_dict(),
            "group_fnmr": {
                level: {
                    "max_min_ratio": highest_over_lowest(rates),
                    "groups": [rate.to_dict() for rate in rates],
                }
                for level, rates in fnmr.items()
            },
            "identification": [search.to_dict() for search in self.searches],
            "discard": None if self.discard is None else self.discard.to_dict(),
            "missing_parts": list(self.missing_parts),
        }

    def to_markdown(self) -> str:
        """Return the parts one below the other, each with its tables."""
        parts = {
            "Conditions": f"{markdown(str(self.conditions))}\n",
            "Template": f"{markdown(str(self.times))}\n",
            "Verification": self.verification.to_markdown(),
            "Extrapolated, not counted": self._extrapolated(),
            "By years between photos": _subset_table(self.age_gaps),
            "By group": None if self.groups is None else self.groups.to_markdown(),
            **{f"FNMR by {level}": _subset_table(rates) for level, rates in (self.group_fnmr or {}).items()},
            "Identification": "".join(f"- {markdown(str(search))}\n" for search in self.searches),
            "Error versus discard": None if self.discard is None else self.discard.to_markdown(),
            "Not measured": "".join(f"- {markdown(part)}\n" for part in self.missing_parts),
        }
        return "\n".join(f"## {heading}\n\n{text}" for heading, text in parts.items() if text)

    def _extrapolated(self) -> str:
        if self.extrapolation is None:
            return ""
        rows = [
            [rate_text(point.fmr), str(point.threshold), interval_text(point.fnmr)]
            for point in self.extrapolation.points
        ]
        checks = "".join(f"- {markdown(str(check))}\n" for check in self.extrapolation.checks)
        return f"{markdown_table(['FMR, extrapolated', 'Threshold', 'FNMR'], rows)}\n\n{checks}"

    def _brief(self) -> str:
        return f"{self.conditions.model}, {self.verification._brief()}"

    def sentences(self) -> list[str]:
        """Return each part of the result in one sentence, in the order of the report."""
        found = [str(self.times), str(self.verification)]
        found += [str(part) for part in (self.extrapolation, *self.age_gaps, self.groups) if part is not None]
        found += [str(search) for search in self.searches]
        if self.discard is not None:
            found.append(f"photos left out by quality: {self.discard.points[0]}")
        return found + [f"not measured: {part}" for part in self.missing_parts]

    def __str__(self) -> str:
        return f"{self.conditions}: {'; '.join(self.sentences())}"

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the DET curve of all comparisons, with its 95 % interval shaded.

        Args:
            ax: The axes to draw into; None for a new figure.

        Raises:
            MissingExtra: matplotlib is not installed.
        """
        ax = new_axes() if ax is None else ax
        found = self.verification.comparisons
        draw_det(
            ax,
            [
                ErrorCurve(
                    found.roc(), found.impostor, found.genuine,
                    f"threshold {self.verification.threshold:.3f}",
                    band=found.roc_band(np.geomspace(3 / found.impostor, 1, BAND_POINTS)),
                    point=(self.verification.fmr, self.verification.fnmr),
                )
            ],
        )  # fmt: skip
        ax.set_title(figure_text(found.name))
        return ax


def interval_text(rate: Interval) -> str:
    """Return an error rate with its interval."""
    return rate_with_interval(rate.estimate, rate.low, rate.high)


def _share(part: int, whole: int) -> Interval:
    share = part / whole if whole else 0.0
    return Interval(share, *wilson(share, max(whole, 1), 0.95), method="wilson")


def _subset_table(rates: tuple[SubsetRate, ...]) -> str:
    rows = [
        [
            rate.name,
            f"{rate.pairs:,}",
            f"{rate.people:,}",
            "too small" if rate.fnmr is None else interval_text(rate.fnmr),
        ]
        for rate in rates
    ]
    return f"{markdown_table(['Part', 'Pairs', 'People', 'FNMR'], rows)}\n" if rows else ""
