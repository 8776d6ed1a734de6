"""A model held against groups of people: from a list of photos with groups to FMRs, group by group."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from ..calibration.calibration import Calibration
from ..datasets.demographic_labels import DEFAULT_BY, read_groups
from ..detection.base import Detector
from ..detection.face_policy import ALIGNED, DEFAULT_FACE, FACE_POLICIES, FacePolicy
from ..embedding.face_model import Model
from ..errors import UsageError
from ..metrics.demographics import GroupEvaluation, Point, WorstGroup, group_rates
from ..utils.escape import shown
from ..utils.wording import rate_text, rule_in_words, target_fmr
from .embed_dataset import embed_photos


def evaluate_groups(
    model: Model, groups: str | Path, root: str | Path | None = None, by: Sequence[str] = DEFAULT_BY,
    face: FacePolicy = DEFAULT_FACE, detector: Detector | None = None, aligned: bool = False,
    threshold: float | None = None, cache: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None, resamples: int = 1000, seed: int = 0,
    strict: bool = False,
) -> GroupEvaluation:  # fmt: skip
    """The FMR of ``model`` within each group of a list such as FairFace's, and where it finds no face.

    ``groups`` is a CSV with the column ``file`` and those named in ``by``; relative paths are looked up
    in ``root``, by default beside the list (``read_groups``).  Groups are compared at the model's
    threshold, or at ``threshold``, and at each FMR for which its calibration has a threshold.

    ``detector`` finds the faces in place of the model's own: photos that are tight face chips already
    defeat some detectors, and how often is a finding by itself.  With ``aligned`` no detector runs.
    The result names what was used.  ``cache`` is a folder that keeps the face crops; ``progress(done,
    total)`` counts photos.

    None of these photos may have been used to train the model; the list has no names by which that could
    be checked.  A list without names may show people twice: the rates are then upper bounds.

    A photo that cannot be read, or shows several faces under the policy "only", counts as one without a face
    in its groups, and is among ``unused`` with its reason; with ``strict`` it is an error.

    Raises DataError for a list that cannot be used, NotCalibrated where the model has no threshold and none
    is given, NoFaceFound where not one photo shows a face, UnreadableImage where none can be read; with
    ``strict`` also ImageError and SeveralFaces.
    """
    if face not in FACE_POLICIES or face == "all":
        raise UsageError(f"an evaluation needs one face a photo: largest, central or only, not {face!r}")
    if aligned and detector is not None:
        raise UsageError("photos that are face crops already need no detector; choose one of the two")
    points = _points(model, threshold)
    listed = read_groups(groups, root, by)
    used = model
    if aligned or detector is not None:
        used = model.behind(detector)
    photos = [str(path) for path in listed.paths]
    vectors, found, unused = embed_photos(used, photos, face, cache, progress, strict).or_raise(
        f"{shown(groups)}: no face found in any of the {len(listed):,} photos; check the list, name "
        "another detector, or say that they are face crops already (--aligned)"
    )
    rates = group_rates(
        vectors, found, listed.person, dict(zip(listed.columns, listed.values, strict=True)), points,
        name=shown(Path(groups).name), detector=_detector_name(used, aligned, used is model),
        named=listed.named, resamples=resamples, seed=seed,
    )  # fmt: skip
    learned = model.file.calibration.faces if threshold is None else ()
    return replace(rates, unused=unused, face=ALIGNED if aligned else face, learned_faces=learned)


def stated_fmr(calibration: Calibration) -> float | None:
    """The FMR that a calibration states for its threshold: that of its rule, else what was seen there.

    None where it says neither.
    """
    target = target_fmr(calibration.rule)
    return calibration.fmr_of(calibration.threshold) if target is None else target


def for_worst_group(
    calibration: Calibration, worst: WorstGroup, where: str,
    face: FacePolicy | Literal["aligned"] | None,
) -> Calibration:  # fmt: skip
    """``calibration`` with the threshold at which every group keeps the FMR; ``where`` names the list.

    ``face`` is the policy for the photos of that list, ``aligned`` where they were face crops
    already, None where it is not known.
    Probabilities, operating points and the tail stay those of the calibration people; the threshold says
    that it comes from others.
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


def _points(model: Model, threshold: float | None) -> tuple[Point, ...]:
    calibration = model.file.calibration
    if threshold is None:
        ruled = target_fmr(calibration.rule) is not None
        of = calibration.chosen_on if ruled else calibration.people
        source = f"the model ({rule_in_words(calibration.rule)})"
        first = Point(model.threshold, stated_fmr(calibration), source, of)
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
        if not _nearly(point.fmr, first.stated)
    ]
    return (first, *named)


def _nearly(fmr: float, stated: float | None) -> bool:
    """Whether a named FMR is so near the one stated for the threshold in use that it tells nothing more."""
    return stated is not None and 0.9 <= fmr / stated <= 1.1


def _detector_name(model: Model, aligned: bool, own: bool) -> str:
    if aligned:
        return "nothing, for the photos are face crops already"
    spec: dict[str, Any] = model.detector.spec
    digest = f" {spec['sha256'][:12]}" if "sha256" in spec else ""
    return f"{spec['kind']}{digest}" + ("" if own else " in place of the model's own detector")
