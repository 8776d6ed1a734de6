"""Learning from a teacher: the loss against loops, lessons that repeat, crops alike, runs that resume."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage
from torch import nn

from facealike import Model
from facealike.datasets.people import unlabeled_photos
from facealike.embedding.crop_cache import Crops
from facealike.errors import DataError, NotCalibrated, RecipeError, TrainingError, UnreadableImage
from facealike.imaging.align import DLIB_CHIP_TEMPLATE
from facealike.imaging.photo_warning import PhotoWarning
from facealike.model_file.preprocessing import Preprocessing
from facealike.train import TrainingOptions, distil
from facealike.train.distillation.module import StudentModule, agreement, distances, distil_loss
from facealike.train.distillation.run import read_photos
from facealike.train.distillation.teacher_batches import DistillationSteps, TeacherBatches, blend
from facealike.train.networks.build import build_network
from facealike.train.recipe.load import load_recipe
from facealike.train.recipe.schema import Recipe
from facealike.types import Box, Face, Image
from support.distillation_runs import (  # noqa: F401
    CHIP,
    TEMPLATE_64,
    CentralFace,
    Teacher,
    drawn_photos,
    recipe,
    stand_in_teacher,
)
from support.drawn_people import draw_face
from support.training_runs import numbers, one_thread, same_weights  # noqa: F401

CPU = torch.device("cpu")


def test_aligned_photos_are_taken_as_they_are(photos: Path, tmp_path: Path) -> None:
    class Blind(CentralFace):
        def detect(self, image: Image) -> list[Face]:
            raise AssertionError("nobody asked for faces to be found")

    made = recipe(teacher={"aligned": True})
    read = read_photos(photos, made, Blind(), tmp_path / "crops")
    assert read.chips.found.all() and len(read.train) + len(read.held_out) == 110
    path = sorted(photos.rglob("*.png"))[0]
    with PillowImage.open(path) as picture:
        whole = np.asarray(picture.resize((CHIP, CHIP), PillowImage.Resampling.BILINEAR)).astype(float)
    chip = read.chips.take(np.flatnonzero([p == path for p in unlabeled_photos(photos).paths]))[0]
    assert np.abs(chip - whole).mean() < 2
    assert read.preprocessing.align == "chip" and read.detector.spec["kind"] == "dlib-landmarks"


def test_photos_that_cannot_be_read_are_left_out_and_told(photos: Path, tmp_path: Path) -> None:
    """Issue 19 C2."""
    root = tmp_path / "photos"
    shutil.copytree(photos, root)
    broken = root / "more" / "4.png"
    broken.write_bytes(b"x")
    made, out = recipe(training={"epochs": 1}), tmp_path / "m.facealike"
    options = TrainingOptions(CentralFace(), "cpu", cache=tmp_path / "crops")
    with pytest.raises(UnreadableImage, match=r"4\.png: not an image"):
        distil(root, made, out, options=options, strict=True)
    with pytest.warns(PhotoWarning, match="1 of 110 photos could not be read"):
        result = distil(root, made, out, options=options)
    assert [(one.photo, one.kind) for one in result.unused] == [(str(broken), "unreadable")]
    (row,) = result.to_dict()["unused"]
    assert row["photo"] == str(broken) and row["kind"] == "unreadable"
    assert str(result).endswith("photos left out: 1 that could not be read")
    data = Model.load(out).file.card.data
    assert data["left_out"] == {"no_face": 0, "unreadable": 1, "several_faces": 0}
    assert data["photos"] + data["kept_aside"] == 109


def random_crops(count: int) -> Crops:
    store = np.random.default_rng(0).integers(0, 256, (count, CHIP, CHIP, 3), dtype=np.uint8)
    return Crops(np.arange(count, dtype=np.int64), store)


def lessons(made: Recipe, count: int = 40) -> TeacherBatches:
    rows = np.arange(count, dtype=np.int64)
    return TeacherBatches(random_crops(count), rows, Teacher(), made, CPU)


def test_loss_is_what_loops_give() -> None:
    rng = np.random.default_rng(1)
    student, teacher = rng.normal(size=(7, 5)), rng.normal(size=(7, 5))
    point = sum(sum((s - t) ** 2) for s, t in zip(student, teacher, strict=True)) / 7
    pairs = [(i, j) for i in range(7) for j in range(7) if i != j]
    apart = sum(
        (np.linalg.norm(student[i] - student[j]) - np.linalg.norm(teacher[i] - teacher[j])) ** 2
        for i, j in pairs
    ) / len(pairs)
    found = distil_loss(torch.tensor(student), torch.tensor(teacher), 3.0, 0.5)
    assert float(found) == pytest.approx(3.0 * point + 0.5 * apart, rel=1e-4)


def test_loss_of_a_perfect_student_is_nothing_and_equal_faces_give_finite_gradients() -> None:
    vectors = torch.ones(4, 6, requires_grad=True)
    loss = distil_loss(vectors, torch.ones(4, 6), 1.0, 1.0)
    assert float(loss.detach()) == pytest.approx(0, abs=1e-9)
    (distances(vectors).sum()).backward()
    assert vectors.grad is not None and torch.isfinite(vectors.grad).all()


def test_agreement_of_equal_networks_and_of_strangers() -> None:
    teacher = torch.randn(300, 8, generator=torch.Generator().manual_seed(0))
    other = torch.randn(300, 8, generator=torch.Generator().manual_seed(1))
    assert agreement(teacher, teacher) == pytest.approx({"error": 0.0, "correlation": 1.0})
    strange = agreement(other, teacher)
    assert strange["error"] == pytest.approx(2.0, rel=0.1) and abs(strange["correlation"]) < 0.2
    # One that says the same of everybody explains nothing.
    nothing = agreement(teacher.mean(dim=0).expand(300, 8), teacher)
    assert nothing == pytest.approx({"error": 1.0, "correlation": 0.0}, rel=0.01)


def test_blend_mixes_the_part_asked_for_with_at_most_half_of_another_face() -> None:
    faces = torch.arange(400.0).view(400, 1, 1, 1).expand(400, 3, 2, 2)
    mixed = blend(faces, 0.5, torch.Generator().manual_seed(3))
    assert torch.equal(mixed, blend(faces, 0.5, torch.Generator().manual_seed(3)))
    changed = (mixed != faces).flatten(1).any(dim=1)
    assert 0.4 < float(changed.float().mean()) < 0.6
    assert torch.equal(blend(faces, 0.0, torch.Generator()), faces)
    everybody = blend(faces, 1.0, torch.Generator().manual_seed(3))
    assert float(everybody.min()) >= 0 and float(everybody.max()) <= 399


def test_student_sees_the_chip_that_the_teacher_sees_made_smaller() -> None:
    """What a model cuts from a photo is what its student learnt from: the teacher's chip, shrunk."""
    rng = np.random.default_rng(4)
    coarse = torch.tensor(rng.uniform(0, 255, (1, 3, 9, 9)))
    smooth = nn.functional.interpolate(coarse, size=(CHIP, CHIP), mode="bicubic").clamp(0, 255)
    image = smooth[0].permute(1, 2, 0).numpy().astype(np.uint8)
    store = image[None]
    made = recipe(crop={"size": 75})
    room_ = TeacherBatches(Crops(np.zeros(1, np.int64), store), np.zeros(1, np.int64), Teacher(), made, CPU)
    seen = room_.plain(np.zeros(1, np.int64)).crops[0].numpy().astype(float)
    face = Face(Box(20, 20, 130, 130), 1.0, tuple((float(x), float(y)) for x, y in DLIB_CHIP_TEMPLATE))
    cut = Preprocessing(75, "chip").crop(image, face).astype(float)
    assert np.abs(seen - cut)[2:-2, 2:-2].mean() < 2.0


