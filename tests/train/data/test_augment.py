"""Augmentation: strength zero changes nothing, and each part does what its word says, image by image."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import torch
from torch import Tensor

from facealike.train.data.augment import Augmentation, mix
from facealike.train.recipe.schema import AugmentSpec

NOTHING = AugmentSpec(flip=0.0, rotation=0.0)
EVERYTHING: dict[str, float] = {
    "flip": 0.5, "rotation": 20.0, "scale": 0.2, "shift": 0.1, "bend": 0.05, "brightness": 0.5,
    "contrast": 0.5, "saturation": 0.5, "gray": 0.3, "blur": 0.5, "low_resolution": 0.5, "cutout": 0.5,
    "noise": 20.0,
}  # fmt: skip
PARTS = [
    {"flip": 1.0, **{name: value}} if name != "flip" else {name: 1.0} for name, value in EVERYTHING.items()
]


def spec(**strengths: float) -> AugmentSpec:
    return AugmentSpec(**{"flip": 0.0, "rotation": 0.0, **strengths})


def apply(images: Tensor, seed: int = 0, **strengths: float) -> Tensor:
    return Augmentation(spec(**strengths))(images, torch.Generator().manual_seed(seed))


def photos(count: int = 6, side: int = 24, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, side, side), generator=generator).float()


def ramps(count: int, side: int = 40, low: float = 100, slope: float = 1.0) -> Tensor:
    """Images that rise evenly from left to right: what moves them can be read off their pixels."""
    row = low + slope * torch.arange(side)
    return row.expand(count, 3, side, side).clone()


def gradients(images: Tensor, edge: int) -> tuple[Tensor, Tensor]:
    """The slope to the right and downwards of each image, away from the border."""
    inner = images[:, 0, edge:-edge, edge:-edge]
    return inner.diff(dim=2).mean(dim=(1, 2)), inner.diff(dim=1).mean(dim=(1, 2))


def test_bend_moves_smoothly() -> None:
    ramp = ramps(8, 150, 0.0)  # each pixel says which column it came from
    bent = apply(ramp, 2, bend=0.02)
    shift = (bent - ramp)[:, 0, 20:-20, 20:-20]
    assert 0.5 < float(shift.std()) < 2 * 0.02 * 150  # pixels
    assert float((shift[:, :, 1:] - shift[:, :, :-1]).abs().max()) < 0.5  # neighbours move alike
    assert not torch.equal(bent[0], bent[1])


# ---- what holds for all of it -----------------------------------------------------------------


def test_strength_zero_changes_not_a_bit() -> None:
    images = photos()
    assert torch.equal(Augmentation(NOTHING)(images, torch.Generator().manual_seed(1)), images)


@pytest.mark.parametrize("name", [name for name in EVERYTHING if name != "flip"])
def test_each_part_changes_images(name: str) -> None:
    images = photos(16)
    assert not torch.equal(apply(images, **{name: EVERYTHING[name]}), images)


@pytest.mark.parametrize("strengths", [*PARTS, EVERYTHING, dict.fromkeys(EVERYTHING, 1.0)])
@pytest.mark.parametrize(("count", "side"), [(1, 32), (7, 33), (3, 45)])
def test_shape_range_and_an_input_left_alone(strengths: dict[str, float], count: int, side: int) -> None:
    images = photos(count, side)
    before = images.clone()
    result = apply(images, 3, **strengths)
    assert result.shape == images.shape
    assert result.dtype == torch.float32
    assert torch.isfinite(result).all()
    assert result.min() >= 0
    assert result.max() <= 255
    assert torch.equal(images, before)


@pytest.mark.parametrize("value", [0.0, 255.0])
def test_the_range_holds_at_its_ends(value: float) -> None:
    result = apply(torch.full((20, 3, 16, 16), value), 1, **EVERYTHING)
    assert result.min() >= 0
    assert result.max() <= 255


def test_the_seed_decides() -> None:
    images = photos()
    assert torch.equal(apply(images, 5, **EVERYTHING), apply(images, 5, **EVERYTHING))
    assert not torch.equal(apply(images, 5, **EVERYTHING), apply(images, 6, **EVERYTHING))


def test_global_random_state_plays_no_part() -> None:
    torch.manual_seed(0)
    one = apply(photos(), 5, **EVERYTHING)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    assert torch.equal(apply(photos(), 5, **EVERYTHING), one)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("strengths", [*PARTS, EVERYTHING])
def test_no_image_shows_in_another(strengths: dict[str, float]) -> None:
    """Whatever stands beside it, an image at the same place in a batch becomes the same."""
    images, others = photos(6), photos(6, seed=9)
    others[[1, 4]] = images[[1, 4]]
    torch.testing.assert_close(
        apply(others, 2, **strengths)[[1, 4]], apply(images, 2, **strengths)[[1, 4]], rtol=0, atol=1e-3
    )


def test_every_image_draws_for_itself() -> None:
    images = photos(1).repeat(8, 1, 1, 1)
    result = apply(images, **EVERYTHING)
    assert len({image.numpy().tobytes() for image in result}) == 8


@pytest.mark.parametrize("name", ["gray", "blur", "low_resolution", "cutout", "flip"])
@pytest.mark.parametrize("count", [1, 2])
def test_a_chance_that_never_comes_changes_nothing(name: str, count: int) -> None:
    """Nobody in the batch is chosen; an empty selection is no error."""
    images = photos(count)
    torch.testing.assert_close(apply(images, **{name: 1e-9}), images, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["gray", "cutout", "blur", "low_resolution", "flip"])
def test_probabilities_are_met(name: str) -> None:
    images = photos(2000, 8)
    changed = (apply(images, **{name: 0.3}) - images).abs().amax(dim=(1, 2, 3)) > 1e-3
    assert 0.25 < float(changed.float().mean()) < 0.35


# ---- geometry ---------------------------------------------------------------------------------


def test_flip_is_a_mirror_image() -> None:
    images = photos(5)
    assert torch.equal(apply(images, flip=1.0), images.flip(3))


def test_flip_together_with_a_rotation_of_almost_nothing() -> None:
    images = photos(5)
    torch.testing.assert_close(apply(images, flip=1.0, rotation=1e-6), images.flip(3), rtol=0, atol=0.01)


def test_rotation_turns_by_up_to_its_angle_either_way() -> None:
    right, down = gradients(apply(ramps(300), rotation=15.0), 12)
    angles = torch.rad2deg(torch.atan2(down, right))
    torch.testing.assert_close(torch.hypot(right, down), torch.ones(300), rtol=0, atol=1e-3)
    assert -15.01 < float(angles.min()) < -13
    assert 13 < float(angles.max()) < 15.01
    assert float(angles.abs().min()) < 2


def test_rotation_against_scipy() -> None:
    """The angle is read off a ramp that was turned with the same draw; SciPy then turns a photo."""
    side = 41
    y, x = np.mgrid[:side, :side]
    smooth = 120 + 60 * np.sin(x / 6) + 50 * np.cos(y / 5 + 1)
    batch = torch.tensor(smooth, dtype=torch.float32).expand(6, 3, side, side).clone()
    turned = apply(batch, 4, rotation=25.0)
    right, down = gradients(apply(ramps(6, side), 4, rotation=25.0), 12)
    inner = (x - side // 2) ** 2 + (y - side // 2) ** 2 < 14**2
    for k in range(6):
        degrees = math.degrees(math.atan2(float(down[k]), float(right[k])))
        expected = scipy.ndimage.rotate(smooth, -degrees, reshape=False, order=1)
        wrong_way = scipy.ndimage.rotate(smooth, degrees, reshape=False, order=1)
        found = turned[k, 0].numpy()
        assert np.abs(found - expected)[inner].max() < 0.1
        assert abs(degrees) < 3 or np.abs(found - wrong_way)[inner].max() > 5


def test_a_mirror_image_is_turned_not_sheared() -> None:
    right, down = gradients(apply(ramps(50), flip=1.0, rotation=20.0), 12)
    assert (right < 0).all()
    torch.testing.assert_close(torch.hypot(right, down), torch.ones(50), rtol=0, atol=1e-3)


def test_scale_stays_between_its_factor_and_the_inverse() -> None:
    right, down = gradients(apply(ramps(300), scale=0.25), 12)
    zoom = 1 / right
    assert 0.8 - 1e-3 < float(zoom.min()) < 0.82
    assert 1.22 < float(zoom.max()) < 1.25 + 1e-3
    torch.testing.assert_close(down, torch.zeros(300), rtol=0, atol=1e-3)


def test_rotation_and_scale_together_keep_right_angles() -> None:
    """The same draws turn a ramp to the right and one downwards alike."""
    along, across = ramps(40), ramps(40).transpose(2, 3).contiguous()
    a = torch.stack(gradients(apply(along, 2, rotation=20.0, scale=0.25, flip=0.5), 12))
    b = torch.stack(gradients(apply(across, 2, rotation=20.0, scale=0.25, flip=0.5), 12))
    torch.testing.assert_close((a * b).sum(dim=0), torch.zeros(40), rtol=0, atol=1e-3)
    torch.testing.assert_close(a.norm(dim=0), b.norm(dim=0), rtol=1e-3, atol=0)
    assert float(a.norm(dim=0).std()) > 0.05, "they were scaled"


def test_shift_moves_by_up_to_its_part_of_the_side() -> None:
    side = 40
    image = torch.zeros(300, 3, side, side)
    image[:, :, 18:22, 18:22] = 200.0
    y, x = np.mgrid[:side, :side]
    moved = apply(image, shift=0.1)[:, 0].double().numpy()
    offset = np.stack([(moved * axis).sum(axis=(1, 2)) / moved.sum(axis=(1, 2)) for axis in (x, y)]) - 19.5
    assert np.abs(offset).max() < 4.001
    assert (offset.max(axis=1) > 3.8).all()
    assert (offset.min(axis=1) < -3.8).all()
    assert abs(np.corrcoef(offset)[0, 1]) < 0.2, "both directions are drawn apart"


def test_borders_are_continued() -> None:
    """No black corners: a plain image stays plain."""
    plain = torch.full((10, 3, 20, 20), 90.0)
    torch.testing.assert_close(apply(plain, rotation=45.0, shift=0.3, scale=0.5), plain, rtol=0, atol=1e-3)


# ---- colour -----------------------------------------------------------------------------------


def test_brightness_multiplies() -> None:
    images = photos(200) / 2
    factor = apply(images, brightness=0.4) / images
    inner = factor.flatten(1).nanmedian(dim=1).values
    torch.testing.assert_close(apply(images, brightness=0.4), images * inner.view(-1, 1, 1, 1))
    assert 0.6 - 1e-4 < float(inner.min()) < 0.63
    assert 1.37 < float(inner.max()) < 1.4 + 1e-4


def test_contrast_keeps_the_mean() -> None:
    images = 110 + photos(100) / 10
    result = apply(images, contrast=0.5)
    torch.testing.assert_close(result.mean(dim=(1, 2, 3)), images.mean(dim=(1, 2, 3)))
    ratio = result.flatten(1).std(dim=1) / images.flatten(1).std(dim=1)
    assert 0.5 - 1e-3 < float(ratio.min()) < 0.55
    assert 1.45 < float(ratio.max()) < 1.5 + 1e-3


def test_saturation_keeps_the_grey_of_each_pixel() -> None:
    images = 100 + photos(50) / 10
    result = apply(images, saturation=0.5)
    torch.testing.assert_close(result.mean(dim=1), images.mean(dim=1))
    assert not torch.equal(result, images)


def test_grey_is_the_mean_of_the_channels() -> None:
    images = photos(4)
    expected = images.mean(dim=1, keepdim=True).expand_as(images)
    torch.testing.assert_close(apply(images, gray=1.0), expected)


def test_noise_has_no_mean_and_no_more_than_its_deviation() -> None:
    noise = apply(torch.full((200, 3, 24, 24), 128.0), noise=10.0) - 128
    assert abs(float(noise.mean())) < 0.1
    deviation = noise.flatten(1).std(dim=1)
    assert float(deviation.max()) < 10.8
    assert float(deviation.max()) > 9
    assert float(deviation.min()) < 1


# ---- sharpness and occlusion ------------------------------------------------------------------


def test_blur_against_scipy() -> None:
    """A mixture of the image and its 3 x 3 mean, at least three tenths of the latter."""
    images = photos(8)
    result = apply(images, blur=1.0).numpy()
    for image, blurred in zip(images.numpy(), result, strict=True):
        soft = np.stack([scipy.ndimage.uniform_filter(channel, 3, mode="nearest") for channel in image])
        toward = soft - image
        weight = float((toward * (blurred - image)).sum() / (toward**2).sum())
        assert 0.3 <= weight <= 1.0
        np.testing.assert_allclose(blurred, image + weight * toward, atol=1e-3)


def test_low_resolution_loses_detail_and_keeps_the_mean() -> None:
    board = ((torch.arange(32)[:, None] + torch.arange(32)) % 2 * 255.0).expand(6, 3, 32, 32).clone()
    result = apply(board, low_resolution=1.0)
    assert float(result.std()) < 0.5 * float(board.std())
    torch.testing.assert_close(result.mean(dim=(1, 2, 3)), torch.full((6,), 127.5), rtol=0, atol=4)
    plain = torch.full((2, 3, 32, 32), 70.0)
    torch.testing.assert_close(apply(plain, low_resolution=1.0), plain)


def test_cutout_is_one_rectangle_of_one_grey() -> None:
    side, images = 50, torch.full((200, 3, 50, 50), 300.0)  # brighter than any hole can be
    result = Augmentation(spec(cutout=1.0))(images, torch.Generator().manual_seed(0))
    areas: list[Any] = []
    for image in result:
        hole = (image != 255.0).all(dim=0)  # the rest is cut down to the range
        rows, columns = hole.any(dim=1).nonzero().flatten(), hole.any(dim=0).nonzero().flatten()
        box = image[:, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert int(hole.sum()) == box[0].numel(), "a full rectangle"
        assert len(box.unique()) == 1
        assert max(len(rows), len(columns)) <= 0.44 * side + 1
        areas.append(int(hole.sum()) / side**2)
    assert 0.03 < float(np.mean(areas)) < 0.12
    assert max(areas) <= 0.46**2


# ---- mixup ------------------------------------------------------------------------------------


def test_mixed_images_are_two_images_in_their_shares() -> None:
    images = photos(9)
    before = images.clone()
    mixed, partner, share = mix(images, 0.4, torch.Generator().manual_seed(3))
    assert 0 < share < 1
    assert sorted(partner.tolist()) == list(range(9))
    for k in range(9):
        expected = share * before[k] + (1 - share) * before[partner[k]]
        torch.testing.assert_close(mixed[k], expected, rtol=0, atol=1e-3)
    assert torch.equal(images, before)


def test_shares_follow_the_beta_distribution() -> None:
    images = photos(2, 2)
    shares = [mix(images, 0.5, torch.Generator().manual_seed(seed))[2] for seed in range(800)]
    assert np.mean(shares) == pytest.approx(0.5, abs=0.05)
    assert np.var(shares) == pytest.approx(1 / 8, abs=0.02), "1 / (4 (2 alpha + 1))"
