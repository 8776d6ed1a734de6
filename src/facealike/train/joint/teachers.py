"""Teachers of a joint run: stored models that compare by cosine, run on batches of crops.

A teacher is named like a model: ``dlib``, ``sface`` or ``retail-0095`` after ``facealike models add``.  On a
CPU, OpenVINO runs it if it is installed, in bfloat16 if the processor has it: four times as fast as torch,
which is used otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...errors import UsageError
from ...model_file.locate import read_model_file
from ...model_file.preprocessing import Preprocessing
from ...model_zoo.score_normalization import split_cohort
from ..networks.onnx_network import OnnxNetwork
from ..optim.mixed_precision import computes_bfloat16
from .targets import CHUNK, Teacher
from .views import Layout

LAYOUTS: dict[str, Layout] = {"landmarks": "arcface", "chip": "chip"}
"""Templates by the ``align`` of a model."""

Runner = Callable[[Tensor], NDArray[np.float32]]


def named_teacher(name: str, weight: float, device: str = "cpu") -> Teacher:
    """Return the model ``name`` as a teacher, without score normalization: the student gets its own.

    Args:
        name: Name or path of a model.
        weight: Weight of its cosines in the target.
        device: Where torch runs it.

    Raises:
        UsageError: Its crops lie on neither template.
        ModelError: It cannot be read or run.
    """
    file = read_model_file(name)
    crop = file.preprocessing
    layout = LAYOUTS.get(crop.align)
    if layout is None or crop.context:
        raise UsageError(f"{name}: a teacher's crops are aligned by landmarks; choose another model")
    network, _ = split_cohort(file.embedder)
    if device == "cpu" and find_spec("openvino") is not None:
        run = _openvino(network, crop.size)
    else:
        run = _torch(network, torch.device(device))
    return Teacher(name, crop.size, lambda crops: run(normalized(crops, crop)), weight, layout)


def normalized(crops: Tensor, crop: Preprocessing) -> Tensor:
    """Return RGB crops (n, 3, S, S) in 0..255 normalized for a model."""
    mean = torch.tensor(crop.mean, device=crops.device).view(1, 3, 1, 1)
    std = torch.tensor(crop.std, device=crops.device).view(1, 3, 1, 1)
    ready = (crops - mean) / std
    return ready.flip(1) if crop.channels == "bgr" else ready


def _openvino(content: bytes, size: int) -> Runner:
    import openvino

    core = openvino.Core()
    network = core.read_model(content)
    network.reshape([CHUNK, 3, size, size])
    half = computes_bfloat16("cpu")
    hints = {"INFERENCE_PRECISION_HINT": "bf16" if half else "f32", "NUM_STREAMS": 1}
    compiled = core.compile_model(network, "CPU", hints)

    def run(crops: Tensor) -> NDArray[np.float32]:
        rows = []
        for start in range(0, len(crops), CHUNK):
            part = crops[start : start + CHUNK]
            filled = np.zeros((CHUNK, 3, size, size), dtype=np.float32)
            filled[: len(part)] = part.numpy()
            rows.append(compiled(filled)[0].reshape(CHUNK, -1)[: len(part)].copy())
        return np.concatenate(rows)

    return run


def _torch(content: bytes, device: torch.device) -> Runner:
    network = OnnxNetwork(content).to(device)

    @torch.no_grad()
    def run(crops: Tensor) -> NDArray[np.float32]:
        half = torch.autocast(device.type, torch.bfloat16, enabled=computes_bfloat16(device.type))
        with half:
            embedded: NDArray[np.float32] = network(crops.to(device)).float().flatten(1).cpu().numpy()
        return embedded

    return run
