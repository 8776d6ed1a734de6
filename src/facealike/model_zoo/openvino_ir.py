"""Read a face embedder in OpenVINO's format (IR: an XML file and a .bin of weights) and write it as ONNX.

Source: OpenVINO documentation, "Operation Set in OpenVINO", opset 1.  Supported are the operations of
small convolutional embedders such as Open Model Zoo's face-reidentification-retail-0095: Convolution,
GroupConvolution, Add, Multiply, PReLU, ReLU, Sigmoid, AvgPool, Const, Convert.  Anything else is
refused by name, so that no network is ever read differently from what it means.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from ..utils import onnx_writer

MAX_LAYERS = 20_000
TYPES = {"f16": np.float16, "f32": np.float32}

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class IrNode:
    """One operation: inputs and output by name; ``attributes`` are ONNX's, lists of integers or one."""

    operator: str
    inputs: tuple[str, ...]
    output: str
    attributes: dict[str, int | list[int]]


@dataclass(frozen=True, eq=False)
class IrGraph:
    """The network in ONNX's operators, in an order in which each node finds its inputs.

    ``input_shape`` and ``output_shape`` are as the file states them, batch first.
    """

    nodes: tuple[IrNode, ...]
    constants: dict[str, Floats] = field(repr=False)
    source: str
    input_shape: tuple[int, ...]
    result: str
    output_shape: tuple[int, ...]

    def to_onnx(self) -> bytes:
        """Return the network as an ONNX file: float32 (n, 3, S, S) to (n, d)."""
        nodes = [
            onnx_writer.node(each.operator, each.inputs, each.output, **each.attributes)
            for each in self.nodes
        ]
        nodes.append(onnx_writer.node("Flatten", [self.result], "embeddings", axis=1))
        tensors = [onnx_writer.tensor(name, values) for name, values in self.constants.items()]
        shape: list[int | str] = ["batch", *self.input_shape[1:]]
        width = math.prod(self.output_shape[1:])
        return onnx_writer.model(nodes, tensors, (self.source, shape), ("embeddings", ("batch", width)))


def read_ir(xml: bytes, weights: bytes) -> IrGraph:
    """Return the network of an IR from the content of its .xml and its .bin.

    Raises:
        ModelError: The files are no IR, an operation is not supported, or the weights do not fit the graph.
    """
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError as error:
        raise ModelError(f"not an OpenVINO IR (the XML ends in an error: {error})") from None
    if root.tag != "net" or root.find("layers") is None:
        raise ModelError("not an OpenVINO IR (no <net> with <layers>)")
    return _Reader(root, weights).graph()


