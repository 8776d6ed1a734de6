"""The Lightning module: one training step, and validation on people who are never trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import TrainingError
from ..metrics import auc, best_f1_threshold
from ..model import Preprocessing
from .augment import mix
from .learner import Learner, first_network
from .losses import Criterion, pair_tensors
from .network import to_unit
from .plan import Watched
from .recipe import Recipe


class SiameseModule(Learner):
    """One network seen by all images of a batch; the criterion compares what comes out."""

    def __init__(
        self,
        recipe: Recipe,
        preprocessing: Preprocessing,
        people: int,
        total_steps: int,
        watched: Sequence[Watched],
    ) -> None:
        super().__init__(recipe, preprocessing, total_steps, first_network(recipe), recipe.augment)
        self.watched = watched
        self.criterion = Criterion(recipe.loss, people, recipe.network.dimensions)
        self._embedded: dict[int, list[Tensor]] = {}

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        images, generator = self.changed(batch["images"])
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
        return self.checked(loss, len(images))

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
