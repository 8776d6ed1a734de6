"""Run a small ONNX network as a torch module, on any device: a teacher, or a network to train further.

The operators of SFace, of face-reidentification-retail-0095 and of what facealike exports are supported;
most convolutional embedders need no others, which are refused by name.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import ModelError

Attributes = dict[str, Any]
Operator = Callable[[list[Any], Attributes], Any]


class OnnxNetwork(nn.Module):
    """The network of an ONNX file with one input and one output.

    What depends on constants alone is computed once: an INT8 or FP16 file has float32 weights here.

    Args:
        content: The ONNX file.
        trained: The weights and biases of convolutions and linear layers are parameters, and activations
            are not rounded to INT8, as they are otherwise where the file says so.  Without it the network
            has no gradients.

    Raises:
        ModelError: An operator or an attribute is not supported.
    """

    def __init__(self, content: bytes, trained: bool = False) -> None:
        super().__init__()
        graph = onnx.load_model_from_string(content).graph
        constants = {stored.name: _constant_value(stored) for stored in graph.initializer}
        self._nodes = []
        for node in graph.node:
            operator, names, attributes = node.op_type, list(node.input), _attributes(node)
            if operator not in OPERATORS:
                raise ModelError(f"the network has an operator {operator}, which is not supported in torch")
            if len(node.output) != 1 or "" in names[:-1]:
                raise ModelError(f"the network has a {operator} of a form that is not supported in torch")
            if all(name in constants for name in names if name):
                constants[node.output[0]] = OPERATORS[operator](_given(names, constants), attributes)
                continue
            if trained and operator in ("QuantizeLinear", "DequantizeLinear"):
                operator, names = _unrounded(operator, names, constants), names[:1]
            self._nodes.append((operator, names, node.output[0], attributes))
        inputs = [each.name for each in graph.input if each.name not in constants]
        if len(inputs) != 1 or len(graph.output) != 1:
            raise ModelError("an embedder has one input and one output")
        self._input, self._output = inputs[0], graph.output[0].name
        self._last = {name: place for place, node in enumerate(self._nodes) for name in node[1]}
        self._names: dict[str, str] = {}
        self._shapes: dict[str, list[int]] = {}
        self._keep(constants, trained)
        if not trained:
            self.eval()

    def _keep(self, constants: dict[str, Any], trained: bool) -> None:
        """Register the constants that are used: as parameters if they are trained, else as buffers."""
        weights = {
            name
            for operator, names, _, _ in self._nodes
            if trained and operator in TRAINED
            for name in names[1:]
        }
        for number, (name, values) in enumerate(constants.items()):
            if name not in self._last:
                continue
            if not isinstance(values, list):
                self._names[name] = f"constant{number}"
            if isinstance(values, list):
                self._shapes[name] = values
            elif name in weights:
                self.register_parameter(self._names[name], nn.Parameter(values.float()))
            else:
                self.register_buffer(self._names[name], values, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return the network's output for ``images`` (n, 3, S, S)."""
        values: dict[str, Any] = {self._input: images}
        for place, (operator, names, output, attributes) in enumerate(self._nodes):
            given = [self._value(name, values) for name in names if name]
            values[output] = OPERATORS[operator](given, attributes)
            for name in names:
                if self._last.get(name) == place and name != self._output:
                    values.pop(name, None)  # frees memory: a wide network would keep every map
        output_values: Tensor = values[self._output]
        return output_values

    def _value(self, name: str, values: dict[str, Any]) -> Any:
        if name in values:
            return values[name]
        return self._shapes[name] if name in self._shapes else getattr(self, self._names[name])


def _unrounded(operator: str, names: list[str], constants: dict[str, Any]) -> str:
    """Return what replaces a rounding of activations in a network that is trained.

    onnxruntime removes a ReLU before a quantization whose zero point is the smallest number: both cut off
    negative values.
    """
    zero = constants[names[2]]
    rectifies = operator == "QuantizeLinear" and int(zero) == torch.iinfo(zero.dtype).min
    return "Relu" if rectifies else "Identity"


def _given(names: list[str], values: dict[str, Any]) -> list[Any]:
    return [values[name] for name in names if name]


def _attributes(node: Any) -> Attributes:
    return {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}


def _pads(attributes: Attributes) -> list[int]:
    """Return ONNX pads (begins, then ends) as torch pads, which are equal on both sides of an axis."""
    pads = list(attributes.get("pads", [0, 0, 0, 0]))
    if attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID") or pads[:2] != pads[2:]:
        raise ModelError("the network pads one side more than the other, which facealike cannot run in torch")
    return pads[:2]


