"""Fine-tuning: continue training a finished model on other people.

The network is that of the start's file as it is, in torch (``networks.onnx_network``), with all that follows
it there, such as a lift onto a sphere.  Only score normalization with a cohort and mirroring are cut off, and
appended to the finished network: the loss uses the embeddings before them, validation those that the model
will return.

A network forgets when it is trained on few people: with a contrastive loss alone, validation F1 fell within
sixty steps.  ``loss.anchor`` keeps the embeddings near those of the start.

Source: Li and Hoiem, "Learning without forgetting", ECCV 2016, with squared differences as in Park et al.,
"Relational knowledge distillation", CVPR 2019.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import ModelError, TrainingError
from ...model_file.locate import read_model_file
from ...model_file.model_file import ModelFile
from ...model_zoo.cohort import Cohort, append_cohort
from ...model_zoo.mirroring import append_mirror, split_mirror
from ...model_zoo.score_normalization import split_cohort
from ..networks.onnx_network import OnnxNetwork


@dataclass(frozen=True, eq=False)
class Start:
    """A model to continue from.

    Args:
        file: The model.
        network: Its network for one side and without a cohort, to train; outputs need not be unit vectors.
        dimensions: Their dimensions.
        cohort: The model's cohort; None without one.
        mirror: Pixels cut off the mirror image of a model that looks at both sides of a face; else None.
    """

    file: ModelFile
    network: nn.Module
    dimensions: int
    cohort: Cohort | None
    mirror: int | None = None

    def finished(self, network: bytes) -> bytes:
        """Return the ONNX embedder of a fine-tuned model: ``network`` with what was cut off the start's."""
        if self.mirror is not None:
            network = append_mirror(network, self.dimensions, self.file.preprocessing.size, self.mirror)
        return network if self.cohort is None else append_cohort(network, self.cohort)


def read_start(name: str) -> Start:
    """Return the model of that name or path as a start.

    Raises:
        ModelError: It cannot be read.
        TrainingError: Its network cannot be trained.
    """
    file = read_model_file(name)
    whole, cohort = split_cohort(file.embedder)
    content, mirror = split_mirror(whole)
    size = file.preprocessing.size
    try:
        network = OnnxNetwork(content, trained=True)
        with torch.no_grad():
            dimensions = network(torch.zeros(2, 3, size, size)).shape[1]
    except (ModelError, RuntimeError) as error:  # RuntimeError: it takes one crop at a time
        raise TrainingError(
            f"network.start: {name} cannot be trained ({str(error).splitlines()[0]}); choose another start"
        ) from None
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Start(file, network, dimensions, cohort, mirror)


def mirror_image(crops: Tensor, cut: int) -> Tensor:
    """Return mirror images of crops (n, 3, S, S), enlarged as in ``model_zoo.mirroring``."""
    turned = crops.flip(3)
    if not cut:
        return turned
    return F.interpolate(turned[:, :, cut:-cut, cut:-cut], crops.shape[2:], mode="bilinear")


class CohortLayer(nn.Module):
    """Score normalization: unit vectors (n, d) to (n, d + 1); see ``model_zoo.score_normalization``."""

    centers: Tensor
    shares: Tensor

    def __init__(self, cohort: Cohort) -> None:
        super().__init__()
        self.width, self.slope, self.intercept = cohort.width, cohort.slope, cohort.intercept
        self.floor, self.farthest = cohort.floor, cohort.farthest
        self.register_buffer("centers", torch.from_numpy(cohort.centers), persistent=False)
        self.register_buffer("shares", torch.from_numpy(cohort.shares), persistent=False)

    def forward(self, unit: Tensor) -> Tensor:
        density = torch.exp((unit @ self.centers.T - 1) / self.width) @ self.shares[:, None]
        log_scale = self.intercept + self.slope * torch.log(density + self.floor)
        along = torch.exp(-log_scale / 2).clamp(max=self.farthest)
        return torch.cat([along * unit, torch.sqrt(1 - along.square())], dim=1)


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
