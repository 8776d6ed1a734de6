"""Face image quality: size, sharpness, noise, pose, lighting, framing and the detector's confidence.

Each flaw has a curve from its measure to the share of the genuine similarity that is left.  The curves, and
``BELOW`` and ``ABOVE``, come from the default model's scores of degraded photos (docs/results/quality.md).
Sharpness is a ratio of two bands of detail, so that neither lighting nor the tone of skin or hair counts as
blur.

Source: ISO/IEC 29794-5 lists such measures.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..detection.kinds import KINDS, Curve
from ..types import Face, Image
from ..utils.wording import join_words
from .measures import TEMPLATE_EYES, pixel_measures, pose_measures, scale_of, template_matrix
from .result import Quality

NAMED_BELOW = 0.95
"""A flaw that leaves a smaller share is named among the reasons."""

POOR = 0.85
"""Below this score ``compare`` warns: the FNMR is at least twice that of good photos."""


class Flaw(NamedTuple):
    """One kind of flaw: its part, its measure, its curve, and the words for it."""

    part: str
    measure: str
    curve: Curve
    words: Callable[[float], str]


FLAWS: tuple[Flaw, ...] = (
    Flaw(
        "size", "eye_distance",
        ((0, 0.0), (4.6, 0.27), (6.6, 0.6), (9.1, 0.83), (12.7, 0.94), (16.5, 0.98), (25, 1.0)),
        lambda v: f"small ({v:.0f} px between the eyes)",
    ),
    Flaw(
        "sharpness", "sharpness",
        ((0.12, 0.0), (0.137, 0.02), (0.145, 0.21), (0.182, 0.74), (0.245, 0.91), (0.368, 0.99), (0.45, 1.0)),
        lambda v: "blurred",
    ),
    Flaw(
        "noise", "noise", ((0.02, 1.0), (0.029, 0.98), (0.054, 0.91), (0.079, 0.79), (0.12, 0.43)),
        lambda v: "noisy",
    ),
    # LFW's faces are turned by 31 degrees at most and tipped by little, so this is not measured beyond.
    Flaw(
        "pose", "yaw", ((35, 1.0), (60, 0.75), (90, 0.4)),
        lambda v: f"turned aside (by about {v:.0f} degrees)",
    ),
    Flaw("pose", "pitch", ((30, 1.0), (60, 0.75)), lambda v: f"tipped {'down' if v > 0 else 'up'}"),
    Flaw("pose", "roll", ((35, 1.0), (90, 0.85)), lambda v: f"tilted by {v:.0f} degrees"),
    Flaw("lighting", "brightness", ((0.02, 0.5), (0.045, 0.95), (0.1, 1.0)), lambda v: "dark"),
    Flaw(
        "lighting", "contrast", ((0.02, 0.0), (0.049, 0.47), (0.142, 0.96), (0.28, 1.0)),
        lambda v: "low in contrast",
    ),
    Flaw(
        "lighting", "clipped", ((0.1, 1.0), (0.385, 0.82), (0.754, 0.25)),
        lambda v: "overexposed or in deep shadow",
    ),
    Flaw("lighting", "side_light", ((0.35, 1.0), (0.86, 0.92)), lambda v: "lit from one side"),
    Flaw(
        "framing", "inside", ((0, 0), (0.67, 0.67), (0.83, 0.87), (0.96, 0.96), (1.0, 1.0)),
        lambda v: "cut off by the edge of the photo",
    ),
)  # fmt: skip

BELOW: Curve = (
    (0.01, 3.03), (0.2, 2.6), (0.35, 2.5), (0.44, 2.1), (0.55, 1.77), (0.64, 0.99), (0.72, 0.99),
    (0.78, 0.57), (0.83, 0.29), (0.87, 0.25), (0.93, 0.1), (1.0, 0.0),
)  # fmt: skip
ABOVE: Curve = (
    (0.02, 0.98), (0.19, 0.71), (0.27, 0.6), (0.34, 0.55), (0.54, 0.52), (0.65, 0.37), (0.72, 0.36),
    (0.78, 0.31), (0.83, 0.22), (0.88, 0.22), (0.93, 0.16), (0.97, 0.13), (1.0, 0.0),
)  # fmt: skip
"""Quality margins: how far the threshold interval is extended downwards by ``PairQuality.least`` and upwards
by ``PairQuality.shared``, in distances from the typical impostor score to the threshold.

