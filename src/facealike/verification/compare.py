"""Compare two photos and decide whether they show the same person."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypedDict

import numpy as np

from ..calibration.calibration import Calibration
from ..calibration.probability import PRIOR, check_prior
from ..detection.face_policy import DEFAULT_FACE, FacePolicy, policy_difference
from ..embedding.cropper import FaceCrop, FaceCropper
from ..embedding.device import check_same
from ..embedding.face_model import Model
from ..errors import UsageError
from ..imaging.read import Source, source_name
from ..model_file.alarms import model_alarms, unfit
from ..quality.score import PairQuality, pair_quality, quality_margin, warning
from ..types import Embeddings
from ..utils.wording import THE_CALLER, short_rule
from .best_pair import (
    BestPair,
    PairFacePolicy,
    best_pair,
    check_pair_policy,
    prior_of_one,
    rate_of_best,
    rate_of_one,
    score_at,
)
from .result import Comparison

if TYPE_CHECKING:
    from typing_extensions import Unpack


EmbeddedFaces: TypeAlias = tuple[Sequence[FaceCrop], Embeddings]
"""The faces that are meant in one photo, and their unit vectors (n, d)."""


@dataclass(frozen=True)
class CompareOptions:
    """How photos are compared; the fields are arguments of ``compare``.

    Raises:
        UsageError: The options contradict each other or are out of range.
    """

    threshold: float | None = None
    face: PairFacePolicy = DEFAULT_FACE
    aligned: bool = False
    prior: float = PRIOR
    fmr: float | None = None

    def __post_init__(self) -> None:
        check_pair_policy(self.face)
        if self.threshold is not None and not (math.isfinite(self.threshold) and -1 <= self.threshold <= 1):
            raise UsageError(f"the threshold is a cosine between -1 and 1, not {self.threshold}")
        if self.threshold is not None and self.fmr is not None:
            raise UsageError(
                "give a threshold or an FMR, not both: the model looks up a threshold for the FMR"
            )
        check_prior(self.prior)

    @property
    def face_policy(self) -> FacePolicy:
        """Which faces of each photo are embedded."""
        return "all" if self.face == "any" else self.face


class CompareKeywords(TypedDict, total=False):
    """The fields of ``CompareOptions`` that ``compare`` takes as keyword arguments only."""

    aligned: bool
    prior: float
    fmr: float | None


def compare(
    a: Source,
    b: Source,
    model: Model | str | os.PathLike[str] | None = None,
    threshold: float | None = None,
    face: PairFacePolicy = DEFAULT_FACE,
    *,
    device: str = "auto",
    **keywords: Unpack[CompareKeywords],
) -> Comparison:
    """Compare two photos: the score, the verdict, its probability, and the faces used.

    The quality of both faces is assessed (see ``face_quality``).  A poor face adds a warning and extends the
    interval in which a verdict is uncertain; score and verdict do not change.

    Args:
        a: A photo, whatever ``read_image`` takes.
        b: Another photo.
        model: A loaded Model (best for many comparisons), the path of a model file, or None for the default
            model.
        threshold: Cosine from which on the verdict is ``same``; None takes the model's.
        face: Which face of a photo is meant.  With ``any`` every face of one photo is compared with every
            face of the other, and the result is that of the best pair; see ``Comparison.best_of``.
        device: Where to load the model; must be the device of a Model that is loaded.
        keywords: Further fields of ``CompareOptions``.  ``aligned``: both photos are face crops already,
            so no detector runs.  ``prior``: share of genuine pairs among all that are compared; the
            probability depends on it, the verdict does not.  ``fmr``: take the threshold of the model's
            calibration for this target FMR.

    Raises:
        ImageError: A photo cannot be read.
        NoFaceFound: A photo shows no face.
        SeveralFaces: A photo shows several under the policy ``only``.
        ModelError: The model file cannot be used.
        NotCalibrated: The model has no threshold, and none is given.
        DeviceError: The device is not there.
        UsageError: An argument is out of range, the arguments contradict each other, or the model has no
            threshold for ``fmr``.

    Examples:
        >>> result = compare("a.jpg", "b.jpg")
        >>> print(result.verdict, result.score, result.threshold, result.probability)
    """
    clock = StepClock()
    options = CompareOptions(threshold, face, **keywords)
    loaded = model_for(model, device, options, clock)
    return compare_faces(*embed_pair(a, b, loaded, options, clock), loaded, options, clock.report)


def model_for(
    model: Model | str | os.PathLike[str] | None, device: str, options: CompareOptions, clock: StepClock
) -> Model:
    """Return the model of a comparison, loaded; refuse one without the threshold that ``options`` need.

    Raises:
        ModelError: The model file cannot be used.
        NotCalibrated: The model has no threshold, and none is given.
        DeviceError: The device is not there.
        UsageError: The model is loaded on another device, or has no threshold for ``fmr``.
    """
    if isinstance(model, Model):
        check_same(device, model.device)
    else:
        with clock.step("load"):
            model = Model.load(model, device)
            if not options.aligned:
                _ = model.detector  # loaded here, so that its start does not count as detection
    decide(model.calibration, options.threshold, options.fmr)  # refused before the work
    return model


def embed_pair(
    a: Source, b: Source, model: Model, options: CompareOptions, clock: StepClock
) -> tuple[EmbeddedFaces, EmbeddedFaces]:
    """Return the faces that are meant in each of two photos, with their quality, and their unit vectors."""
    cropper = FaceCropper(None if options.aligned else model.detector, model.preprocessing, step=clock.step)
    first = cropper(a, options.face_policy, source_name(a, "the first photo"), quality=True)
    second = cropper(b, options.face_policy, source_name(b, "the second photo"), quality=True)
    with clock.step("embed"):
        vectors = model.embed_crops(np.stack([each.crop for each in (*first, *second)]))
    return (first, vectors[: len(first)]), (second, vectors[len(first) :])


def compare_faces(
    first: EmbeddedFaces, second: EmbeddedFaces, model: Model,
    options: CompareOptions, milliseconds: Callable[[], dict[str, float]] = dict,
) -> Comparison:  # fmt: skip
    """Compare the faces of two photos that are embedded already; see ``compare``.

    Args:
        first: The faces that ``options.face_policy`` selects in one photo, and their unit vectors (n, d).
        second: Those of the other.
        model: The model that embedded them.
        options: How they are compared.
        milliseconds: Returns the time of each step, asked for when the comparison is made.

    Raises:
        NotCalibrated: The model has no threshold, and none is given.
        UsageError: The model has no threshold for ``fmr``.
    """
    best = best_pair(first[1], second[1])
    decision = decide(model.calibration, options.threshold, options.fmr, best.of)
    pair = first[0][best.first], second[0][best.second]
    return comparison_of(best, options.face, pair, model, decision, options.prior, milliseconds())


def comparison_of(
    best: BestPair, face: PairFacePolicy, pair: tuple[FaceCrop, FaceCrop], model: Model, decision: Decision,
    prior: float, milliseconds: dict[str, float],
) -> Comparison:  # fmt: skip
    """Return the comparison of two faces, selected by ``face``, with the model's calibration."""
    calibration, score, n = model.calibration, best.score, best.of
    first, second = pair
    fmr = calibration.fmr_of(score)
    quality = (first.quality, second.quality)
    interval, margin = _extended(decision, calibration, pair_quality(*quality))
    poor = (warning(each, place) for each, place in zip(quality, ("first", "second"), strict=True))
    several = max(first.found or 0, second.found or 0) > 1
    differs = policy_difference(face, calibration.faces) if several else ""
    sentences = (unfit(model_alarms(model.file)), *poor, differs)
    return Comparison(
        score=score,
        threshold=decision.threshold,
        faces=(first.face, second.face),
        model=model.id,
        device=model.device,
        milliseconds=milliseconds,
        found=(first.found, second.found),
        probability=calibration.probability_of(score, prior_of_one(prior, n)),
        prior=float(prior),
        fmr=None if fmr is None else rate_of_best(fmr, n),
        fmr_is_bound=calibration.fmr_is_bound(score),
        threshold_from=decision.source,
        band=interval,
        quality=quality,
        warnings=tuple(filter(None, sentences)),
        widening=margin,
        threshold_fmr=None if decision.fmr is None else rate_of_best(decision.fmr, n),
        threshold_fmr_is_bound=decision.fmr_is_bound,
        threshold_fnmr=calibration.fnmr_between(decision.threshold),
        best_of=n,
        face_numbers=best.numbers if face == "any" else None,
        threshold_rates_of=None if calibration.is_none else calibration.people,
    )


