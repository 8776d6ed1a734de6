"""The quality of a face: each measure against a slow twin, and each flaw lowers what it should."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from importlib import import_module
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage
from PIL import ImageFilter

from facealike.calibration.calibration import Calibration
from facealike.calibration.probability import Platt
from facealike.detection.base import scale_face
from facealike.detection.dlib_hog import DlibDetector
from facealike.detection.kinds import KINDS
from facealike.detection.landmarks import default_landmarks
from facealike.embedding.face_model import Model
from facealike.errors import UsageError
from facealike.imaging.align import TEMPLATE_112
from facealike.imaging.read import read_image
from facealike.quality import measures as measured
from facealike.quality import score as module
from facealike.quality.result import Quality
from facealike.quality.score import (
    ABOVE,
    BELOW,
    FLAWS,
    POOR,
    PairQuality,
    face_quality,
    pair_quality,
    quality_margin,
    quality_of,
    warning,
)
from facealike.types import Box, Face
from facealike.utils.wording import join_words
from facealike.verification.compare import compare
from facealike.verification.result import Comparison
from support.paths import ROOT
from support.tiny_model import astronaut, tiny_model_file

PHOTOS = ROOT / "examples" / "photos"


@pytest.fixture(scope="module")
def portraits() -> dict[str, tuple[Any, Face]]:
    """The example photos (public domain), each with its face."""
    detector = DlibDetector(landmarks=default_landmarks())
    images = {path.stem: read_image(path) for path in sorted(PHOTOS.glob("*.jpg"))}
    return {name: (image, detector.detect(image)[0]) for name, image in images.items()}


@pytest.fixture(params=["hopper", "collins"])
def portrait(request: pytest.FixtureRequest, portraits: dict[str, tuple[Any, Face]]) -> tuple[Any, Face]:
    """A portrait whose face is so large that its crop is made smaller."""
    image, face = portraits[request.param]
    return image, face


def resized(image: Any, face: Face, factor: float) -> tuple[Any, Face]:
    size = (round(image.shape[1] * factor), round(image.shape[0] * factor))
    return np.asarray(PillowImage.fromarray(image).resize(size, PillowImage.Resampling.BOX)), scale_face(
        face, factor
    )


def blurred(image: Any, sigma: float) -> Any:
    return np.asarray(PillowImage.fromarray(image).filter(ImageFilter.GaussianBlur(sigma)))


def darkened(image: Any, gain: float) -> Any:
    return np.rint(image * gain).astype(np.uint8)


# ---- slow twins -------------------------------------------------------------------------------


def slow_detail(grey: Any, shown: Any, block: int) -> float | None:
    cells = len(grey) // block
    mean: dict[tuple[int, int], float] = {}
    for i in range(cells):
        for j in range(cells):
            inside = [(i * block + a, j * block + b) for a in range(block) for b in range(block)]
            if all(shown[place] for place in inside):
                mean[i, j] = sum(grey[place] for place in inside) / block**2
    squares = []
    for i, j in mean:
        around = [(i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)]
        if all(place in mean for place in around):
            squares.append((4 * mean[i, j] - sum(mean[place] for place in around)) ** 2)
    return math.sqrt(sum(squares) / len(squares)) if squares else None


@pytest.mark.parametrize("block", [1, 2, 3, 6])
@pytest.mark.parametrize("seed", range(3))
def test_detail_is_that_of_the_loops(block: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    grey, shown = rng.random((50, 50)), np.ones((50, 50), bool)
    shown[: rng.integers(0, 20)] = False
    shown[:, rng.integers(25, 50) :] = False
    shown[rng.integers(0, 50), rng.integers(0, 50)] = False
    expected = slow_detail(grey, shown, block)
    assert expected is not None and measured._detail(grey, shown, block) == pytest.approx(expected)
    assert measured._detail(grey, np.zeros_like(shown), block) is None


def slow_noise(grey: Any, shown: Any) -> float | None:
    mask = [[1, -2, 1], [-2, 4, -2], [1, -2, 1]]
    answers = []
    for i in range(1, len(grey) - 1):
        for j in range(1, len(grey) - 1):
            around = [(a, b) for a in range(3) for b in range(3)]
            if all(shown[i + a - 1, j + b - 1] for a, b in around):
                answers.append(abs(sum(mask[a][b] * grey[i + a - 1, j + b - 1] for a, b in around)))
    return sorted(answers)[len(answers) // 2] / 6 / 0.6745 if answers else None


@pytest.mark.parametrize("seed", range(3))
def test_noise_is_that_of_the_loops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    grey, shown = rng.random((30, 30)), np.ones((30, 30), bool)
    shown[: rng.integers(0, 10)] = False
    shown[rng.integers(0, 30, 20), rng.integers(0, 30, 20)] = False
    assert measured._noise(grey, shown, 0.25) == pytest.approx(slow_noise(grey, shown) / 0.25)  # type: ignore[operator]
    assert measured._noise(grey, np.zeros_like(shown), 0.25) is None
    assert measured._noise(np.full_like(grey, 0.5), np.ones_like(shown), 0.0) is None


@pytest.mark.parametrize("sigma", [0.01, 0.05])
def test_noise_is_told_whatever_lies_below(sigma: float) -> None:
    """Planes leave no trace of themselves, and neither does an edge."""
    across = np.linspace(0.2, 0.5, 112)[None, :] + np.linspace(0, 0.1, 112)[:, None]
    across[:, 60:] += 0.2
    noisy = across + np.random.default_rng(0).normal(0, sigma, across.shape)
    assert measured._noise(noisy, np.ones(noisy.shape, bool), 1.0) == pytest.approx(sigma, rel=0.05)


def slow_measures(crop: Any, shown: Any, left: Any) -> dict[str, float]:
    """Lighting of the pixels that are shown, one after the other."""
    all_values, sides = [], {True: [], False: []}  # type: ignore[var-annotated]
    for y in range(len(crop)):
        for x in range(len(crop)):
            if shown[y, x]:
                red, green, blue = map(float, crop[y, x])
                value = (0.299 * red + 0.587 * green + 0.114 * blue) / 255
                all_values.append(value)
                sides[bool(left[y, x])].append(value)
    ordered, count = sorted(all_values), len(all_values)

    def percentile(part: float) -> float:
        place = part * (count - 1)
        low = math.floor(place)
        high = min(low + 1, count - 1)
        return ordered[low] + (place - low) * (ordered[high] - ordered[low])

    means = [sum(values) / len(values) for values in sides.values()]
    return {
        "brightness": sum(all_values) / count,
        "contrast": percentile(0.95) - percentile(0.05),
        "clipped": sum(value <= 0.02 or value >= 0.98 for value in all_values) / count,
        "side_light": abs(means[0] - means[1]) / ((means[0] + means[1]) / 2),
    }


def test_lighting_and_framing_are_those_of_the_loops(portrait: tuple[Any, Face]) -> None:
    image, face = portrait
    image = np.ascontiguousarray(image[:, : int(face.box.left + 0.55 * face.box.width)])
    matrix = measured.template_matrix(face)
    oval, left = measured.face_oval(112)
    shown = np.zeros_like(oval)
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
    for y in range(112):
        for x in range(112):
            across, down, _ = inverse @ [x, y, 1]
            within = -0.5 <= across <= image.shape[1] - 0.5 and -0.5 <= down <= image.shape[0] - 0.5
            on_face = ((x - 56) / 36) ** 2 + ((y - 68) / 44) ** 2 <= 1
            assert oval[y, x] == on_face and left[y, x] == (x < 56)
            shown[y, x] = within and on_face
    assert 0.2 < shown.sum() / oval.sum() < 0.9
    measures = face_quality(image, face).measures
    assert measures["inside"] == pytest.approx(shown.sum() / oval.sum())
    for name, value in slow_measures(measured.warp(image, matrix, 112), shown, left).items():
        assert measures[name] == pytest.approx(value, abs=1e-6), name


# A head whose five points agree with the template seen from the front; x right, y down, z to the camera.
HEAD = np.array([[-0.5, 0, 0], [0.5, 0, 0], [0, 0, 0.435], [-0.41, 0, 0], [0.41, 0, 0]])
HEAD[2, 1], HEAD[3:, 1] = measured.NOSE_HEIGHT * measured.EYES_TO_MOUTH, measured.EYES_TO_MOUTH


def turned(yaw: float = 0, pitch: float = 0, roll: float = 0, size: float = 40) -> Face:
    """The head turned by degrees, seen from far away."""
    y, p, r = np.radians([yaw, pitch, roll])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), -np.sin(r)], [np.sin(r), np.cos(r)]])
    points = (HEAD @ about_y.T @ about_x.T)[:, :2] @ about_z.T * size + 100
    return Face(Box(50, 50, 150, 150), 1.0, tuple((float(a), float(b)) for a, b in points))


def pose(face: Face) -> dict[str, float]:
    return face_quality(np.full((200, 200, 3), 128, np.uint8), face).measures


@settings(deadline=None)
@given(st.floats(-85, 85))
def test_yaw_is_that_of_a_turned_head(angle: float) -> None:
    assert pose(turned(yaw=angle))["yaw"] == pytest.approx(abs(angle), abs=1e-3)
    assert pose(turned(yaw=angle))["pitch"] == pytest.approx(0, abs=1e-3)


@settings(deadline=None)
@given(st.floats(-60, 60))
def test_pitch_is_that_of_a_nodding_head(angle: float) -> None:
    assert pose(turned(pitch=angle))["pitch"] == pytest.approx(angle, abs=1e-3)
    assert pose(turned(pitch=angle))["yaw"] == pytest.approx(0, abs=1e-3)


@settings(deadline=None)
@given(st.floats(-40, 40), st.floats(-40, 40), st.floats(-170, 170), st.floats(10, 60))
def test_yaw_and_pitch_do_not_depend_on_roll_or_size(
    yaw: float, pitch: float, roll: float, size: float
) -> None:
    upright, other = pose(turned(yaw, pitch)), pose(turned(yaw, pitch, roll, size))
    assert other["yaw"] == pytest.approx(upright["yaw"], abs=1e-3)
    assert other["pitch"] == pytest.approx(upright["pitch"], abs=1e-3)
    assert pose(turned(roll=roll))["roll"] == pytest.approx(abs(roll), abs=0.5)


def test_turning_the_head_lowers_the_pose() -> None:
    grey = np.full((200, 200, 3), 128, np.uint8)
    for axis in ("yaw", "pitch", "roll"):
        parts = [face_quality(grey, turned(**{axis: angle})).parts["pose"] for angle in (0, 30, 45, 60, 80)]
        assert parts == sorted(parts, reverse=True) and parts[0] == 1.0 > parts[-1], axis


# ---- flaws lower what they should -------------------------------------------------------------


def test_a_good_portrait_has_no_flaw(portrait: tuple[Any, Face]) -> None:
    found = face_quality(*portrait, "dlib-landmarks")
    assert found.score > 0.9 and not found.poor and not found.reasons
    assert str(found) == f"quality {found.score:.2f}"


def test_blurring_lowers_the_sharpness(portrait: tuple[Any, Face]) -> None:
    image, face = portrait
    unit = face_quality(image, face).measures["eye_distance"] / 35
    found = [face_quality(blurred(image, unit * sigma), face) for sigma in (0, 1, 2, 3, 4.5)]
    values = [quality.measures["sharpness"] for quality in found]
    assert values == sorted(values, reverse=True) and values[-1] < 0.3 * values[0]
    assert found[-1].parts["sharpness"] < 0.9 and "blurred" in found[-1].reasons
    assert found[-1].score < found[0].score


@pytest.mark.parametrize("gain", [0.8, 0.5, 0.3])
def test_sharpness_depends_on_neither_brightness_nor_contrast(
    portrait: tuple[Any, Face], gain: float
) -> None:
    image, face = portrait
    sharp = face_quality(image, face).measures["sharpness"]
    for changed in (darkened(image, gain), darkened(255 - image, gain), (60 + gain * image / 2)):
        measured = face_quality(changed.astype(np.uint8), face).measures["sharpness"]
        assert measured == pytest.approx(sharp, rel=0.05)


def test_darkening_lowers_the_lighting(portrait: tuple[Any, Face]) -> None:
    image, face = portrait
    found = [face_quality(darkened(image, gain), face) for gain in (1, 0.3, 0.1, 0.05, 0.02, 0)]
    brightness = [quality.measures["brightness"] for quality in found]
    assert brightness == sorted(brightness, reverse=True) and brightness[-1] == 0
    light = [quality.parts["lighting"] for quality in found]
    assert light == sorted(light, reverse=True) and light[-1] < 0.6 * light[0]
    assert "dark" in found[-1].reasons


def noisy(image: Any, sigma: float) -> Any:
    return np.clip(np.rint(image + np.random.default_rng(0).normal(0, sigma, image.shape)), 0, 255)


def test_noise_is_a_flaw_and_not_sharpness(portrait: tuple[Any, Face]) -> None:
    image, face = portrait
    image, face = resized(image, face, 35 / face_quality(image, face).measures["eye_distance"])
    found = [face_quality(noisy(image, sigma).astype(np.uint8), face) for sigma in (0, 10, 20, 40)]
    measured = [quality.measures["noise"] for quality in found]
    assert measured == sorted(measured) and measured[0] < 0.02 < measured[-1]
    parts = [quality.parts["noise"] for quality in found]
    assert parts == sorted(parts, reverse=True) and parts[0] == 1.0 > 0.9 > parts[-1]
    assert "noisy" in found[-1].reasons
    # In half the light the same noise is twice as bad.
    dark = face_quality(noisy(darkened(image, 0.5), 10).astype(np.uint8), face)
    assert dark.measures["noise"] == pytest.approx(measured[2], rel=0.15)


def test_light_from_one_side_and_clipping_lower_the_lighting(portrait: tuple[Any, Face]) -> None:
    image, face = portrait
    good = face_quality(image, face)
    x = np.arange(image.shape[1]) - face.box.center[0]
    side = (image * np.where(x < 0, 0.05, 1.0)[None, :, None]).astype(np.uint8)
    lit = face_quality(side, face)
    assert lit.measures["side_light"] > 1 and lit.parts["lighting"] < good.parts["lighting"]
    white = face_quality(np.clip(image * 6.0, 0, 255).astype(np.uint8), face)
    assert white.measures["clipped"] > 0.7 and white.parts["lighting"] < good.parts["lighting"]


def test_shrinking_lowers_the_size(portrait: tuple[Any, Face]) -> None:
    image, face = portrait
    full = face_quality(image, face).measures["eye_distance"]
    found = []
    for wanted in (30, 16, 10, 6, 4):
        found.append(face_quality(*resized(image, face, wanted / full)))
        assert found[-1].measures["eye_distance"] == pytest.approx(wanted)
    sizes = [quality.parts["size"] for quality in found]
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] < 0.9
    assert any(reason.startswith("small (4 px between the eyes)") for reason in found[-1].reasons)


def test_cutting_the_face_off_lowers_the_framing(portrait: tuple[Any, Face]) -> None:
    image, face = portrait
    found = []
    for part in (0.0, 0.3, 0.5, 0.7):
        start = int(face.box.left + part * face.box.width)
        box = Box(face.box.left - start, face.box.top, face.box.right - start, face.box.bottom)
        assert face.landmarks is not None
        moved = Face(box, face.confidence, tuple((x - start, y) for x, y in face.landmarks))
        found.append(face_quality(np.ascontiguousarray(image[:, start:]), moved))
    inside = [quality.measures["inside"] for quality in found]
    assert inside == sorted(inside, reverse=True) and inside[-1] < 0.5
    framing = [quality.parts["framing"] for quality in found]
    assert framing == sorted(framing, reverse=True) and framing[-1] < framing[0]


def test_a_larger_copy_of_the_photo_is_as_good(portrait: tuple[Any, Face]) -> None:
    """The crop has one size, so of a face that is larger only the eye distance tells."""
    image, face = portrait
    wide, scaled = resized(image, face, 2)
    here, there = face_quality(image, face), face_quality(wide, scaled)
    assert there.measures["eye_distance"] == pytest.approx(2 * here.measures["eye_distance"])
    assert there.score == pytest.approx(here.score, abs=0.02)
    for name in ("brightness", "contrast", "side_light", "inside", "yaw", "pitch", "roll"):
        assert there.measures[name] == pytest.approx(here.measures[name], abs=0.01), name
    assert there.measures["sharpness"] == pytest.approx(here.measures["sharpness"], rel=0.1)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_confidence_counts_on_the_detectors_own_scale(portrait: tuple[Any, Face], kind: str) -> None:
    image, face = portrait
    curve = KINDS[kind].confidence_curve
    sure = face_quality(image, replace(face, confidence=curve[-1][0]), kind)
    unsure = face_quality(image, replace(face, confidence=curve[0][0]), kind)
    assert sure.parts["detector"] == 1.0 > unsure.parts["detector"] == curve[0][1]
    unknown = face_quality(image, replace(face, confidence=-5.0), "somebody's own")
    assert "detector" not in unknown.parts and unknown.measures["confidence"] == -5.0
    assert face_quality(image, replace(face, confidence=-5.0)).score == unknown.score


# ---- nothing crashes --------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (2, 2)])
@pytest.mark.parametrize("box", [Box(0, 0, 1, 1), Box(-500, -500, -400, -400), Box(0, 0, 1e7, 1e7)])
def test_no_photo_is_too_small_and_no_box_too_far(size: tuple[int, int], box: Box) -> None:
    for image in (np.zeros((*size, 3), np.uint8), np.full((*size, 3), 255, np.uint8)):
        for landmarks in (None, ((5.0, 5.0),) * 5, tuple(map(tuple, TEMPLATE_112.tolist()))):
            found = face_quality(image, Face(box, 0.5, landmarks), "yunet")
            assert 0 <= found.score <= 1 and all(map(math.isfinite, found.measures.values()))
            assert ("pose" in found.parts) == (landmarks is not None)
            json.dumps(found.to_dict(), allow_nan=False)


places = st.floats(-300, 300)


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(*[st.tuples(places, places)] * 5), st.integers(1, 30), st.integers(1, 30), st.integers(0, 99)
)
def test_any_landmarks_give_a_quality(points: Any, height: int, width: int, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    found = face_quality(image, Face(Box(0, 0, 20, 30), 0.9, points), "yunet")
    assert 0 <= found.score <= 1 and found.poor == (found.score < POOR)
    assert all(map(math.isfinite, found.measures.values()))
    assert found.score == pytest.approx(math.prod(found.parts.values()))


def test_a_face_outside_the_photo_is_worth_nothing(portrait: tuple[Any, Face]) -> None:
    image, face = portrait
    gone = face_quality(np.ascontiguousarray(image[:10, :10]), face)
    assert gone.measures["inside"] == 0 and gone.poor
    assert any("cut off" in reason for reason in gone.reasons)


def test_without_landmarks_the_size_is_guessed_from_the_box(portrait: tuple[Any, Face]) -> None:
    image, face = portrait
    known, guessed = face_quality(image, face), face_quality(image, replace(face, landmarks=None))
    assert guessed.measures["eye_distance"] == pytest.approx(known.measures["eye_distance"], rel=0.2)
    assert guessed.measures["sharpness"] == pytest.approx(known.measures["sharpness"], rel=0.25)
    assert guessed.measures["brightness"] == pytest.approx(known.measures["brightness"], abs=0.1)
    assert "pose" not in guessed.parts and guessed.score > 0.9


# ---- what a score is worth --------------------------------------------------------------------


def test_the_curves_are_curves() -> None:
    curves = [flaw.curve for flaw in FLAWS] + [kind.confidence_curve for kind in KINDS.values()]
    for curve in curves:
        places, shares = zip(*curve, strict=True)
        assert all(a < b for a, b in pairwise(places)), curve
        assert all(0 <= share <= 1 for share in shares) and max(shares) == 1.0
        assert sorted(shares) in (list(shares), list(shares)[::-1])
    for curve in (BELOW, ABOVE):
        qualities, added = zip(*curve, strict=True)
        assert all(a < b for a, b in pairwise(qualities)) and all(a >= b for a, b in pairwise(added))
        assert (qualities[-1], added[-1]) == (1.0, 0.0)


shares = st.floats(0, 1)


@settings(deadline=None)
@given(shares, shares, shares, shares, st.floats(0.01, 2))
def test_the_poorer_the_wider(a: float, b: float, c: float, d: float, unit: float) -> None:
    poor, good = PairQuality(min(a, b), min(c, d)), PairQuality(max(a, b), max(c, d))
    assert quality_margin(poor, unit)[0] >= quality_margin(good, unit)[0] >= 0
    assert quality_margin(poor, unit)[1] >= quality_margin(good, unit)[1] >= 0
    assert quality_margin(poor, 2 * unit) == pytest.approx([2 * side for side in quality_margin(poor, unit)])
    assert quality_margin(PairQuality(1.0, 1.0), unit) == (0, 0)


part_shares = st.dictionaries(st.sampled_from(["size", "sharpness", "pose", "lighting"]), shares)


@settings(deadline=None)
@given(part_shares, part_shares)
def test_a_pair_is_judged_part_by_part(one: dict[str, float], other: dict[str, float]) -> None:
    least = shared = 1.0
    for part in ("size", "sharpness", "pose", "lighting"):
        a, b = one.get(part, 1.0), other.get(part, 1.0)
        least, shared = least * (a if a < b else b), shared * (b if a < b else a)
    first, second = (Quality(math.prod(parts.values()), parts=parts) for parts in (one, other))
    for pair in (pair_quality(first, second), pair_quality(second, first)):
        assert pair == pytest.approx((least, shared))
    assert pair_quality(first, None) == pytest.approx((first.score, 1.0))
    assert pair_quality(first, first).shared == pytest.approx(first.score)
    assert least <= min(first.score, second.score) + 1e-9 and max(first.score, second.score) - 1e-9 <= shared


def test_a_poor_face_always_has_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many flaws, none of which would be named alone."""
    small = tuple(replace_curve(flaw, 0.955 + 0.001 * i) for i, flaw in enumerate(FLAWS))
    monkeypatch.setattr(module, "FLAWS", small)
    found = quality_of({flaw.measure: 1.0 for flaw in FLAWS})
    assert found.poor and found.reasons == (FLAWS[0].words(1.0),)


