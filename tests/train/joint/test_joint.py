"""Distillation from several teachers: views, targets, the student, its training and its model."""

from __future__ import annotations

import csv
import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image as PillowImage

from facealike.embedding.face_model import Model
from facealike.errors import DataError, TrainingError
from facealike.imaging.align import DLIB_CHIP_TEMPLATE, TEMPLATE_112
from facealike.train.data.occlusion import compressed, masked, noisy, with_glasses
from facealike.train.joint.chips import pack_chips
from facealike.train.joint.model import plain_crops, write_model
from facealike.train.joint.student import PLACES, RIDGE, SIZE, JointStudent, StudentChanges, joint_loss
from facealike.train.joint.targets import (
    CHUNK,
    JointTarget,
    Rounds,
    TargetsAbout,
    Teacher,
    embed_views,
    part_path,
    store_targets,
    stored_parts,
)
from facealike.train.joint.training import JointRecipe, JointRun, Views
from facealike.train.joint.views import ViewMaker, ViewSpec, chip_positions, draw_views, jittered
from support.dlib_file import dlib_weights

COUNT = 20
STILL = ViewSpec(0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


@pytest.fixture(scope="module")
def chips() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (COUNT, 12, 12, 3), dtype=np.uint8).repeat(12, 1).repeat(12, 2)


def mean_teacher(name: str, size: int, width: int, weight: float) -> Teacher:
    """A linear network over the means of a grid of cells."""
    matrix = np.random.default_rng(size).normal(size=(48, width)).astype(np.float32)

    def embed(crops: torch.Tensor) -> np.ndarray:
        assert crops.shape[1:] == (3, size, size) and len(crops) <= CHUNK
        cells = F.adaptive_avg_pool2d(crops, 4).flatten(1).numpy()
        return (cells - 100) @ matrix

    return Teacher(name, size, embed, weight)


