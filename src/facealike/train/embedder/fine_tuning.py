"""Fine-tuning: continue training a finished model on other people.

The network begins with the weights of the start (``networks.init_from_model``).  What follows it in the
start's file stays: the lift of descriptors onto a sphere, and score normalization with a cohort.  The loss
uses the lifted vectors; validation uses the embeddings that the model will return.

A network forgets when it is trained on few people: with a contrastive loss alone, validation F1 fell within
sixty steps.  ``loss.anchor`` keeps the outputs near those of the start.

Source: Li and Hoiem, "Learning without forgetting", ECCV 2016, with squared differences as in Park et al.,
"Relational knowledge distillation", CVPR 2019.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...errors import TrainingError
from ...model_file.locate import read_model_file
from ...model_file.model_file import ModelFile
from ...model_file.preprocessing import Preprocessing
from ...model_zoo.score_normalization import FARTHEST, FLOOR, PREFIX, Cohort, append_cohort
from ..export_onnx import Faces, export_embedder, export_student
from ..networks.resnet import to_unit
from ..recipe.schema import Recipe

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


@dataclass(frozen=True, eq=False)
class Start:
    """A model to continue from; ``center`` (d,) is that of its lift, None without one."""

    name: str
    file: ModelFile
    center: NDArray[np.float32] | None
    cohort: Cohort | None


def read_start(recipe: Recipe, preprocessing: Preprocessing) -> Start:
    """Return the model that ``network.start`` names.

    Raises:
        ModelError: It cannot be read.
        TrainingError: Its face crops differ from the recipe's.
    """
    name = recipe.network.start
    file = read_model_file(name)
    if file.preprocessing != preprocessing:
        raise TrainingError(
            f"network.start: {name} was made for other face crops ({file.preprocessing.size} px, "
            f"align {file.preprocessing.align}); bring [crop] to those, or choose another start"
        )
    held = _constants(file.embedder)
    return Start(name, file, held.get("centre"), _cohort(held))


class Tail(nn.Module):
    """The layers after the network in a start's file: raw embeddings (n, d) to unit vectors."""

    center: Tensor
    centers: Tensor
    shares: Tensor

    def __init__(self, start: Start) -> None:
        super().__init__()
        self.lifts, self.normalizes = start.center is not None, start.cohort is not None
        if start.center is not None:
            self.register_buffer("center", torch.from_numpy(start.center), persistent=False)
        if start.cohort is not None:
            cohort = start.cohort
            self.width, self.slope, self.intercept = cohort.width, cohort.slope, cohort.intercept
            self.register_buffer("centers", torch.from_numpy(cohort.centers), persistent=False)
            self.register_buffer("shares", torch.from_numpy(cohort.shares), persistent=False)

    def lift(self, raw: Tensor) -> Tensor:
        """Return unit vectors, (n, d + 1) with a lift and (n, d) without; see ``LiftedEmbedder``."""
        raw = raw.float()
        if not self.lifts:
            return to_unit(raw)
        apart = raw - self.center
        square = apart.square().sum(dim=1, keepdim=True)
        return torch.cat([2 * apart, 1 - square], dim=1) / (1 + square)

    def forward(self, raw: Tensor) -> Tensor:
        """Return the embeddings of the model; see ``model_zoo.score_normalization``."""
        unit = self.lift(raw)
        if not self.normalizes:
            return unit
        density = torch.exp((unit @ self.centers.T - 1) / self.width) @ self.shares[:, None]
        log_scale = self.intercept + self.slope * torch.log(density + float(FLOOR))
        along = torch.exp(-log_scale / 2).clamp(max=FARTHEST)
        return torch.cat([along * unit, torch.sqrt(1 - along.square())], dim=1)


def freeze_norms(network: nn.Module) -> None:
    """Keep the start's batch statistics: those of a few hundred photos would be worse."""
    for module in network.modules():
        if isinstance(module, NORMS):
            module.eval()


def export_tuned(network: nn.Module, start: Start, recipe: Recipe, faces: Faces) -> bytes:
    """Return the ONNX embedder of a fine-tuned model, with the lift and the cohort of the start."""
    net, size = recipe.network, recipe.crop.size
    if start.center is None:
        content = export_embedder(network, size, net.mirror, 1, net.bits, faces)
    else:
        content = export_student(network, size, net.mirror, torch.from_numpy(start.center), net.bits, faces)
    return content if start.cohort is None else append_cohort(content, start.cohort)


def better_epoch(rows: Sequence[Mapping[str, float]], start: Mapping[str, float]) -> bool:
    """Return whether the epoch of the best validation F1 exceeds the start in F1, without a lower AUC."""
    best = max(rows, key=lambda row: row["val_f1"])
    return best["val_f1"] > start["val_f1"] and best["val_auc"] >= start["val_auc"]


def kept_start(rows: Sequence[Mapping[str, float]], start: Mapping[str, float], people: int) -> str:
    """Return the message of a run that ends with the weights it began with."""
    best = max(rows, key=lambda row: row["val_f1"])
    return (
        f"no epoch did better on the {people:,} validation people than the model that the run began with "
        f"(F1 {best['val_f1']:.3f} at best, {start['val_f1']:.3f} before; AUC {best['val_auc']:.4f} and "
        f"{start['val_auc']:.4f}), so the model keeps the weights it began with; more people may "
        "help"
    )


def _constants(content: bytes) -> dict[str, NDArray[np.float32]]:
    """Return the constants of the lift and of the cohort by their names in the graph."""
    graph = onnx.load_model_from_string(content).graph
    found = {}
    for tensor in graph.initializer:
        name = tensor.name.removesuffix("_half")
        if name == "centre" or name.startswith(PREFIX):
            found[name] = onnx.numpy_helper.to_array(tensor).astype(np.float32)
    return found


def _cohort(held: Mapping[str, NDArray[np.float32]]) -> Cohort | None:
    """Return the cohort in the graph, where the lower bound is part of the intercept."""
    if PREFIX + "centres" not in held:
        return None
    at = {name.removeprefix(PREFIX): value for name, value in held.items()}
    width = 1 / float(at["shift"])
    return Cohort(
        centers=np.ascontiguousarray(at["centres"].T * width), shares=at["shares"].reshape(-1), width=width,
        intercept=-2 * float(at["intercept"]), slope=-2 * float(at["slope"]), least=1.0, faces=0,
        explained=math.nan,
    )  # fmt: skip
