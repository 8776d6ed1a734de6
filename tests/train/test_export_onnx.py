"""Export: onnxruntime gives what torch gave, for any number of crops, from one file."""

from __future__ import annotations

import io
import logging
import math
import pickle
import zipfile

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from facealike.errors import TrainingError
from facealike.model_zoo.quantization import MIN_FP16_SIZE, quantize_int8, relative_error
from facealike.train import export_onnx as export
from facealike.train.export_onnx import LiftedEmbedder, UnitEmbedder, export_embedder, export_student
from facealike.train.networks.resnet import make_network, to_unit
from facealike.train.recipe.schema import NetworkSpec

SIZE = 32
HALVES = (slice(0, 3), slice(3, 6))


def trained(kind: str = "resnet", pool: str = "average") -> torch.nn.Module:
    """A network whose batch norms have seen something, so that they are no identities."""
    torch.manual_seed(0)
    network = make_network(NetworkSpec(kind, (4, 8), (1,), 6, 0.3, pool=pool), SIZE)  # type: ignore[arg-type]
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for seed in range(3):
        network(2 + crops(8, seed))
    return network


def crops(count: int, seed: int = 9) -> torch.Tensor:
    return torch.randn(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    return trained()


@pytest.fixture(scope="module")
def content(network: torch.nn.Module) -> bytes:
    return export_embedder(network, SIZE, mirror=True)


def run(content: bytes, images: torch.Tensor) -> np.ndarray:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    found: np.ndarray = session.run(None, {"crops": images.numpy()})[0]
    return found


# ---- UnitEmbedder -----------------------------------------------------------------------------


@pytest.mark.parametrize("mirror", [True, False])
def test_embeddings_have_length_one(network: torch.nn.Module, mirror: bool) -> None:
    with torch.no_grad():
        embedded = UnitEmbedder(network.eval(), mirror)(crops(5))
    torch.testing.assert_close(embedded.norm(dim=1), torch.ones(5))


def test_mirror_makes_a_face_and_its_mirror_image_one(network: torch.nn.Module) -> None:
    network.eval()
    images = crops(4)
    with torch.no_grad():
        both, one = UnitEmbedder(network, True), UnitEmbedder(network, False)
        torch.testing.assert_close(both(images), both(images.flip(3)))
        assert not torch.allclose(one(images), one(images.flip(3)), atol=1e-2)
        middle = one(images) + one(images.flip(3))
        torch.testing.assert_close(both(images), middle / middle.norm(dim=1, keepdim=True))


# ---- ONNX -------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 7])
def test_onnx_equals_torch(network: torch.nn.Module, content: bytes, count: int) -> None:
    with torch.no_grad():
        expected = UnitEmbedder(network.eval(), True)(crops(count)).numpy()
    found = run(content, crops(count))
    assert found.dtype == np.float32
    assert found.shape == (count, 6)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(("kind", "pool"), [("resnet", "grid"), ("resnet", "flatten"), ("legacy", "average")])
def test_the_other_networks(kind: str, pool: str) -> None:
    other = trained(kind, pool)
    content = export_embedder(other, SIZE, mirror=False)
    for count in (1, 7):
        with torch.no_grad():
            expected = UnitEmbedder(other.eval(), False)(crops(count)).numpy()
        np.testing.assert_allclose(run(content, crops(count)), expected, atol=1e-5)


def test_one_file_that_holds_everything(network: torch.nn.Module, content: bytes) -> None:
    model = onnx.load_model_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    for tensor in model.graph.initializer:
        assert tensor.data_location == onnx.TensorProto.DEFAULT, "no weights outside the file"
        assert not tensor.external_data
    weights = 4 * sum(parameter.numel() for parameter in network.parameters())
    assert weights < len(content) < 1.2 * weights + 20_000, "the weights once, in spite of the mirror"


def test_input_and_output(content: bytes) -> None:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (given,), (result,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.type, given.shape[1:]) == ("crops", "tensor(float)", [3, SIZE, SIZE])
    assert isinstance(given.shape[0], str), "any number of crops"
    assert (result.name, result.shape[1]) == ("embeddings", 6)


def test_standard_operators_only_and_no_pickle(content: bytes) -> None:
    model = onnx.load_model_from_string(content)
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}
    assert not model.functions
    for opener in (pickle.loads, lambda data: zipfile.ZipFile(io.BytesIO(data))):
        with pytest.raises((pickle.UnpicklingError, zipfile.BadZipFile, ValueError)):
            opener(content)


