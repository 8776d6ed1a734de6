"""Stored maps, groups of near faces, training on them, and the model."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from facealike.embedding.face_model import Model
from facealike.errors import DataError, TrainingError, UsageError
from facealike.model_zoo.quantization import relative_error
from facealike.train.joint.groups import batches, near_groups
from facealike.train.joint.model import plain_crops, write_model
from facealike.train.joint.recipe import JointRecipe
from facealike.train.joint.start import rotation
from facealike.train.joint.stored_maps import (
    LARGEST,
    MapMaker,
    check_about,
    decode,
    encode,
    maps_path,
    read_copy,
    stored_maps,
)
from facealike.train.joint.student import JointStudent
from facealike.train.joint.targets import JointTarget, Rounds, TargetsAbout, part_path, store_targets
from facealike.train.joint.training import Feeder, JointRun
from facealike.train.joint.views import ViewMaker, ViewSpec
from support.dlib_file import dlib_weights
from support.joint_data import COUNT, TEACHERS, random_chips
from support.one_thread import one_thread  # noqa: F401 (a fixture)
from support.tiny_model import tiny_model_file

RECIPE = JointRecipe(dimensions=6, copies=2, steps=6, batch=8, climb=2, rate=1e-5, muon=1e-4)


@dataclass(frozen=True)
class Folder:
    """Stored targets and maps, and what they were made with."""

    path: Path
    maps: MapMaker
    rounds: Rounds

    def store(self, number: int) -> None:
        store_targets(self.maps.maker, self.rounds, TEACHERS, self.path, number)
        self.maps.store(self.rounds, self.path, (number, 0))


@pytest.fixture(scope="module")
def student() -> JointStudent:
    dlib_weights()  # skips without the package
    return JointStudent.start(6).eval()


@pytest.fixture(scope="module")
def once(student: JointStudent, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    path = tmp_path_factory.mktemp("once")
    maps = MapMaker(ViewMaker(random_chips(), RECIPE.views), student.trunk, RECIPE)
    folder = Folder(path, maps, Rounds(np.ones(COUNT), 0))
    folder.store(0)
    TargetsAbout.of(TEACHERS, (8, 12), RECIPE.views).write(path)
    return folder


@pytest.fixture
def stored(once: Folder, tmp_path: Path) -> Folder:
    """A copy that a test may change."""
    made = tmp_path / "targets"
    shutil.copytree(once.path, made)
    return replace(once, path=made)


# Stored maps. ---------------------------------------------------------------------------------------


def test_stored_maps_differ_little_from_what_they_are_of() -> None:
    maps = torch.rand(3, 5, 4, 2, generator=torch.Generator().manual_seed(0)) ** 3 * 15
    stored = encode(maps)
    assert stored.shape == (3, 4, 2, 5) and stored.dtype == np.uint8
    # Half a step of the root is 1/510; the error of x is its slope, 2 sqrt(x / LARGEST) LARGEST, times that.
    bound = 2 * (maps / LARGEST).sqrt() * LARGEST / 510 + LARGEST / 510**2
    assert ((decode(stored) - maps).abs() <= bound + 1e-5).all()
    ends = torch.tensor([-1.0, 0.0, LARGEST, 2 * LARGEST]).view(1, 4, 1, 1)
    assert decode(encode(ends)).flatten().tolist() == [0, 0, LARGEST, LARGEST]


def test_copies_of_a_view_are_augmented_differently_and_always_alike(once: Folder, tmp_path: Path) -> None:
    assert stored_maps(once.path) == [(0, 0, 0), (0, 0, 1)]
    first, second = (np.array(read_copy(once.path, (0, 0, copy))[0]) for copy in range(2))
    assert first.shape == (COUNT, 17, 17, 64) and (first != second).mean() > 0.1
    again = replace(once, path=tmp_path)
    again.store(0)
    np.testing.assert_array_equal(read_copy(tmp_path, (0, 0, 1))[0], second)


def test_plain_maps_are_those_of_the_trunk(once: Folder, student: JointStudent, tmp_path: Path) -> None:
    once.maps.store_plain(tmp_path / "held-out-maps.npy")
    crops = once.maps.crops(np.arange(2), np.zeros(2, int), None)
    found = decode(np.load(tmp_path / "held-out-maps.npy")[:2])
    wanted = student.trunk(crops).clamp(0, LARGEST)
    assert (found - wanted).square().mean() < 1e-3 * wanted.square().mean()  # bytes, and bfloat16


def test_a_killed_run_stores_the_maps_that_are_missing(stored: Folder) -> None:
    maps_path(stored.path, (0, 0, 0)).unlink()
    before = maps_path(stored.path, (0, 0, 1)).stat().st_mtime_ns
    (stored.path / ".maps000-00-0.npy.part").write_bytes(b"half")
    assert stored_maps(stored.path) == [(0, 0, 1)]
    stored.store(0)
    assert stored_maps(stored.path) == [(0, 0, 0), (0, 0, 1)]
    assert maps_path(stored.path, (0, 0, 1)).stat().st_mtime_ns == before


def test_maps_of_other_chips_or_another_augmentation_are_refused(stored: Folder) -> None:
    other = replace(stored, rounds=Rounds(np.full(COUNT, 2.0), 0))
    maps_path(stored.path, (0, 0, 0)).unlink()
    with pytest.raises(DataError, match="targets of other chips"):
        other.maps.store(other.rounds, other.path, (0, 0))
    np.save(part_path(stored.path, 0, 0), np.zeros((3, 20), np.float16))
    with pytest.raises(DataError, match="maps of other chips"):
        read_copy(stored.path, (0, 0, 1))
    check_about(stored.path, RECIPE)
    check_about(stored.path, replace(RECIPE, steps=9))
    with pytest.raises(DataError, match="augmented otherwise"):
        check_about(stored.path, replace(RECIPE, jitter=(0.0, 0.0, 0.0)))


# Groups. --------------------------------------------------------------------------------------------


def test_groups_are_near_and_disjoint() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(400, 3))
    points = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    groups = near_groups(points, 8, np.random.default_rng(1))
    assert groups.shape == (50, 8) and len(np.unique(groups)) == 400
    within = np.mean([points[group] @ points[group].T for group in groups])
    assert within > 0.6 > 0.2 > np.mean(points @ points.T)
    np.testing.assert_array_equal(groups, near_groups(points, 8, np.random.default_rng(1)))
    assert not np.array_equal(groups, near_groups(points, 8, np.random.default_rng(2)))


def test_a_group_is_of_the_nearest_faces_left() -> None:
    """The first face of the permutation has the first group."""
    rng = np.random.default_rng(0)
    points = rng.normal(size=(60, 3))
    points = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    first = int(np.random.default_rng(5).permutation(60)[0])
    groups = near_groups(points, 6, np.random.default_rng(5))
    (its,) = [group for group in groups if group[0] == first]
    assert set(its) <= set(np.argsort(-points @ points[first])[:12])


def test_batches_are_whole_groups() -> None:
    groups = np.arange(35).reshape(7, 5)
    assert batches(groups, 15).tolist() == np.arange(30).reshape(2, 15).tolist()
    few = near_groups(np.eye(7, dtype=np.float32), 8, np.random.default_rng(0))
    assert few.shape == (0, 8) and batches(few, 8).shape == (0, 8)
    assert (JointRecipe(batch=192).group, JointRecipe(batch=8).group) == (24, 8)
    for wrong in (100, 1, 0, -24):
        with pytest.raises(UsageError, match="--batch"):
            JointRecipe(batch=wrong)


def test_the_parts_used_least_are_taken_up_first(stored: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facealike.train.joint.training.AT_ONCE", 1)
    rows = read_copy(stored.path, (0, 0, 0))[1]
    feeder = Feeder(stored.path, RECIPE, JointTarget.fit(rows, (8, 12), (0.6, 0.4), 6))
    for _ in range(5):  # two batches of 8 of 20 views
        feeder.next()
    assert feeder.uses == {(0, 0, 0): 2, (0, 0, 1): 1}
    stored.store(1)
    for _ in range(2):
        feeder.next()
    assert feeder.uses == {(0, 0, 0): 2, (0, 0, 1): 1, (1, 0, 0): 1}
    maps, targets = feeder.next()
    assert maps.shape == (8, 64, 17, 17) and targets.shape == (8, 6)
    whole = decode(read_copy(stored.path, (1, 0, 0))[0])
    wanted = torch.from_numpy(feeder.target(read_copy(stored.path, (1, 0, 0))[1]))
    for one, target in zip(maps, targets, strict=True):
        (row,) = [i for i in range(COUNT) if torch.equal(whole[i], one)]
        torch.testing.assert_close(target, wanted[row])


def test_too_few_views_for_a_batch_are_an_error(stored: Folder) -> None:
    rows = read_copy(stored.path, (0, 0, 0))[1]
    target = JointTarget.fit(rows, (8, 12), (0.6, 0.4), 6)
    with pytest.raises(DataError, match="do not fill a batch"):
        Feeder(stored.path, replace(RECIPE, batch=48), target).next()


# Training and the model. ----------------------------------------------------------------------------


def begun(stored: Folder, recipe: JointRecipe = RECIPE) -> JointRun:
    path = stored.path
    return JointRun(recipe, path, TargetsAbout.read(path), path / "state.pt")


def test_a_resumed_run_ends_as_one_that_was_never_stopped(stored: Folder) -> None:
    whole = begun(stored)
    losses = [whole.train_step() for _ in range(3)]
    whole.save()
    losses += [whole.train_step() for _ in range(4)]  # five batches of 8 of 40 views, then again
    stored.store(1)  # what another process stores meanwhile is not taken up in the middle
    resumed = begun(stored)
    assert (resumed.step, resumed.feeder.place, resumed.feeder.uses) == (3, 3, {(0, 0, 0): 1, (0, 0, 1): 1})
    again = [resumed.train_step() for _ in range(2)]
    np.testing.assert_allclose(again, losses[3:5], rtol=1e-4, atol=1e-6)
    maps_path(stored.path, (1, 0, 0)).unlink()
    maps_path(stored.path, (1, 0, 1)).unlink()
    again = [resumed.train_step() for _ in range(2)]
    np.testing.assert_allclose(again, losses[5:], rtol=1e-4, atol=1e-6)
    for name, value in whole.evaluated.state_dict().items():
        torch.testing.assert_close(resumed.evaluated.state_dict()[name], value, atol=1e-6, rtol=1e-4)


def test_training_lowers_the_loss(stored: Folder) -> None:
    run = begun(stored, replace(RECIPE, rate=2e-3, climb=1, steps=99))
    with torch.no_grad():  # undo a part of the least squares, which know so few faces by heart
        weight = run.branch.matrix.weight
        weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)) * 2 * weight.std())
    losses = [run.train_step()[0] for _ in range(24)]
    assert np.mean(losses[-3:]) < 0.8 * np.mean(losses[:3])


def test_the_state_holds_the_branch_alone(stored: Folder, student: JointStudent) -> None:
    run = begun(stored)
    run.train_step()
    run.save()
    saved = torch.load(stored.path / "state.pt", weights_only=True)
    for part in ("branch", "average"):
        assert {name.split(".")[0] for name in saved[part]} == {"middle", "deep", "matrix"}
    for name, value in run.student().dlib.state_dict().items():
        assert torch.equal(value, student.dlib.state_dict()[name])


def test_a_state_that_does_not_fit_is_refused(stored: Folder) -> None:
    begun(stored).save()
    with pytest.raises(TrainingError, match="another recipe"):
        begun(stored, replace(RECIPE, muon=0.0))
    (stored.path / "state.pt").write_bytes(b"no state")
    with pytest.raises(TrainingError, match="delete it and start again"):
        begun(stored)


def test_stored_maps_are_needed(stored: Folder, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no stored targets"):
        TargetsAbout.read(tmp_path)
    for copy in range(2):
        maps_path(stored.path, (0, 0, copy)).unlink()
    with pytest.raises(DataError, match="no stored maps"):
        begun(stored)


def test_the_rates_climb_stay_and_fall() -> None:
    recipe = JointRecipe(steps=100, climb=10, fall=0.4)
    factors = [recipe.factor_at(step) for step in range(100)]
    assert factors[0] == pytest.approx(0.1) and factors[10:60] == [1.0] * 50
    assert factors[80] == pytest.approx(0.01 + 0.99 * 0.5) and 0.01 < factors[-1] < 0.05


def test_the_model_embeds_as_the_student_does(stored: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """In INT8, the default.  Embeddings of noise vary less than those of faces, so their error is larger."""
    monkeypatch.setattr("facealike.train.export_onnx.MAX_RELATIVE_ERROR", 0.05)
    monkeypatch.setattr("facealike.train.joint.model.teacher_digest", lambda name: "abc")
    run = begun(stored)
    out, chips = stored.path / "made.facealike", random_chips()
    file = write_model(run, TargetsAbout.read(stored.path), chips, out)
    assert "DequantizeLinear" in {node.op_type for node in onnx.load_from_string(file.embedder).graph.node}
    model = Model.load(out, device="cpu")
    crops = plain_crops(chips)
    with torch.no_grad():
        wanted = run.student()(torch.from_numpy(crops).permute(0, 3, 1, 2).float()).numpy()
    found = model.embedder.embed(crops)
    assert found.shape == (COUNT, 6 + 130)
    assert relative_error(wanted, found) < 0.05
    assert file.preprocessing.align == "chip" and file.calibration.is_none
    assert model.file.card.provenance["teachers"]["first"] == {"weight": 0.6, "sha256": "abc"}
    assert model.file.card.recipe["joint"]["changes"]["mask"] == asdict(RECIPE)["changes"]["mask"]


def test_held_out_agreement_is_one_where_both_are_equal(stored: Folder) -> None:
    run = begun(stored)
    maps, rows = read_copy(stored.path, (0, 0, 0))
    cosine, correlation = run.agreement(maps, rows)
    assert -1 <= cosine <= 1 and -1 <= correlation <= 1
    wanted = run.target(rows)

    class Same(torch.nn.Module):
        place = 0

        def forward(self, maps: torch.Tensor) -> torch.Tensor:
            found = torch.from_numpy(wanted[self.place : self.place + len(maps)])
            self.place += len(maps)
            return found

    run._average.network = Same()
    assert run.agreement(maps, rows) == (pytest.approx(1, abs=1e-5), pytest.approx(1, abs=1e-4))


def test_files_keep_their_keys() -> None:
    """about.json is compared, and state.pt is resumed, across releases."""
    assert "grey" in ViewSpec().to_dict() and "gray" not in ViewSpec().to_dict()
    table = JointRecipe().to_dict()
    assert "grey" in table["views"] and "grey" in table["changes"]["augment"]


# A run that begins with a model. --------------------------------------------------------------------


def test_a_run_begins_with_the_branch_of_a_model(stored: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its embeddings are those of the model but for the rounding to 8 bits, in whatever basis targets are."""
    monkeypatch.setattr("facealike.train.export_onnx.MAX_RELATIVE_ERROR", 0.05)
    monkeypatch.setattr("facealike.train.joint.model.teacher_digest", lambda name: "abc")
    first, about = begun(stored), TargetsAbout.read(stored.path)
    for _ in range(3):
        first.train_step()
    model = write_model(first, about, random_chips(), stored.path / "first.facealike")
    run = JointRun(RECIPE, stored.path, about, stored.path / "second.pt", model)
    maps, rows = read_copy(stored.path, (0, 0, 0))
    wanted = first._in_chunks(first.evaluated.eval(), maps).numpy()
    assert relative_error(wanted, run._in_chunks(run.branch.eval(), maps).numpy()) < 0.02
    before, after = first.agreement(maps, rows), run.agreement(maps, rows)
    assert after == pytest.approx(before, abs=0.02) and after[0] >= before[0] - 0.002
    run.save()
    again = JointRun(RECIPE, stored.path, about, stored.path / "second.pt", model)
    np.testing.assert_array_equal(again.target.matrix, run.target.matrix)
    made = write_model(again, about, random_chips(), stored.path / "second.facealike")
    assert str(made.card.provenance["initialisation"]).endswith(f"the branch of model {model.id}")
    with pytest.raises(DataError, match=r"--start: the model has no branch with .* of \(7, "):
        JointRun(replace(RECIPE, dimensions=7), stored.path, about, stored.path / "third.pt", model)


def test_a_model_without_a_branch_is_no_start(stored: Folder) -> None:
    other = tiny_model_file()
    with pytest.raises(DataError, match="--start: the model has no branch"):
        JointRun(RECIPE, stored.path, TargetsAbout.read(stored.path), stored.path / "new.pt", other)


def test_the_target_turns_to_the_embeddings_and_keeps_its_cosines() -> None:
    rng = np.random.default_rng(0)
    target = rng.normal(size=(50, 5)).astype(np.float32)
    turn, _ = np.linalg.qr(rng.normal(size=(5, 5)))
    found = rotation(target, (target @ turn).astype(np.float32))
    np.testing.assert_allclose(found, turn, atol=1e-5)
    found = rotation(target, rng.normal(size=(50, 5)).astype(np.float32))
    np.testing.assert_allclose(found @ found.T, np.eye(5), atol=1e-5)
