"""OpenVINO IR files made by hand, and what they compute, loop by loop."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


@dataclass
class IrBuilder:
    """Layers one after the other; each method returns the id of its output."""

    layers: list[str] = field(default_factory=list)
    edges: list[str] = field(default_factory=list)
    weights: bytes = b""
    count: int = 0

    def layer(
        self, kind: str, sources: list[str], sides: tuple[int, ...] = (), version: str = "opset1", **data: str
    ) -> str:
        name = str(self.count)
        self.count += 1
        about = " ".join(f'{key.replace("__", "-")}="{value}"' for key, value in data.items())
        dims = "".join(f"<dim>{side}</dim>" for side in sides)
        output = f'<output><port id="{len(sources)}">{dims}</port></output>' if sides else ""
        self.layers.append(
            f'<layer id="{name}" name="l{name}" type="{kind}" version="{version}"><data {about}/>'
            f"{output}</layer>"
        )
        for port, source in enumerate(sources):
            self.edges.append(
                f'<edge from-layer="{source}" from-port="0" to-layer="{name}" to-port="{port}"/>'
            )
        return name

    def constant(self, values: Array, kind: str = "f16") -> str:
        """Weights in 16 or 32 bits, followed by a Convert as OpenVINO writes it."""
        stored = values.astype("<f2" if kind == "f16" else "<f4").tobytes()
        shape = ", ".join(map(str, values.shape))
        name = self.layer(
            "Const", [], values.shape, element_type=kind, shape=shape, offset=str(len(self.weights)),
            size=str(len(stored)),
        )  # fmt: skip
        self.weights += stored
        return self.layer("Convert", [name], values.shape, destination_type="f32") if kind == "f16" else name

    def xml(self) -> bytes:
        return (
            f'<?xml version="1.0"?><net name="n" version="11"><layers>{"".join(self.layers)}</layers>'
            f"<edges>{''.join(self.edges)}</edges></net>"
        ).encode()


WINDOW = {"dilations": "1, 1", "auto_pad": "explicit"}


@dataclass(frozen=True)
class SmallIr:
    """An embedder of 8 px crops with every operation that is read, and its weights."""

    xml: bytes
    bin: bytes
    weights: dict[str, Array]

    def compute(self, crops: Array) -> Array:
        """The embeddings (n, 5) of crops (n, 3, 8, 8), computed sum by sum."""
        w = {name: values.astype(np.float16).astype(np.float64) for name, values in self.weights.items()}
        return np.stack([self._one(crop.astype(np.float64), w) for crop in crops]).astype(np.float32)

    @staticmethod
    def _one(crop: NDArray[np.float64], w: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        x = crop * w["scale"][0]
        x = convolved(x, w["stem"], 2, 1, 1) + w["bias"][0]
        x = np.where(x < 0, x * w["slope"][:, None, None], x)
        side = convolved(x, w["depthwise"].reshape(4, 1, 3, 3), 1, 1, 4)
        gate = 1 / (1 + np.exp(-x.mean(axis=(1, 2), keepdims=True)))
        x = np.maximum(side * gate + x, 0)
        return convolved(x, w["last"], 1, 0, 1).reshape(-1)


def convolved(
    x: NDArray[np.float64], weight: NDArray[np.float64], stride: int, pad: int, groups: int
) -> NDArray[np.float64]:
    """A convolution (C, H, W) with weights (D, C / groups, k, k), one output number at a time."""
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    outputs, inputs, k, _ = weight.shape
    side = (x.shape[1] - k) // stride + 1
    result = np.zeros((outputs, side, side))
    for o in range(outputs):
        first = o // (outputs // groups) * inputs
        for row in range(side):
            for column in range(side):
                seen = x[first : first + inputs, row * stride : row * stride + k, column * stride :][:, :, :k]
                result[o, row, column] = (seen * weight[o]).sum()
    return result


def small_ir(seed: int = 0) -> SmallIr:
    rng = np.random.default_rng(seed)

    def drawn(*shape: int) -> Array:
        return rng.normal(0, 0.5, shape).astype(np.float32)

    w = {
        "scale": np.full((1, 3, 1, 1), 1 / 255, np.float32),
        "stem": drawn(4, 3, 3, 3),
        "bias": drawn(1, 4, 1, 1),
        "slope": drawn(4),
        "depthwise": drawn(4, 1, 1, 3, 3),
        "last": drawn(5, 4, 4, 4),
    }
    ir = IrBuilder()
    x = ir.layer("Parameter", [], (1, 3, 8, 8), shape="1,3,8,8", element_type="f32")
    x = ir.layer("Multiply", [x, ir.constant(w["scale"])], (1, 3, 8, 8), auto_broadcast="numpy")
    x = ir.layer(
        "Convolution", [x, ir.constant(w["stem"])], (1, 4, 4, 4), strides="2, 2", pads_begin="1, 1",
        pads_end="1, 1", **WINDOW,
    )  # fmt: skip
    x = ir.layer("Add", [x, ir.constant(w["bias"], "f16")], (1, 4, 4, 4), auto_broadcast="numpy")
    x = ir.layer("PReLU", [x, ir.constant(w["slope"])], (1, 4, 4, 4))
    side = ir.layer(
        "GroupConvolution", [x, ir.constant(w["depthwise"])], (1, 4, 4, 4), strides="1, 1", pads_begin="1, 1",
        pads_end="1, 1", **WINDOW,
    )  # fmt: skip
    gate = ir.layer(
        "AvgPool", [x], (1, 4, 1, 1), kernel="4, 4", strides="4, 4", pads_begin="0, 0", pads_end="0, 0",
        exclude__pad="true", auto_pad="explicit", rounding_type="floor",
    )  # fmt: skip
    gate = ir.layer("Sigmoid", [gate], (1, 4, 1, 1))
    x = ir.layer(
        "Add", [ir.layer("Multiply", [side, gate], (1, 4, 4, 4)), x], (1, 4, 4, 4), auto_broadcast="numpy"
    )
    x = ir.layer("ReLU", [x], (1, 4, 4, 4))
    x = ir.layer(
        "Convolution", [x, ir.constant(w["last"])], (1, 5, 1, 1), strides="1, 1", pads_begin="0, 0",
        pads_end="0, 0", **WINDOW,
    )  # fmt: skip
    ir.layer("Result", [x])
    return SmallIr(ir.xml(), ir.weights, w)
