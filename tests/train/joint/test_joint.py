"""Distillation from several teachers: views, targets, the student, its training and its model."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

from facealike.errors import DataError
from facealike.imaging.align import DLIB_CHIP_TEMPLATE, TEMPLATE_112
from facealike.train.data.occlusion import compressed, masked, noisy, with_glasses
from facealike.train.joint.chips import pack_chips
from facealike.train.joint.student import StudentChanges
from facealike.train.joint.targets import (
    JointTarget,
    Rounds,
    part_path,
    store_targets,
    stored_parts,
)
from facealike.train.joint.views import ViewMaker, ViewSpec, chip_positions, draw_views, jittered
from support.joint_data import COUNT, TEACHERS, random_chips
from support.one_thread import one_thread  # noqa: F401 (a fixture)

STILL = ViewSpec(0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


@pytest.fixture(scope="module")
def chips() -> np.ndarray:
    return random_chips()


# Views. ---------------------------------------------------------------------------------------------


def test_a_view_is_the_same_wherever_it_is_asked_for(chips: np.ndarray) -> None:
    maker = ViewMaker(chips, ViewSpec())
    faces, numbers = np.array([3, 9, 9]), np.array([0, 0, 5])
    together, draw = maker.open(faces, numbers)
    together = maker.render(together, draw, "chip", 32)
    for row in range(3):
        alone, one = maker.open(faces[row : row + 1], numbers[row : row + 1])
        # Up to rounding, which depends on the processor and on how many pictures are drawn at once.
        torch.testing.assert_close(maker.render(alone, one, "chip", 32)[0], together[row], rtol=0, atol=0.01)
    assert (together[1] - together[2]).abs().mean() > 1  # another number is another view
    other = ViewMaker(chips, replace(ViewSpec(), seed=1))
    moved, draw = other.open(faces, numbers)
    assert (other.render(moved, draw, "chip", 32) - together).abs().mean() > 1


def test_without_change_a_view_is_the_chip(chips: np.ndarray) -> None:
    maker = ViewMaker(chips, STILL)
    opened, draw = maker.open(np.arange(4), np.zeros(4, int))
    # Half of all views are mirrored, whatever the strength.
    wanted = torch.from_numpy(chips[:4]).permute(0, 3, 1, 2).float()
    found = maker.render(opened, draw, "chip", 144)
    for row in range(4):
        mirrored = bool(draw.place[row, 0, 0] < 0)
        torch.testing.assert_close(
            found[row], wanted[row].flip(2) if mirrored else wanted[row], atol=2e-2, rtol=0
        )


def test_both_layouts_show_the_same_face_in_their_own_places() -> None:
    """A bright dot at each landmark of dlib's chip lies on the ArcFace template in a teacher's crop."""
    for point, wanted in zip(DLIB_CHIP_TEMPLATE, TEMPLATE_112, strict=True):
        chip = np.zeros((1, 150, 150, 3), np.uint8)
        x, y = np.round(point).astype(int)
        chip[0, y - 2 : y + 3, x - 2 : x + 3] = 255
        maker = ViewMaker(chip, STILL)
        number = next(
            n for n in range(9) if draw_views(np.zeros(1, int), np.array([n]), 1, STILL).place[0, 0, 0] > 0
        )
        opened, draw = maker.open(np.zeros(1, int), np.array([number]))
        crop = maker.render(opened, draw, "arcface", 112)[0, 0].numpy()
        rows, columns = np.indices(crop.shape)
        center = (crop * columns).sum() / crop.sum(), (crop * rows).sum() / crop.sum()
        np.testing.assert_allclose(center, wanted, atol=2)  # the templates differ in shape


def test_outside_the_chip_teachers_see_black_and_the_student_the_border() -> None:
    white = np.full((1, 144, 144, 3), 255, np.uint8)
    maker = ViewMaker(white, replace(STILL, shift=0.3))
    opened, draw = maker.open(np.zeros(1, int), np.array([1]))
    assert float(maker.render(opened, draw, "arcface", 112).min()) == 0
    assert float(maker.render(opened, draw, "chip", 112).min()) > 254
    assert chip_positions("arcface", 112)[:, 1].min() < -1.2  # above the chip, by more than a tenth of it


def test_a_student_is_aligned_a_little_worse_than_its_teachers(chips: np.ndarray) -> None:
    draw = draw_views(np.arange(9), np.zeros(9, int), COUNT, ViewSpec())
    moved = jittered(draw, torch.Generator().manual_seed(0), 3.0, 0.03, 0.015)
    assert 0 < np.abs(moved.place - draw.place).max() < 0.15
    still = jittered(draw, torch.Generator().manual_seed(0), 0.0, 0.0, 0.0)
    np.testing.assert_allclose(still.place, draw.place, atol=1e-6)


def test_a_blend_is_part_of_another_face() -> None:
    two = np.stack([np.zeros((144, 144, 3), np.uint8), np.full((144, 144, 3), 200, np.uint8)])
    spec = replace(STILL, blend=1.0)
    maker = ViewMaker(two, spec)
    numbers = np.arange(40)
    opened, draw = maker.open(np.zeros(40, int), numbers)
    for row in range(40):
        wanted = 200 * draw.share[row] if draw.partner[row] else 0.0
        assert float(opened[row].mean()) == pytest.approx(wanted, abs=0.1)
    assert draw.share.max() <= 0.5 and 0.1 < draw.partner.mean() < 0.9


def test_each_place_of_a_regional_blend_has_its_own_weight() -> None:
    """The weight is the logistic function of smooth waves; here it is computed pixel by pixel."""
    two = np.stack([np.zeros((12, 12, 3), np.uint8), np.full((12, 12, 3), 200, np.uint8)])
    maker = ViewMaker(two, replace(STILL, blend=1.0, regions=1.0))
    opened, draw = maker.open(np.zeros(20, int), np.arange(20))
    spreads = []
    for row in np.flatnonzero(draw.partner):
        for y, x in ((0, 0), (3, 10), (11, 6)):
            waves = [
                math.cos(math.pi * across * (x + 0.5) / 12) * math.cos(math.pi * down * (y + 0.5) / 12)
                for across in range(3)
                for down in range(3)
            ]
            share = min(max(float(draw.share[row]), 1e-3), 1 - 1e-3)
            logit = math.log(share / (1 - share)) + float(draw.field[row] @ waves[1:])
            assert float(opened[row, 0, y, x]) == pytest.approx(200 / (1 + math.exp(-logit)), abs=0.1)
        spreads.append(float(opened[row].std()))
    assert np.mean(spreads) > 20


def test_the_other_face_of_a_blend_is_often_mirrored() -> None:
    ramp = np.broadcast_to(np.arange(12)[None, :, None] * 20, (12, 12, 3)).astype(np.uint8)
    two = np.stack([np.zeros_like(ramp), ramp])
    opened, draw = ViewMaker(two, replace(STILL, blend=1.0)).open(np.zeros(40, int), np.arange(40))
    used = np.flatnonzero((draw.partner > 0) & (draw.share > 0.05))
    falling = (opened[used, 0, 0, 0] > opened[used, 0, 0, -1]).numpy()
    assert np.array_equal(falling, draw.mirrored[used]) and 0.2 < falling.mean() < 0.8


# The student's own changes. -------------------------------------------------------------------------


@pytest.mark.parametrize("change", [masked, with_glasses, compressed, lambda i, p, g: noisy(i, p, 200.0, g)])
def test_a_change_leaves_the_others_alone_and_stays_in_range(change) -> None:
    images = torch.rand(20, 3, 64, 64, generator=torch.Generator().manual_seed(3)) * 255
    for probability in (0.0, 0.5, 1.0):
        changed = images.clone()
        change(changed, probability, torch.Generator().manual_seed(1))
        differs = (changed - images).abs().amax(dim=(1, 2, 3)) > 0.5
        assert {0.0: differs.sum() == 0, 0.5: 3 <= differs.sum() <= 17, 1.0: differs.sum() == 20}[probability]
        assert float(changed.min()) >= 0 and float(changed.max()) <= 255


def test_a_mask_covers_the_lower_half_and_glasses_the_eyes() -> None:
    images = torch.full((40, 3, 112, 112), 128.0)
    mask = images.clone()
    masked(mask, 1.0, torch.Generator().manual_seed(0))
    changed = (mask - images).abs().amax(dim=1).gt(4).float().mean(dim=0)
    assert changed[:40].max() < 0.2 and changed[85:100, 45:67].min() > 0.6
    glasses = images.clone()
    with_glasses(glasses, 1.0, torch.Generator().manual_seed(0))
    changed = (glasses - images).abs().amax(dim=1).gt(4).float().mean(dim=0)
    eyes = (DLIB_CHIP_TEMPLATE[:2] * 112 / 150).round().astype(int)
    assert all(changed[y, x] > 0.9 for x, y in eyes) and changed[75:].max() == 0


def test_all_changes_are_repeated_exactly() -> None:
    images = torch.rand(9, 3, 64, 64) * 255
    first, second = (StudentChanges()(images.clone(), torch.Generator().manual_seed(4)) for _ in range(2))
    torch.testing.assert_close(first, second, rtol=0, atol=0)


# Targets. -------------------------------------------------------------------------------------------


def test_a_round_shows_every_face_and_rare_ones_more_often() -> None:
    weights = np.array([1.0, 1.0, 2.5, 2.0])
    rounds = Rounds(weights, 3)
    shown = np.zeros(4)
    seen = set()
    for number in range(40):
        faces, numbers = rounds.views(number)
        assert {0, 1, 2, 3} <= set(faces.tolist())
        shown += np.bincount(faces, minlength=4)
        seen |= set(zip(faces.tolist(), numbers.tolist(), strict=True))
        np.testing.assert_array_equal(faces, rounds.views(number)[0])
    assert len(seen) == shown.sum()  # no view twice
    np.testing.assert_allclose(shown / 40, weights, atol=0.25)


def test_stored_targets_are_what_the_teachers_return(chips: np.ndarray, tmp_path: Path) -> None:
    maker, rounds = ViewMaker(chips, ViewSpec()), Rounds(np.ones(COUNT), 0)
    store_targets(maker, rounds, TEACHERS, tmp_path, 0)
    assert stored_parts(tmp_path) == [(0, 0)]
    stored = np.load(part_path(tmp_path, 0, 0))
    faces, numbers = rounds.parts(0)[0]
    assert stored.shape == (COUNT, 20) and stored.dtype == np.float16
    opened, draw = maker.open(faces[5:6], numbers[5:6])
    for teacher, part in zip(TEACHERS, (stored[5, :8], stored[5, 8:]), strict=True):
        wanted = teacher.embed(maker.render(opened, draw, "arcface", teacher.size))[0]
        np.testing.assert_allclose(part, wanted / np.linalg.norm(wanted), atol=2e-3)


def test_a_killed_run_stores_what_is_missing(chips: np.ndarray, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("facealike.train.joint.targets.PART", 9)
    maker, rounds = ViewMaker(chips, ViewSpec()), Rounds(np.ones(COUNT), 0)
    store_targets(maker, rounds, TEACHERS, tmp_path, 1)
    assert stored_parts(tmp_path) == [(1, 0), (1, 1), (1, 2)]
    whole = [part_path(tmp_path, 1, part).read_bytes() for part in range(3)]
    part_path(tmp_path, 1, 1).unlink()
    part_path(tmp_path, 1, 2).write_bytes(b"kept as it is")
    store_targets(maker, rounds, TEACHERS, tmp_path, 1)
    assert part_path(tmp_path, 1, 1).read_bytes() == whole[1]
    assert part_path(tmp_path, 1, 2).read_bytes() == b"kept as it is"


def test_the_joint_target_keeps_the_weighted_mean_of_cosines() -> None:
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=(200, width)) for width in (8, 12)]
    rows = np.concatenate([part / np.linalg.norm(part, axis=1, keepdims=True) for part in parts], axis=1)
    target = JointTarget.fit(rows.astype(np.float16), (8, 12), (0.6, 0.4), 20)(rows.astype(np.float16))
    first, second = rows[:, :8] @ rows[:, :8].T, rows[:, 8:] @ rows[:, 8:].T
    np.testing.assert_allclose(target @ target.T, 0.6 * first + 0.4 * second, atol=5e-3)
    fewer = JointTarget.fit(rows.astype(np.float16), (8, 12), (0.6, 0.4), 5)
    assert fewer(rows.astype(np.float16)).shape == (200, 5)
    np.testing.assert_allclose(fewer.matrix.T @ fewer.matrix, np.eye(5), atol=1e-5)


def test_chips_are_packed_once(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with (tmp_path / "train.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["file", "age", "gender"])
        for number, age in enumerate(["0-2", "03-Sep", "20-29"]):
            pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            PillowImage.fromarray(pixels).save(tmp_path / f"{number}.png")
            writer.writerow([f"{number}.png", age, "x"])
    packed, weights = pack_chips(tmp_path / "train.csv", tmp_path / "chips.npy")
    assert packed.shape == (3, 16, 16, 3) and weights.tolist() == [2.5, 1.3, 1.0]
    np.testing.assert_array_equal(packed[2], pixels)
    (tmp_path / "1.png").unlink()
    (tmp_path / "1.png").write_bytes((tmp_path / "0.png").read_bytes())
    assert pack_chips(tmp_path / "train.csv", tmp_path / "chips.npy")[0].shape == (3, 16, 16, 3)
    PillowImage.fromarray(pixels[:8]).save(tmp_path / "1.png")
    with pytest.raises(DataError, match=r"1\.png: a chip of"):
        pack_chips(tmp_path / "train.csv", tmp_path / "again.npy")
    assert not (tmp_path / "again.npy").exists()
