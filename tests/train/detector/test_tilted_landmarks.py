"""Landmarks of tilted faces: the loss has a slow twin, touches landmarks alone, and a run can be resumed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from facealike.detection.registry import default_detector
from facealike.errors import TrainingError
from facealike.train.detector import tilted_landmarks
from facealike.train.detector.dense_distillation import WEIGHTS, PictureBatches, distillation_loss
from facealike.train.detector.export_onnx import export
from facealike.train.detector.loss import KNEE, Targets
from facealike.train.detector.network import DetectorNet, Prediction, cells, to_pixels
from facealike.train.detector.pseudo_labels import Sources
from facealike.train.detector.scenes import SIDE, compose
from facealike.train.detector.tilted_landmarks import (
    SAME,
    SPEAKS,
    MixedBatches,
    TiltedRun,
    landmark_loss,
    teach_tilted,
)
from facealike.train.detector.training import DetectorRecipe, LoopOptions
from support.drawn_faces import made_sources

RECIPE = DetectorRecipe(steps=4, batch=1, climb=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labeled drawings, and the work folder of a distillation on noise."""
    folder = tmp_path_factory.mktemp("tilted")
    made_sources(folder)
    rng = np.random.default_rng(0)
    (folder / "distilled" / "pool").mkdir(parents=True)
    for name, side in (("photos", 250), ("chips", 144), ("scenery", 640)):
        noise = rng.integers(0, 256, (3, side, side, 3), dtype=np.uint8)
        np.save(folder / "distilled" / "pool" / f"{name}.npy", noise)
    return folder


@pytest.fixture(scope="module")
def weights() -> bytes:
    weights = default_detector().weights
    assert weights is not None
    return weights


def scenes(folder: Path, count: int) -> Targets:
    sources = Sources(folder / "sources")
    return Targets.of([compose(np.random.default_rng(i), sources) for i in range(count)])


def predicted(faces: Targets, seed: int = 0) -> Prediction:
    """Boxes near the faces in the cells around their centers, of all confidences, and noise elsewhere."""
    generator = torch.Generator().manual_seed(seed)
    corners, strides = cells(SIDE, SIDE)
    n = len(faces.boxes)
    noise = torch.randn(n, len(corners), 16, generator=generator)
    bbox = noise[..., 2:6].clone()
    middle = (faces.boxes[:, :, :2] + faces.boxes[:, :, 2:]) / 2
    for i in range(n):
        for j in torch.nonzero(faces.real[i])[:, 0]:
            near = ((corners + strides[:, None] / 2 - middle[i, j]).abs() < 2 * strides[:, None]).all(dim=1)
            side = faces.boxes[i, j, 2:] - faces.boxes[i, j, :2]
            bbox[i, near, :2] = (middle[i, j] - corners[near]) / strides[near, None] + 0.1 * bbox[i, near, :2]
            bbox[i, near, 2:] = (side / strides[near, None]).log() + 0.2 * bbox[i, near, 2:]
    return Prediction(2 * noise[..., 0] - 1, 2 * noise[..., 1] - 1, bbox, noise[..., 6:])


def slow_loss(prediction: Prediction, faces: Targets) -> tuple[float, int]:
    """The loss cell by cell, and how many cells count."""
    corners, strides = cells(SIDE, SIDE)
    boxes, points = (part.numpy().astype(float) for part in to_pixels(prediction, corners, strides))
    total = weights = 0.0
    count = 0
    for i in range(len(boxes)):
        for cell in range(len(corners)):
            likely = 1 / (
                1 + np.exp(-np.array([float(prediction.cls[i, cell]), float(prediction.obj[i, cell])]))
            )
            confidence = float(np.sqrt(likely.prod()))
            best, means = 0.0, -1
            for j in range(faces.boxes.shape[1]):
                if not faces.real[i, j]:
                    continue
                a, b = boxes[i, cell], faces.boxes[i, j].numpy().astype(float)
                wide = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(
                    0.0, min(a[3], b[3]) - max(a[1], b[1])
                )
                both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - wide
                if wide / both > best:
                    best, means = wide / both, j
            if best <= SAME or confidence <= SPEAKS:
                continue
            box = faces.boxes[i, means].numpy().astype(float)
            size = np.sqrt((box[2] - box[0]) * (box[3] - box[1]))
            off = np.abs(points[i, cell] - faces.points[i, means].numpy()) / size
            far = np.where(off < KNEE, off**2 / (2 * KNEE), off - KNEE / 2).mean()
            total, weights, count = total + confidence * far, weights + confidence, count + 1
    return total / weights, count


