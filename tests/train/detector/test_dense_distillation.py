"""Dense distillation of a detector: the teacher's answer turns with the picture; the loss has a slow twin."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from facealike.detection.registry import default_detector
from facealike.detection.yunet import STRIDES, YuNetDetector, decode_yunet
from facealike.errors import DataError, TrainingError
from facealike.imaging.read import read_image
from facealike.train.detector import dense_distillation
from facealike.train.detector.dense_distillation import (
    WEIGHTS,
    DistillationRun,
    PictureBatches,
    Teacher,
    distil_detector,
    distillation_loss,
)
from facealike.train.detector.export_onnx import export
from facealike.train.detector.network import DetectorNet, Prediction, cells, load_exported
from facealike.train.detector.pictures import KINDS, SIDE, Pool, collect_images, mosaic
from facealike.train.detector.stored_pictures import StoredPictures, enlarged_part, varied
from facealike.train.detector.teacher_maps import Maps, mirrored, turn
from facealike.train.detector.training import DetectorRecipe, LoopOptions
from facealike.types import Face
from support.tiny_model import hopper_path

RECIPE = DetectorRecipe(steps=4, batch=2, climb=2)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise in place of photos, so that nothing here needs a data set."""
    folder = tmp_path_factory.mktemp("pool")
    rng = np.random.default_rng(0)
    for name, side in (("photos", 250), ("chips", 144), ("scenery", 640)):
        np.save(folder / f"{name}.npy", rng.integers(0, 256, (3, side, side, 3), dtype=np.uint8))
    return folder


@pytest.fixture(scope="module")
def weights() -> bytes:
    weights = default_detector().weights
    assert weights is not None
    return weights


def hopper() -> np.ndarray:
    """A real face in a picture of the training's size."""
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    photo = read_image(hopper_path())[60:380, 40:360]
    image[: photo.shape[0], : photo.shape[1]] = photo
    return image


