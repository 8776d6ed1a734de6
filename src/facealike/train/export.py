"""From a trained network to the ONNX embedder of a model file."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import TrainingError
from .network import to_unit
from .quiet import quiet

LARGE = 256  # numbers, from which on a weight is worth storing in 16 bits


class UnitEmbedder(nn.Module):
    """Normalised crops (n, 3, S, S) -> unit vectors (n, d); with ``mirror`` the mean of both sides.

    ``parts``: see ``to_unit``.
    """

    def __init__(self, network: nn.Module, mirror: bool, parts: int = 1) -> None:
        super().__init__()
        self.network, self.mirror, self.parts = network, mirror, parts

    def forward(self, crops: Tensor) -> Tensor:
        embedded = to_unit(self.network(crops), self.parts)
        if self.mirror:
            embedded = to_unit(embedded + to_unit(self.network(crops.flip(3)), self.parts), self.parts)
        return embedded


class LiftedEmbedder(nn.Module):
    """Normalised crops (n, 3, S, S) -> unit vectors (n, d + 1) that keep the order of distances.

    A student of a teacher whose descriptors are compared by Euclidean distance is compared by it too,
    while a model's scores are cosines.  The inverse stereographic projection lays the space of
    descriptors onto a sphere around ``centre``: with y = x - centre,

        (2 y, 1 - |y|^2) / (1 + |y|^2)

    has unit length, and two such vectors differ by 2 |y - y'| / sqrt((1 + |y|^2)(1 + |y'|^2)).  Lengths
    of descriptors hardly vary about their mean, so cosines fall as distances rise.
    """

    centre: Tensor

    def __init__(self, network: nn.Module, mirror: bool, centre: Tensor) -> None:
        super().__init__()
        self.network, self.mirror = network, mirror
        self.register_buffer("centre", centre.float())

    def forward(self, crops: Tensor) -> Tensor:
        said = self.network(crops)
        if self.mirror:
            said = (said + self.network(crops.flip(3))) / 2
        apart = said - self.centre
        square = apart.square().sum(dim=1, keepdim=True)
        lifted: Tensor = torch.cat([2 * apart, 1 - square], dim=1) / (1 + square)
        return lifted


def to_onnx(
    network: nn.Module, example: Tensor, input_name: str, output_name: str, half: bool = False
) -> bytes:
    """``network`` in evaluation mode as one ONNX file with a free first dimension, checked.

    ``half`` stores its weights in 16 bits, for half the size; they are widened once, when the file is
    loaded.  Raises TrainingError if onnxruntime's answer differs by more than 1e-4 from torch's, or with
    ``half`` by more than 1e-2.
    """
    import onnxruntime

    with quiet(), torch.no_grad():
        program = torch.onnx.export(
            network, (example,), dynamo=True, input_names=[input_name], output_names=[output_name],
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},), verbose=False, optimize=True,
        )  # fmt: skip
        assert program is not None
        model = program.model_proto
        _forget_sources(model)
        if half:
            _store_in_16_bits(model)
        content: bytes = model.SerializeToString()
        probe = torch.cat([example.flip(0), example[:1]])  # another batch size than the example's
        wanted = network(probe).numpy()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    found = session.run(None, {input_name: probe.numpy()})[0]
    difference = float(np.abs(found - wanted).max())
    if not difference < (1e-2 if half else 1e-4):
        raise TrainingError(
            f"the exported network differs from the trained one by {difference:.2g}; please report this"
        )
    return content


def _store_in_16_bits(model: Any) -> None:
    """Each large float weight as 16 bits and a Cast, which a runtime folds when it loads the file."""
    import onnx

    graph = model.graph
    casts = []
    for weight in graph.initializer:
        values = onnx.numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.size < LARGE:
            continue
        name, stored = weight.name, f"{weight.name}_half"
        weight.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), stored))
        casts.append(onnx.helper.make_node("Cast", [stored], [name], name, to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _forget_sources(model: Any) -> None:
    """Drop torch's notes on which line of which file each operator came from.

    They name folders of this machine, outweigh a small network, and would make equal networks that
    were exported on two machines differ.
    """
    graph = model.graph
    for part in (
        model,
        graph,
        *graph.node,
        *graph.input,
        *graph.output,
        *graph.value_info,
        *graph.initializer,
    ):
        part.doc_string = ""
        del part.metadata_props[:]


def export_embedder(network: nn.Module, size: int, mirror: bool, parts: int = 1) -> bytes:
    """The embedder of a model file: normalised crops (n, 3, S, S) -> unit vectors (n, d)."""
    return _export(UnitEmbedder(network.float().cpu(), mirror, parts), size)


def export_student(network: nn.Module, size: int, mirror: bool, centre: Tensor) -> bytes:
    """The embedder of a student's model: normalised crops (n, 3, S, S) -> unit vectors (n, d + 1).

    Its weights are in 16 bits, for it is made to be small.
    """
    return _export(LiftedEmbedder(network.float().cpu(), mirror, centre.cpu()), size, half=True)


def _export(embedder: nn.Module, size: int, half: bool = False) -> bytes:
    example = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    return to_onnx(embedder.eval(), example, "crops", "embeddings", half)