def replace_curve(flaw: module.Flaw, share: float) -> module.Flaw:
    return flaw._replace(curve=((0.0, share), (2.0, share)))


def test_only_a_poor_face_is_warned_of() -> None:
    poor = Quality(0.2, ("small (18 px between the eyes)", "blurred"), poor=True)
    assert warning(poor, "second") == (
        "the second face is small (18 px between the eyes) and blurred: the verdict rests on a poor face"
    )
    assert warning(Quality(0.8, ("blurred",)), "first") is None and warning(None, "first") is None
    assert join_words(["a"]) == "a" and join_words(["a", "b", "c"]) == "a, b and c" and join_words([]) == ""
    assert str(poor) == "quality 0.20: small (18 px between the eyes) and blurred"


def test_a_quality_checks_its_shares() -> None:
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(UsageError, match="between 0 and 1"):
            Quality(wrong)
        with pytest.raises(UsageError, match="size"):
            Quality(0.5, parts={"size": wrong})


# ---- in a comparison --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def calibrated() -> Model:
    """The tiny model with a calibration; half of all strangers reach 0.5."""
    calibration = Calibration(
        0.9, "best F1", "people", 100, {}, (0.88, 0.92), Platt(10.0, -9.0).to_dict(), (),
        ((-1.0, 1.0), (0.5, 0.5), (0.99, 0.01)),
    )  # fmt: skip
    return Model(replace(tiny_model_file(), calibration=calibration), device="cpu")