def faces(maps: Maps) -> list[Face]:
    """What a decoder reads from a teacher's answer."""
    raw, first = {}, 0
    for stride in STRIDES:
        n = (SIDE // stride) ** 2
        part, first = maps[first : first + n], first + n
        raw |= {f"cls_{stride}": part[:, 0], f"obj_{stride}": part[:, 0]}
        raw |= {f"bbox_{stride}": part[:, 1:5], f"kps_{stride}": part[:, 5:]}
    return decode_yunet(raw, SIDE, SIDE, 0.6, 0.3)


def test_the_teachers_answer_is_the_detectors(weights: bytes) -> None:
    image = hopper()
    (found,) = faces(Teacher(weights)(image))
    (wanted,) = YuNetDetector(weights, 0.6, threads=1).detect(image)
    assert np.allclose(found.box, wanted.box, atol=1e-3)
    assert found.confidence == pytest.approx(wanted.confidence, abs=1e-5)


@pytest.mark.parametrize("quarters", [0, 1, 2, 3, 4])
def test_an_answer_turns_with_its_picture(weights: bytes, quarters: int) -> None:
    """Each landmark stays on the pixel it was on, and the box around the same pixels."""
    image = hopper()
    maps = Teacher(weights)(image)
    (before,) = faces(maps)
    turned, answer = turn(image, maps, quarters)
    (after,) = faces(answer)
    assert np.array_equal(turned, np.rot90(image, quarters))
    left, top, right, bottom = before.box
    points = np.array(before.landmarks)
    for _ in range(quarters % 4):
        left, top, right, bottom = top, SIDE - right, bottom, SIDE - left
        points = np.stack([points[:, 1], SIDE - 1 - points[:, 0]], axis=1)
    assert np.allclose(after.box, (left, top, right, bottom), atol=1e-3)
    assert np.allclose(after.landmarks, points, atol=1e-3)


def test_four_quarters_are_none(weights: bytes) -> None:
    image = hopper()
    maps = Teacher(weights)(image)
    half, answer = turn(image, maps, 2)
    whole, again = turn(half, answer, 2)
    assert np.array_equal(whole, image) and np.allclose(again, maps, atol=1e-5)


def test_the_loss_against_a_slow_twin() -> None:
    torch.manual_seed(0)
    corners, strides = cells(64, 64)
    n = len(strides)
    prediction = Prediction(torch.randn(2, n), torch.randn(2, n), torch.randn(2, n, 4), torch.randn(2, n, 10))
    target = torch.cat([torch.rand(2, n, 1) ** 4, 0.3 * torch.randn(2, n, 14)], dim=2)
    found = distillation_loss(prediction, target, corners, strides)
    confidence = box = points = count = 0.0
    for i in range(2):
        for j in range(n):
            t, step = float(target[i, j, 0]), float(strides[j])
            count += t
            p, q = (1 / (1 + math.exp(-float(logit[i, j]))) for logit in (prediction.obj, prediction.cls))
            confidence -= t * math.log(p) + (1 - t) * math.log(1 - p)
            confidence -= 2 * abs(q - t) * (t * math.log(q) + (1 - t) * math.log(1 - q))
            if t < 0.2:
                continue
            ours, true = prediction.bbox[i, j].double(), target[i, j, 1:5].double()
            sides = [(step * math.exp(float(v[2])), step * math.exp(float(v[3]))) for v in (ours, true)]
            middles = [(step * float(v[0]), step * float(v[1])) for v in (ours, true)]
            edges = [(m[0] - s[0] / 2, m[1] - s[1] / 2, m[0] + s[0] / 2, m[1] + s[1] / 2)
                     for m, s in zip(middles, sides, strict=True)]  # fmt: skip
            (a, b, c, d), (e, f, g, h) = edges
            shared = max(0.0, min(c, g) - max(a, e)) * max(0.0, min(d, h) - max(b, f))
            iou = shared / ((c - a) * (d - b) + (g - e) * (h - f) - shared)
            wide, high = max(c, g) - min(a, e), max(d, h) - min(b, f)
            far = (middles[0][0] - middles[1][0]) ** 2 + (middles[0][1] - middles[1][1]) ** 2
            loss = 1 - iou + far / (wide**2 + high**2)
            loss += ((c - a - g + e) / wide) ** 2 + ((d - b - h + f) / high) ** 2
            box += t * loss
            size = math.sqrt(max(1.0, (g - e) * (h - f)))
            apart = (step * (prediction.kps[i, j] - target[i, j, 5:]) / size).abs()
            smooth = [v * v / 0.02 if v < 0.01 else v - 0.005 for v in apart.tolist()]
            points += t * sum(smooth) / 10
    wanted = [weight * part / count for weight, part in zip(WEIGHTS, (confidence, box, points), strict=True)]
    assert [float(part) for part in found] == pytest.approx(wanted, rel=1e-4)


def test_a_student_that_answers_as_its_teacher_has_no_distance_left() -> None:
    corners, strides = cells(32, 32)
    target = torch.cat([torch.full((1, len(strides), 1), 0.5), torch.zeros(1, len(strides), 14)], dim=2)
    logit = torch.zeros(1, len(strides))
    found = distillation_loss(
        Prediction(logit, logit, target[..., 1:5], target[..., 5:]), target, corners, strides
    )
    assert float(found.box) == pytest.approx(0, abs=1e-6) and float(found.points) == 0


def test_a_larger_network_begins_with_the_output_of_a_smaller_one(weights: bytes) -> None:
    """The default detector has no ``fine`` and fewer channels at stride 8."""
    network = DetectorNet((16, 32, 48, 64, 48))
    load_exported(network, weights)
    again, first = (
        YuNetDetector(content, 0.6, threads=1).detect(hopper()) for content in (export(network), weights)
    )
    assert len(again) == len(first) == 1
    assert np.allclose(again[0].box, first[0].box, atol=0.5)
    assert again[0].confidence == pytest.approx(first[0].confidence, abs=0.01)


def test_a_smaller_network_cannot_begin_with_a_larger_one(weights: bytes) -> None:
    with pytest.raises(TrainingError, match=r"stage0\.down of the detector .* wider"):
        load_exported(DetectorNet((16, 32, 16, 16, 16)), weights)


@pytest.mark.parametrize("kind", [kind for kind, _ in KINDS], ids=lambda kind: kind.__name__)
def test_pictures_of_every_kind_are_the_same_each_time(pool: Path, kind) -> None:  # type: ignore[no-untyped-def]
    images = Pool.open(pool)
    for seed in range(5):
        one, again = (kind(np.random.default_rng(seed), images) for _ in range(2))
        assert one.shape == (SIDE, SIDE, 3) and one.dtype == np.uint8
        assert np.array_equal(one, again)
    assert sum(share for _, share in KINDS) == pytest.approx(1)


def test_batches_hold_pictures_and_the_answers_to_them(
    pool: Path, weights: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dense_distillation, "TURNED", 0.0)
    monkeypatch.setattr(dense_distillation, "varied", lambda rng, image, maps: (image, maps))
    batches = PictureBatches(pool, weights, RECIPE, tmp_path, 6)
    seen = []
    for number in range(6):
        pixels, targets = batches[number]
        assert pixels.shape == (2, 3, SIDE, SIDE) and pixels.dtype == torch.uint8
        for picture, maps in zip(pixels.permute(0, 2, 3, 1).numpy()[..., ::-1], targets, strict=True):
            seen.append(picture.tobytes())
            assert np.allclose(maps, Teacher(weights)(np.ascontiguousarray(picture)), atol=2e-2)
    assert len(set(seen[:6])) == len(set(seen[6:])) == 6 and set(seen[:6]) == set(seen[6:])
    assert seen[:6] != seen[6:]  # the order differs


def test_a_mosaic_holds_each_picture_in_its_place() -> None:
    whole = mosaic([np.full((320, 320, 3), 20 * k, np.uint8) for k in range(9)], 320)
    assert whole.shape == (320, 320, 3)
    places = [whole[53 + 107 * row, 53 + 107 * column, 0] for row in range(3) for column in range(3)]
    assert places == [20 * k for k in range(9)]


def test_an_enlarged_part_is_a_part() -> None:
    ramp = np.broadcast_to(np.arange(320)[None, :, None] // 2, (320, 320, 3)).astype(np.uint8)
    for seed in range(20):
        part = enlarged_part(np.random.default_rng(seed), ramp)[160, :, 0].astype(float)
        assert 0.3 * 160 < part[-1] - part[0] < 0.95 * 160 and (np.diff(part) >= 0).all()


def test_a_picture_is_made_once_and_again_if_the_run_was_killed_meanwhile(tmp_path: Path) -> None:
    made = []

    def make(number: int, earlier: object) -> tuple[np.ndarray, np.ndarray]:
        made.append(number)
        if len(made) == 2:
            raise KeyboardInterrupt
        return np.full((64, 64, 3), number, np.uint8), np.full((84, 15), number, np.float32)

    store = StoredPictures(tmp_path, 4, 64, make)
    assert store[2][0].max() == store[2][1].max() == 2 and made == [2]
    with pytest.raises(KeyboardInterrupt):
        store[1]
    again = StoredPictures(tmp_path, 4, 64, make)
    assert again[1][0].min() == 1 and again[2][1].min() == 2 and made == [2, 1, 1]
    with pytest.raises(DataError, match="other pictures"):
        StoredPictures(tmp_path, 5, 64, make)


def test_a_mirrored_picture_has_the_mirrored_answer(weights: bytes) -> None:
    """The mirror of a map describes the mirrored places; the right eye becomes the left one."""
    image = hopper()
    maps = Teacher(weights)(image)
    (before,) = faces(maps)
    (after,) = faces(mirrored(maps, SIDE))
    left, top, right, bottom = before.box
    assert np.allclose(after.box, (SIDE - right, top, SIDE - left, bottom), atol=1e-3)
    wanted = np.array(before.landmarks)[[1, 0, 2, 4, 3]] * [-1, 1] + [SIDE - 1, 0]
    assert np.allclose(after.landmarks, wanted, atol=1e-3)
    assert np.allclose(mirrored(mirrored(maps, SIDE), SIDE), maps, atol=1e-5)


def test_a_varied_picture_keeps_its_places(weights: bytes) -> None:
    image = hopper()
    maps = Teacher(weights)(image)
    for seed in range(6):
        other, answer = varied(np.random.default_rng(seed), image, maps)
        mirror = not np.array_equal(answer, maps)
        assert np.allclose(answer, mirrored(maps, SIDE) if mirror else maps)
        straight = (other[:, ::-1] if mirror else other).astype(float)
        assert np.corrcoef(straight.ravel(), image.ravel())[0, 1] > 0.97
        assert not np.array_equal(straight, image)


def test_a_run_that_stops_goes_on_as_if_it_had_not(pool: Path, weights: bytes, tmp_path: Path) -> None:
    def distil(folder: Path, stop_after: int | None = None) -> bytes:
        folder.mkdir(exist_ok=True)
        return distil_detector(
            pool, weights, RECIPE, folder, folder / "d.onnx", LoopOptions(0, 2, stop_after), start, distinct=6
        )

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    start = export(DetectorNet((16, 16, 16, 16, 16)))
    try:
        whole = distil(tmp_path / "whole")
        distil(tmp_path / "parts", stop_after=3)
        parts = distil(tmp_path / "parts")
    finally:
        torch.set_num_threads(threads)
    assert parts == whole == (tmp_path / "parts" / "d.onnx").read_bytes()


def test_it_learns_one_batch(weights: bytes, tmp_path: Path) -> None:
    image = hopper()
    torch.manual_seed(0)
    run = DistillationRun(DetectorRecipe(steps=1000, batch=1, climb=1), tmp_path / "none")
    pixels = torch.from_numpy(np.ascontiguousarray(image[:, :, ::-1].transpose(2, 0, 1)))[None]
    target = torch.from_numpy(Teacher(weights)(image))[None]
    totals = [sum(run.train_step(pixels, target)) for _ in range(15)]
    assert totals[-1] < 0.7 * totals[0]


def test_missing_images_are_said_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="collect them again"):
        Pool.open(tmp_path)
    with pytest.raises(DataError, match="no image"):
        collect_images([], 144, tmp_path / "chips.npy")


def test_images_of_any_shape_become_squares(tmp_path: Path) -> None:
    assert collect_images([Path(hopper_path())] * 2, 144, tmp_path / "chips.npy") == 2
    images = np.load(tmp_path / "chips.npy")
    assert images.shape == (2, 144, 144, 3) and images.dtype == np.uint8 and images.std() > 20
    assert [path.name for path in tmp_path.iterdir()] == ["chips.npy"]