def test_no_path_of_this_machine_in_the_file(content: bytes) -> None:
    """torch notes the line of source each operator came from."""
    assert b"site-packages" not in content
    assert b"/facealike/" not in content
    assert export.__file__.encode() not in content


def test_equal_networks_give_equal_files(network: torch.nn.Module, content: bytes) -> None:
    assert export_embedder(network, SIZE, mirror=True) == content


def test_export_is_quiet(network: torch.nn.Module, capfd: pytest.CaptureFixture[str]) -> None:
    level = logging.getLogger("torch.onnx").level
    export_embedder(network, SIZE, mirror=False)
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("torch.onnx").level == level


def test_an_export_that_differs_is_refused(network: torch.nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    real = onnxruntime.InferenceSession

    class Wrong:
        def __init__(self, *args: object, **kwargs: object) -> None:
            self.session = real(*args, **kwargs)

        def run(self, *args: object) -> list[np.ndarray]:
            return [output + 0.01 for output in self.session.run(*args)]

    monkeypatch.setattr(onnxruntime, "InferenceSession", Wrong)
    with pytest.raises(TrainingError, match=r"differs from the trained one by 0\.01"):
        export_embedder(network, SIZE, mirror=False)


# ---- parts of an embedding --------------------------------------------------------------------


def test_the_cosine_of_an_embedding_in_parts_is_the_mean_of_the_parts_cosines() -> None:
    torch.manual_seed(6)
    network = make_network(NetworkSpec("resnet", (4, 8), (1,), 6, 0.0), SIZE).eval()
    with torch.no_grad():
        raw = network(crops(4)) * torch.tensor([9.0, 9.0, 9.0, 0.1, 0.1, 0.1])
        vectors = to_unit(raw, 2)
        assert torch.allclose(vectors.norm(dim=1), torch.ones(4), atol=1e-6)
        for i in range(4):
            for j in range(4):
                halves = [torch.cosine_similarity(raw[i, part], raw[j, part], dim=0) for part in HALVES]
                assert torch.allclose(vectors[i] @ vectors[j], sum(halves) / 2, atol=1e-6)
        assert torch.allclose(to_unit(raw), torch.nn.functional.normalize(raw))
        for mirror in (True, False):
            both = UnitEmbedder(network, mirror, parts=2)(crops(4))
            assert torch.allclose(both[:, :3].norm(dim=1), both[:, 3:].norm(dim=1), atol=1e-6)
    export_embedder(network, SIZE, mirror=True, parts=2)  # compares onnxruntime with torch


# ---- fewer bits -------------------------------------------------------------------------------


CENTRE = torch.zeros(6)


@pytest.fixture(scope="module")
def in_bytes(network: torch.nn.Module) -> bytes:
    return export_student(network, SIZE, True, CENTRE, 8, crops(64, 1).numpy())


def test_16_bits_say_the_same_in_half_the_size(network: torch.nn.Module) -> None:
    whole, content = (export_student(network, SIZE, True, CENTRE, bits) for bits in (32, 16))
    found, wanted = run(content, crops(5)), run(whole, crops(5))
    assert found.shape == (5, 7) and 0 < np.abs(found - wanted).max() < 5e-3
    model = onnx.load_model_from_string(content)
    kinds = {
        weight.data_type for weight in model.graph.initializer if math.prod(weight.dims) >= MIN_FP16_SIZE
    }
    assert kinds == {onnx.TensorProto.FLOAT16}
    onnx.checker.check_model(model)


def weight_of(node: onnx.NodeProto, graph: onnx.GraphProto) -> np.ndarray:
    """The stored numbers behind the weight of a convolution, through its DequantizeLinear if it has one."""
    makers = {output: node for node in graph.node for output in node.output}
    name = node.input[1]
    if name in makers:
        assert makers[name].op_type == "DequantizeLinear"
        name = makers[name].input[0]
    (stored,) = (weight for weight in graph.initializer if weight.name == name)
    return onnx.numpy_helper.to_array(stored)


def test_8_bits_hold_whole_numbers_that_no_processor_overflows_on(in_bytes: bytes) -> None:
    model = onnx.load_model_from_string(in_bytes)
    onnx.checker.check_model(model, full_check=True)
    weights = [weight_of(node, model.graph) for node in model.graph.node if node.op_type == "Conv"]
    assert len(weights) == 4 and {weight.dtype for weight in weights} == {np.dtype(np.int8)}
    assert all(32 < np.abs(weight.astype(int)).max() <= 64 for weight in weights), "seven bits, and used"
    (gemm,) = (node for node in model.graph.node if node.op_type in ("Gemm", "MatMul"))
    assert weight_of(gemm, model.graph).dtype == np.float32, "the embedding itself stays in 32 bits"


def test_8_bits_say_nearly_the_same_of_new_faces(network: torch.nn.Module, in_bytes: bytes) -> None:
    with torch.no_grad():
        wanted = LiftedEmbedder(network.eval(), True, CENTRE)(crops(40)).numpy()
    found = run(in_bytes, crops(40))
    assert 0 < relative_error(wanted, found) < 0.01
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(run(in_bytes, crops(40).flip(3)), found, atol=1e-5)
    for i in range(3):  # one by one as all together
        np.testing.assert_allclose(run(in_bytes, crops(40)[i : i + 1])[0], found[i], atol=1e-5)


def test_8_bits_are_a_quarter_of_the_weights() -> None:
    network = make_network(NetworkSpec("resnet", (16, 64, 128), (1, 1), 16, 0.0), SIZE)
    whole = export_embedder(network.eval(), SIZE, True)
    assert len(quantize_int8(whole, crops(16).numpy())) < 0.3 * len(whole)


def test_an_embedder_of_people_can_have_8_bits_too(network: torch.nn.Module, content: bytes) -> None:
    short = export_embedder(network, SIZE, True, 1, 8, crops(64, 1).numpy())
    assert 0 < relative_error(run(content, crops(40)), run(short, crops(40))) < 0.01
    assert short == export_embedder(network, SIZE, True, 1, 8, crops(64, 1).numpy()), "equal files"
    assert short != export_embedder(network, SIZE, True, 1, 8, 3 * crops(64, 1).numpy()), "other ranges"


@pytest.mark.parametrize("bits", [8, 16])
def test_bits_that_do_not_suffice_become_more(
    network: torch.nn.Module,
    content: bytes,
    bits: int,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(export, "MAX_RELATIVE_ERROR", 1e-9)
    assert export_embedder(network, SIZE, True, 1, bits, crops(16).numpy()) == content
    told = [line.split()[0] + line.split()[-1] for line in capfd.readouterr().err.splitlines()]
    assert told == ["816", "1632"][bits // 16 :]


def test_fewer_bits_are_quiet(network: torch.nn.Module, capfd: pytest.CaptureFixture[str]) -> None:
    level = logging.root.manager.disable
    export_embedder(network, SIZE, False, 1, 8, crops(16).numpy())
    assert capfd.readouterr() == ("", "")
    assert logging.root.manager.disable == level


def test_a_network_that_cannot_be_quantized_is_exported_in_16_bits(
    capsys: pytest.CaptureFixture[str],
) -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.AvgPool2d(4), torch.nn.Flatten(), torch.nn.Linear(192, 8))
    content = export_embedder(network, SIZE, False, bits=8, faces=crops(8).numpy())
    assert "no convolutions to do in 8 bits" in capsys.readouterr().err
    assert any(
        tensor.name.endswith("_half") for tensor in onnx.load_model_from_string(content).graph.initializer
    )
