"""From a trained network to the ONNX embedder of a model file."""

from __future__ import annotations

import io
import logging
import warnings

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import TrainingError


class UnitEmbedder(nn.Module):
    """Normalised crops (n, 3, S, S) -> unit vectors (n, d); with ``mirror`` the mean of both sides."""

    def __init__(self, network: nn.Module, mirror: bool) -> None:
        super().__init__()
        self.network, self.mirror = network, mirror

    def forward(self, crops: Tensor) -> Tensor:
        embedded = F.normalize(self.network(crops))
        if self.mirror:
            embedded = F.normalize(embedded + F.normalize(self.network(crops.flip(3))))
        return embedded


def export_onnx(network: nn.Module, size: int, mirror: bool) -> bytes:
    """The network as one ONNX file with a free batch size, checked against torch.

    Raises TrainingError if onnxruntime's answer differs by more than 1e-4 from torch's.
    """
    import onnxruntime

    embedder = UnitEmbedder(network.float().cpu(), mirror).eval()
    example = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    buffer = io.BytesIO()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            embedder, (example,), dynamo=True, input_names=["crops"], output_names=["embeddings"],
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},), verbose=False, optimize=True,
        )  # fmt: skip
        assert program is not None
        buffer.write(program.model_proto.SerializeToString())
        probe = torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(1))
        wanted = embedder(probe).numpy()
    content = buffer.getvalue()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    found = session.run(None, {"crops": probe.numpy()})[0]
    difference = float(np.abs(found - wanted).max())
    if not difference < 1e-4:
        raise TrainingError(
            f"the exported network differs from the trained one by {difference:.2g}; please report this"
        )
    return content
