"""Test a model in full on a folder of people: every figure of a report, from one pass over the photos."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..datasets.splits import Split
from ..embedding.face_model import Model
from ..errors import DataError, UsageError
from ..metrics.demographic_rates import group_rates
from ..metrics.demographics import GroupEvaluation
from ..metrics.extrapolation import extrapolate
from ..metrics.genuine_subsets import SubsetRate, age_gap_subsets, genuine_pairs, subset_rates
from ..metrics.intervals import BootstrapOptions
from ..metrics.similarity import paired_cosines
from ..quality.result import Quality
from ..utils.escape import shown
from .all_pairs import AllPairsEvaluator
from .conditions import conditions
from .demographics import group_points
from .discard import DiscardEvaluator
from .embedded_set import EmbeddedSet, embed_set
from .evaluator import DEFAULT_OPTIONS, EvaluationOptions
from .full_result import FullEvaluation
from .gallery_sizes import gallery_searches
from .labeled_photos import LabeledPhotos, labeled_photos
from .template_times import template_times

T = TypeVar("T")


@dataclass(frozen=True)
class FullEvaluator:
    """Measure all that a report of a face recognition test states, in the order of NIST's FRTE.

    All pairs of the split are compared, FMRs below what they can count are extrapolated
    (``facealike.metrics.extrapolation``), half of the people are searched in galleries of the other half, and
    the photos of lowest quality are left out.  What the set is too small for, or has no labels for, is named
    in ``missing_parts`` with the reason.

    Uses the options ``threshold``, ``seed``, ``resamples``, ``allow_overlap`` and ``allow_duplicates``, and
    no ``cache``.

    Examples:
        >>> result = FullEvaluator("people", "all")(Model.load())
        >>> print(result.to_markdown())

    Source: ISO/IEC 19795-1:2021, 19795-10:2024, 5152:2024 and 29794-5:2025; NIST FRTE 1:1 and 1:N.

    Args:
        root: A folder with one sub-folder of photos a person, or that of AgeDB or FG-NET, whose files name
            the age.
        split: A split by the hash of a person's name, or ``all`` for every person in the folder.
        groups: A CSV of photos with demographic groups, paths relative to ``root`` (``read_groups``); ages in
            whole years also give the FNMR by the years between two photos.
        options: See ``EvaluationOptions``.

    Raises:
        UsageError: A cache is given.
        DataError: The list of groups cannot be used, or has none of these photos.
        FacealikeError: The errors of ``SplitEvaluator``.
    """

    root: str | Path
    split: Split | Literal["all"] = "test"
    groups: str | Path | None = None
    options: EvaluationOptions = DEFAULT_OPTIONS

    def __post_init__(self) -> None:
        self.options.check_used(
            "FullEvaluator", "threshold", "seed", "resamples", "allow_overlap", "allow_duplicates"
        )
        if self.options.cache is not None:
            raise UsageError("a cache of face crops keeps no quality of the photos; leave it out")

    def __call__(self, model: Model) -> FullEvaluation:
        """Return every figure of ``model``."""
        options = self.options
        missing: list[str] = []
        of_discard = replace(options, resamples=DEFAULT_OPTIONS.resamples)
        of_pairs = replace(of_discard, seed=DEFAULT_OPTIONS.seed)
        qualities: list[Quality] = []
        found = embed_set(model, self.root, self.split, of_pairs, calibration=True, qualities=qualities)
        vectors, labels, people = found.vectors, found.people.labels, len(np.unique(found.labels))
        labeled = None if self.groups is None else labeled_photos(found, self.groups, self.root)
        verification = AllPairsEvaluator(self.root, self.split, of_pairs).of(model, found)
        drawn = BootstrapOptions(resamples=options.resamples, seed=options.seed)
        discard = DiscardEvaluator(self.root, self.split, of_discard)
        age_gaps = _age_gaps(found, labeled, verification.threshold, drawn)
        if not age_gaps:
            missing.append("by years between two photos: the set has no ages")
        groups, group_fnmr = None, None
        if labeled is not None and labeled.columns:
            groups = self._groups(model, found, labeled)
            group_fnmr = _group_fnmr(groups, verification.threshold, drawn)
        else:
            missing.append("by group: the set has no list of groups (--groups)")
        return FullEvaluation(
            conditions=conditions(model, self.root, self.split, options.seed),
            people=people,
            not_enrolled=people - len(found.people.names),
            verification=verification,
            extrapolation=_measured(
                missing, "FMRs lower than can be counted",
                lambda: extrapolate(vectors, labels, verification.comparisons, drawn),
            ),
            age_gaps=age_gaps,
            groups=groups,
            group_fnmr=group_fnmr,
            searches=_measured(
                missing, "identification", lambda: gallery_searches(vectors, labels, options.seed)
            ) or (),
            discard=_measured(missing, "error versus discard", lambda: discard.of(model, found, qualities)),
            times=template_times(model, found.people.paths, vectors, found.counts["face"]),
            missing_parts=tuple(missing),
            **found.counts,
        )  # fmt: skip

    def _groups(self, model: Model, found: EmbeddedSet, labeled: LabeledPhotos) -> GroupEvaluation:
        """Return the FMR within each group of the photos that the list has."""
        options = self.options
        whole = np.zeros((len(found.found), found.vectors.shape[1]), dtype=np.float32)
        whole[found.found] = found.vectors
        rates = group_rates(
            whole[labeled.rows], found.found[labeled.rows], found.labels[labeled.rows], labeled.columns,
            group_points(model, options.threshold), resamples=options.resamples, seed=options.seed,
        )  # fmt: skip
        return replace(
            rates,
            name=shown(Path(str(self.groups)).name),
            detector=str(model.detector.spec["kind"]),
            named=True,
            face=found.counts["face"],
            learned_faces=model.file.calibration.faces if options.threshold is None else (),
        )


def _measured(missing: list[str], name: str, measure: Callable[[], T]) -> T | None:
    """Return a part of the test, or add to ``missing`` why the set has none."""
    try:
        return measure()
    except (DataError, UsageError) as error:
        missing.append(f"{name}: {error}")
        return None


def _rejected(
    vectors: NDArray[np.float32], labels: NDArray[np.int64], threshold: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Return the genuine pairs by index, and whether each scores below the threshold."""
    first, second = genuine_pairs(labels)
    return first, second, paired_cosines(vectors, first, second) < threshold


