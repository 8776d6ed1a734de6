from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from facealike.errors import UsageError
from facealike.imaging.align import (
    DLIB_CHIP_SIZE,
    DLIB_CHIP_TEMPLATE,
    TEMPLATE_112,
    align,
    box_crop,
    chip_matrix,
    landmark_matrix,
)
from facealike.imaging.geometry import expand, similarity_transform, warp
from facealike.types import Box, Face

IDENTITY = np.array([[1.0, 0, 0], [0, 1, 0]])


def smooth(height: int = 60, width: int = 80, seed: int = 0) -> np.ndarray:
    """A picture of a few slow waves: what bilinear interpolation can follow."""
    y, x = np.mgrid[:height, :width].astype(float)
    random = np.random.default_rng(seed)
    channels = []
    for _ in range(3):
        fx, fy, phase = random.uniform(0.03, 0.12, 3) * (1, 1, 30)
        channels.append(127 + 120 * np.sin(fx * x + phase) * np.cos(fy * y + phase))
    return np.stack(channels, axis=2).round().astype(np.uint8)


def similarity(angle: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    c, s = scale * math.cos(angle), scale * math.sin(angle)
    return np.array([[c, -s, shift[0]], [s, c, shift[1]]])


def moved(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ matrix[:, :2].T + matrix[:, 2]


# --- the least-squares similarity -------------------------------------------------------------------


def slow_similarity(source: Any, target: Any) -> np.ndarray:
    """Umeyama 1991, equations 34 to 43, sum by sum; reflections are ruled out by his S."""
    n = len(source)
    mean = [[sum(p[k] for p in points) / n for k in range(2)] for points in (source, target)]
    variance = 0.0
    covariance = [[0.0, 0.0], [0.0, 0.0]]
    for p, q in zip(source, target, strict=True):
        for i in range(2):
            variance += (p[i] - mean[0][i]) ** 2 / n
            for j in range(2):
                covariance[i][j] += (q[i] - mean[1][i]) * (p[j] - mean[0][j]) / n
    u, d, vt = np.linalg.svd(np.array(covariance))
    s = np.eye(2)
    if np.linalg.det(u) * np.linalg.det(vt) < 0:
        s[1, 1] = -1
    rotation = u @ s @ vt
    scale = np.trace(np.diag(d) @ s) / variance
    shift = np.array(mean[1]) - scale * rotation @ np.array(mean[0])
    return np.column_stack([scale * rotation, shift])


points = hnp.arrays(np.float64, st.tuples(st.integers(2, 7), st.just(2)), elements=st.floats(-200, 200))
point_pairs = st.integers(2, 7).flatmap(
    lambda n: st.tuples(*(hnp.arrays(np.float64, (n, 2), elements=st.floats(-200, 200)) for _ in "ab"))
)


@given(point_pairs)
def test_similarity_agrees_with_its_slow_twin(pair: tuple[np.ndarray, np.ndarray]) -> None:
    source, target = pair
    assume(source.var(axis=0).sum() > 1e-2)
    np.testing.assert_allclose(
        similarity_transform(source, target), slow_similarity(source, target), atol=1e-6, rtol=1e-9
    )


@pytest.mark.parametrize("seed", range(20))
def test_similarity_agrees_with_scikit_image(seed: int) -> None:
    transform = pytest.importorskip("skimage.transform")
    random = np.random.default_rng(seed)
    source, target = random.normal(size=(2, 5, 2)) * 40 + 50
    theirs = transform.SimilarityTransform.from_estimate(source, target).params[:2]
    np.testing.assert_allclose(similarity_transform(source, target), theirs, atol=1e-8)


@given(points, st.floats(-math.pi, math.pi), st.floats(0.05, 20), st.tuples(*[st.floats(-500, 500)] * 2))
def test_similarity_recovers_any_similarity(
    source: np.ndarray, angle: float, scale: float, shift: tuple[float, float]
) -> None:
    assume(source.var(axis=0).sum() > 1e-2)
    matrix = similarity(angle, scale, shift)
    found = similarity_transform(source, moved(matrix, source))
    np.testing.assert_allclose(found, matrix, atol=1e-6 * (1 + np.abs(source).max() * scale))


@given(point_pairs)
def test_similarity_is_never_a_reflection_nor_a_shear(pair: tuple[np.ndarray, np.ndarray]) -> None:
    source, target = pair
    assume(source.var(axis=0).sum() > 1e-2)
    a, b, c, d = similarity_transform(source, target)[:, :2].ravel()
    assert np.linalg.det([[a, b], [c, d]]) >= -1e-9
    assert abs(a - d) < 1e-9 and abs(b + c) < 1e-9


def test_a_mirrored_face_is_turned_but_not_mirrored() -> None:
    mirrored = TEMPLATE_112 * (-1, 1) + (112, 0)  # the names of left and right kept as they were
    assert np.linalg.det(similarity_transform(mirrored, TEMPLATE_112)[:, :2]) > 0


@given(point_pairs, st.floats(-3, 3), st.floats(0.2, 5), st.randoms(use_true_random=False))
def test_similarity_follows_the_target_and_ignores_the_order(
    pair: tuple[np.ndarray, np.ndarray], angle: float, scale: float, shuffler: Any
) -> None:
    source, target = pair
    assume(source.var(axis=0).sum() > 1e-2 and slow_gap(source, target) > 1e-2)
    found = similarity_transform(source, target)
    order = list(range(len(source)))
    shuffler.shuffle(order)
    np.testing.assert_allclose(similarity_transform(source[order], target[order]), found, atol=1e-6)
    # Moving the target by a similarity moves the answer by the same one.
    after = similarity(angle, scale, (3.0, -4.0))
    expected = np.column_stack([after[:, :2] @ found[:, :2], moved(after, found[:, 2])])
    np.testing.assert_allclose(similarity_transform(source, moved(after, target)), expected, atol=1e-5)


def slow_gap(source: np.ndarray, target: np.ndarray) -> float:
    """How far from a tie between turns the pair is: where the gap is 0 every rotation fits as well."""
    a, b = source - source.mean(axis=0), target - target.mean(axis=0)
    return float(np.hypot((a * b).sum(), (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()) / len(a))


@pytest.mark.parametrize("seed", range(5))
def test_no_similarity_nearby_fits_better(seed: int) -> None:
    random = np.random.default_rng(seed)
    source = random.normal(size=(5, 2)) * 30
    target = source @ [[0.3, 0.8], [-0.9, 0.4]] + random.normal(size=(5, 2)) * 5
    best = similarity_transform(source, target)
    error = ((moved(best, source) - target) ** 2).sum()
    for _ in range(200):
        nudge = similarity(random.normal() * 0.02, 1 + random.normal() * 0.02, tuple(random.normal(size=2)))
        other = np.column_stack([nudge[:, :2] @ best[:, :2], moved(nudge, best[:, 2])])
        assert ((moved(other, source) - target) ** 2).sum() >= error


@pytest.mark.parametrize(
    ("source", "target", "says"),
    [
        (np.zeros((5, 2)), TEMPLATE_112, "all lie on one point"),
        (TEMPLATE_112[:4], TEMPLATE_112, "two equal sets"),
        (TEMPLATE_112[:1], TEMPLATE_112[:1], "at least two points"),
        (np.zeros((5, 3)), np.zeros((5, 3)), "two equal sets"),
        (np.zeros(10), np.zeros(10), "two equal sets"),
        (np.where(TEMPLATE_112 > 92, np.nan, TEMPLATE_112), TEMPLATE_112, "finite"),
        (TEMPLATE_112, TEMPLATE_112 * np.inf, "finite"),
    ],
)
def test_points_that_fit_no_similarity(source: np.ndarray, target: np.ndarray, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        similarity_transform(source, target)


# --- warp -------------------------------------------------------------------------------------------


def slow_bilinear(image: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """Each pixel of the crop looked up in the photo; NaN where that is not well inside it."""
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
    height, width = image.shape[:2]
    crop = np.full((size, size, 3), np.nan)
    for row in range(size):
        for column in range(size):
            x, y, _ = inverse @ (column, row, 1)
            left, top = math.floor(x), math.floor(y)
            if not (0 <= left < width - 1 and 0 <= top < height - 1):
                continue
            dx, dy = x - left, y - top
            crop[row, column] = (
                (1 - dx) * (1 - dy) * image[top, left] + dx * (1 - dy) * image[top, left + 1]
                + (1 - dx) * dy * image[top + 1, left] + dx * dy * image[top + 1, left + 1]
            )  # fmt: skip
    return crop


def test_the_identity_changes_nothing() -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    np.testing.assert_array_equal(warp(image, IDENTITY, 32), image)


@pytest.mark.parametrize(("x", "y"), [(5, 0), (0, 7), (-3, 4), (-40, 0)])
def test_a_whole_shift_moves_pixels_and_leaves_black(x: int, y: int) -> None:
    image = np.random.default_rng(1).integers(1, 256, (32, 32, 3), dtype=np.uint8)
    expected = np.zeros_like(image)
    for row in range(32):
        for column in range(32):
            if 0 <= row - y < 32 and 0 <= column - x < 32:
                expected[row, column] = image[row - y, column - x]
    np.testing.assert_array_equal(warp(image, [[1, 0, x], [0, 1, y]], 32), expected)


@settings(max_examples=25, deadline=None)
@given(
    st.floats(-math.pi, math.pi), st.floats(0.6, 4), st.tuples(st.floats(-60, 60), st.floats(-60, 60)),
    st.integers(0, 3),
)  # fmt: skip
def test_warp_agrees_with_a_slow_bilinear_look_up(
    angle: float, scale: float, shift: tuple[float, float], seed: int
) -> None:
    image, matrix = smooth(seed=seed), similarity(angle, scale, shift)
    expected = slow_bilinear(image, matrix, 24)
    inside = np.isfinite(expected)
    difference = np.abs(warp(image, matrix, 24).astype(float) - expected)[inside]
    assert difference.size == 0 or difference.max() <= 1.01  # Pillow rounds at two steps


@pytest.mark.parametrize("seed", range(8))
def test_warp_agrees_with_opencv(seed: int) -> None:
    cv2 = pytest.importorskip("cv2")
    random = np.random.default_rng(seed)
    image = smooth(120, 150, seed)
    angle, scale = random.uniform(-3, 3), random.uniform(0.7, 3)
    turn = similarity(angle, scale, (0, 0))
    turn[:, 2] = (40, 40) - turn[:, :2] @ (75, 60) + random.uniform(-10, 10, 2)
    theirs = cv2.warpAffine(image, turn, (80, 80), flags=cv2.INTER_LINEAR)
    mask = cv2.warpAffine(np.full((120, 150), 255, np.uint8), turn, (80, 80), flags=cv2.INTER_NEAREST)
    # At the photo's very edge the two differ: OpenCV fades into the black, Pillow does not.
    inside = cv2.erode(mask, np.ones((5, 5), np.uint8), borderValue=0) == 255
    ours = warp(image, turn, 80)
    assert inside.sum() > 2000
    difference = ours[inside].astype(int) - theirs[inside]
    # OpenCV works in 1/32 of a pixel and rounds; Pillow cuts fractions off, half a step on average.
    assert np.abs(difference).max() <= 3 and np.abs(difference).mean() < 0.7
    # The shift of half a pixel, which is what tells one convention from another, would show.
    shifted = warp(image, np.add(turn, [0, 0, 0.5]), 80)
    assert (shifted[inside].astype(int) - theirs[inside]).std() > 1.5 * difference.std()


@pytest.mark.parametrize("factor", [2, 3, 4, 7])
def test_shrinking_averages_fine_detail_away(factor: int) -> None:
    side = 16 * factor
    checkers = np.indices((side, side)).sum(axis=0) % 2 * 255
    image = np.repeat(checkers[:, :, None], 3, axis=2).astype(np.uint8)
    shrunk = warp(image, IDENTITY / factor, 16)
    # An even block holds as much black as white; an odd one has one pixel more of either.
    assert np.abs(shrunk.astype(float) - 127.5).max() <= 0.5 + 127.5 / factor**2 * (factor % 2)


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_a_block_average_stays_centred(factor: int) -> None:
    """Shrinking by whole blocks: pixel i of the crop is the mean of block i, no half block off."""
    image = smooth(16 * factor, 16 * factor)
    matrix = np.array([[1, 0, (1 - factor) / 2], [0, 1, (1 - factor) / 2]]) / factor
    expected = image.reshape(16, factor, 16, factor, 3).mean(axis=(1, 3))
    assert np.abs(warp(image, matrix, 16) - expected).max() <= 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 3)])
@pytest.mark.parametrize("scale", [0.01, 0.3, 1, 20])
def test_tiny_photos_give_a_crop(shape: tuple[int, int], scale: float) -> None:
    image = np.full((*shape, 3), 200, dtype=np.uint8)
    crop = warp(image, similarity(0.1, scale, (4, 4)), 8)
    assert crop.shape == (8, 8, 3) and crop.dtype == np.uint8
    assert set(np.unique(crop)) <= {0, *range(195, 201)}


@pytest.mark.parametrize(
    "matrix",
    [
        np.zeros((2, 3)), np.full((2, 3), np.nan), [[np.inf, 0, 0], [0, 1, 0]], [[1, 0, np.inf], [0, 1, 0]],
        [[1, 1, 0], [1, 1, 0]], [[1e-9, 0, 0], [0, 1e-9, 0]],
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("error")
def test_a_transform_that_makes_no_crop(matrix: Any) -> None:
    with pytest.raises(UsageError, match="finite and invertible"):
        warp(smooth(), matrix, 8)


# --- crops by landmarks -----------------------------------------------------------------------------


def face_at(matrix: np.ndarray, size: float = 112) -> Face:
    landmarks = moved(matrix, TEMPLATE_112 * size / 112)
    return Face(Box(0, 0, 10, 10), 1.0, tuple((float(x), float(y)) for x, y in landmarks))


@pytest.mark.parametrize("size", [32, 112, 160])
def test_landmarks_land_on_the_template(size: int) -> None:
    face = face_at(similarity(0.4, 1.7, (30, 20)))
    assert face.landmarks is not None
    found = moved(landmark_matrix(face, size), np.array(face.landmarks))
    np.testing.assert_allclose(found, TEMPLATE_112 * size / 112, atol=1e-9)


@pytest.mark.parametrize("context", [0.1, 0.25, 1.0])
@pytest.mark.parametrize("size", [31, 112])
def test_context_shows_that_part_more_on_each_side(size: int, context: float) -> None:
    """What was at the edge of the usual crop is now that far from the edge, and the middle stays."""
    face = face_at(similarity(0.4, 1.7, (30, 20)))
    usual, wide = landmark_matrix(face, size), landmark_matrix(face, size, context)
    back = np.linalg.inv(usual[:, :2])
    for usual_corner in [(-0.5, -0.5), (size - 0.5, -0.5), (-0.5, size - 0.5), (size - 0.5, size - 0.5)]:
        in_photo = back @ (np.array(usual_corner) - usual[:, 2])
        found = wide[:, :2] @ in_photo + wide[:, 2]
        edge = context / (1 + 2 * context) * size  # of the crop as it is now, on each side
        expected = [edge - 0.5 if at < 0 else size - edge - 0.5 for at in usual_corner]
        np.testing.assert_allclose(found, expected, atol=1e-9)


def test_no_context_is_the_usual_crop_to_the_last_bit() -> None:
    image, face = smooth(120, 120), face_at(similarity(0.2, 0.8, (20, 20)))
    assert np.array_equal(landmark_matrix(face, 80, 0.0), landmark_matrix(face, 80))
    assert np.array_equal(align(image, face, 80, context=0.0), align(image, face, 80))
    assert not np.array_equal(align(image, face, 80, context=0.2), align(image, face, 80))
    boxes = [align(image, face, 80, "box", context=context) for context in (0.0, 0.5)]
    assert np.array_equal(*boxes), "context is a matter of landmarks"


@pytest.mark.parametrize("size", [75, 150, 224])
def test_landmarks_land_on_the_template_of_dlibs_chips(size: int) -> None:
    shape = DLIB_CHIP_TEMPLATE
    placed = moved(similarity(-0.3, 0.9, (50, 10)), shape)
    face = Face(Box(0, 0, 10, 10), 1.0, tuple((float(x), float(y)) for x, y in placed))
    found = moved(chip_matrix(face, size), placed)
    # A pixel's edges, not its centre, scale with the picture.
    np.testing.assert_allclose((found + 0.5) / size, (shape + 0.5) / DLIB_CHIP_SIZE, atol=1e-9)
    image = smooth(200, 200)
    np.testing.assert_array_equal(
        align(image, face, size, "chip"), warp(image, chip_matrix(face, size), size)
    )


def test_a_turned_photo_gives_the_same_crop() -> None:
    """The point of aligning: where and how large and how tilted the face is does not show."""
    image = smooth(200, 200)
    placed = similarity(0, 1, (40, 40))
    straight = align(image, face_at(placed), 112)
    turn = similarity(0.5, 1.3, (60, -40))
    turned = warp(image, turn, 300)
    again = align(turned, face_at(np.column_stack([turn[:, :2], moved(turn, placed[:, 2])])), 112)
    inside = (slice(8, -8), slice(8, -8))
    assert np.abs(again[inside].astype(int) - straight[inside]).max() <= 4


def test_a_face_without_landmarks_is_not_aligned_by_them() -> None:
    with pytest.raises(UsageError, match="no landmarks"):
        align(smooth(), Face(Box(0, 0, 10, 10), 1.0), 32)
    with pytest.raises(UsageError, match="no landmarks"):
        align(smooth(), Face(Box(0, 0, 10, 10), 1.0), 32, "chip")


# --- crops by the box -------------------------------------------------------------------------------

corners = st.integers(-50, 120)


@given(st.floats(-10, 10), st.floats(-10, 10), st.floats(0.1, 50), st.floats(0.1, 50), st.floats(0, 4))
def test_expand_adds_the_margin_on_every_side(
    left: float, top: float, width: float, height: float, margin: float
) -> None:
    wide = expand(Box(left, top, left + width, top + height), margin)
    assert wide.width == pytest.approx(width * (1 + 2 * margin))
    assert wide.height == pytest.approx(height * (1 + 2 * margin))
    assert wide.center == pytest.approx((left + width / 2, top + height / 2), abs=1e-9)


def test_a_box_of_the_crops_own_size_is_cut_out() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    for edge in ("pad", "clip"):
        crop = box_crop(image, Box(10, 5, 42, 37), 32, margin=0, edge=edge)  # type: ignore[arg-type]
        np.testing.assert_array_equal(crop, image[5:37, 10:42])


def test_the_margin_is_a_share_of_the_box() -> None:
    image = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    crop = box_crop(image, Box(20, 20, 40, 40), 28, margin=0.2)
    np.testing.assert_array_equal(crop, image[16:44, 16:44])


@settings(max_examples=60)
@given(corners, corners, st.integers(2, 60), st.sampled_from([0.0, 0.25, 0.5]))
def test_pad_is_a_cut_of_the_photo_in_black(left: int, top: int, half: int, margin: float) -> None:
    """Against padding the whole photo first, for boxes inside, across and beyond its border."""
    image = np.random.default_rng(0).integers(1, 256, (50, 70, 3), dtype=np.uint8)
    side = 4 * half
    wide = int(side * (1 + 2 * margin))
    padded = np.zeros((50 + 1000, 70 + 1000, 3), dtype=np.uint8)
    padded[500:550, 500:570] = image
    start_x, start_y = left + 500 - int(side * margin), top + 500 - int(side * margin)
    expected = padded[start_y : start_y + wide, start_x : start_x + wide]
    crop = box_crop(image, Box(left, top, left + side, top + side), wide, margin)
    np.testing.assert_array_equal(crop, expected)


def test_pad_keeps_proportions_and_clip_does_not() -> None:
    image = smooth(100, 100)
    disc = np.hypot(*(np.indices((100, 100)) - 49.5)) < 20
    image[:] = np.where(disc[:, :, None], 255, 60)
    tall = Box(25, 10, 75, 90)  # 50 wide, 80 high
    crop = box_crop(image, tall, 80, margin=0) > 150
    assert crop[:, 40, 0].sum() == pytest.approx(crop[40, :, 0].sum(), abs=1) == pytest.approx(40, abs=1)
    stretched = box_crop(image, tall, 80, margin=0, edge="clip") > 150
    assert stretched[40, :, 0].sum() == pytest.approx(40 * 80 / 50, abs=2)


def test_clip_cuts_at_the_border_and_shows_no_black() -> None:
    image = np.full((40, 40, 3), 200, dtype=np.uint8)
    box = Box(-20, -20, 30, 30)
    assert box_crop(image, box, 32, edge="clip").min() == 200
    padded = box_crop(image, box, 32, edge="pad")
    assert padded[:8].max() == 0 and padded[-1, -1, 0] == 200


def test_a_box_beyond_the_photo() -> None:
    image = np.full((40, 40, 3), 200, dtype=np.uint8)
    outside = Box(100, 100, 140, 140)
    assert box_crop(image, outside, 16).max() == 0
    with pytest.raises(UsageError, match="outside the photo"):
        box_crop(image, outside, 16, edge="clip")


@pytest.mark.parametrize("edge", ["pad", "clip"])
def test_a_huge_box_on_a_tiny_photo(edge: Any) -> None:
    image = np.full((3, 2, 3), 200, dtype=np.uint8)
    crop = box_crop(image, Box(-500, -500, 500, 500), 16, edge=edge)
    assert crop.shape == (16, 16, 3)
    if edge == "clip":
        assert crop.min() == 200


def test_align_by_the_box_is_box_crop() -> None:
    image = smooth()
    face = Face(Box(10, 10, 40, 45), 0.5)
    np.testing.assert_array_equal(
        align(image, face, 24, "box", 0.3, "clip"), box_crop(image, face.box, 24, 0.3, "clip")
    )
