"""Two photos in, one verdict out."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from ..calibration.calibration import Calibration
from ..calibration.probability import PRIOR, check_prior
from ..detection.face_policy import DEFAULT_FACE, policy_difference
from ..embedding.cropper import FaceCrop, FaceCropper
from ..embedding.device import check_same
from ..embedding.face_model import Model
from ..errors import UsageError
from ..imaging.read import Source, source_name
from ..model_file.alarms import model_alarms, unfit
from ..quality.score import PairQuality, pair_quality, warning, widening
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


def compare(
    a: Source,
    b: Source,
    model: Model | str | os.PathLike[str] | None = None,
    threshold: float | None = None,
    face: PairFacePolicy = DEFAULT_FACE,
    aligned: bool = False,
    device: str = "auto",
    prior: float = PRIOR,
    fmr: float | None = None,
) -> Comparison:
    """Whether two photos show the same person, how probable that is, and the faces used.

    ``a`` and ``b`` are paths, bytes of image files, or RGB arrays (H, W, 3).  ``model`` is a loaded
    Model (best for many comparisons), the path of a model file, or None for the one that ships with
    facealike; ``device`` is for loading it, and must be that of a Model that is loaded already.
    ``threshold`` replaces the model's own; so
    does ``fmr``, by the threshold that the model's calibration has for this false match rate.
    ``face`` says which face of a photo is meant; with ``any`` every face of one photo is compared with
    every face of the other, and the result is that of the best pair: see ``Comparison.best_of`` for what
    the rates and the prior then are of.  ``aligned=True`` says that both are face crops
    already, so that no detector runs.  ``prior`` is the share of pairs that show one person among
    all that are compared; the probability depends on it, the verdict does not.

    The quality of both faces is judged too (see ``facealike.quality.score``).  Poor faces give ``warnings``
    and widen the band in which a verdict counts as uncertain; score and verdict stay as they are.

    Raises ImageError for a photo that cannot be read, NoFaceFound or SeveralFaces for one without
    the face asked for, ModelError or DeviceError for the model, NotCalibrated for one that has no
    threshold while none is given, UsageError for ``face="all"``, a threshold outside [-1, 1], a prior
    not between 0 and 1, or an FMR that the model has no threshold for.
    """
    clock = _Clock()
    check_arguments(face, threshold, prior, fmr)
    if isinstance(model, Model):
        check_same(device, model.device)
    else:
        with clock.step("load"):
            model = Model.load(model, device)
            if not aligned:
                _ = model.detector  # made now, so that its start is not counted as detection
    decision = decide(model.calibration, threshold, fmr)
    cropper = FaceCropper(None if aligned else model.detector, model.preprocessing, step=clock.step)
    policy = "all" if face == "any" else face
    first = cropper(a, policy, source_name(a, "the first photo"), quality=True)
    second = cropper(b, policy, source_name(b, "the second photo"), quality=True)
    with clock.step("embed"):
        vectors = model.embed_crops(np.stack([each.crop for each in (*first, *second)]))
        best = best_pair(vectors[: len(first)], vectors[len(first) :])
    if best.of > 1:
        decision = decide(model.calibration, threshold, fmr, best.of)
    pair = first[best.first], second[best.second]
    return judge_pair(best, face, pair, model, decision, prior, clock.report())


def check_arguments(face: PairFacePolicy, threshold: float | None, prior: float, fmr: float | None) -> None:
    """Raise UsageError for arguments of a comparison that contradict each other or make no sense."""
    check_pair_policy(face)
    if threshold is not None and not (math.isfinite(threshold) and -1 <= threshold <= 1):
        raise UsageError(f"the threshold is a cosine between -1 and 1, not {threshold}")
    if threshold is not None and fmr is not None:
        raise UsageError("give a threshold or an FMR, not both: the model looks up a threshold for the FMR")
    check_prior(prior)


def judge_pair(
    best: BestPair, face: PairFacePolicy, pair: tuple[FaceCrop, FaceCrop], model: Model, decision: Decision,
    prior: float, milliseconds: dict[str, float],
) -> Comparison:  # fmt: skip
    """Return what the score of two faces, chosen by ``face``, means by the model's calibration."""
    calibration, score, n = model.calibration, best.score, best.of
    first, second = pair
    fmr = calibration.fmr_of(score)
    quality = (first.quality, second.quality)
    band, wider = _widened(decision, calibration, pair_quality(*quality))
    poor = (warning(each, place) for each, place in zip(quality, ("first", "second"), strict=True))
    several = max(first.found or 0, second.found or 0) > 1
    differs = policy_difference(face, calibration.faces) if several else ""
    said = (unfit(model_alarms(model.file)), *poor, differs)
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
        band=band,
        quality=quality,
        warnings=tuple(filter(None, said)),
        widening=wider,
        threshold_fmr=None if decision.fmr is None else rate_of_best(decision.fmr, n),
        threshold_fmr_is_bound=decision.fmr_is_bound,
        threshold_fnmr=calibration.fnmr_between(decision.threshold),
        best_of=n,
        face_numbers=best.numbers if face == "any" else None,
        threshold_rates_of=None if calibration.is_none else calibration.people,
    )


class Decision(NamedTuple):
    """The threshold that decides, where it comes from, its interval, and the FMR of one pair there."""

    threshold: float
    source: str
    band: tuple[float, float] | None
    fmr: float | None
    fmr_is_bound: bool = False


def decide(
    calibration: Calibration, threshold: float | None, fmr: float | None, best_of: int = 1
) -> Decision:
    """The threshold to use, where it comes from, and its interval.

    With ``best_of`` several pairs, ``fmr`` is that of their best: each of them then has a lower one, whose
    threshold has no interval.
    """
    if fmr is not None:
        point = calibration.threshold_for(fmr)
        if best_of > 1:
            one = rate_of_one(point.fmr, best_of)
            return Decision(score_at(calibration.tail, one), f"FMR {point.fmr:g}", None, one)
        return Decision(point.threshold, f"FMR {point.fmr:g}", point.band, point.fmr)
    if threshold is not None:
        cut, source, band = float(threshold), THE_CALLER, None
    else:
        calibration.check()
        cut, source, band = calibration.threshold, short_rule(calibration.rule), calibration.band
    return Decision(cut, source, band, calibration.fmr_of(cut), calibration.fmr_is_bound(cut))


def _widened(
    decision: Decision, calibration: Calibration, quality: PairQuality
) -> tuple[tuple[float, float] | None, tuple[float, float]]:
    """The band with what the quality of the pair adds to it, and how much that is below and above."""
    typical = calibration.typical_impostor
    if decision.band is None or typical is None or typical >= decision.threshold:
        return decision.band, (0.0, 0.0)
    below, above = widening(quality, decision.threshold - typical)
    low, high = decision.band
    wide = max(low - below, min(low, -1.0)), min(high + above, max(high, 1.0))
    return wide, (low - wide[0], wide[1] - high)


class _Clock:
    """Milliseconds spent in each named step; a step that runs twice is summed."""

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