class _Reader:
    def __init__(self, root: ElementTree.Element, weights: bytes) -> None:
        self.weights = weights
        self.layers = {layer.get("id", ""): layer for layer in root.iterfind("layers/layer")}
        if len(self.layers) > MAX_LAYERS:
            raise ModelError(f"an IR of {len(self.layers):,} layers is too large for an embedder")
        self.feeds: dict[str, dict[str, str]] = {name: {} for name in self.layers}
        for edge in root.iterfind("edges/edge"):
            source, target = edge.get("from-layer", ""), edge.get("to-layer", "")
            if source not in self.layers or target not in self.layers:
                raise ModelError("an edge of the IR leads to a layer that is not there")
            self.feeds[target][edge.get("to-port", "")] = source
        self.constants: dict[str, Floats] = {}
        self.nodes: list[IrNode] = []

    def graph(self) -> IrGraph:
        inputs = [name for name, layer in self.layers.items() if layer.get("type") == "Parameter"]
        results = [name for name, layer in self.layers.items() if layer.get("type") == "Result"]
        if len(inputs) != 1 or len(results) != 1:
            raise ModelError(
                f"an embedder has one input and one output; this IR has {len(inputs)} and {len(results)}"
            )
        for name in self._sorted(results[0]):
            self._add(name)
        result = self._sources(results[0])[0]
        used = {name for node in self.nodes for name in node.inputs}
        constants = {name: values for name, values in self.constants.items() if name in used}
        shape = self._integers(inputs[0], "shape")
        return IrGraph(tuple(self.nodes), constants, inputs[0], shape, result, self._shape(result))

    def _sorted(self, result: str) -> list[str]:
        """All layers that lead to ``result``, each behind its inputs."""
        order: list[str] = []
        state: dict[str, bool] = {}
        waiting = [result]
        while waiting:
            name = waiting[-1]
            if name not in state:
                state[name] = False
                waiting += [each for each in self.feeds[name].values() if each not in state]
                if any(state.get(each) is False for each in self.feeds[name].values()):
                    raise ModelError("the layers of the IR form a loop")
                continue
            waiting.pop()
            if not state[name]:
                state[name] = True
                order.append(name)
        return order

    def _add(self, name: str) -> None:
        layer = self.layers[name]
        kind, version = layer.get("type", ""), layer.get("version", "opset1")
        if kind in ("Parameter", "Result"):
            return
        made = _OPERATIONS.get(kind)
        if made is None or version != "opset1":
            raise ModelError(f"the IR has a layer {kind} ({version}), which facealike cannot read")
        made(self, name)

    # The operations. --------------------------------------------------------------------------------

    def _constant(self, name: str) -> None:
        kind, shape = self._data(name).get("element_type", ""), self._integers(name, "shape")
        if kind not in TYPES:
            raise ModelError(f"the IR has weights of type {kind}; only f16 and f32 are read")
        offset, size = (self._integers(name, key)[0] for key in ("offset", "size"))
        dtype = np.dtype(TYPES[kind]).newbyteorder("<")
        if size != math.prod(shape) * dtype.itemsize or not 0 <= offset <= len(self.weights) - size:
            raise ModelError(
                "the .bin file does not hold the weights that the IR states; copy both files again"
            )
        values = np.frombuffer(self.weights, dtype, math.prod(shape), offset).reshape(shape)
        self.constants[name] = values.astype(np.float32)

    def _convert(self, name: str) -> None:
        (source,) = self._sources(name)
        if self._data(name).get("destination_type") != "f32" or source not in self.constants:
            raise ModelError("the IR has a Convert of something else than weights to f32")
        self.constants[name] = self.constants[source]

    def _convolution(self, name: str) -> None:
        source, kernel = self._sources(name)
        if kernel not in self.constants:
            raise ModelError("the IR has a convolution whose weights are not constant")
        weight, groups = self.constants[kernel], 1
        if self.layers[name].get("type") == "GroupConvolution":
            groups, shape = weight.shape[0], weight.shape
            weight = weight.reshape(shape[0] * shape[1], *shape[2:])
        if weight.ndim != 4:
            raise ModelError("the IR has a convolution that is not of two dimensions")
        stored = f"{name}.weight"
        self.constants[stored] = weight
        self._node("Conv", [source, stored], name, **self._window(name, weight.shape[2:]), group=groups)

    def _average(self, name: str) -> None:
        if self._data(name).get("rounding_type", "floor") != "floor":
            raise ModelError("the IR has an average pool that rounds up, which facealike cannot read")
        window = self._window(name, self._integers(name, "kernel"))
        del window["dilations"]
        padded = self._data(name).get("exclude-pad") in ("false", "0")
        self._node("AveragePool", self._sources(name), name, **window, count_include_pad=int(padded))

    def _slope(self, name: str) -> None:
        source, slope = self._sources(name)
        if slope not in self.constants:
            raise ModelError("the IR has a PReLU whose slope is not constant")
        values = self.constants[slope]
        stored = f"{name}.slope"
        sides = len(self._shape(source)) - 2
        # OpenVINO counts a vector along the channels, ONNX along the last side.
        self.constants[stored] = values.reshape(-1, *[1] * sides) if values.ndim == 1 else values
        self._node("PRelu", [source, stored], name)

    def _plain(self, name: str) -> None:
        operator = _PLAIN[self.layers[name].get("type", "")]
        if self._data(name).get("auto_broadcast", "numpy") != "numpy":
            raise ModelError(f"the IR has {operator} with a broadcast other than NumPy's")
        self._node(operator, self._sources(name), name)

    # What they read. --------------------------------------------------------------------------------

    def _node(self, operator: str, inputs: list[str], output: str, **attributes: int | list[int]) -> None:
        self.nodes.append(IrNode(operator, tuple(inputs), output, attributes))

    def _window(self, name: str, kernel: tuple[int, ...]) -> dict[str, int | list[int]]:
        if self._data(name).get("auto_pad", "explicit") not in ("explicit", "valid"):
            raise ModelError("the IR has a window with automatic padding, which facealike cannot read")
        begin, end = self._integers(name, "pads_begin"), self._integers(name, "pads_end")
        dilations = self._data(name).get("dilations")
        return {
            "kernel_shape": list(kernel),
            "strides": list(self._integers(name, "strides")),
            "pads": [*begin, *end],
            "dilations": list(self._integers(name, "dilations")) if dilations else [1] * len(kernel),
        }

    def _sources(self, name: str) -> list[str]:
        """The layers that feed a layer, in the order of its ports."""
        ports = self.feeds[name]
        try:
            return [ports[port] for port in sorted(ports, key=int)]
        except ValueError:
            raise ModelError("the IR has a port without a number") from None

    def _data(self, name: str) -> dict[str, str]:
        data = self.layers[name].find("data")
        return {} if data is None else dict(data.attrib)

    def _integers(self, name: str, key: str) -> tuple[int, ...]:
        try:
            return tuple(int(part) for part in self._data(name)[key].split(",") if part.strip())
        except (KeyError, ValueError):
            kind = self.layers[name].get("type")
            raise ModelError(f"the IR has a layer {kind} without a proper {key!r}") from None

    def _shape(self, name: str) -> tuple[int, ...]:
        """What the file says of the first output of a layer."""
        port = self.layers[name].find("output/port")
        try:
            return tuple(int(side.text or "") for side in port.iterfind("dim")) if port is not None else ()
        except ValueError:
            raise ModelError("the IR has a shape that is not of integers") from None


_PLAIN = {"Add": "Add", "Multiply": "Mul", "Sigmoid": "Sigmoid", "ReLU": "Relu"}
_OPERATIONS: dict[str, Callable[[_Reader, str], None]] = {
    "Const": _Reader._constant,
    "Convert": _Reader._convert,
    "Convolution": _Reader._convolution,
    "GroupConvolution": _Reader._convolution,
    "AvgPool": _Reader._average,
    "PReLU": _Reader._slope,
    **dict.fromkeys(_PLAIN, _Reader._plain),
}
