"""From a trained network to the ONNX embedder of a model file."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import TrainingError
from ..model_zoo.quantization import MOST_LOST, apart, in_8_bits, in_16_bits
from .lightning.silence import quiet
from .networks.resnet import to_unit

CHUNK = 32  # crops at a time

Faces = NDArray[np.float32] | None


class UnitEmbedder(nn.Module):
    """Normalised crops (n, 3, S, S) -> unit vectors (n, d); with ``mirror`` the mean of both sides.

    ``parts``: see ``to_unit``.
    """

    def __init__(self, network: nn.Module, mirror: bool, parts: int = 1) -> None:
        super().__init__()
        self.network, self.mirror, self.parts = network, mirror, parts

    def forward(self, crops: Tensor) -> Tensor:
        if not self.mirror:
            return to_unit(self.network(crops), self.parts)
        one, other = (to_unit(side, self.parts) for side in both_sides(self.network, crops))
        return to_unit(one + other, self.parts)


def both_sides(network: nn.Module, crops: Tensor) -> Tensor:
    """What ``network`` says of crops (n, 3, S, S) and of their mirror images, (2, n, d), in one pass:
    so each layer stands in the exported file once."""
    said: Tensor = network(torch.cat([crops, crops.flip(3)]))
    return said.reshape(2, -1, said.shape[1])


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
        said = both_sides(self.network, crops).mean(dim=0) if self.mirror else self.network(crops)
        apart = said - self.centre
        square = apart.square().sum(dim=1, keepdim=True)
        lifted: Tensor = torch.cat([2 * apart, 1 - square], dim=1) / (1 + square)
        return lifted


def to_onnx(network: nn.Module, example: Tensor, input_name: str, output_name: str) -> bytes:
    """``network`` in evaluation mode as one ONNX file with a free first dimension, checked.

    Raises TrainingError if onnxruntime's answer differs by more than 1e-4 from torch's.
    """
    with quiet(), torch.no_grad():
        program = torch.onnx.export(
            network, (example,), dynamo=True, input_names=[input_name], output_names=[output_name],
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},), verbose=False, optimize=True,
        )  # fmt: skip
        assert program is not None
        model = program.model_proto
        _forget_sources(model)
        content: bytes = model.SerializeToString()
        probe = torch.cat([example.flip(0), example[:1]])  # another batch size than the example's
        wanted = network(probe).numpy()
    difference = float(np.abs(run_onnx(content, probe.numpy(), input_name) - wanted).max())
    if not difference < 1e-4:
        raise TrainingError(
            f"the exported network differs from the trained one by {difference:.2g}; please report this"
        )
    return content


def run_onnx(content: bytes, crops: NDArray[np.float32], input_name: str = "crops") -> NDArray[np.float32]:
    """What the network in the ONNX file says of ``crops`` (n, 3, S, S)."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    parts = [session.run(None, {input_name: crops[i : i + CHUNK]})[0] for i in range(0, len(crops), CHUNK)]
    said: NDArray[np.float32] = np.concatenate(parts)
    return said


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


def export_embedder(
    network: nn.Module, size: int, mirror: bool, parts: int = 1, bits: int = 32, faces: Faces = None
) -> bytes:
    """The embedder of a model file: normalised crops (n, 3, S, S) -> unit vectors (n, d).

    ``bits`` is 32, 16 or 8 (``train.bits``); for 8, ``faces`` (n, 3, S, S), normalised, show what numbers
    occur.  Where that many do not suffice it takes more, and says so.
    """
    return _export(UnitEmbedder(network.float().cpu(), mirror, parts), size, bits, faces)


def export_student(
    network: nn.Module, size: int, mirror: bool, centre: Tensor, bits: int = 32, faces: Faces = None
) -> bytes:
    """The embedder of a student's model: normalised crops (n, 3, S, S) -> unit vectors (n, d + 1)."""
    return _export(LiftedEmbedder(network.float().cpu(), mirror, centre.cpu()), size, bits, faces)


def _export(embedder: nn.Module, size: int, bits: int, faces: Faces) -> bytes:
    example = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    whole = to_onnx(embedder.eval(), example, "crops", "embeddings")
    shown = example.numpy() if faces is None else faces
    for tried in (8, 16):
        if tried < bits:
            continue
        short = in_8_bits(whole, shown) if tried == 8 else in_16_bits(whole)
        lost = apart(run_onnx(whole, shown), run_onnx(short, shown))
        if lost < MOST_LOST:
            return short
        print(
            f"{tried} bits would change embeddings by {lost:.0%} of what faces differ by; "
            f"the model gets {2 * tried}",
            file=sys.stderr, flush=True,
        )  # fmt: skip
    return whole
