"""``explain``: the map of a model that reads one place has that place, and the numbers mean what they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from facealike import Explanation, Model, NoFaceFound, UsageError, compare, default_detector, explain
from facealike.calibration.calibration import Calibration
from facealike.calibration.nearby_pairs import nearby_pairs
from facealike.calibration.operating_points import OperatingPoint
from facealike.imaging.align import align, crop_landmarks
from facealike.metrics.similarity import unit_rows
from facealike.plotting.explanation import map_over, scale_of
from facealike.types import Box, Face, Image
from facealike.verification.explanation import RegionFall, explanation_sentence
from facealike.verification.face_regions import REGIONS, region_masks
from facealike.verification.occlusion import covered, fill_of, occlusion_map, patch_masks, score_falls
from support.tiny_model import tiny_model_file

SIZE = 32
SHOWN = slice(11, 18), slice(5, 16)  # rows and columns: where the eye on the image's left is


class OnePlaceModel(Model):
    """Embeds the pixels of ``SHOWN``, less a constant, and nothing else."""

    def embed_crops(self, crops: Image, batch: int = 64) -> Any:
        place = crops[(slice(None), *SHOWN)].reshape(len(crops), -1).astype(np.float64)
        return unit_rows(np.concatenate([place - 100, np.ones((len(crops), 1))], axis=1)).astype(np.float32)


@pytest.fixture(scope="module")
def model() -> Model:
    detector = default_detector()
    file = tiny_model_file(
        SIZE, "landmarks", detector_spec=detector.spec, detector_weights=detector.weights
    )  # fmt: skip
    return OnePlaceModel(file, device="cpu")


def noise(seed: int, share: float = 0.3) -> Image:
    """A crop of fine noise, of which ``share`` is its own; the rest is common to all."""
    common, own = (np.random.default_rng(k).integers(0, 256, (SIZE, SIZE, 3)) for k in (0, seed))
    return np.rint((1 - share) * common + share * own).astype(np.uint8)


A, B = noise(1), noise(2)


def test_the_map_has_the_place_that_the_model_reads(model: Model) -> None:
    result = explain(A, B, model, aligned=True)
    for each in result.maps:
        assert each.shape == (SIZE, SIZE) and each.dtype == np.float32
        inside = np.zeros((SIZE, SIZE), bool)
        inside[SHOWN] = True
        assert inside.flat[each.argmax()], "the place itself"
        assert each[inside].min() > each[28:].max() and each[inside].mean() > 2 * each[~inside].mean()
    falls = {region.name: region.falls for region in result.regions}
    assert min(falls["eyes"]) > 0.1 and max(map(abs, falls["chin"] + falls["mouth"])) < 0.01
    assert "the eyes carry the score in both photos" in result.sentence


def test_the_comparison_is_that_of_compare(model: Model) -> None:
    result, compared = explain(A, B, model, aligned=True), compare(A, B, model, aligned=True)
    assert result.comparison.score == compared.score and result.comparison.same == compared.same
    assert "explain" in result.comparison.milliseconds


def test_the_order_of_the_photos_swaps_the_maps(model: Model) -> None:
    there, back = explain(A, B, model, aligned=True), explain(B, A, model, aligned=True)
    for mine, theirs in zip(there.maps, back.maps[::-1], strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)
    for one, other in zip(there.regions, back.regions, strict=True):
        assert one.falls == pytest.approx(other.falls[::-1], abs=1e-6)


def test_a_fall_is_the_score_less_that_with_the_place_covered(model: Model) -> None:
    """The slow way: cover one patch by hand, and embed."""
    vectors = model.embed_crops(np.stack([A, B])).astype(np.float64)
    masks = patch_masks(SIZE)
    falls = score_falls(
        A, vectors[0].astype(np.float32), vectors[1].astype(np.float32), masks, model.embed_crops
    )
    blurred = fill_of(A)
    for k in (0, 17, 50, len(masks) - 1):
        pixels = A.copy()
        for row, column in np.argwhere(masks[k] > 0):
            share = float(masks[k][row, column])
            pixels[row, column] = np.rint((1 - share) * A[row, column] + share * blurred[row, column])
        with_patch = float(model.embed_crops(pixels[None])[0].astype(np.float64) @ vectors[1])
        assert falls[k] == pytest.approx(float(vectors[0] @ vectors[1]) - with_patch, abs=2e-3)


def test_patches_reach_every_pixel_and_a_map_of_equal_falls_is_flat() -> None:
    for size in (32, 112, 150):
        masks = patch_masks(size)
        assert masks.min() >= 0 and masks.max() <= 1 and masks.sum(axis=0).min() > 0
        np.testing.assert_allclose(occlusion_map(np.full(len(masks), 0.25), size), 0.25, atol=1e-6)


def test_covering_leaves_the_rest_as_it_is() -> None:
    mask = np.zeros((1, SIZE, SIZE), np.float32)
    mask[0, :8] = 1
    made = covered(A, mask, fill_of(A, "mean"))[0]
    assert (made[8:] == A[8:]).all() and (made[:8] == A.mean(axis=(0, 1)).round()).all()


def test_the_regions_share_out_the_crop() -> None:
    landmarks = crop_landmarks(None, 112)
    assert landmarks is not None
    masks = region_masks(landmarks, 112)
    assert masks is not None
    np.testing.assert_allclose(masks.sum(axis=0), 1, atol=0.02)
    at = dict(zip(REGIONS, masks, strict=True))
    for name, points in {"eyes": landmarks[:2], "nose": landmarks[2:3], "mouth": landmarks[3:]}.items():
        for x, y in points.round().astype(int):
            assert at[name][y, x] > 0.9, name
    assert at["surroundings"][60, 1] > 0.9 and at["forehead"][10, 56] > 0.9 and at["chin"][110, 56] > 0.9
    assert region_masks(landmarks[[0, 0, 0, 0, 0]], 112) is None
    assert region_masks(landmarks[[3, 4, 2, 0, 1]], 112) is None, "a mouth above the eyes"


def test_landmarks_follow_the_face_into_its_crop() -> None:
    """White dots at the landmarks of a photo are where ``crop_landmarks`` says, for each way to align."""
    points = ((70.0, 80.0), (130.0, 84.0), (99.0, 115.0), (76.0, 146.0), (122.0, 148.0))
    photo = np.zeros((240, 200, 3), np.uint8)
    for x, y in points:
        photo[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2] = 255
    face = Face(Box(40, 40, 160, 190), 1.0, points)
    for method in ("landmarks", "chip", "box"):
        crop = align(photo, face, 200, method)  # type: ignore[arg-type]
        found = crop_landmarks(face, 200, method)  # type: ignore[arg-type]
        assert found is not None
        for x, y in found.round().astype(int):
            assert crop[y, x].min() > 128, method
    assert crop_landmarks(face, 200, "box", edge="clip") is None
    assert crop_landmarks(None, 200, "box") is None
    assert crop_landmarks(Face(Box(0, 0, 9, 9), 1.0), 200) is None


def test_sentences_name_what_the_numbers_carry() -> None:
    def regions(**falls: tuple[float, float]) -> tuple[RegionFall, ...]:
        return tuple(RegionFall(name, *falls.get(name, (0.0, 0.0))) for name in REGIONS)

    assert explanation_sentence((), 0.01).startswith("the landmarks of these faces are not known")
    assert explanation_sentence(regions(), 0.01) == "no single region carries the score"
    both = regions(eyes=(0.05, 0.06), nose=(0.03, 0.001), mouth=(-0.03, 0.0))
    assert explanation_sentence(both, 0.01) == (
        "the eyes carry the score in both photos; the nose only in the first photo; "
        "the mouth of the first photo lowers it"
    )
    assert explanation_sentence(both, 0.04) == "the eyes carry the score in both photos"
    masked = regions(eyes=(0.03, 0.16), mouth=(-0.026, -0.008))
    assert explanation_sentence(masked, 0.01) == (
        "the eyes carry the score in both photos; the mouth of the first photo lowers it"
    ), "each photo has its own largest fall"
    one = regions(nose=(0.03, 0.0), cheeks=(0.0, -0.02), forehead=(0.0, -0.005))
    assert explanation_sentence(one, 0.001) == (
        "the nose of the first photo carries the score; the cheeks of the second photo lower it"
    )


def test_the_pairs_nearby_are_what_the_calibration_states() -> None:
    points = tuple(
        OperatingPoint(fmr, at, fmr / 2, fmr * 2, fnmr, 1000)
        for fmr, at, fnmr in ((0.1, 0.4, 0.02), (0.01, 0.6, 0.1), (0.001, 0.8, 0.4))
    )
    tail = ((0.0, 0.9), (0.2, 0.5), (0.4, 0.1), (0.6, 0.01), (0.8, 0.001))
    calibration = Calibration(0.6, "FMR 0.01", "people", 100, {}, operating_points=points, tail=tail)
    near = nearby_pairs(calibration, 0.6)
    assert near is not None and (near.low, near.high) == pytest.approx((0.56, 0.64))
    low, high = calibration.fmr_of(near.low), calibration.fmr_of(near.high)
    assert low is not None and high is not None
    assert near.impostor == pytest.approx(low - high) and not near.impostor_is_bound
    assert near.genuine == pytest.approx((0.0, 0.4 - 0.02)), (
        "between 0.4 and 0.8, where the FNMR was measured"
    )
    above = nearby_pairs(calibration, 0.95)
    assert above is not None and above.impostor_is_bound and above.impostor == pytest.approx(0.001)
    assert above.genuine is None and "below 0.1 % of impostor pairs" in str(above)
    reaching = nearby_pairs(calibration, 0.79)
    assert reaching is not None and reaching.low < 0.8 < reaching.high
    assert reaching.impostor_is_bound and reaching.impostor == calibration.fmr_of(reaching.low)
    assert nearby_pairs(Calibration.none(), 0.5) is None


def test_pictures_json_and_plots(model: Model, tmp_path: Path) -> None:
    result = explain(A, B, model, aligned=True)
    assert isinstance(result, Explanation)
    told = json.loads(json.dumps(result.to_dict()))
    assert np.shape(told["maps"]) == (2, 15, 15) and [each["name"] for each in told["regions"]] == list(
        REGIONS
    )
    assert np.mean(told["maps"][0]) == pytest.approx(float(result.maps[0].mean()), rel=0.2)
    result.save_picture(tmp_path / "map.png")
    with PillowImage.open(tmp_path / "map.png") as picture:
        assert picture.size == result.picture().size
    with pytest.raises(UsageError, match=r"\.png"):
        result.save_picture(tmp_path / "map.txt")
    pytest.importorskip("matplotlib")
    assert len(result.plot().patches) >= 2 * len(REGIONS)


def test_the_colors_of_a_map_are_of_its_sign() -> None:
    gray = np.full((2, 2, 3), 128, np.uint8)
    made = map_over(gray, np.array([[0.02, -0.02], [0.0, 0.5]]), 0.02).astype(int)
    assert made[0, 0, 2] > made[0, 0, 0], "blue where it carries"
    assert made[0, 1, 0] > made[0, 1, 2], "vermilion where it lowers"
    assert made[1, 0].tolist() == [128] * 3 and (made[1, 1] == made[0, 0]).all(), "no stronger than the scale"


def test_small_falls_are_drawn_faint(model: Model) -> None:
    """Without a floor, noise would fill the scale as the eyes of a real face do."""
    result = explain(A, A, model, aligned=True)
    quiet = Explanation(result.comparison, result.crops, (np.zeros((SIZE, SIZE), np.float32),) * 2, (), 0.01)
    assert scale_of(quiet) == 0.01 < scale_of(result)
    assert "not known" in quiet.sentence and quiet.picture().width == result.picture().width


def test_bad_input_is_refused_as_compare_does(model: Model) -> None:
    with pytest.raises(UsageError, match="between -1 and 1"):
        explain(A, B, model, threshold=2, aligned=True)
    with pytest.raises(UsageError, match="choose largest, central or only"):
        explain(A, B, model, face="all", aligned=True)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="loaded on cpu already"):
        explain(A, B, model, device="cuda:0", aligned=True)
    real = Model.load(device="cpu")
    with pytest.raises(NoFaceFound):
        explain(np.full((90, 90, 3), 128, np.uint8), A, real)


def test_a_box_without_landmarks_has_a_map_and_no_regions() -> None:
    result = explain(A, B, Model(tiny_model_file(SIZE), device="cpu"), aligned=True)
    assert result.regions == () and result.maps[0].shape == (SIZE, SIZE)
