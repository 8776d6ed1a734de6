"""How fit a face is to be compared: size, sharpness, noise, pose, lighting, framing, the detector's doubt.

Each flaw has a curve from what is measured to the share that is left of what speaks for one person.
The curves come from ``benchmarks/quality.py fit``, and so do ``BELOW`` and ``ABOVE``: from what the shipped
model makes of degraded photos (see ``docs/quality.md``).
ISO/IEC 29794-5 lists such measures; sharpness here is a ratio of two bands of detail, so that neither
lighting nor the tone of skin or hair counts as blur.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .align import TEMPLATE_112, landmark_matrix, warp
from .errors import UsageError
from .types import Face, Image, Quality
from .wording import in_a_row

__all__ = ["POOR", "PairQuality", "Quality", "face_quality", "judge", "pair_quality", "warning", "widening"]

Floats: TypeAlias = NDArray[np.float64]
Curve: TypeAlias = tuple[tuple[float, float], ...]
"""(measure, share left) points, rising in the measure; straight lines between, level outside."""

SIDE = 112
"""A face is looked at in a crop of this side, or of its own size in the photo if that is smaller."""

SMALLEST_SIDE = 48  # eight blocks of 6 px
TEMPLATE_EYES = float(np.linalg.norm(TEMPLATE_112[1] - TEMPLATE_112[0]))

# The part of the crop that shows the face and not what is behind it; centre and half axes in 112nds.
OVAL_CENTRE, OVAL_AXES = (56.0, 68.0), (36.0, 44.0)

# Of dlib's boxes, as ``facealike.landmarks.UPRIGHT`` has it: the eyes' distance by the box's side.
EYES_OF_BOX = 0.42

# How far the tip of the nose stands out before the plane of eyes and mouth, by the eyes' distance;
# from the usual five points of a mean head in three dimensions.  The rest is that of the template.
NOSE_DEPTH = 0.435
_EYE_LINE, _MOUTH_LINE = float(TEMPLATE_112[:2, 1].mean()), float(TEMPLATE_112[3:, 1].mean())
NOSE_HEIGHT = 0.557  # from the eyes to the mouth; the median on LFW's validation people
EYES_TO_MOUTH = (_MOUTH_LINE - _EYE_LINE) / TEMPLATE_EYES

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

# Detectors have scales of confidence of their own; one that is not listed is not judged by it.
CONFIDENCE: dict[str, Curve] = {
    "yunet": ((0.6, 0.94), (0.72, 1.0)),
    "dlib-hog": ((0.0, 0.94), (0.3, 1.0)),
    "dlib-landmarks": ((0.0, 0.94), (0.3, 1.0)),
}


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
    matrix = _matrix(face)
    measures = {"eye_distance": reduced * TEMPLATE_EYES / _scale(matrix)}
    measures |= _of_pixels(image, matrix)
    if face.landmarks is not None:
        measures |= _pose(np.array(face.landmarks), matrix)
    measures["confidence"] = face.confidence
    return judge(measures, detector)


def judge(measures: dict[str, float], detector: str | None = None) -> Quality:
    """The quality that these measures come to; those that are missing count as flawless."""
    flaws = FLAWS
    if detector in CONFIDENCE:
        doubt = Flaw(
            "detector", "confidence", CONFIDENCE[detector], lambda v: "hardly a face to the detector"
        )
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


def _matrix(face: Face) -> Floats:
    """The (2, 3) transform that brings the face onto the template, by its box if landmarks fail."""
    if face.landmarks is not None:
        try:
            matrix = landmark_matrix(face, SIDE)
            if _scale(matrix) > 1e-6:
                return matrix
        except UsageError:  # all landmarks on one point
            pass
    scale = TEMPLATE_EYES / (EYES_OF_BOX * max(face.box.width, face.box.height))
    shift = TEMPLATE_112.mean(axis=0) - scale * np.array(face.box.centre)
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])


def _scale(matrix: Floats) -> float:
    return math.sqrt(abs(float(np.linalg.det(matrix[:, :2]))))


def _of_pixels(image: Image, matrix: Floats) -> dict[str, float]:
    """Sharpness, lighting and framing of the face's oval."""
    shrunk = min(1.0, max(1 / _scale(matrix), SMALLEST_SIDE / SIDE))
    side = max(SMALLEST_SIDE, round(SIDE * shrunk))
    matrix = matrix * (side / SIDE)
    oval, left = _oval(side)
    shown = oval & _inside(matrix, side, image.shape)
    inside = float(shown.sum() / oval.sum())
    if not shown.any():
        return {"inside": 0.0}
    crop = warp(image, matrix, side)
    # Sums, not a matrix product: that would start the threads of a BLAS for one small crop.
    grey = (0.299 * crop[:, :, 0] + 0.587 * crop[:, :, 1] + 0.114 * crop[:, :, 2]) / 255.0
    values = grey[shown]
    # np.percentile would import numpy.ma, which costs a cold start more than all the rest here.
    count = len(values) - 1
    dark, bright = np.interp([0.05 * count, 0.95 * count], np.arange(count + 1), np.sort(values))
    halves = [values[left[shown]], values[~left[shown]]]
    means = [float(half.mean()) if half.size else float(values.mean()) for half in halves]
    contrast = float(bright - dark)
    detail = {"sharpness": _sharpness(grey, shown), "noise": _noise(grey, shown, contrast)}
    return {
        **{name: value for name, value in detail.items() if value is not None},
        "brightness": float(values.mean()),
        "contrast": contrast,
        "clipped": float(((values <= 0.02) | (values >= 0.98)).mean()),
        "side_light": abs(means[0] - means[1]) / max(sum(means) / 2, 1e-6),
        "inside": inside,
    }