def _convolution(given: list[Any], attributes: Attributes) -> Tensor:
    x, weight = given[:2]
    bias = given[2] if len(given) > 2 else None
    return F.conv2d(
        x, weight, bias, attributes.get("strides", 1), _pads(attributes), attributes.get("dilations", 1),
        attributes.get("group", 1),
    )  # fmt: skip


def _normalization(given: list[Any], attributes: Attributes) -> Tensor:
    x, scale, shift, mean, variance = given
    return F.batch_norm(x, mean, variance, scale, shift, False, 0.0, attributes.get("epsilon", 1e-5))


def _slope(given: list[Any], attributes: Attributes) -> Tensor:
    return F.prelu(given[0], given[1].flatten().to(given[0].dtype))


def _average(given: list[Any], attributes: Attributes) -> Tensor:
    kernel, pads = attributes["kernel_shape"], _pads(attributes)
    strides = attributes.get("strides", [1, 1])
    sides = zip(given[0].shape[2:], kernel, strides, pads, strict=True)
    if attributes.get("ceil_mode", 0) and any((side + 2 * p - k) % s for side, k, s, p in sides):
        raise ModelError("the network rounds the size of a pool up, which facealike cannot run in torch")
    return F.avg_pool2d(
        given[0], kernel, strides, pads,
        count_include_pad=bool(attributes.get("count_include_pad", 0)),
    )  # fmt: skip


def _linear(given: list[Any], attributes: Attributes) -> Tensor:
    plain = {"alpha": 1.0, "beta": 1.0, "transA": 0}
    if any(attributes.get(name, value) != value for name, value in plain.items()):
        raise ModelError("the network has a Gemm with factors, which facealike cannot run in torch")
    weight = given[1] if attributes.get("transB", 0) else given[1].T
    return _in_float32(F.linear, [given[0], weight, *given[2:]])


def _in_float32(product: Callable[..., Tensor], given: list[Tensor]) -> Tensor:
    """Return a product in float32 under autocast too.

    These products are small, and what they are rounded to is the precision of the embedding.
    """
    with torch.autocast(given[0].device.type, enabled=False):
        return product(*(each.float() for each in given))


def _constant(given: list[Any], attributes: Attributes) -> Any:
    return _constant_value(attributes["value"])


def _constant_value(stored: Any) -> Any:
    """Return a constant as a tensor; a shape or axes as a list, because tracing needs to know them."""
    values = onnx.numpy_helper.to_array(stored)
    is_shape = values.dtype == np.int64 and values.ndim == 1
    return values.tolist() if is_shape else torch.from_numpy(values.copy())


def _pad(given: list[Any], attributes: Attributes) -> Any:
    x, pads = given[0], given[1]
    if attributes.get("mode", b"constant") != b"constant" or len(pads) != 2 * x.ndim:
        raise ModelError(
            "the network has a Pad that does not fill all axes, which facealike cannot run in torch"
        )
    both = [side for axis in reversed(range(x.ndim)) for side in (pads[axis], pads[axis + x.ndim])]
    return F.pad(x, both, value=float(given[2]) if len(given) > 2 else 0.0)


def _largest(given: list[Any], attributes: Attributes) -> Any:
    if attributes.get("ceil_mode", 0):
        raise ModelError("the network rounds the size of a pool up, which facealike cannot run in torch")
    return F.max_pool2d(
        given[0], attributes["kernel_shape"], attributes.get("strides", 1), _pads(attributes),
        attributes.get("dilations", 1),
    )  # fmt: skip


def _reduced(how: Callable[..., Tensor]) -> Operator:
    """Return an operator that reduces axes: an attribute in older files, an input in newer ones."""

    def reduce(given: list[Any], attributes: Attributes) -> Any:
        axes = given[1] if len(given) > 1 else attributes.get("axes", list(range(given[0].ndim)))
        return how(given[0], dim=axes, keepdim=bool(attributes.get("keepdims", 1)))

    return reduce


def _reshape(given: list[Any], attributes: Attributes) -> Any:
    x, shape = given[0], given[1]
    if not attributes.get("allowzero", 0):
        shape = [x.shape[axis] if side == 0 else side for axis, side in enumerate(shape)]
    return x.reshape(shape)


def _shape(given: list[Any], attributes: Attributes) -> list[int]:
    return list(given[0].shape[attributes.get("start", 0) : attributes.get("end")])


def _concatenation(given: list[Any], attributes: Attributes) -> Any:
    if isinstance(given[0], list):
        return list(chain.from_iterable(given))
    return torch.cat(given, dim=attributes["axis"])


