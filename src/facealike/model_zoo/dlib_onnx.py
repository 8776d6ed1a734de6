"""Write dlib's face network as ONNX."""

from __future__ import annotations

import numpy as np

from ..utils import onnx_writer
from .dlib_weights import DIMENSIONS, SIZE, Block, Convolution, DlibResNet


def to_onnx(net: DlibResNet, lift: float | None = None) -> bytes:
    """Return the network as an ONNX file: crops, float32 (n, 3, 150, 150), to descriptors (n, 128).

    The crops are RGB, less ``MEAN``, over ``STD``.  dlib compares descriptors by their Euclidean distance.

    Args:
        net: dlib's network.
        lift: e, with which each descriptor x becomes the unit vector (2 e x, 1 - e^2 |x|^2) / (1 + e^2 |x|^2)
            of 129 numbers, the inverse of the stereographic projection.  For small e the distance between
            two of them is 2 e times that of the descriptors, so cosines rank pairs as dlib's distances do.
    """
    graph = _Graph()
    x = graph.convolution(net.stem, "crops", "stem", relu=True)
    x = graph.add("MaxPool", [x], "pool", kernel_shape=[3, 3], strides=[2, 2])
    width, side = len(net.stem.bias), ((SIZE - 7) // 2 + 1 - 3) // 2 + 1
    for index, block in enumerate(net.blocks):
        x, width, side = graph.block(block, x, f"block{index}", width, side)
    x = graph.add("GlobalAveragePool", [x], "average")
    x = graph.add("Flatten", [x], "flat", axis=1)
    x = graph.add("MatMul", [x, graph.constant("matrix", net.matrix)], "descriptors")
    if lift is not None:
        x = graph.lift(x, lift)
    shape = ("batch", DIMENSIONS + (lift is not None))
    return onnx_writer.model(graph.nodes, graph.tensors, ("crops", ("batch", 3, SIZE, SIZE)), (x, shape))


class _Graph:
    """Nodes and constants as they come; each method returns the name of its output."""

    def __init__(self) -> None:
        self.nodes: list[bytes] = []
        self.tensors: list[bytes] = []

    def add(self, operator: str, inputs: list[str], output: str, **attributes: onnx_writer.Attribute) -> str:
        self.nodes.append(onnx_writer.node(operator, inputs, output, **attributes))
        return output

    def constant(self, name: str, values: onnx_writer.Array) -> str:
        self.tensors.append(onnx_writer.tensor(name, values))
        return name

    def convolution(self, layer: Convolution, x: str, name: str, relu: bool = False) -> str:
        inputs = [x, self.constant(f"{name}.weight", layer.weight), self.constant(f"{name}.bias", layer.bias)]
        side, stride, padding = layer.weight.shape[2], layer.stride, layer.padding
        found = self.add(
            "Conv", inputs, name, kernel_shape=[side] * 2, strides=[stride] * 2, pads=[padding] * 4
        )
        return self.add("Relu", [found], f"{name}.relu") if relu else found

    def block(self, block: Block, x: str, name: str, width: int, side: int) -> tuple[str, int, int]:
        """The output, its channels and its side; ``width`` and ``side`` are those of ``x``."""
        out = len(block.second.bias)
        body = self.convolution(block.first, x, f"{name}.first", relu=True)
        body = self.convolution(block.second, body, f"{name}.second")
        if block.down:
            x = self.add("AveragePool", [x], f"{name}.shortcut", kernel_shape=[2, 2], strides=[2, 2])
            inner, side = (side - 3) // 2 + 1, side // 2
            body = self.fill(body, f"{name}.filled", 0, side - inner)
            x = self.fill(x, f"{name}.widened", out - width, 0)
        total = self.add("Add", [body, x], f"{name}.sum")
        return self.add("Relu", [total], name), out, side

    def fill(self, x: str, name: str, channels: int, rows: int) -> str:
        """Zeros behind the last channel, and behind the last row and column."""
        if not (channels or rows):
            return x
        pads = np.array([0, 0, 0, 0, 0, channels, rows, rows], dtype=np.int64)
        return self.add("Pad", [x, self.constant(f"{name}.pads", pads)], name)

    def lift(self, x: str, e: float) -> str:
        one = self.constant("one", np.array([1.0], dtype=np.float32))
        two = self.constant("two", np.array([2.0], dtype=np.float32))
        small = self.add("Mul", [x, self.constant("lift", np.array([e], dtype=np.float32))], "small")
        square = self.add("ReduceSumSquare", [small], "square", axes=[1], keepdims=1)
        top = self.add("Sub", [one, square], "top")
        around = self.add("Mul", [small, two], "around")
        both = self.add("Concat", [around, top], "both", axis=1)
        return self.add("Div", [both, self.add("Add", [one, square], "bottom")], "embeddings")