def _age_gaps(
    found: EmbeddedSet, labeled: LabeledPhotos | None, threshold: float, options: BootstrapOptions
) -> tuple[SubsetRate, ...]:
    """Return the FNMR by years between two photos; the ages are those of the list, else of the files."""
    years = np.full(len(found.people), -1) if found.people.ages is None else found.people.ages
    if labeled is not None and labeled.years is not None:
        listed = np.full(len(found.found), -1)
        listed[labeled.rows] = labeled.years
        years = listed[found.found]
    known = years >= 0
    if not known.any():
        return ()
    vectors, labels, of_photo = found.vectors[known], found.people.labels[known], years[known]
    first, second, rejected = _rejected(vectors, labels, threshold)
    return subset_rates(rejected, labels[first], age_gap_subsets(of_photo[first] - of_photo[second]), options)


def _group_fnmr(
    groups: GroupEvaluation, threshold: float, options: BootstrapOptions
) -> dict[str, tuple[SubsetRate, ...]]:
    """Return the FNMR of each group, for each kind of groups."""
    rows = np.sort(groups.overall.rows)  # the photos with a face
    first, second, rejected = _rejected(groups.vectors[rows], groups.person[rows], threshold)
    first, second = rows[first], rows[second]
    by_level = {}
    for level in groups.levels:
        subsets = {}
        for group in groups.at(level):
            inside = np.zeros(len(groups.vectors), dtype=np.bool_)
            inside[group.rows] = True
            subsets[group.name] = inside[first] & inside[second]
        by_level[" x ".join(level)] = subset_rates(rejected, groups.person[first], subsets, options)
    return by_level
