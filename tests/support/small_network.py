"""A small network in ONNX as other tools export them, and crops for it."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIZE = 32


def small_network(batch: str | int = "n", opset: int = 17) -> bytes:
    """As others export them: unnamed nodes, batch norm apart, any batch or one, old opsets."""
    random = np.random.default_rng(0)

    def drawn(name: str, *shape: int) -> onnx.TensorProto:
        fan = max(1, int(np.prod(shape[1:])))
        return numpy_helper.from_array((random.normal(size=shape) / fan**0.5).astype(np.float32), name)

    ones, zeros = np.ones(24, dtype=np.float32), np.zeros(24, dtype=np.float32)
    norm = {"scale": 2 * ones, "shift": ones, "mean": zeros, "variance": ones}
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["input", "w1"], ["a"], kernel_shape=[3, 3], strides=[2, 2]),
            helper.make_node("BatchNormalization", ["a", *norm], ["b"]),
            helper.make_node("Relu", ["b"], ["c"]),
            helper.make_node("MaxPool", ["c"], ["d"], kernel_shape=[3, 3], strides=[2, 2]),
            helper.make_node("Conv", ["d", "w2"], ["e"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
            helper.make_node("Add", ["e", "d"], ["f"]),
            helper.make_node("Relu", ["f"], ["g"]),
            helper.make_node("GlobalAveragePool", ["g"], ["h"]),
            helper.make_node("Flatten", ["h"], ["i"]),
            helper.make_node("MatMul", ["i", "w3"], ["embedding"]),
        ],
        "small",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [batch, 16])],
        [
            drawn("w1", 24, 3, 3, 3), drawn("w2", 24, 24, 3, 3), drawn("w3", 24, 16),
            *(numpy_helper.from_array(values, name) for name, values in norm.items()),
        ],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def pictures(count: int, seed: int) -> np.ndarray:
    """Crops that differ from each other in more than noise, uint8 (count, SIZE, SIZE, 3)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    return coarse.repeat(SIZE // 4, axis=1).repeat(SIZE // 4, axis=2)
