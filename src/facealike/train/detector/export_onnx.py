"""Export the detector's network as an ONNX file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ...detection.yunet import STRIDES
from ...errors import TrainingError
from ...utils.extras import needs_extra
from ...utils.onnx_session import Session
from .network import OUTPUTS, SCALE, DetectorNet, Stage

Weights = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Weight and bias of a convolution."""


class _Graph:
    """Nodes and weights of an ONNX graph that is being built."""

    def __init__(self, onnx: Any) -> None:
        self.onnx = onnx
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self._names: Iterator[int] = iter(range(10_000))

    def add(self, kind: str, inputs: list[str], output: str | None = None, **attributes: Any) -> str:
        output = output or f"{kind.lower()}_{next(self._names)}"
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def constant(self, name: str, values: NDArray[Any]) -> str:
        self.weights.append(self.onnx.numpy_helper.from_array(values, name))
        return name

    def half(self, name: str, values: NDArray[np.float32]) -> str:
        """Add a weight that is stored in FP16; runtimes convert it once, when they load the file."""
        stored = self.constant(f"{name}_half", values.astype(np.float16))
        return self.add("Cast", [stored], name, to=self.onnx.TensorProto.FLOAT)

    def conv(self, x: str, name: str, weights: Weights, stride: int = 1, exact: bool = False) -> str:
        weight, bias = weights
        side = weight.shape[2]
        put = self.constant if exact else self.half
        inputs = [x, put(f"{name}.weight", weight), self.constant(f"{name}.bias", bias)]
        return self.add(
            "Conv", inputs, kernel_shape=[side, side], strides=[stride, stride], pads=[side // 2] * 4
        )


def export(network: DetectorNet) -> bytes:
    """Return the network as an ONNX file in YuNet's format.

    Input: float (1, 3, H, W), BGR, 0 to 255, sides that are multiples of 32.  Outputs: cls, obj (sigmoids),
    bbox and kps for strides 8, 16 and 32, each (1, cells, k).  Opset 11, as in YuNet's own file, for OpenCV.

    Raises:
        TrainingError: The outputs of onnxruntime and torch differ.
    """
    with needs_extra("train", "writing a detector"):
        import onnx
    network = network.float().cpu().eval()
    graph = _Graph(onnx)
    weight, bias = _weights(network.stem[0])
    x = graph.add("Relu", [graph.conv("input", "stem0", (weight * SCALE, bias), 2, exact=True)])
    x = graph.add("Relu", [graph.conv(x, "stem1", _weights(network.stem[1]), 2)])
    y = graph.conv(x, "fine", _weights(network.fine))
    x = graph.add("Relu", [graph.add("Add", [x, y])])
    levels = []
    for i, stage in enumerate(network.stages):
        assert isinstance(stage, Stage)
        x = graph.add("Relu", [graph.conv(x, f"stage{i}.down", _weights(stage.down), 2)])
        y = graph.add("Relu", [graph.conv(x, f"stage{i}.first", _weights(stage.first))])
        y = graph.conv(y, f"stage{i}.second", _weights(stage.second))
        x = graph.add("Relu", [graph.add("Add", [x, y])])
        levels.append(graph.conv(x, f"lateral{i}", _weights(network.lateral[i])))
    graph.constant("roi", np.zeros(0, dtype=np.float32))
    graph.constant("twice", np.array([1, 1, 2, 2], dtype=np.float32))
    for i in range(len(levels) - 1, 0, -1):
        up = graph.add(
            "Resize", [levels[i], "roi", "twice"], mode="nearest", nearest_mode="floor",
            coordinate_transformation_mode="asymmetric",
        )  # fmt: skip
        levels[i - 1] = graph.add("Add", [levels[i - 1], up])
    for level, stride, tower, head in zip(levels, STRIDES, network.tower, network.head, strict=True):
        _head(graph, level, stride, _weights(tower), _weights(head))
    content: bytes = _model(onnx, graph).SerializeToString()
    _check(network, content)
    return content


def _weights(layer: nn.Module) -> Weights:
    assert isinstance(layer, nn.Conv2d) and layer.bias is not None
    return layer.weight.detach().float().numpy(), layer.bias.detach().float().numpy()


def _head(graph: _Graph, level: str, stride: int, tower: Weights, head: Weights) -> None:
    """Add the four outputs of one stride."""
    x = graph.add("Relu", [level])
    x = graph.add("Relu", [graph.conv(x, f"tower{stride}", tower)])
    first = 0
    for kind, wide in OUTPUTS.items():
        name, part = f"{kind}_{stride}", slice(first, first + wide)
        y = graph.conv(x, f"head_{name}", (head[0][part], head[1][part]))
        y = graph.add("Transpose", [y], perm=[0, 2, 3, 1])
        shape = graph.constant(f"{name}.shape", np.array([1, -1, wide], dtype=np.int64))
        logit = kind in ("cls", "obj")
        y = graph.add("Reshape", [y, shape], None if logit else name)
        if logit:
            graph.add("Sigmoid", [y], name)
        first += wide


def _model(onnx: Any, graph: _Graph) -> Any:
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    model = helper.make_model(
        helper.make_graph(
            graph.nodes, "facealike-detector",
            [helper.make_tensor_value_info("input", kind, [1, 3, "height", "width"])],
            [
                helper.make_tensor_value_info(f"{name}_{stride}", kind, [1, "anchors", wide])
                for name, wide in OUTPUTS.items()
                for stride in STRIDES
            ],
            graph.weights,
        ),
        opset_imports=[helper.make_opsetid("", 11)], ir_version=6, producer_name="facealike",
    )  # fmt: skip
    onnx.checker.check_model(model)
    return model


def _check(network: DetectorNet, content: bytes) -> None:
    """Raise TrainingError unless the outputs of onnxruntime and torch agree on a non-square picture."""
    pixels = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0)) * 255
    with torch.no_grad():
        wanted = network(pixels * SCALE)
    session = Session(content, "the exported detector")
    raw = session.run(None, {"input": pixels.numpy()})
    found = dict(zip([output.name for output in session.get_outputs()], raw, strict=True))
    for kind, values in wanted._asdict().items():
        ours = np.concatenate([found[f"{kind}_{stride}"] for stride in STRIDES], axis=1)
        theirs = values.sigmoid()[..., None] if kind in ("cls", "obj") else values
        difference = float(np.abs(ours - theirs.numpy()).max())
        if not difference < 2e-2:  # FP16 has three digits
            raise TrainingError(
                f"the exported detector's {kind} differs from the trained one by {difference:.2g}; "
                "please report this"
            )