Measured on degraded photos of LFW's validation and calibration people: so far genuine scores fall beside a
good photo, and impostor scores rise where both photos have the same flaw.  Verdicts outside the extended
interval are about as reliable as between good photos."""


def face_quality(image: Image, face: Face, detector: str | None = None, reduced: float = 1.0) -> Quality:
    """Return the quality of a face.

    Without landmarks the pose is left out, and the size is the usual one for the box.  The measures are:

    - ``eye_distance``: pixels between the eyes of a frontal face of this size.
    - ``sharpness``: detail over 2 px divided by detail over 6 px, in a crop with 35 px between the eyes, or
      as many as in the photo if fewer; it depends neither on brightness nor on contrast.
    - ``noise``: standard deviation of the noise in that crop, divided by the contrast.
    - ``yaw``, ``pitch`` (positive: down), ``roll``: degrees, from the landmarks; pitch is a rough estimate,
      since an open mouth looks alike.
    - ``brightness``: mean luma of the face, in 0..1.
    - ``contrast``: luma from its 5th to its 95th percentile.
    - ``clipped``: share of the face that is black or white.
    - ``side_light``: difference of the means of the left and right half, divided by the mean.
    - ``inside``: share of the face that the photo shows.
    - ``confidence``: that of the detector.

    Args:
        image: RGB uint8 (H, W, 3).
        face: The face, in pixels of ``image``.
        detector: Kind of the detector that found it (``spec["kind"]``), since each has its own scale of
            confidence; None leaves the confidence out.
        reduced: Pixels of the photo for one of ``image`` on each side, where it was decoded at reduced size.

    Examples:
        >>> image = read_image("portrait.jpg")
        >>> face_quality(image, default_detector().detect(image)[0], "yunet").score
    """
    matrix = template_matrix(face)
    measures = {"eye_distance": reduced * TEMPLATE_EYES / scale_of(matrix)}
    measures |= pixel_measures(image, matrix)
    if face.landmarks is not None:
        measures |= pose_measures(np.array(face.landmarks), matrix)
    measures["confidence"] = face.confidence
    return quality_of(measures, detector)


def quality_of(measures: dict[str, float], detector: str | None = None) -> Quality:
    """Return the quality by these measures; a missing one counts as flawless."""
    flaws = FLAWS
    if detector in KINDS:  # the scale of confidence is the detector's own
        curve = KINDS[detector].confidence_curve
        doubt = Flaw("detector", "confidence", curve, lambda v: "hardly a face to the detector")
        flaws = (*FLAWS, doubt)
    parts: dict[str, float] = {}
    found: list[tuple[float, str]] = []
    for flaw in flaws:
        if flaw.measure in measures:
            value = measures[flaw.measure]
            share = _on(flaw.curve, abs(value) if flaw.part == "pose" else value)
            parts[flaw.part] = parts.get(flaw.part, 1.0) * share
            found.append((share, flaw.words(value)))
    score = math.prod(parts.values())
    found.sort(key=lambda item: item[0])
    named = [words for share, words in found if share < NAMED_BELOW]
    if score < POOR and not named:  # many small flaws; name the worst
        named = [found[0][1]]
    return Quality(score, tuple(named), measures, parts, score < POOR)


class PairQuality(NamedTuple):
    """The quality of two faces together; both values in [0, 1].

    ``least`` is the product of the poorer share of each part: flaws of either face.  ``shared`` is the
    product of the better share: flaws that both have, which make impostors similar.
    """

    least: float
    shared: float


def pair_quality(a: Quality | None, b: Quality | None) -> PairQuality:
    """Return the quality of a pair; a face without a quality counts as flawless."""
    one, other = ({} if quality is None else quality.parts for quality in (a, b))
    both = [(one.get(part, 1.0), other.get(part, 1.0)) for part in {*one, *other}]
    return PairQuality(math.prod(map(min, both)), math.prod(map(max, both)))


def quality_margin(pair: PairQuality, unit: float) -> tuple[float, float]:
    """Return how far a threshold interval is extended downwards and upwards for a pair of this quality.

    Args:
        pair: The quality of the two faces.
        unit: Distance from the typical impostor score to the threshold, since models differ in their range
            of scores.
    """
    return unit * _on(BELOW, pair.least), unit * _on(ABOVE, pair.shared)


def warning(quality: Quality | None, which: str) -> str | None:
    """Return a sentence on a poor face, named by ``which`` ("first", "second"); None for any other."""
    if quality is None or not quality.poor:
        return None
    return f"the {which} face is {join_words(quality.reasons) or 'flawed'}: the verdict rests on a poor face"


def _on(curve: Curve, value: float) -> float:
    places, shares = zip(*curve, strict=True)
    return float(np.interp(value, places, shares))
