"""How fit a face is to be compared: size, sharpness, noise, pose, lighting, framing, the detector's doubt.

Each flaw has a curve from what is measured to the share that is left of what speaks for one person.
The curves, ``BELOW`` and ``ABOVE`` are fitted by ``benchmarks/quality/quality.py fit`` on scores of degraded
photos by the default model (see ``docs/results/quality.md``).
ISO/IEC 29794-5 lists such measures; sharpness here is a ratio of two bands of detail, so that neither
lighting nor the tone of skin or hair counts as blur.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..detection.kinds import KINDS, Curve
from ..types import Face, Image
from ..utils.wording import in_a_row
from .measures import TEMPLATE_EYES, pixel_measures, pose_measures, scale_of, template_matrix
from .result import Quality

TOLD = 0.95
"""A flaw that leaves less than this share is named among the reasons."""

POOR = 0.85
"""Below this score ``compare`` warns: one person is missed at least twice as often as between good photos."""


class Flaw(NamedTuple):
    """One thing that can be wrong: its part, what measures it, what it costs, and how it is called."""

    part: str
    measure: str
    curve: Curve
    words: Callable[[float], str]


FLAWS: tuple[Flaw, ...] = (
    Flaw(
        "size", "eye_distance",
        ((0, 0.0), (4.5, 0.37), (6.5, 0.61), (9.2, 0.8), (12.7, 0.92), (16.5, 0.97), (25, 1.0)),
        lambda v: f"small ({v:.0f} px between the eyes)",
    ),
    Flaw(
        "sharpness", "sharpness",
        ((0.12, 0.05), (0.138, 0.19), (0.149, 0.43), (0.183, 0.7), (0.247, 0.87), (0.366, 0.99), (0.45, 1.0)),
        lambda v: "blurred",
    ),
    Flaw(
        "noise", "noise", ((0.02, 1.0), (0.028, 0.98), (0.054, 0.83), (0.077, 0.51), (0.12, 0.0)),
        lambda v: "noisy",
    ),
    # LFW's faces are turned by 31 degrees at most and tipped by little, so this is not measured beyond.
    Flaw(
        "pose", "yaw", ((35, 1.0), (60, 0.75), (90, 0.4)),
        lambda v: f"turned aside (by about {v:.0f} degrees)",
    ),
    Flaw("pose", "pitch", ((30, 1.0), (60, 0.75)), lambda v: f"tipped {'down' if v > 0 else 'up'}"),
    Flaw("pose", "roll", ((20, 1.0), (35, 0.98), (90, 0.85)), lambda v: f"tilted by {v:.0f} degrees"),
    Flaw("lighting", "brightness", ((0.02, 0.5), (0.045, 0.9), (0.1, 1.0)), lambda v: "dark"),
    Flaw(
        "lighting", "contrast", ((0.02, 0.05), (0.049, 0.74), (0.142, 0.97), (0.28, 1.0)),
        lambda v: "low in contrast",
    ),
    Flaw(
        "lighting", "clipped", ((0.1, 1.0), (0.38, 0.88), (0.75, 0.56)),
        lambda v: "overexposed or in deep shadow",
    ),
    Flaw("lighting", "side_light", ((0.35, 1.0), (0.88, 0.91)), lambda v: "lit from one side"),
    Flaw(
        "framing", "inside", ((0, 0), (0.61, 0.74), (0.8, 0.88), (0.95, 0.97), (1.0, 1.0)),
        lambda v: "cut off by the edge of the photo",
    ),
)  # fmt: skip

BELOW: Curve = (
    (0.05, 2.2), (0.2, 1.55), (0.45, 1.5), (0.56, 1.25), (0.65, 0.8), (0.77, 0.52), (0.88, 0.23),
    (0.94, 0.13), (1.0, 0.0),
)  # fmt: skip
ABOVE: Curve = (
    (0.05, 1.0), (0.4, 0.88), (0.56, 0.7), (0.65, 0.5), (0.77, 0.42), (0.82, 0.27), (0.88, 0.14),
    (0.96, 0.1), (1.0, 0.0),
)  # fmt: skip
"""How far the band reaches further down by ``PairQuality.least``, and up by ``PairQuality.shared``, in
units of the distance from a typical stranger's score to the threshold.