class Decision(NamedTuple):
    """The threshold in use, its source, its 95 % interval, and the FMR of one pair at it."""

    threshold: float
    source: str
    interval: tuple[float, float] | None
    fmr: float | None
    fmr_is_bound: bool = False


def decide(
    calibration: Calibration, threshold: float | None, fmr: float | None, best_of: int = 1
) -> Decision:
    """Return the threshold to use.

    Args:
        calibration: That of the model.
        threshold: A threshold from the caller.
        fmr: A target FMR from the caller.
        best_of: Number of pairs of which the best is taken.  ``fmr`` is then that of the best: each pair has
            a lower one, whose threshold has no interval.

    Raises:
        NotCalibrated: The model has no threshold, and none is given.
        UsageError: The model has no threshold for ``fmr``.
    """
    if fmr is not None:
        point = calibration.threshold_for(fmr)
        if best_of > 1:
            one = rate_of_one(point.fmr, best_of)
            return Decision(score_at(calibration.tail, one), f"FMR {point.fmr:g}", None, one)
        return Decision(point.threshold, f"FMR {point.fmr:g}", point.band, point.fmr)
    if threshold is not None:
        value, source, interval = float(threshold), THE_CALLER, None
    else:
        calibration.check()
        value, source, interval = calibration.threshold, short_rule(calibration.rule), calibration.band
    return Decision(value, source, interval, calibration.fmr_of(value), calibration.fmr_is_bound(value))


def _extended(
    decision: Decision, calibration: Calibration, quality: PairQuality
) -> tuple[tuple[float, float] | None, tuple[float, float]]:
    """The threshold interval with the quality margin of the pair, and the margin below and above."""
    typical = calibration.typical_impostor
    if decision.interval is None or typical is None or typical >= decision.threshold:
        return decision.interval, (0.0, 0.0)
    below, above = quality_margin(quality, decision.threshold - typical)
    low, high = decision.interval
    wide = max(low - below, min(low, -1.0)), min(high + above, max(high, 1.0))
    return wide, (low - wide[0], wide[1] - high)


class StepClock:
    """Milliseconds of each named step; a step that runs twice is summed."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._steps: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            spent = (time.perf_counter() - start) * 1000
            self._steps[name] = self._steps.get(name, 0.0) + spent

    def report(self) -> dict[str, float]:
        return {**self._steps, "total": (time.perf_counter() - self._start) * 1000}
