"""What facealike exports, in torch again: to run it, and to train it further."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facealike.errors import ModelError
from facealike.model_zoo.dlib_onnx import to_onnx as dlib_to_onnx
from facealike.model_zoo.dlib_weights import read_dlib_resnet
from facealike.model_zoo.quantization import relative_error
from facealike.train.export_onnx import export_embedder, run_onnx
from facealike.train.networks.onnx_network import OnnxNetwork
from support.dlib_file import random_file
from support.one_thread import one_thread  # noqa: F401 (a fixture)

SIDE = 24


class Branches(nn.Module):
    """A small network of what the joint student is made of: pools, pads, two branches, and a lift."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.body = nn.Conv2d(3, 16, 3), nn.Conv2d(16, 32, 3, 2)
        self.one, self.other = nn.Conv2d(32, 32, 3, padding=1), nn.Conv2d(32, 32, 3, padding=1)
        self.wide, self.narrow = nn.Linear(32 * 25, 24), nn.Linear(32, 8, bias=False)

    def forward(self, crops: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.stem(crops)), 3, 2)
        shortcut = F.pad(F.avg_pool2d(x, 2), (0, 0, 0, 0, 0, 16))
        x = F.relu(F.pad(self.body(x), (0, 1, 0, 1)) + shortcut)
        wide = F.normalize(self.wide(F.relu(self.one(x) + x).flatten(1)), dim=1)
        narrow = 0.8 * self.narrow(F.relu(self.other(x)).mean(dim=(2, 3)))
        square = narrow.square().sum(dim=1, keepdim=True)
        return torch.cat([wide, torch.cat([2 * narrow, 1 - square], dim=1) / (1 + square)], dim=1)


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    coarse = torch.randn(24, 3, 6, 6, generator=torch.Generator().manual_seed(1))
    return F.interpolate(coarse, size=SIDE, mode="bilinear").numpy()


@pytest.fixture(scope="module", params=[32, 16, 8])
def exported(request: pytest.FixtureRequest, crops: np.ndarray) -> bytes:
    torch.manual_seed(0)
    return export_embedder(Branches().eval(), SIDE, False, bits=request.param, faces=crops)


def test_an_export_runs_in_torch_as_in_onnxruntime(exported: bytes, crops: np.ndarray) -> None:
    operators = {node.op_type for node in onnx.load_model_from_string(exported).graph.node}
    assert {"MaxPool", "Pad", "AveragePool", "ReduceMean", "Concat"} <= operators
    network = OnnxNetwork(exported)
    found, wanted = network(torch.from_numpy(crops)).numpy(), run_onnx(exported, crops)
    # In INT8 a value halfway between two steps may be rounded to either.
    np.testing.assert_allclose(found, wanted, atol=5e-3 if "QuantizeLinear" in operators else 1e-5)
    assert not network.training and not list(network.parameters())


def test_an_export_is_trained_further_and_exported_again(exported: bytes, crops: np.ndarray) -> None:
    network = OnnxNetwork(exported, trained=True)
    images = torch.from_numpy(crops)
    assert relative_error(run_onnx(exported, crops), network(images).detach().numpy()) < 0.01
    shapes = sorted(tuple(p.shape) for p in network.parameters())
    assert shapes == sorted(tuple(p.shape) for p in Branches().parameters())
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-2)
    before = [p.detach().clone() for p in network.parameters()]
    (network(images) @ torch.arange(33.0)).mean().backward()
    optimizer.step()
    assert all(not torch.equal(p, old) for p, old in zip(network.parameters(), before, strict=True))
    again = export_embedder(network.eval(), SIDE, False, bits=8, faces=crops)
    wanted = F.normalize(network(images).detach(), dim=1).numpy()
    assert relative_error(wanted, run_onnx(again, crops)) < 0.02
    assert len(list(OnnxNetwork(again, trained=True).parameters())) == len(before)


def test_dlibs_network_runs_in_torch() -> None:
    content = dlib_to_onnx(read_dlib_resnet(random_file()[0]), 0.3)
    images = np.random.default_rng(0).normal(size=(2, 3, 150, 150)).astype(np.float32)
    found = OnnxNetwork(content)(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(found, run_onnx(content, images), atol=1e-4)


@pytest.mark.parametrize(
    ("operator", "attributes"),
    [
        ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
        ("MaxPool", {"kernel_shape": [3, 3], "auto_pad": "SAME_UPPER"}),
        ("Cast", {"to": onnx.TensorProto.DOUBLE}),
        ("Split", {"axis": 1, "num_outputs": 3}),
    ],
)
def test_another_form_of_an_operator_is_refused(operator: str, attributes: dict[str, object]) -> None:
    outputs = ["y", "z", "u"] if operator == "Split" else ["y"]
    node = onnx.helper.make_node(operator, ["x"], outputs, **attributes)
    given, made = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", 3, 8, 8]) for name in "xy"
    )
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [given], [made]))
    with pytest.raises(ModelError):
        OnnxNetwork(model.SerializeToString())(torch.zeros(1, 3, 8, 8))