Measured on degraded photos of LFW's validation and calibration people: so far the scores of one person
fall beside a good photo, and those of strangers rise where both photos have the same flaw.  With them, the
verdicts outside the band are about as reliable as they are between good photos."""


def face_quality(image: Image, face: Face, detector: str | None = None, reduced: float = 1.0) -> Quality:
    """The quality of ``face`` in ``image``, RGB uint8 (H, W, 3).

    ``detector`` is the kind of detector that found it (``spec["kind"]``), for its confidence to be
    judged; None leaves that out.  ``reduced`` is how many pixels of the photo one of ``image`` stands for
    on each side, where a large photo was decoded smaller.  Without landmarks the pose is not judged, and
    the size is that usual for the box.  The measures:

    ``eye_distance``: pixels between the eyes, as far apart as they are in a frontal face of this size.
    ``sharpness``: detail over 2 px by that over 6 px, in a crop of 35 px between the eyes, or as many as
    they are in the photo if fewer; neither brightness nor contrast changes it.
    ``noise``: its standard deviation in that crop, by the contrast; a dark photo's is no smaller.
    ``yaw``, ``pitch`` (positive: down), ``roll``: degrees, from where the landmarks lie; pitch is a
    rough guess, since an open mouth looks the same.
    ``brightness``: mean luma of the face, of 1.  ``contrast``: from its 5th to its 95th percentile.
    ``clipped``: the share of it that is black or white.  ``side_light``: the difference of the means of
    its left and right half, by their mean.  ``inside``: the share of it that the photo shows.
    ``confidence``: the detector's.
    """
    matrix = template_matrix(face)
    measures = {"eye_distance": reduced * TEMPLATE_EYES / scale_of(matrix)}
    measures |= pixel_measures(image, matrix)
    if face.landmarks is not None:
        measures |= pose_measures(np.array(face.landmarks), matrix)
    measures["confidence"] = face.confidence
    return judge(measures, detector)


def judge(measures: dict[str, float], detector: str | None = None) -> Quality:
    """The quality that these measures come to; those that are missing count as flawless."""
    flaws = FLAWS
    if detector in KINDS:  # the scale of confidence is the detector's own
        curve = KINDS[detector].confidence_curve
        doubt = Flaw("detector", "confidence", curve, lambda v: "hardly a face to the detector")
        flaws = (*FLAWS, doubt)
    parts: dict[str, float] = {}
    told: list[tuple[float, str]] = []
    for flaw in flaws:
        if flaw.measure in measures:
            value = measures[flaw.measure]
            share = _on(flaw.curve, abs(value) if flaw.part == "pose" else value)
            parts[flaw.part] = parts.get(flaw.part, 1.0) * share
            told.append((share, flaw.words(value)))
    score = math.prod(parts.values())
    told.sort(key=lambda item: item[0])
    named = [words for share, words in told if share < TOLD]
    if score < POOR and not named:  # many small flaws, of which the worst stands for all
        named = [told[0][1]]
    return Quality(score, tuple(named), measures, parts, score < POOR)


class PairQuality(NamedTuple):
    """The quality of two faces together, both in [0, 1]; a face that was not judged counts as good.

    ``least`` multiplies the poorer share of each part: what one of the faces, or both, lack.
    ``shared`` multiplies the better one: what both lack in the same way, which makes strangers alike.
    """

    least: float
    shared: float


def pair_quality(a: Quality | None, b: Quality | None) -> PairQuality:
    """What two qualities come to."""
    one, other = ({} if quality is None else quality.parts for quality in (a, b))
    both = [(one.get(part, 1.0), other.get(part, 1.0)) for part in {*one, *other}]
    return PairQuality(math.prod(map(min, both)), math.prod(map(max, both)))


def widening(pair: PairQuality, unit: float) -> tuple[float, float]:
    """How far the band of a threshold reaches further down and up for a pair of this quality.

    ``unit`` is the distance from the score of a typical stranger to the threshold, for models differ
    in the range of their scores.  See ``BELOW`` and ``ABOVE``.
    """
    return unit * _on(BELOW, pair.least), unit * _on(ABOVE, pair.shared)


def warning(quality: Quality | None, which: str) -> str | None:
    """A sentence on a poor face, named by ``which`` ("first", "second"); None for any other."""
    if quality is None or not quality.poor:
        return None
    return f"the {which} face is {in_a_row(quality.reasons) or 'flawed'}: the verdict rests on a poor face"


def _on(curve: Curve, value: float) -> float:
    places, shares = zip(*curve, strict=True)
    return float(np.interp(value, places, shares))
