"""Mirroring inside the network: the mean of the embeddings of a crop and of its mirror image.

What a network learned of the left half of a face and not of the right one is noise in its embedding; the mean
of both has less of it.  The network runs on twice as many crops.
"""

from __future__ import annotations

import numpy as np
import onnx

from ..errors import UsageError

PREFIX = "mirror."  # of the tensor names in the graph; part of the file, and so of a model's id
OPSET = 10  # the first ONNX opset whose Slice has negative steps


def append_mirror(content: bytes, dimensions: int) -> bytes:
    """Return the ONNX embedder, (n, 3, S, S) to (n, d), with the sum of the unit vectors of both sides.

    Args:
        content: The embedder.
        dimensions: Its d, which not every file states.

    Raises:
        UsageError: It is mirrored already, or takes one crop at a time.
    """
    model = onnx.load_model_from_string(content)
    if any(known.domain in ("", "ai.onnx") and known.version < OPSET for known in model.opset_import):
        model = onnx.version_converter.convert_version(model, OPSET)
    graph = model.graph
    if _is_mirrored(graph):
        raise UsageError("the model looks at both sides of a face already")
    if graph.input[0].type.tensor_type.shape.dim[0].dim_value:
        raise UsageError("the model takes one crop at a time, so it cannot look at both sides of it at once")
    crops, single = graph.input[0].name, graph.output[0].name
    nodes = list(graph.node)
    for node in nodes:
        _rename(node, crops, f"{PREFIX}both")
    constants = {
        "last": np.array([-1]), "first": np.array([-(2**31)]), "across": np.array([3]),
        "back": np.array([-1]),
        "halves": np.array([2, -1, dimensions]), "one": np.array(0), "other": np.array(1),
        "ones": np.ones((dimensions, 1), np.float32),
    }  # fmt: skip
    for short, value in constants.items():
        graph.initializer.append(onnx.numpy_helper.from_array(value, PREFIX + short))
    del graph.node[:]
    graph.node.extend(
        [
            _step("Slice", "turned", crops, *(PREFIX + each for each in ("last", "first", "across", "back"))),
            _step("Concat", "both", crops, f"{PREFIX}turned", axis=0),
            *nodes,
            _step("Mul", "squares", single, single),
            _step("MatMul", "square", f"{PREFIX}squares", f"{PREFIX}ones"),
            _step("Sqrt", "length", f"{PREFIX}square"),
            _step("Div", "unit", single, f"{PREFIX}length"),
            _step("Reshape", "sides", f"{PREFIX}unit", f"{PREFIX}halves"),
            _step("Gather", "straight", f"{PREFIX}sides", f"{PREFIX}one", axis=0),
            _step("Gather", "mirrored", f"{PREFIX}sides", f"{PREFIX}other", axis=0),
            _step("Add", "embeddings", f"{PREFIX}straight", f"{PREFIX}mirrored"),
        ]
    )
    graph.output[0].name = f"{PREFIX}embeddings"
    whole: bytes = model.SerializeToString()
    return whole


def split_mirror(content: bytes) -> tuple[bytes, bool]:
    """Return the ONNX embedder of one side, and whether it looked at both."""
    model = onnx.load_model_from_string(content)
    graph = model.graph
    if not _is_mirrored(graph):
        return content, False
    crops = graph.input[0].name
    single = next(node.input[0] for node in graph.node if node.output[0] == f"{PREFIX}squares")
    nodes = [node for node in graph.node if not node.output[0].startswith(PREFIX)]
    for node in nodes:
        _rename(node, f"{PREFIX}both", crops)
    stored = [tensor for tensor in graph.initializer if not tensor.name.startswith(PREFIX)]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(stored)
    graph.output[0].name = single
    one_side: bytes = model.SerializeToString()
    return one_side, True


def _is_mirrored(graph: onnx.GraphProto) -> bool:
    return any(name.startswith(PREFIX) for node in graph.node for name in node.output)


def _rename(node: onnx.NodeProto, old: str, new: str) -> None:
    for place, name in enumerate(node.input):
        if name == old:
            node.input[place] = new


def _step(operator: str, result: str, *inputs: str, **attributes: int) -> onnx.NodeProto:
    name = PREFIX + result
    return onnx.helper.make_node(operator, inputs, [name], name, **attributes)