def test_lessons_repeat_and_no_two_epochs_are_alike() -> None:
    room_ = lessons(recipe())
    first, again, other = room_.make(0), room_.make(0), room_.make(1)
    assert torch.equal(first.crops, again.crops) and torch.equal(first.descriptors, again.descriptors)
    assert not torch.equal(first.crops, other.crops)
    assert first.crops.shape == (64, 32, 32, 3) and first.crops.dtype == torch.uint8
    assert first.descriptors.shape == (64, 128) and torch.isfinite(first.descriptors).all()


def test_every_face_of_a_lesson_is_seen_once_a_pass() -> None:
    made = recipe()
    steps = DistillationSteps(lessons(made), made)
    assert steps.steps == 2 * (64 // 16)
    for number in range(2):
        batches = [steps[number * 4 + place]["descriptors"] for place in range(4)]
        seen = {tuple(row.tolist()) for batch in batches for row in batch}
        assert len(seen) == 64
    first, second = steps[0]["descriptors"], steps[4]["descriptors"]
    assert not torch.equal(first, second)  # another order
    assert torch.equal(steps[0]["descriptors"], first)


def test_student_begins_with_the_teachers_mean_and_spread() -> None:
    made = recipe()
    plain = lessons(made).plain(np.arange(40))
    module = StudentModule(made, Preprocessing(32, "chip"), 10, plain)
    last: Any = module.network.normalise
    assert torch.allclose(last.bias, plain.descriptors.mean(dim=0))
    assert torch.allclose(last.weight, plain.descriptors.std(dim=0))


def test_run_learns_and_its_model_embeds_without_a_threshold(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.facealike"
    result = distil(
        photos, recipe(training={"epochs": 8}), out, detector=CentralFace(), device="cpu",
        cache=tmp_path / "crops",
    )  # fmt: skip
    log = numbers(result.run)
    assert float(log[-1]["val_error"]) < 0.9 * float(log[0]["val_error"])
    assert result.agreement["error"] == pytest.approx(float(log[-1]["val_error"]), rel=1e-3)
    model = Model.load(out)
    assert model.file.card.metrics == {
        "agreement": result.agreement, "agreement_learnt": result.agreement_learnt,
    }  # fmt: skip
    crops = np.stack([draw_face(number, 0)[16:48, 16:48] for number in range(6)])
    vectors = model.embed_crops(crops)
    assert vectors.shape == (6, 129)
    assert model.file.card.provenance["teacher"].startswith("dlib")
    (record,) = model.file.card.trained_on
    assert record.people_count == 0 and record.photo_count == model.file.card.data["photos"]
    with pytest.raises(NotCalibrated):
        model.calibration.check()


def test_agreement_on_photos_learnt_from_is_that_of_the_model(photos: Path, tmp_path: Path) -> None:
    """Its descriptors, read back from the model file, against the teacher's, by loops."""
    made, out, cache = recipe(training={"precision": "32"}), tmp_path / "m.facealike", tmp_path / "crops"
    result = distil(photos, made, out, detector=CentralFace(), device="cpu", cache=cache)
    read = read_photos(photos, made, CentralFace(), cache)
    plain = TeacherBatches(read.chips, read.train, Teacher(), made, CPU).plain(read.train)
    lifted = Model.load(out).embed_crops(plain.crops.numpy()).astype(float)
    centre = plain.descriptors.double().mean(dim=0).numpy()
    said = lifted[:, :128] / (1 + lifted[:, 128:]) + centre
    wanted = plain.descriptors.double().numpy()
    missed = sum(sum((s - w) ** 2) for s, w in zip(said, wanted, strict=True))
    varied = sum(sum((w - centre) ** 2) for w in wanted)
    assert result.agreement_learnt["error"] == pytest.approx(missed / varied, rel=1e-3)
    assert result.agreement_learnt["error"] != pytest.approx(result.agreement["error"], rel=1e-3)


def test_lifted_vectors_hold_the_students_descriptors(photos: Path, tmp_path: Path) -> None:
    made, out = recipe(network={"mirror": False}), tmp_path / "m.facealike"
    result = distil(photos, made, out, detector=CentralFace(), device="cpu", cache=tmp_path / "crops")
    state = torch.load(result.run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    network = build_network(made).eval()
    network.load_state_dict(
        {k.removeprefix("average.network."): v for k, v in state.items() if k.startswith("average.network.")}
    )
    crops = np.stack([draw_face(number, 0)[16:48, 16:48] for number in range(30)])
    model = Model.load(out)
    normal = torch.from_numpy(model.preprocessing.normalize(crops))
    with torch.no_grad():
        apart = distances(network(normal)).numpy()
    vectors = model.embed_crops(crops)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    # The projection undone: a sphere's point seen from its pole.
    flat = torch.from_numpy(vectors[:, :128] / (1 + vectors[:, 128:]))
    assert np.allclose(distances(flat).numpy(), apart, atol=2e-3)
    # And what the docstring says of cosines.
    square = flat.square().sum(dim=1).numpy()
    wanted = 1 - 2 * apart**2 / ((1 + square[:, None]) * (1 + square[None, :]))
    assert np.allclose(vectors @ vectors.T, wanted, atol=1e-3)


def test_resumed_run_is_the_run_that_nobody_stopped(
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    one_thread: None,  # noqa: F811
) -> None:
    made, cache = recipe(), tmp_path / "crops"
    whole = distil(photos, made, tmp_path / "a.facealike", detector=CentralFace(), device="cpu", cache=cache)

    class Stop(Exception):
        pass

    real = StudentModule.training_step

    def training_step(self: Any, batch: Any, batch_idx: int) -> Any:
        if self.global_step == 19:  # in the third epoch
            raise Stop
        return real(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(StudentModule, "training_step", training_step)
        with pytest.raises(Stop):
            distil(photos, made, tmp_path / "b.facealike", detector=CentralFace(), device="cpu", cache=cache)
    assert not (tmp_path / "b.facealike").exists()
    resumed = distil(
        photos, made, tmp_path / "b.facealike", detector=CentralFace(), device="cpu", cache=cache, resume=True
    )
    assert same_weights(whole.run, resumed.run) and numbers(whole.run) == numbers(resumed.run)
    assert whole.model_id == resumed.model_id


def test_another_recipe_cannot_resume(photos: Path, tmp_path: Path) -> None:
    out, cache = tmp_path / "m.facealike", tmp_path / "crops"
    distil(photos, recipe(training={"epochs": 1}), out, detector=CentralFace(), device="cpu", cache=cache)
    with pytest.raises(TrainingError, match=r"teacher\.blend"):
        distil(
            photos, recipe(training={"epochs": 1}, teacher={"blend": 0.1}), out, detector=CentralFace(),
            device="cpu", cache=cache, resume=True,
        )  # fmt: skip


def test_too_few_photos_are_refused(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="too few to distil a teacher"):
        distil(
            photos / "more", recipe(), tmp_path / "m.facealike", detector=CentralFace(),
            cache=tmp_path / "crops",
        )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": {"dimensions": 64}}, "network.dimensions"),
        ({"crop": {"align": "landmarks"}}, "crop.align"),
        ({"training": {"steps_per_epoch": 5}}, "training.steps_per_epoch"),
        ({"teacher": {"passes": 0}}, "teacher.passes"),
        ({"teacher": {"descriptor_weight": 0.0, "distance_weight": 0.0}}, "teacher.descriptor_weight"),
        ({"student": {"noise": -1.0}}, "student.noise"),
    ],
)
def test_recipes_that_cannot_be_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipe(**changes)


def test_the_recipe_that_ships_is_one() -> None:
    assert load_recipe("distilled").teacher.name == "dlib"