TEACHERS = (mean_teacher("first", 112, 8, 0.6), mean_teacher("second", 128, 12, 0.4))


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """oneDNN's backward pass waits in a spinning barrier: on a busy machine two threads take minutes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# Views. ---------------------------------------------------------------------------------------------


def test_a_view_is_the_same_wherever_it_is_asked_for(chips: np.ndarray) -> None:
    maker = ViewMaker(chips, ViewSpec())
    faces, numbers = np.array([3, 9, 9]), np.array([0, 0, 5])
    together, draw = maker.open(faces, numbers)
    together = maker.render(together, draw, "chip", 32)
    for row in range(3):
        alone, one = maker.open(faces[row : row + 1], numbers[row : row + 1])
        torch.testing.assert_close(maker.render(alone, one, "chip", 32)[0], together[row])
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


# The student. ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def student() -> JointStudent:
    dlib_weights()  # skips without the package
    return JointStudent.start(6).eval()


def test_the_last_layer_is_the_ridge_regression(student: JointStudent) -> None:
    rng = torch.Generator().manual_seed(0)
    width = student.matrix.in_features
    features = torch.randn(400, width, generator=rng)
    truth = torch.randn(width, 6, generator=rng)
    targets = F.normalize(features @ truth + 3.0, dim=1)
    student.fit(features, targets)
    # The gradient of the ridge loss is zero at its minimum.
    mean, spread = features.mean(0), features.std(0) + 1e-4
    x = (features - mean) / spread
    solved = student.matrix.weight.T * spread[:, None]
    residual = x @ solved - (targets - targets.mean(0))
    gradient = x.T @ residual + RIDGE * len(x) * solved
    assert float(gradient.abs().max()) < 1e-2
    torch.testing.assert_close(student.matrix(features).mean(0), targets.mean(0), atol=1e-4, rtol=0)


def test_the_student_is_its_features_and_its_last_layer(student: JointStudent) -> None:
    crops = torch.rand(2, 3, SIZE, SIZE) * 255
    features = student.features(crops)
    assert features.shape == (2, (256 + 128) * PLACES**2 + 256)
    torch.testing.assert_close(student(crops), student.matrix(features), atol=1e-4, rtol=1e-4)


def test_the_loss_is_that_of_its_words() -> None:
    rng = np.random.default_rng(0)
    own, target = rng.normal(size=(2, 7, 5))
    target /= np.linalg.norm(target, axis=1, keepdims=True)
    unit = own / np.linalg.norm(own, axis=1, keepdims=True)
    point = np.mean([1 - unit[i] @ target[i] for i in range(7)])
    pairs = [(i, j) for i in range(7) for j in range(7) if i != j]
    apart = np.mean([(unit[i] @ unit[j] - target[i] @ target[j]) ** 2 for i, j in pairs])
    found = joint_loss(torch.tensor(own), torch.tensor(target, dtype=torch.float32), 3.0)
    np.testing.assert_allclose([float(part) for part in found], [point + 3 * apart, point, apart], rtol=1e-4)


# Training and the model. ----------------------------------------------------------------------------

RECIPE = JointRecipe(dimensions=6, steps=6, batch=8, climb=2, rate=1e-5, muon=1e-4)


@pytest.fixture
def views(chips: np.ndarray, tmp_path: Path) -> Views:
    dlib_weights()
    maker, rounds = ViewMaker(chips, RECIPE.views), Rounds(np.ones(COUNT), 0)
    folder = tmp_path / "targets"
    folder.mkdir()
    store_targets(maker, rounds, TEACHERS, folder, 0)
    TargetsAbout.of(TEACHERS, (8, 12), RECIPE.views).write(folder)
    return Views(maker, rounds, folder)


def begun(views: Views, tmp_path: Path, recipe: JointRecipe = RECIPE) -> JointRun:
    return JointRun(recipe, views, TargetsAbout.read(views.folder), tmp_path / "state.pt")


def test_a_resumed_run_ends_as_one_that_was_never_stopped(views: Views, tmp_path: Path) -> None:
    whole = begun(views, tmp_path)
    losses = [whole.train_step() for _ in range(3)]
    whole.save()
    losses += [whole.train_step() for _ in range(2)]
    resumed = begun(views, tmp_path)
    assert (resumed.step, resumed.place, resumed.uses) == (3, 1, {(0, 0): 2})
    again = [resumed.train_step() for _ in range(2)]
    np.testing.assert_allclose(again, losses[3:], rtol=1e-3, atol=1e-5)
    for name, value in whole.evaluated.state_dict().items():
        torch.testing.assert_close(resumed.evaluated.state_dict()[name], value, atol=1e-4, rtol=1e-2)


def test_training_lowers_the_loss(views: Views, tmp_path: Path) -> None:
    run = begun(views, tmp_path, replace(RECIPE, rate=2e-3, climb=1, steps=50))
    with torch.no_grad():  # undo a part of the least squares, which know so few faces by heart
        weight = run.student.matrix.weight
        weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)) * 2 * weight.std())
    losses = [run.train_step()[0] for _ in range(12)]
    assert np.mean(losses[-3:]) < 0.8 * np.mean(losses[:3])


def test_a_state_that_does_not_fit_is_refused(views: Views, tmp_path: Path) -> None:
    run = begun(views, tmp_path)
    run.save()
    with pytest.raises(TrainingError, match="another recipe"):
        begun(views, tmp_path, replace(RECIPE, muon=0.0))
    (tmp_path / "state.pt").write_bytes(b"no state")
    with pytest.raises(TrainingError, match="delete it and start again"):
        begun(views, tmp_path)


def test_targets_are_needed_and_belong_to_their_chips(views: Views, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no stored targets"):
        TargetsAbout.read(tmp_path)
    other = Views(views.maker, Rounds(np.full(COUNT, 2.0), 0), views.folder)
    with pytest.raises(DataError, match="targets of other chips"):
        other.part((0, 0))


def test_new_parts_are_taken_up_first(views: Views, tmp_path: Path) -> None:
    run = begun(views, tmp_path)
    for _ in range(3):  # two steps a part: the third begins it again
        run.train_step()
    assert run.uses == {(0, 0): 2}
    store_targets(views.maker, views.rounds, TEACHERS, views.folder, 1)
    for _ in range(2):
        run.train_step()
    assert run.uses == {(0, 0): 2, (1, 0): 1}


def test_the_rates_climb_stay_and_fall() -> None:
    recipe = JointRecipe(steps=100, climb=10, fall=0.4)
    factors = [recipe.factor_at(step) for step in range(100)]
    assert factors[0] == pytest.approx(0.1) and factors[10:60] == [1.0] * 50
    assert factors[80] == pytest.approx(0.01 + 0.99 * 0.5) and 0.01 < factors[-1] < 0.05


def test_the_model_embeds_as_the_student_does(
    views: Views, chips: np.ndarray, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr("facealike.train.joint.model.teacher_digest", lambda name: "abc")
    run = begun(views, tmp_path)
    out = tmp_path / "made.facealike"
    file = write_model(run, TargetsAbout.read(views.folder), chips, out, bits=32)
    model = Model.load(out, device="cpu")
    crops = plain_crops(chips[:5])
    with torch.no_grad():
        wanted = F.normalize(run.evaluated(torch.from_numpy(crops).permute(0, 3, 1, 2).float()), dim=1)
    np.testing.assert_allclose(model.embedder.embed(crops), wanted.numpy(), atol=1e-3)
    assert file.preprocessing.align == "chip" and file.calibration.is_none
    assert model.file.card.provenance["teachers"]["first"] == {"weight": 0.6, "sha256": "abc"}
    assert model.file.card.recipe["joint"]["changes"]["mask"] == asdict(RECIPE)["changes"]["mask"]


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


def test_held_out_agreement_is_one_where_both_are_equal(views: Views, tmp_path: Path) -> None:
    run = begun(views, tmp_path)
    faces = np.arange(COUNT)
    parts = list(zip(*embed_views(views.maker, faces, np.zeros_like(faces), TEACHERS), strict=True))
    rows = np.concatenate([np.concatenate(each) for each in parts], axis=1).astype(np.float16)
    cosine, correlation = run.agreement(views, rows)
    assert -1 <= cosine <= 1 and -1 <= correlation <= 1
    wanted = run.target(rows)

    class Same(torch.nn.Module):
        place = 0

        def forward(self, crops: torch.Tensor) -> torch.Tensor:
            found = torch.from_numpy(wanted[self.place : self.place + len(crops)])
            self.place += len(crops)
            return found

    run._average.network = Same()
    assert run.agreement(views, rows) == (pytest.approx(1, abs=1e-5), pytest.approx(1, abs=1e-4))


def test_files_keep_their_keys() -> None:
    """about.json is compared, and state.pt is resumed, across releases."""
    assert "grey" in ViewSpec().to_dict() and "gray" not in ViewSpec().to_dict()
    table = JointRecipe().to_dict()
    assert "grey" in table["views"] and "grey" in table["changes"]["augment"]