@lru_cache(maxsize=128)
def _oval(side: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which pixels (side, side) of the crop show the face, and which lie in its left half."""
    place = (np.arange(side) + 0.5) * (SIDE / side) - 0.5
    x, y = place[None, :], place[:, None]
    oval = ((x - OVAL_CENTRE[0]) / OVAL_AXES[0]) ** 2 + ((y - OVAL_CENTRE[1]) / OVAL_AXES[1]) ** 2 <= 1
    return oval, np.broadcast_to(x < OVAL_CENTRE[0], oval.shape)


def _inside(matrix: Floats, side: int, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which pixels (side, side) of the crop lie within a photo of ``shape``."""
    inverse = np.linalg.inv(matrix[:, :2])
    x, y = np.arange(side)[None, :] - matrix[0, 2], np.arange(side)[:, None] - matrix[1, 2]
    across, down = (row[0] * x + row[1] * y for row in inverse)
    return np.asarray(
        (across >= -0.5) & (across <= shape[1] - 0.5) & (down >= -0.5) & (down <= shape[0] - 0.5)
    )


def _sharpness(grey: Floats, shown: NDArray[np.bool_]) -> float | None:
    """Detail of blocks of 2 px by that of blocks of 6 px; 0 where there is neither, None if unseen.

    Two scales, for the variance of the Laplacian alone would call a dark photo blurred.
    """
    fine, coarse = (_detail(grey, shown, block) for block in (2, 6))
    if fine is None or coarse is None:
        return None
    return fine / coarse if coarse > 1e-4 else 0.0


def _detail(grey: Floats, shown: NDArray[np.bool_], block: int) -> float | None:
    """Root mean square of the Laplacian of ``grey`` averaged over blocks, where all of it is shown."""
    cells = len(grey) // block
    shape, end = (cells, block, cells, block), cells * block
    mean = grey[:end, :end].reshape(shape).mean(axis=(1, 3))
    whole = np.asarray(shown[:end, :end].reshape(shape).all(axis=(1, 3)))
    middle, around = np.s_[1:-1, 1:-1], (np.s_[:-2, 1:-1], np.s_[2:, 1:-1], np.s_[1:-1, :-2], np.s_[1:-1, 2:])
    laplacian, seen = 4 * mean[middle], whole[middle].copy()
    for side in around:
        laplacian -= mean[side]
        seen &= whole[side]
    return float(np.sqrt(np.mean(laplacian[seen] ** 2))) if seen.any() else None


def _noise(grey: Floats, shown: NDArray[np.bool_], contrast: float) -> float | None:
    """The standard deviation of the noise of ``grey`` by its contrast; None if there is none, or unseen.

    Immerkaer, "Fast noise variance estimation", Computer Vision and Image Understanding 64(2), 1996: a
    mask that neither planes nor, mostly, edges answer to.  By the median of the answers instead of
    their mean, which hair and lashes would raise; a normal variable's is 0.6745 deviations.
    """
    rows = grey[:-2] - 2 * grey[1:-1] + grey[2:]
    answer = np.abs(rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:])
    down = shown[:-2] & shown[1:-1] & shown[2:]
    seen = np.sort(answer[down[:, :-2] & down[:, 1:-1] & down[:, 2:]])
    if not len(seen) or contrast < 1e-3:
        return None
    return float(seen[len(seen) // 2]) / (6 * 0.6745) / contrast


def _pose(points: Floats, matrix: Floats) -> dict[str, float]:
    """Degrees of yaw and roll, without a sign, and of pitch, from five landmarks (5, 2)."""
    eyes, mouth = points[:2].mean(axis=0), points[3:].mean(axis=0)
    between, axis, nose = points[1] - points[0], mouth - eyes, points[2] - eyes
    apart, tall = float(np.hypot(*between)), float(np.hypot(*axis))
    roll = abs(math.degrees(math.atan2(matrix[1, 0], matrix[0, 0])))
    if tall < 1e-6:
        return {"yaw": 90.0, "pitch": 90.0, "roll": roll}
    aside = abs(axis[0] * nose[1] - axis[1] * nose[0]) / tall
    along = float(nose @ axis) / tall**2
    return {
        "yaw": math.degrees(math.atan2(aside, NOSE_DEPTH * apart)),
        "pitch": math.degrees(math.atan((along - NOSE_HEIGHT) * EYES_TO_MOUTH / NOSE_DEPTH)),
        "roll": roll,
    }
