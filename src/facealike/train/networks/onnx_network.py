"""Run a small ONNX network as a torch module, on any device: a teacher inside a training step.

The operators of SFace and face-reidentification-retail-0095 are supported, which most convolutional embedders
share; others are refused by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnx
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import ModelError

Attributes = dict[str, Any]


class OnnxNetwork(nn.Module):
    """The network of an ONNX file with one input and one output, without gradients.

    Args:
        content: The ONNX file.

    Raises:
        ModelError: An operator or an attribute is not supported.
    """

    def __init__(self, content: bytes) -> None:
        super().__init__()
        graph = onnx.load_model_from_string(content).graph
        self._names = {}
        for number, stored in enumerate(graph.initializer):
            values = torch.from_numpy(onnx.numpy_helper.to_array(stored).copy())
            self.register_buffer(f"constant{number}", values, persistent=False)
            self._names[stored.name] = f"constant{number}"
        self._nodes = [
            (node.op_type, list(node.input), node.output[0], _attributes(node)) for node in graph.node
        ]
        for operator, _, _, _ in self._nodes:
            if operator not in OPERATORS:
                raise ModelError(f"the network has an operator {operator}, which is not supported in torch")
        inputs = [each.name for each in graph.input if each.name not in self._names]
        if len(inputs) != 1 or len(graph.output) != 1:
            raise ModelError("an embedder has one input and one output")
        self._input, self._output = inputs[0], graph.output[0].name
        self._last = {name: place for place, node in enumerate(self._nodes) for name in node[1]}
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """Return the network's output for ``images`` (n, 3, S, S)."""
        values: dict[str, Tensor] = {self._input: images}
        for place, (operator, names, output, attributes) in enumerate(self._nodes):
            given = [self._value(name, values) for name in names if name]
            values[output] = OPERATORS[operator](given, attributes)
            for name in names:
                if self._last.get(name) == place and name != self._output:
                    values.pop(name, None)  # frees memory: a wide network would keep every map
        return values[self._output]

    def _value(self, name: str, values: dict[str, Tensor]) -> Tensor:
        found: Tensor = values[name] if name in values else getattr(self, self._names[name])
        return found


def _attributes(node: Any) -> Attributes:
    return {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}


def _pads(attributes: Attributes) -> list[int]:
    """Return ONNX pads (begins, then ends) as torch pads, which are equal on both sides of an axis."""
    pads = list(attributes.get("pads", [0, 0, 0, 0]))
    if attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID") or pads[:2] != pads[2:]:
        raise ModelError("the network pads one side more than the other, which facealike cannot run in torch")
    return pads[:2]


def _convolution(given: list[Tensor], attributes: Attributes) -> Tensor:
    x, weight = given[:2]
    bias = given[2] if len(given) > 2 else None
    return F.conv2d(
        x, weight, bias, attributes.get("strides", 1), _pads(attributes), attributes.get("dilations", 1),
        attributes.get("group", 1),
    )  # fmt: skip


def _normalization(given: list[Tensor], attributes: Attributes) -> Tensor:
    x, scale, shift, mean, variance = given
    return F.batch_norm(x, mean, variance, scale, shift, False, 0.0, attributes.get("epsilon", 1e-5))


def _slope(given: list[Tensor], attributes: Attributes) -> Tensor:
    return F.prelu(given[0], given[1].flatten().to(given[0].dtype))


def _average(given: list[Tensor], attributes: Attributes) -> Tensor:
    if attributes.get("ceil_mode", 0):
        raise ModelError("the network rounds the size of a pool up, which facealike cannot run in torch")
    return F.avg_pool2d(
        given[0], attributes["kernel_shape"], attributes.get("strides", 1), _pads(attributes),
        count_include_pad=bool(attributes.get("count_include_pad", 0)),
    )  # fmt: skip


def _linear(given: list[Tensor], attributes: Attributes) -> Tensor:
    plain = {"alpha": 1.0, "beta": 1.0, "transA": 0}
    if any(attributes.get(name, value) != value for name, value in plain.items()):
        raise ModelError("the network has a Gemm with factors, which facealike cannot run in torch")
    weight = given[1] if attributes.get("transB", 0) else given[1].T
    return F.linear(given[0], weight, given[2] if len(given) > 2 else None)


def _constant(given: list[Tensor], attributes: Attributes) -> Tensor:
    return torch.from_numpy(onnx.numpy_helper.to_array(attributes["value"]).copy())


OPERATORS: dict[str, Callable[[list[Tensor], Attributes], Tensor]] = {
    "Add": lambda given, _: given[0] + given[1],
    "AveragePool": _average,
    "BatchNormalization": _normalization,
    "Constant": _constant,
    "Conv": _convolution,
    "Dropout": lambda given, _: given[0],
    "Flatten": lambda given, attributes: given[0].flatten(attributes.get("axis", 1)),
    "Gemm": _linear,
    "Mul": lambda given, _: given[0] * given[1],
    "PRelu": _slope,
    "Relu": lambda given, _: F.relu(given[0]),
    "Sigmoid": lambda given, _: torch.sigmoid(given[0]),
    "Sub": lambda given, _: given[0] - given[1],
}
