"""Fine-tuning: learn on from a finished model with people of one's own.

The network begins with the weights of the start (``train.warm_start``).  What stands behind it in the start's
file stays as it is: the lift of descriptors onto a sphere, and the cohort that normalizes scores.  The loss
sees the lifted vectors; validation sees what the model will return.

Few people teach a network to forget: with a contrastive loss alone, F1 on people not seen fell within sixty
steps (docs/results/training.md has the figures).  ``loss.anchor`` holds the outputs near those of the start
(Li and Hoiem, "Learning without forgetting", ECCV 2016, with squared differences as in Park et al., CVPR
2019).
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
from ...model_zoo.score_normalization import FARTHEST, FLOOR, PREFIX, Cohort, with_cohort
from ..export_onnx import Faces, export_embedder, export_student
from ..networks.resnet import to_unit
from ..recipe.schema import Recipe

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


@dataclass(frozen=True, eq=False)
class Start:
    """A model to go on from; ``centre`` (d,) is that of its lift, and None without one."""

    name: str
    file: ModelFile
    centre: NDArray[np.float32] | None
    cohort: Cohort | None


def read_start(recipe: Recipe, preprocessing: Preprocessing) -> Start:
    """The model that ``network.start`` names.

    Raises ModelError where it cannot be read, TrainingError where its crops are not the recipe's.
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
    """What follows the network in a start's file: raw outputs (n, d) to unit vectors."""

    centre: Tensor
    centres: Tensor
    shares: Tensor

    def __init__(self, start: Start) -> None:
        super().__init__()
        self.lifts, self.counts = start.centre is not None, start.cohort is not None
        if start.centre is not None:
            self.register_buffer("centre", torch.from_numpy(start.centre), persistent=False)
        if start.cohort is not None:
            cohort = start.cohort
            self.width, self.slope, self.intercept = cohort.width, cohort.slope, cohort.intercept
            self.register_buffer("centres", torch.from_numpy(cohort.centres), persistent=False)
            self.register_buffer("shares", torch.from_numpy(cohort.shares), persistent=False)

    def lift(self, raw: Tensor) -> Tensor:
        """Unit vectors, (n, d + 1) with a lift and (n, d) without; see ``export.LiftedEmbedder``."""
        raw = raw.float()
        if not self.lifts:
            return to_unit(raw)
        apart = raw - self.centre
        square = apart.square().sum(dim=1, keepdim=True)
        return torch.cat([2 * apart, 1 - square], dim=1) / (1 + square)

    def forward(self, raw: Tensor) -> Tensor:
        """The embeddings of the model, with a dimension of the cohort's; see ``train.cohort``."""
        unit = self.lift(raw)
        if not self.counts:
            return unit
        density = torch.exp((unit @ self.centres.T - 1) / self.width) @ self.shares[:, None]
        log_room = self.intercept + self.slope * torch.log(density + float(FLOOR))
        along = torch.exp(-log_room / 2).clamp(max=FARTHEST)
        return torch.cat([along * unit, torch.sqrt(1 - along.square())], dim=1)


def freeze_norms(network: nn.Module) -> None:
    """Let batch norms keep the start's statistics: those of a few hundred photos would be worse."""
    for module in network.modules():
        if isinstance(module, NORMS):
            module.eval()


def export_tuned(network: nn.Module, start: Start, recipe: Recipe, faces: Faces) -> bytes:
    """The embedder of a fine-tuned model, with the start's lift and cohort behind the network."""
    net, size = recipe.network, recipe.crop.size
    if start.centre is None:
        content = export_embedder(network, size, net.mirror, 1, net.bits, faces)
    else:
        content = export_student(network, size, net.mirror, torch.from_numpy(start.centre), net.bits, faces)
    return content if start.cohort is None else with_cohort(content, start.cohort)


def better_epoch(rows: Sequence[Mapping[str, float]], start: Mapping[str, float]) -> bool:
    """Whether the epoch of the best F1 on validation people beats the start, in F1 and not below in AUC."""
    best = max(rows, key=lambda row: row["val_f1"])
    return best["val_f1"] > start["val_f1"] and best["val_auc"] >= start["val_auc"]


def kept_start(rows: Sequence[Mapping[str, float]], start: Mapping[str, float], people: int) -> str:
    """What a run says that ends with the weights it began with."""
    best = max(rows, key=lambda row: row["val_f1"])
    return (
        f"no epoch did better on the {people:,} validation people than the model that the run began with "
        f"(F1 {best['val_f1']:.3f} at best, {start['val_f1']:.3f} before; AUC {best['val_auc']:.4f} and "
        f"{start['val_auc']:.4f}), so the model keeps the weights it began with; more people may "
        "teach it more"
    )


def _constants(content: bytes) -> dict[str, NDArray[np.float32]]:
    """The numbers of the lift and of the cohort, by their names in the graph."""
    graph = onnx.load_model_from_string(content).graph
    found = {}
    for tensor in graph.initializer:
        name = tensor.name.removesuffix("_half")
        if name == "centre" or name.startswith(PREFIX):
            found[name] = onnx.numpy_helper.to_array(tensor).astype(np.float32)
    return found


def _cohort(held: Mapping[str, NDArray[np.float32]]) -> Cohort | None:
    """The cohort as it stands in the graph, where the least room is part of the intercept."""
    if PREFIX + "centres" not in held:
        return None
    at = {name.removeprefix(PREFIX): value for name, value in held.items()}
    width = 1 / float(at["shift"])
    return Cohort(
        centres=np.ascontiguousarray(at["centres"].T * width), shares=at["shares"].reshape(-1), width=width,
        intercept=-2 * float(at["intercept"]), slope=-2 * float(at["slope"]), least=1.0, faces=0,
        explained=math.nan,
    )  # fmt: skip