def test_the_loss_is_that_of_its_slow_twin(folder: Path) -> None:
    faces = scenes(folder, 2)
    prediction = predicted(faces)
    wanted, count = slow_loss(prediction, faces)
    assert count > 5
    found = landmark_loss(prediction, *cells(SIDE, SIDE), faces)
    assert float(found) == pytest.approx(wanted, rel=1e-4)


def test_without_a_confident_cell_the_loss_is_zero(folder: Path) -> None:
    faces = scenes(folder, 1)
    prediction = predicted(faces)
    silent = prediction._replace(obj=torch.full_like(prediction.obj, -20.0))
    assert float(landmark_loss(silent, *cells(SIDE, SIDE), faces)) == 0


def test_only_landmarks_learn_from_scenes(folder: Path) -> None:
    faces = scenes(folder, 1)
    parts = Prediction(*(part.requires_grad_() for part in predicted(faces)))
    landmark_loss(parts, *cells(SIDE, SIDE), faces).backward()  # type: ignore[no-untyped-call]
    assert parts.kps.grad is not None and parts.kps.grad.abs().sum() > 0
    assert all(part.grad is None for part in (parts.cls, parts.obj, parts.bbox))


def test_a_step_weighs_confidence_and_box_of_pictures_and_landmarks_of_scenes(
    folder: Path, weights: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a network that knows nothing yet, so that any cell on a face must count."""
    monkeypatch.setattr(tilted_landmarks, "SPEAKS", 0.0)
    monkeypatch.setattr(tilted_landmarks, "SAME", 0.01)
    run = TiltedRun(RECIPE, tmp_path / "none")
    pictures = PictureBatches(folder / "distilled" / "pool", weights, RECIPE, tmp_path / "composed", 4)
    pixels, targets = MixedBatches(pictures, folder / "sources", 0)[0]
    total, (confidence, box, points) = run.batch_loss(pixels, targets)
    kept = distillation_loss(run.predict(pixels), targets.maps, run.corners, run.strides)
    apart = landmark_loss(run.predict(targets.scenes), *cells(SIDE, SIDE), targets.faces)
    assert (confidence, box) == pytest.approx((kept.confidence.item(), kept.box.item()))
    assert points == pytest.approx(WEIGHTS[2] * apart.item()) and points > 0
    assert total.item() == pytest.approx(confidence + box + points)


def test_a_run_that_stops_goes_on_as_if_it_had_not(folder: Path, weights: bytes, tmp_path: Path) -> None:
    torch.manual_seed(0)
    start = export(DetectorNet())

    def teach(work: Path, stop_after: int | None = None) -> bytes:
        work.mkdir(exist_ok=True)
        return teach_tilted(
            folder / "distilled", folder / "sources", weights, start, RECIPE, work, work / "d.onnx",
            LoopOptions(workers=0, every=2, stop_after=stop_after), distinct=4,
        )  # fmt: skip

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        whole = teach(tmp_path / "whole")
        teach(tmp_path / "parts", stop_after=3)
        parts = teach(tmp_path / "parts")
    finally:
        torch.set_num_threads(threads)
    assert parts == whole == (tmp_path / "parts" / "d.onnx").read_bytes() != start
    (tmp_path / "parts" / "state.pt").write_bytes(b"no state")
    with pytest.raises(TrainingError, match="no state to resume"):
        teach(tmp_path / "parts")


def test_the_command_tells_what_is_missing_in_one_line(tmp_path: Path) -> None:
    options = {
        name: str(tmp_path / name)
        for name in ("photos", "chips", "teacher", "work", "out", "distilled", "start")
    }
    with pytest.raises(SystemExit) as stop:
        tilted_landmarks.main([word for name, value in options.items() for word in (f"--{name}", value)])
    assert str(stop.value).startswith("tilted_landmarks: ") and "\n" not in str(stop.value)
