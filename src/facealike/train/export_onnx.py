"""Export a trained network as the ONNX embedder of a model file."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import TrainingError, UsageError
from ..model_zoo.quantization import MAX_RELATIVE_ERROR, convert_fp16, quantize_int8, relative_error
from ..utils.onnx_session import Session
from .lightning.silence import quiet
from .networks.resnet import to_unit

CHUNK = 32  # crops at a time

Faces = NDArray[np.float32] | None


class UnitEmbedder(nn.Module):
    """Normalized crops (n, 3, S, S) to unit vectors (n, d).

    Args:
        network: The network.
        mirror: Average the embeddings of a crop and its mirror image.
        parts: See ``to_unit``.
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
    """Return the outputs for crops (n, 3, S, S) and for their mirror images, (2, n, d).

    They are computed in one pass, so that each layer is exported once.
    """
    both: Tensor = network(torch.cat([crops, crops.flip(3)]))
    return both.reshape(2, -1, both.shape[1])


class LiftedEmbedder(nn.Module):
    """Normalized crops (n, 3, S, S) to unit vectors (n, d + 1) whose cosines follow Euclidean distances.

    The descriptors of dlib's network and its students are compared by distance; scores of a model are
    cosines.  The inverse stereographic projection maps the descriptors onto a sphere around a center: with
    y = x - center,

        (2 y, 1 - |y|^2) / (1 + |y|^2)

    has unit length, and two such vectors differ by 2 |y - y'| / sqrt((1 + |y|^2)(1 + |y'|^2)).  The norms
    |y| hardly vary, so cosines fall as distances rise.

    Args:
        network: The network.
        mirror: Average the outputs for a crop and its mirror image.
        center: The center, (d,).
    """

    centre: Tensor  # this name is that of a constant in model files

    def __init__(self, network: nn.Module, mirror: bool, center: Tensor) -> None:
        super().__init__()
        self.network, self.mirror = network, mirror
        self.register_buffer("centre", center.float())

    def forward(self, crops: Tensor) -> Tensor:
        raw = both_sides(self.network, crops).mean(dim=0) if self.mirror else self.network(crops)
        apart = raw - self.centre
        square = apart.square().sum(dim=1, keepdim=True)
        lifted: Tensor = torch.cat([2 * apart, 1 - square], dim=1) / (1 + square)
        return lifted


def to_onnx(network: nn.Module, example: Tensor, input_name: str, output_name: str) -> bytes:
    """Return ``network``, in evaluation mode, as an ONNX file with a free first dimension.

    Args:
        network: The network.
        example: An input, (n, ...) with n of 2 or more.
        input_name: Name of the input in the file.
        output_name: Name of the output in the file.

    Raises:
        TrainingError: The outputs of onnxruntime and torch differ by more than 1e-4.
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
    """Return the output of an ONNX file for ``crops`` (n, 3, S, S)."""
    session = Session(content, "the exported network")
    parts = [session.run(None, {input_name: crops[i : i + CHUNK]})[0] for i in range(0, len(crops), CHUNK)]
    outputs: NDArray[np.float32] = np.concatenate(parts)
    return outputs


def _forget_sources(model: Any) -> None:
    """Remove torch's notes on the source line of each operator.

    They name folders of this machine, take more space than a small network, and differ between machines.
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
    """Return the ONNX embedder of a model file: normalized crops (n, 3, S, S) to unit vectors (n, d).

    Args:
        network: The trained network.
        size: S.
        mirror: See ``UnitEmbedder``.
        parts: See ``to_unit``.
        bits: 32, 16 or 8; if quantization changes embeddings too much, more bits are used, with a message.
        faces: Normalized crops (n, 3, S, S) for the activation ranges of INT8.
    """
    return _export(UnitEmbedder(network.float().cpu(), mirror, parts), size, bits, faces)


def export_student(
    network: nn.Module, size: int, mirror: bool, center: Tensor, bits: int = 32, faces: Faces = None
) -> bytes:
    """Return the ONNX embedder of a student: normalized crops (n, 3, S, S) to unit vectors (n, d + 1).

    ``center`` is that of ``LiftedEmbedder``; the other arguments are those of ``export_embedder``.
    """
    return _export(LiftedEmbedder(network.float().cpu(), mirror, center.cpu()), size, bits, faces)


def _export(embedder: nn.Module, size: int, bits: int, faces: Faces) -> bytes:
    example = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    # In the memory format of training, the exporter writes reshapes as lists of indices.
    embedder.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    whole = to_onnx(embedder.eval(), example, "crops", "embeddings")
    shown = example.numpy() if faces is None else faces
    for tried in (8, 16):
        if tried < bits:
            continue
        try:
            short = quantize_int8(whole, shown) if tried == 8 else convert_fp16(whole)
        except UsageError as error:  # the network of a start may have no convolutions
            print(f"not in {tried} bits ({error}); the model gets {2 * tried}", file=sys.stderr, flush=True)
            continue
        lost = relative_error(run_onnx(whole, shown), run_onnx(short, shown))
        if lost < MAX_RELATIVE_ERROR:
            return short
        print(
            f"{tried} bits would change embeddings by {lost:.0%} of what faces differ by; "
            f"the model gets {2 * tried}",
            file=sys.stderr, flush=True,
        )  # fmt: skip
    return whole