def _expand(given: list[Any], attributes: Attributes) -> Tensor:
    x, shape = given
    if len(shape) != x.ndim:
        raise ModelError("the network adds axes by Expand, which facealike cannot run in torch")
    sides = [-1 if side == 1 else side for side in shape]  # 1 leaves an axis as it is
    expanded: Tensor = x.expand(sides)
    return expanded


def _cast(given: list[Any], attributes: Attributes) -> Any:
    kinds = {onnx.TensorProto.FLOAT: torch.float32, onnx.TensorProto.INT64: torch.int64}
    if attributes["to"] not in kinds:
        raise ModelError("the network casts to a type that facealike does not support in torch")
    return given[0].to(kinds[attributes["to"]])


def _slice(given: list[Any], attributes: Attributes) -> Any:
    x, starts, ends = given[:3]
    axes = given[3] if len(given) > 3 else list(range(len(starts)))
    steps = given[4] if len(given) > 4 else [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if step == -1 and start == -1 and end < -x.shape[axis]:
            x = x.flip(axis)
        elif step == 1 and isinstance(x, Tensor):
            at: list[slice] = [slice(None)] * x.ndim
            at[axis] = slice(start, end)
            x = x[tuple(at)]
        else:
            raise ModelError("the network has a Slice with steps, which facealike cannot run in torch")
    return x


def _squeeze(given: list[Any], attributes: Attributes) -> Any:
    axes = given[1] if len(given) > 1 else attributes.get("axes")
    return given[0].squeeze() if axes is None else given[0].squeeze(tuple(axes))


def _split(given: list[Any], attributes: Attributes) -> Any:
    return given[0]  # nodes with several outputs are refused


def _along(values: Tensor, like: Tensor, axis: int) -> Tensor:
    """Return a scale or zero point, of one value or one per channel, such that it broadcasts."""
    return values if values.numel() == 1 else values.view([-1 if i == axis else 1 for i in range(like.ndim)])


def _quantize(given: list[Any], attributes: Attributes) -> Any:
    x, scale, zero = given
    if zero.dtype not in (torch.uint8, torch.int8):
        raise ModelError("the network has activations that are not in 8 bits")
    axis, ends = attributes.get("axis", 1), torch.iinfo(zero.dtype)
    steps = (x.float() / _along(scale, x, axis)).round() + _along(zero, x, axis)
    return steps.clamp(ends.min, ends.max)  # whole numbers, as float32


def _dequantize(given: list[Any], attributes: Attributes) -> Any:
    x, axis = given[0], attributes.get("axis", 1)
    steps = x.float() - _along(given[2], x, axis).float() if len(given) > 2 else x.float()
    return steps * _along(given[1], x, axis)


OPERATORS: dict[str, Operator] = {
    "Add": lambda given, _: given[0] + given[1],
    "AveragePool": _average,
    "BatchNormalization": _normalization,
    "Cast": _cast,
    "Clip": lambda given, _: torch.clamp(given[0], *given[1:]),
    "Concat": _concatenation,
    "Constant": _constant,
    "Conv": _convolution,
    "DequantizeLinear": _dequantize,
    "Div": lambda given, _: given[0] / given[1],
    "Dropout": lambda given, _: given[0],
    "Expand": _expand,
    "Flatten": lambda given, attributes: given[0].flatten(attributes.get("axis", 1)),
    "Gemm": _linear,
    "GlobalAveragePool": lambda given, _: given[0].mean(dim=(2, 3), keepdim=True),
    "Identity": lambda given, _: given[0],
    "MatMul": lambda given, _: _in_float32(torch.matmul, given),
    "Max": lambda given, _: torch.maximum(*given),
    "MaxPool": _largest,
    "Mul": lambda given, _: given[0] * given[1],
    "PRelu": _slope,
    "Pad": _pad,
    "Pow": lambda given, _: given[0] ** given[1],
    "QuantizeLinear": _quantize,
    "ReduceL2": _reduced(torch.linalg.vector_norm),
    "ReduceMean": _reduced(torch.mean),
    "ReduceSum": _reduced(torch.sum),
    "ReduceSumSquare": _reduced(lambda x, dim, keepdim: x.square().sum(dim=dim, keepdim=keepdim)),
    "Reciprocal": lambda given, _: given[0].reciprocal(),
    "Relu": lambda given, _: F.relu(given[0]),
    "Reshape": _reshape,
    "Shape": _shape,
    "Sigmoid": lambda given, _: torch.sigmoid(given[0]),
    "Slice": _slice,
    "Split": _split,
    "Sqrt": lambda given, _: given[0].sqrt(),
    "Squeeze": _squeeze,
    "Sub": lambda given, _: given[0] - given[1],
}

TRAINED = ("Conv", "Gemm", "MatMul")
"""Operators whose constants are parameters of a network that is trained."""
