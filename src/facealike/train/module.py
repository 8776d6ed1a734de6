"""The Lightning module: one training step, and validation on people who are never trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor

from ..dlib_resnet import find_dlib_weights, read_dlib_resnet
from ..errors import TrainingError
from ..metrics import auc, best_f1_threshold
from ..model import Preprocessing
from .augment import Augmentation, mix, shrink
from .averaging import Average
from .dlib_teacher import LiftedDlib
from .losses import Criterion, pair_tensors
from .network import make_network, to_unit
from .optimiser import make_optimiser
from .plan import Watched
from .recipe import Recipe

# Of the unit vectors that training from dlib's network begins with: distances of 0.6, dlib's
# tolerance, and of 0.85, those of strangers, are cosines of about 0.92 and 0.84.
DLIB_LIFT = 1.0


def step_seed(seed: int, part: int, step: int) -> int:
    """A seed of its own for each step, so that a resumed run draws what it would have drawn."""
    return int(np.random.SeedSequence([seed, part, step]).generate_state(1)[0])


def side_at(sizes: Sequence[int], step: int, total_steps: int) -> int:
    """The side that crops have in this step: each of ``sizes`` in turn, for an equal part of the steps.

    Small crops first is progressive resizing (Tan and Le, "EfficientNetV2", ICML 2021, section 4).
    """
    return sizes[min(step * len(sizes) // total_steps, len(sizes) - 1)]


def build_network(recipe: Recipe) -> torch.nn.Module:
    net = recipe.network
    if net.kind == "dlib":
        weights = find_dlib_weights().read_bytes()
        network: torch.nn.Module = LiftedDlib(read_dlib_resnet(weights), DLIB_LIFT)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network
    network = make_network(
        net.kind, recipe.crop.size, net.widths, net.blocks, net.dimensions, net.dropout, net.pool,
        net.drop_path, net.standardise, net.branches,
    )  # fmt: skip
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


class SiameseModule(lightning.LightningModule):
    """One network seen by all images of a batch; the criterion compares what comes out."""

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        recipe: Recipe,
        preprocessing: Preprocessing,
        people: int,
        total_steps: int,
        watched: Sequence[Watched],
    ) -> None:
        super().__init__()
        torch.manual_seed(step_seed(recipe.seed, 0, 0))
        self.recipe, self.total_steps, self.watched = recipe, total_steps, watched
        self.network = build_network(recipe)
        self.criterion = Criterion(recipe.loss, people, recipe.network.dimensions)
        self.augmentation = Augmentation(recipe.augment)
        self.average = Average(self.network, recipe.training.ema) if recipe.training.ema else None
        self.register_buffer("mean", torch.tensor(preprocessing.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(preprocessing.std).view(1, 3, 1, 1), persistent=False)
        self._embedded: dict[int, list[Tensor]] = {}

    @property
    def judged(self) -> torch.nn.Module:
        """The network that is validated and exported: the averaged one where there is one."""
        return self.network if self.average is None else self.average.network

    def forward(self, images: Tensor) -> Tensor:
        """Float images (n, 3, S, S) in 0..255 -> embeddings (n, d), not normalised.

        Out of training they are those of ``judged``.
        """
        normal = ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        embedded: Tensor = (self.network if self.training else self.judged)(normal)
        return embedded

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        torch.manual_seed(step_seed(self.recipe.seed, 1, self.global_step))  # for dropout

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        generator = torch.Generator().manual_seed(step_seed(self.recipe.seed, 2, self.global_step))
        crops = batch["images"].permute(0, 3, 1, 2).float()
        if self.recipe.training.sizes:
            crops = shrink(crops, side_at(self.recipe.training.sizes, self.global_step, self.total_steps))
        images = self.augmentation(crops, generator)
        partner, share, alpha = None, 1.0, self.recipe.augment.mixup
        if alpha:
            images, partner, share = mix(images, alpha, generator)
        embeddings = self(images)
        # Distances and angles between near neighbours need more digits than bfloat16 has.
        with torch.autocast(self.device.type, enabled=False):
            loss: Tensor = self.criterion(
                embeddings, batch["labels"], pair_tensors(batch["pairs"], self.device)
            )
            if partner is not None:
                loss = share * loss + (1 - share) * self.criterion(embeddings, batch["labels"][partner])
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the loss became {float(loss.detach())} at step {self.global_step}; "
                'lower training.learning_rate or set training.precision = "32"'
            )
        self.log("train_loss", loss, prog_bar=True, on_step=True, on_epoch=True, batch_size=len(images))
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.average is not None:
            self.average.update(self.network, self.global_step)

    def validation_step(self, batch: Tensor, batch_idx: int, dataloader_idx: int = 0) -> None:
        images = batch.permute(0, 3, 1, 2).float()
        parts = self.recipe.loss.parts
        embeddings = to_unit(self(images), parts)
        if self.recipe.network.mirror:
            embeddings = to_unit(embeddings + to_unit(self(images.flip(3)), parts), parts)
        self._embedded.setdefault(dataloader_idx, []).append(embeddings)

    def on_validation_epoch_end(self) -> None:
        for number, watched in enumerate(self.watched):
            embeddings = torch.cat(self._embedded.pop(number))
            a, b, same = watched.pairs
            scores = (embeddings[a] * embeddings[b]).sum(dim=1).double().cpu().numpy()
            if not np.isfinite(scores).all():
                raise TrainingError(
                    f"the embeddings of {watched.name} images are not finite; lower training.learning_rate"
                )
            if watched.name == "train":  # what the guard rails look at; 1 if vectors point everywhere
                self.log("spread", 1 - embeddings.float().mean(dim=0).square().sum())
                self.log("score_spread", float(scores.std()))
            _, f1 = best_f1_threshold(scores, same)
            self.log(f"{watched.name}_f1", f1, prog_bar=watched.name == "val")
            self.log(f"{watched.name}_auc", auc(scores, same))
            if watched.name == "val" and self.recipe.loss.name == "contrastive":
                chosen = pair_tensors((a[same], b[same], a[~same], b[~same]), self.device)
                with torch.autocast(self.device.type, enabled=False):
                    loss = self.criterion(embeddings, torch.zeros(len(embeddings)), chosen)
                self.log("val_loss", loss)

    def configure_optimizers(self) -> Any:
        return make_optimiser(self, self.recipe.training, self.total_steps)
