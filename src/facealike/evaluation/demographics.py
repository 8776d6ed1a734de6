"""Measure a model's FMR in each demographic group."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..calibration.calibration import Calibration
from ..datasets.demographic_labels import DEFAULT_BY, read_groups
from ..detection.base import Detector
from ..detection.face_policy import ALIGNED, DEFAULT_FACE, FacePolicy
from ..embedding.face_model import Model
from ..errors import UsageError
from ..metrics.demographic_groups import Point, WorstGroup
from ..metrics.demographic_rates import group_rates
from ..metrics.demographics import GroupEvaluation
from ..utils.escape import shown
from ..utils.wording import rate_text, rule_in_words, target_fmr
from .embed_dataset import embed_photos
from .evaluator import DEFAULT_OPTIONS, EvaluationKeywords, EvaluationOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack


@dataclass(frozen=True)
class GroupEvaluator:
    """Measure the FMR of a model in each group of a list such as FairFace's, and where it finds no face.

    Groups are compared at the model's threshold, or at ``threshold``, and at each FMR for which the model's
    calibration has a threshold.  A photo that cannot be read, or shows several faces under the policy
    ``only``, counts as one without a face in its groups and is listed in ``unused`` with its reason.

    No photo of the list may have been used to train the model; the list has no names by which that could be
    checked.  A list without names may show a person twice: the rates are then upper bounds.

    Uses the options ``threshold``, ``seed`` and ``resamples``.

    Examples:
        >>> GroupEvaluator("fairface.csv", "fairface")(Model.load()).disparity()

    Args:
        groups: A CSV with the column ``file`` and those named in ``by`` (``read_groups``).
        root: Where relative paths are looked up; None for the folder of the list.
        by: The columns by which groups are made.
        detector: Finds the faces in place of the model's own.  Tight face chips defeat some detectors, and
            how often is a finding by itself.
        aligned: The photos are face crops already, so no detector runs.
        options: See ``EvaluationOptions``.

    Raises:
        DataError: The list cannot be used.
        NotCalibrated: The model has no threshold, and none is given.
        NoFaceFound: Not one photo shows a face.
        UnreadableImage: No photo can be read; with ``strict`` the first one that cannot be.
        SeveralFaces: With ``strict`` and the policy ``only``.
        UsageError: Both ``aligned`` and ``detector`` are given.
    """

    groups: str | Path
    root: str | Path | None = None
    by: Sequence[str] = DEFAULT_BY
    detector: Detector | None = None
    aligned: bool = False
    options: EvaluationOptions = DEFAULT_OPTIONS

    def __post_init__(self) -> None:
        self.options.check_used("GroupEvaluator", "threshold", "seed", "resamples")
        if self.aligned and self.detector is not None:
            raise UsageError("photos that are face crops already need no detector; choose one of the two")

    def __call__(self, model: Model) -> GroupEvaluation:
        """Return the rates of each group by ``model``."""
        options = self.options
        face = options.face or DEFAULT_FACE
        points = group_points(model, options.threshold)
        listed = read_groups(self.groups, self.root, self.by)
        replaced = self.aligned or self.detector is not None
        used = model.behind(self.detector) if replaced else model
        photos = [str(path) for path in listed.paths]
        vectors, found, unused = embed_photos(
            used, photos, face, options.cache, options.progress, options.strict
        ).or_raise(
            f"{shown(self.groups)}: no face found in any of the {len(listed):,} photos; check the list, or "
            "name another detector"
        )
        rates = group_rates(
            vectors, found, listed.person, dict(zip(listed.columns, listed.values, strict=True)), points,
            resamples=options.resamples, seed=options.seed,
        )  # fmt: skip
        return replace(
            rates,
            name=shown(Path(self.groups).name),
            detector=_detector_name(used, self.aligned, own=not replaced),
            named=listed.named,
            unused=unused,
            face=ALIGNED if self.aligned else face,
            learned_faces=model.file.calibration.faces if options.threshold is None else (),
        )


def evaluate_groups(
    model: Model, groups: str | Path, root: str | Path | None = None, by: Sequence[str] = DEFAULT_BY,
    face: FacePolicy = DEFAULT_FACE, detector: Detector | None = None, aligned: bool = False,
    **options: Unpack[EvaluationKeywords],
) -> GroupEvaluation:  # fmt: skip
    """Measure the FMR of a model in each group of a list, and where it finds no face.

    Short for ``GroupEvaluator(groups, root, by, detector, aligned, EvaluationOptions(face, ...))(model)``:
    arguments, options and errors are those of ``GroupEvaluator`` and ``EvaluationOptions``.

    Examples:
        >>> evaluate_groups(Model.load(), "fairface.csv", by=("race",))
    """
    chosen = EvaluationOptions(face=face, **options)
    return GroupEvaluator(groups, root, by, detector, aligned, chosen)(model)


def expected_fmr(calibration: Calibration) -> float | None:
    """Return the FMR of a calibration at its threshold: the target of its rule, else the measured one.

    None where it has neither.
    """
    target = target_fmr(calibration.rule)
    return calibration.fmr_of(calibration.threshold) if target is None else target


def for_worst_group(
    calibration: Calibration, worst: WorstGroup, where: str,
    face: FacePolicy | Literal["aligned"] | None,
) -> Calibration:  # fmt: skip
    """Return ``calibration`` with the threshold at which every group keeps the FMR.

    Probabilities, operating points and impostor survival function remain those of the calibration people.

    Args:
        calibration: The calibration of a model.
        worst: The threshold and the deciding group.
        where: The name of the list of photos.
        face: The face policy for the photos of that list, ``aligned`` where they were face crops already,
            None where it is not known.
    """
    threshold = worst.threshold
    measured = math.isfinite(threshold.low + threshold.high)
    return replace(
        calibration,
        threshold=min(threshold.estimate, 1.0),
        rule=f"FMR {worst.fmr:g} in the worst group of {where}: {worst.group}",
        metrics={},  # the old metrics were measured at the old threshold
        threshold_people=f"{worst.group} in {where}",
        threshold_pairs=worst.pairs,
        threshold_face=face,
        band=(max(threshold.low, -1.0), min(threshold.high, 1.0)) if measured else None,
    )


def group_points(model: Model, threshold: float | None) -> tuple[Point, ...]:
    """Return the points at which groups are compared: the threshold in use, and those of the calibration."""
    calibration = model.file.calibration
    if threshold is None:
        ruled = target_fmr(calibration.rule) is not None
        of = calibration.chosen_on if ruled else calibration.people
        source = f"the model ({rule_in_words(calibration.rule)})"
        first = Point(model.threshold, expected_fmr(calibration), source, of)
    else:
        limit = float(threshold)
        first = Point(limit, calibration.fmr_of(limit), "the caller", calibration.people)
    named = [
        Point(
            point.threshold,
            point.fmr,
            f"the model's calibration for an FMR of {rate_text(point.fmr)}",
            calibration.people,
        )
        for point in calibration.operating_points
        if not _nearly(point.fmr, first.target)
    ]
    return (first, *named)


def _nearly(fmr: float, target: float | None) -> bool:
    """Whether a target FMR is so close to that of the threshold in use that it adds nothing."""
    return target is not None and 0.9 <= fmr / target <= 1.1


def _detector_name(model: Model, aligned: bool, own: bool) -> str:
    if aligned:
        return "nothing, for the photos are face crops already"
    spec: dict[str, Any] = model.detector.spec
    digest = f" {spec['sha256'][:12]}" if "sha256" in spec else ""
    return f"{spec['kind']}{digest}" + ("" if own else " in place of the model's own detector")