def test_a_good_pair_leaves_the_band_as_it_is(calibrated: Model) -> None:
    assert calibrated.calibration.typical_impostor == pytest.approx(0.5)
    result = compare(astronaut(), astronaut(), calibrated)
    assert result.warnings == () and all(quality is not None for quality in result.quality)
    pair = pair_quality(*result.quality)
    below, above = quality_margin(pair, 0.4)
    assert result.band == pytest.approx((0.88 - below, 0.92 + above))
    assert pair.least > 0.9


@pytest.fixture
def dim_faces_are_poor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Detectors find no really poor faces, so a face that is a bit dark stands for one."""

    def judge(image: Any, face: Face, detector: str | None, *_: Any) -> Quality:
        assert detector == "dlib-hog"
        dark, parts = image.mean() < 80, {"lighting": 0.3, "sharpness": 0.8}
        return Quality(0.24, ("dark", "blurred"), {}, parts, True) if dark else Quality(1.0)

    monkeypatch.setattr(import_module("facealike.embedding.cropper"), "face_quality", judge)


@pytest.mark.usefixtures("dim_faces_are_poor")
def test_a_poor_face_widens_the_band_and_is_warned_of(calibrated: Model) -> None:
    image, poor = astronaut(), darkened(astronaut(), 0.5)
    good, result = compare(image, image, calibrated), compare(image, poor, calibrated)
    first, second = result.quality
    assert first is not None and second is not None and second.poor and not first.poor
    assert result.warnings == (warning(second, "second"),) and "blurred" in result.warnings[0]
    below, above = quality_margin(PairQuality(0.24, 1.0), 0.4)
    assert below > 0 == above and result.widening == pytest.approx((below, 0))
    assert result.band == pytest.approx((0.88 - below, 0.92))
    both = compare(poor, poor, calibrated)
    assert both.widening == pytest.approx((below, 0.08)) and both.band is not None and both.band[1] == 1.0
    assert result.threshold == good.threshold and result.same == (result.score >= 0.9)
    told = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert told["warnings"] == list(result.warnings) and told["quality"][1]["poor"] is True
    assert told["widening"] == pytest.approx(result.widening, abs=1e-5)
    assert str(result).endswith(result.warnings[0])


@pytest.mark.usefixtures("dim_faces_are_poor")
def test_a_threshold_of_the_callers_has_no_band_to_widen(calibrated: Model) -> None:
    poor = darkened(astronaut(), 0.5)
    result = compare(poor, poor, calibrated, threshold=0.2)
    assert result.band is None and result.widening == (0, 0) and len(result.warnings) == 2


def test_a_crop_is_not_judged(calibrated: Model) -> None:
    result = compare(astronaut(), astronaut(), calibrated, aligned=True)
    assert result.quality == (None, None) and result.warnings == () and result.band == (0.88, 0.92)


def test_a_widened_band_is_told_with_its_reason() -> None:
    known: dict[str, Any] = {"faces": (None, None), "model": "m", "device": "cpu", "band": (0.3, 0.6)}
    plain = Comparison(0.5, 0.45, **known)
    wide = Comparison(0.5, 0.45, **known, widening=(0.1, 0.05), warnings=("the first face is dark",))
    assert "; other people to calibrate on could move the threshold to" in str(plain)
    assert "; other people to calibrate on, or better photos, could move the threshold to" in str(wide)
    assert str(wide).endswith("; the first face is dark")


# ---- golden numbers ---------------------------------------------------------------------------

GOLDEN: dict[str, dict[str, float]] = {
    "hopper": {
        "eye_distance": 79.4, "sharpness": 0.759, "noise": 0.0191, "yaw": 0.6, "brightness": 0.567,
        "contrast": 0.594,
    },
    "hopper-turned": {
        "eye_distance": 62.4, "sharpness": 0.881, "noise": 0.025, "roll": 10.7, "brightness": 0.308,
        "contrast": 0.336,
    },
    "collins": {
        "eye_distance": 39.4, "sharpness": 0.660, "yaw": 1.0, "brightness": 0.682, "side_light": 0.124,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_numbers_of_the_example_photos(portraits: dict[str, tuple[Any, Face]], name: str) -> None:
    found = face_quality(*portraits[name], "dlib-landmarks")
    for measure, value in GOLDEN[name].items():
        apart = 0.5 if measure in {"yaw", "roll", "eye_distance"} else 0.001  # degrees and pixels, or shares
        assert found.measures[measure] == pytest.approx(value, rel=0.03, abs=apart), measure
    assert found.score > 0.9
