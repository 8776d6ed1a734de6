"""The detector's network and its file: the YuNet format, in our reader and in OpenCV's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from facealike.detection.yunet import STRIDES, YuNetDetector, decode_yunet
from facealike.errors import TrainingError
from facealike.train.detector import export_onnx
from facealike.train.detector.export_onnx import export  # fmt: skip
from facealike.train.detector.network import OUTPUTS, SCALE, DetectorNet, Prediction, cells, to_pixels


@pytest.fixture(scope="module")
def network() -> DetectorNet:
    """Random weights and biases, and a face suspected everywhere."""
    torch.manual_seed(0)
    net = DetectorNet()
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.bias.normal_(0, 0.2)
        for head in net.head:
            head.weight.normal_(0, 0.1)
            head.bias[:2] = 1.0
    return net.eval()


@pytest.fixture(scope="module")
def weights(network: DetectorNet) -> bytes:
    return export(network)


def test_the_file_is_small(weights: bytes) -> None:
    assert len(weights) <= 450_000


@pytest.mark.parametrize("size", [(64, 64), (96, 160), (256, 32)])
def test_onnx_answers_as_torch_does_at_any_size(
    network: DetectorNet, weights: bytes, size: tuple[int, int]
) -> None:
    import onnxruntime

    pixels = torch.randint(0, 256, (1, 3, *size), generator=torch.Generator().manual_seed(1)).float()
    with torch.no_grad():
        wanted = network(pixels * SCALE)
    session = onnxruntime.InferenceSession(weights, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    assert names == [f"{kind}_{stride}" for kind in OUTPUTS for stride in STRIDES]
    found = dict(zip(names, session.run(None, {"input": pixels.numpy()}), strict=True))
    for kind, values in wanted._asdict().items():
        ours = np.concatenate([found[f"{kind}_{stride}"][0] for stride in STRIDES])
        theirs = values[0].sigmoid()[:, None] if kind in ("cls", "obj") else values[0]
        np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-2)


def test_cells_and_pixels_are_what_the_decoder_reads() -> None:
    """``to_pixels`` is the tensor twin of ``decode_yunet``."""
    height, width = 64, 96
    corners, strides = cells(height, width)
    g = torch.Generator().manual_seed(2)
    n = len(corners)
    prediction = Prediction(
        torch.randn((1, n), generator=g), torch.randn((1, n), generator=g),
        torch.randn((1, n, 4), generator=g), torch.randn((1, n, 10), generator=g),
    )  # fmt: skip
    boxes, points = to_pixels(prediction, corners, strides)
    outputs: dict[str, np.ndarray] = {}
    for stride in STRIDES:
        mine = strides == stride
        outputs[f"cls_{stride}"] = prediction.cls[:, mine].sigmoid().numpy()
        outputs[f"obj_{stride}"] = prediction.obj[:, mine].sigmoid().numpy()
        outputs[f"bbox_{stride}"] = prediction.bbox[:, mine].numpy()
        outputs[f"kps_{stride}"] = prediction.kps[:, mine].numpy()
    faces = decode_yunet(outputs, height, width, 0.0, 1.0)  # every cell, the surest first
    assert len(faces) == n
    order = (prediction.cls.sigmoid() * prediction.obj.sigmoid())[0].argsort(descending=True, stable=True)
    np.testing.assert_allclose([face.box for face in faces], boxes[0, order].numpy(), atol=1e-2)
    np.testing.assert_allclose([face.landmarks for face in faces], points[0, order].numpy(), atol=1e-2)


def test_our_reader_takes_it(weights: bytes) -> None:
    image = np.random.default_rng(0).integers(0, 256, (70, 90, 3)).astype(np.uint8)
    faces = YuNetDetector(weights, min_confidence=0.5, threads=1).detect(image)
    assert faces and all(face.landmarks is not None for face in faces)


def test_opencv_takes_it_and_finds_the_same(weights: bytes, tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    path = tmp_path / "detector.onnx"
    path.write_bytes(weights)
    for height, width in ((96, 128), (160, 64)):
        image = np.random.default_rng(height).integers(0, 256, (height, width, 3)).astype(np.uint8)
        theirs = cv2.FaceDetectorYN.create(str(path), "", (width, height), 0.5, 0.3, 5000)
        _, found = theirs.detect(np.ascontiguousarray(image[:, :, ::-1]))
        ours = YuNetDetector(weights, min_confidence=0.5, threads=1).detect(image)[0]
        # The surest is kept by every suppression; of the others OpenCV rounds boxes to whole pixels.
        best = found[found[:, 14].argmax()]
        left, top, right, bottom = ours.box
        np.testing.assert_allclose(best[:4], [left, top, right - left, bottom - top], atol=0.2)
        np.testing.assert_allclose(best[4:14], np.ravel(ours.landmarks), atol=0.2)
        assert best[14] == pytest.approx(ours.confidence, abs=2e-3)


def test_equal_networks_give_equal_files(network: DetectorNet, weights: bytes) -> None:
    assert export(network) == weights
    graph = onnx.load_from_string(weights)
    assert graph.opset_import[0].version == 11  # what OpenCV's importer is tested with


def test_a_wrong_file_is_not_written(network: DetectorNet, monkeypatch: pytest.MonkeyPatch) -> None:
    real = export_onnx._weights
    monkeypatch.setattr(export_onnx, "_weights", lambda layer: (real(layer)[0] * 2, real(layer)[1]))
    with pytest.raises(TrainingError, match="differs"):
        export(network)
