"""dlib's face network: read, written as ONNX and built in torch, against dlib itself."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from facealike import ModelError
from facealike.errors import MissingExtra
from facealike.model_zoo.dlib_onnx import to_onnx
from facealike.model_zoo.dlib_weights import (
    BLOCKS,
    DIMENSIONS,
    MEAN,
    SIZE,
    STD,
    Convolution,
    DlibResNet,
    _Reader,
    package_file,
    read_dlib_resnet,
)
from support.data_paths import needs_data
from support.dlib_file import dlib_weights, random_file, whole

LFW = os.environ.get("FACEALIKE_LFW")


@pytest.fixture(scope="module")
def file() -> tuple[bytes, list[dict[str, np.ndarray]]]:
    return random_file()


@pytest.fixture(scope="module")
def net(file: tuple[bytes, list[dict[str, np.ndarray]]]) -> DlibResNet:
    return read_dlib_resnet(file[0])


def layers(net: DlibResNet) -> list[Convolution]:
    return [net.stem, *(layer for block in net.blocks for layer in (block.first, block.second))]


def normalised(images: np.ndarray) -> np.ndarray:
    """uint8 (n, S, S, 3) -> float32 (n, 3, S, S)."""
    return np.ascontiguousarray(((images - np.array(MEAN)) / STD).transpose(0, 3, 1, 2), dtype=np.float32)


def run(content: bytes, crops: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return session.run(None, {"crops": crops})[0]


def random_images(count: int) -> np.ndarray:
    """Smooth ones, uint8 (n, 150, 150, 3)."""
    small = np.random.default_rng(1).integers(0, 256, (count, 10, 10, 3), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(each).resize((SIZE, SIZE))) for each in small])


def test_each_number_is_where_it_belongs(file, net) -> None:
    *wanted, last = file[1]
    found = layers(net)
    assert len(found) == len(wanted) == 1 + 2 * len(BLOCKS) == 29
    for layer, parts in zip(found, wanted, strict=True):
        for out in range(len(layer.bias)):  # the affine layer, filter by filter
            gamma = np.float64(parts["gamma"][out])
            np.testing.assert_allclose(layer.weight[out], parts["weight"][out] * gamma, rtol=1e-6)
            assert layer.bias[out] == pytest.approx(
                parts["bias"][out] * gamma + parts["beta"][out], rel=1e-5, abs=1e-6
            )
    np.testing.assert_array_equal(net.matrix, last["matrix"])
    assert [layer.stride for layer in found].count(2) == 5
    assert net.parameters == sum(part["weight"].size + part["bias"].size for part in wanted) + 256 * 128


@pytest.mark.parametrize("number", [0, 1, 127, 128, 255, 256, 4736, -1, -300, 2**31, -(2**62)])
def test_whole_numbers(number: int) -> None:
    reader = _Reader(whole(number) + b"rest")
    assert reader._integer() == number and reader.data[reader.at :] == b"rest"


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x09123456789", b"\x02\x01", b"\x41\x01"])
def test_bytes_that_are_no_whole_number_are_refused(data: bytes) -> None:
    with pytest.raises(Exception, match="a whole number was expected"):
        _Reader(data)._integer()


def test_a_file_cut_anywhere_is_refused(file) -> None:
    data = file[0]
    cuts = [0, 3, 200, 340, 5_000, len(data) // 2, len(data) - 131_000, len(data) - 71]
    for cut in cuts:
        with pytest.raises(ModelError, match="not dlib's face network"):
            read_dlib_resnet(data[:cut])


def test_another_network_is_refused(file) -> None:
    data = file[0]
    with pytest.raises(ModelError, match=r"byte [\d,]+: the shape of the convolution should be"):
        read_dlib_resnet(data.replace(whole(32, 7, 7, 2, 2, 0, 0), whole(32, 7, 7, 1, 1, 0, 0)))
    with pytest.raises(ModelError, match="no layer affine_ follows"):
        read_dlib_resnet(data.replace(b"affine_", b"bnorm__"))
    with pytest.raises(ModelError, match="layers follow"):
        read_dlib_resnet(data + data[-1000:] + b"con_4")
    with pytest.raises(ModelError, match="no layer input_rgb_image_sized follows"):
        read_dlib_resnet(b"\x89PNG" + data[:1000].replace(b"input", b"other"))


def test_numbers_that_are_not_finite_are_refused(file) -> None:
    data = file[0]
    at = data.index(b"con_4") + 5 + len(whole(2, 4736, 1, 1, 1))
    with pytest.raises(ModelError, match="not finite"):
        read_dlib_resnet(data[:at] + np.float32(np.nan).tobytes() + data[at + 4 :])


def test_a_package_that_is_not_there() -> None:
    with pytest.raises(MissingExtra, match=r'pip install "facealike\[dlib\]"'):
        package_file("no-such-file.dat")


def test_onnx_and_torch_agree(net) -> None:
    torch = pytest.importorskip("torch")
    from facealike.train.networks.dlib_resnet import DlibTeacher

    images = random_images(2)
    content = to_onnx(net)
    onnx = pytest.importorskip("onnx")
    onnx.checker.check_model(onnx.load_from_string(content), full_check=True)
    found = run(content, normalised(images))
    teacher = DlibTeacher(net)
    batch = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).float()
    with torch.inference_mode():
        wanted = teacher(batch).numpy()
        with torch.autocast("cpu", torch.bfloat16):
            fast = teacher.to(memory_format=torch.channels_last)(
                batch.contiguous(memory_format=torch.channels_last)
            )
    assert found.shape == (2, DIMENSIONS) and found.dtype == np.float32
    scale = np.abs(wanted).max()
    assert scale > 0.05  # else everything would agree with everything
    np.testing.assert_allclose(found, wanted, atol=2e-5 * scale)
    assert fast.dtype == torch.float32 and np.abs(fast.numpy() - wanted).max() < 0.05 * scale
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert all(p.requires_grad for p in DlibTeacher(net, frozen=False).parameters())


@pytest.mark.parametrize("e", [0.05, 0.3, 1.0])
def test_the_lift_is_the_formula_and_of_unit_length(net, e: float) -> None:
    crops = normalised(random_images(4))
    x = run(to_onnx(net), crops).astype(np.float64)
    found = run(to_onnx(net, e), crops)
    assert found.shape == (4, DIMENSIONS + 1)
    for row, descriptor in zip(found, x, strict=True):
        square = e * e * sum(v * v for v in descriptor)
        wanted = [*(2 * e * v / (1 + square) for v in descriptor), (1 - square) / (1 + square)]
        np.testing.assert_allclose(row, wanted, atol=1e-6)
        assert float(row @ row) == pytest.approx(1, abs=1e-5)


def test_what_training_starts_from_is_the_lifted_network_and_learns(net) -> None:
    torch = pytest.importorskip("torch")
    from facealike.train.networks.dlib_resnet import LiftedDlib

    crops = normalised(random_images(2))
    start = LiftedDlib(net, 0.3)
    found = start(torch.from_numpy(crops))
    np.testing.assert_allclose(found.detach().numpy(), run(to_onnx(net, 0.3), crops), atol=2e-5)
    (found[0] @ found[1]).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in start.parameters())


def test_a_small_lift_ranks_as_distances_do() -> None:
    rng = np.random.default_rng(0)
    x, e = rng.standard_normal((30, 128)) * 0.12, 1e-3
    square = (e * e * (x**2).sum(axis=1))[:, None]
    lifted = np.concatenate([2 * e * x, 1 - square], axis=1) / (1 + square)
    distances = np.linalg.norm(x[:, None] - x[None], axis=2)
    chords = np.linalg.norm(lifted[:, None] - lifted[None], axis=2)
    np.testing.assert_allclose(chords, 2 * e * distances, rtol=1e-4, atol=1e-9)


@needs_data("FACEALIKE_LFW")
def test_descriptors_are_dlibs_own(tmp_path: Path) -> None:
    """On 16 faces here; on 1,000 in benchmarks/accuracy/dlib.py."""
    dlib = pytest.importorskip("dlib")
    torch = pytest.importorskip("torch")
    from facealike.train.networks.dlib_resnet import DlibTeacher

    data = dlib_weights()
    photos = sorted(Path(LFW or "").glob("*/*.jpg"))[::800][:16]
    assert len(photos) == 16
    chips = np.stack([
        np.asarray(Image.open(photo).convert("RGB").crop((63, 60, 187, 184)).resize((SIZE, SIZE)))
        for photo in photos
    ])  # fmt: skip
    copy = tmp_path / "weights.dat"
    copy.write_bytes(data)
    wanted = np.array(dlib.face_recognition_model_v1(str(copy)).compute_face_descriptor(list(chips)))
    net = read_dlib_resnet(data)
    found = run(to_onnx(net), normalised(chips))
    assert np.abs(found - wanted).max() < 1e-5
    with torch.inference_mode():
        taught = DlibTeacher(net)(torch.from_numpy(chips.transpose(0, 3, 1, 2).copy()).float()).numpy()
    assert np.abs(taught - wanted).max() < 1e-5
