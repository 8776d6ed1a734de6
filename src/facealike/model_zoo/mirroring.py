"""Mirroring inside the network: the mean of the embeddings of a crop and of its mirror image.

What a network learned of the left half of a face and not of the right one is noise in its embedding; the mean
of both has less of it.  The mirror image may be enlarged, so that the mean has less of the noise of the
alignment, too.  The network runs on twice as many crops.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from ..errors import UsageError

PREFIX = "mirror."  # of the tensor names in the graph; part of the file, and so of a model's id
OPSET = 11  # the first ONNX opset with half-pixel positions in Resize; Slice has negative steps since 10
CUT = f"{PREFIX}cut"
MOST = 25.0  # percent; more cuts off the chin


def pixels_cut(size: int, enlarge: float) -> int:
    """Return how many pixels to cut off each side of a crop of ``size`` to enlarge the rest by a share.

    Args:
        size: Side of the crop in pixels.
        enlarge: Percent; the result is the nearest that whole pixels allow.

    Raises:
        UsageError: It is not between 0 and ``MOST``.
    """
    if not 0 <= enlarge <= MOST:
        raise UsageError(f"the mirror image is enlarged by 0 to {MOST:.0f} percent, not by {enlarge:g}")
    return round(size / 2 * (1 - 100 / (100 + enlarge)))


def append_mirror(content: bytes, dimensions: int, size: int, cut: int = 0) -> bytes:
    """Return the ONNX embedder, (n, 3, S, S) to (n, d), with the sum of the unit vectors of both sides.

    Args:
        content: The embedder.
        dimensions: Its d, which not every file states.
        size: Its S.
        cut: Pixels that are cut off each side of the mirror image, of which the rest is enlarged.

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
    enlarged, more = _enlarged(crops, size, cut) if cut else ([], {})
    other = f"{PREFIX}enlarged" if cut else crops
    for short, value in {**constants, **more}.items():
        graph.initializer.append(onnx.numpy_helper.from_array(value, PREFIX + short))
    del graph.node[:]
    graph.node.extend(
        [
            *enlarged,
            _step("Slice", "turned", other, *(PREFIX + each for each in ("last", "first", "across", "back"))),
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


def split_mirror(content: bytes) -> tuple[bytes, int | None]:
    """Return the ONNX embedder of one side, and the pixels cut off the other; None if it saw one side."""
    model = onnx.load_model_from_string(content)
    graph = model.graph
    if not _is_mirrored(graph):
        return content, None
    crops = graph.input[0].name
    single = next(node.input[0] for node in graph.node if node.output[0] == f"{PREFIX}squares")
    nodes = [node for node in graph.node if not node.output[0].startswith(PREFIX)]
    for node in nodes:
        _rename(node, f"{PREFIX}both", crops)
    cut = next(
        (int(np.max(onnx.numpy_helper.to_array(each))) for each in graph.initializer if each.name == CUT), 0
    )
    stored = [tensor for tensor in graph.initializer if not tensor.name.startswith(PREFIX)]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(stored)
    graph.output[0].name = single
    one_side: bytes = model.SerializeToString()
    return one_side, cut


def _enlarged(crops: str, size: int, cut: int) -> tuple[list[onnx.NodeProto], dict[str, NDArray[Any]]]:
    """Return the steps from crops to their middle, enlarged to ``size``, and the constants of these steps."""
    middle = size - 2 * cut
    scale = enlarging_scale(middle, size)
    steps = [
        _step("Slice", "middle", crops, CUT, *(PREFIX + each for each in ("end", "sides_axes"))),
        _step(
            "Resize", "enlarged", f"{PREFIX}middle", f"{PREFIX}nowhere", f"{PREFIX}scales",
            mode="linear", coordinate_transformation_mode="half_pixel",
        ),
    ]  # fmt: skip
    constants = {
        CUT.removeprefix(PREFIX): np.array([cut, cut]), "end": np.array([-cut, -cut]),
        "sides_axes": np.array([2, 3]), "nowhere": np.zeros(0, np.float32),
        "scales": np.array([1, 1, scale, scale], np.float32),
    }  # fmt: skip
    return steps, constants


def enlarging_scale(middle: int, size: int) -> float:
    """Return a scale by which ``middle`` becomes ``size``, rounded down in single or double precision."""
    scale = np.float32(size / middle)
    while min(int(middle * float(scale)), int(np.float32(middle) * scale)) < size:
        scale = np.nextafter(scale, np.float32(2))
    return float(scale)


def _is_mirrored(graph: onnx.GraphProto) -> bool:
    return any(name.startswith(PREFIX) for node in graph.node for name in node.output)


def _rename(node: onnx.NodeProto, old: str, new: str) -> None:
    for place, name in enumerate(node.input):
        if name == old:
            node.input[place] = new


def _step(operator: str, result: str, *inputs: str, **attributes: int | str) -> onnx.NodeProto:
    name = PREFIX + result
    return onnx.helper.make_node(operator, inputs, [name], name, **attributes)
