"""The Lightning module of the embedder: training steps, and validation on held-out people."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...errors import TrainingError
from ...metrics.verification import auc, best_f1_threshold
from ...model_file.preprocessing import Preprocessing
from ..data.augment import mix
from ..distributed.collectives import gather, portion
from ..lightning.base_module import BaseModule
from ..losses.class_sampling import join_parts, sampled_classes, take_part
from ..losses.criterion import Criterion, pair_tensors
from ..networks.build import first_network
from ..networks.resnet import to_unit
from ..optim.mixed_precision import autocast
from ..recipe.schema import Recipe
from ..seeds import step_seed
from .dataset import Watched
from .fine_tuning import CohortLayer, Start, mirror_image


class SiameseModule(BaseModule):
    """One network for all images of a batch, and a criterion on its embeddings.

    Args:
        recipe: The recipe.
        preprocessing: The face crop.
        people: Classes of the training data.
        total_steps: Steps of the whole run.
        watched: Pairs that are scored after each epoch.
        start: The model to continue from.
    """

    def __init__(
        self,
        recipe: Recipe,
        preprocessing: Preprocessing,
        people: int,
        total_steps: int,
        watched: Sequence[Watched],
        start: Start | None = None,
    ) -> None:
        if start is None:
            network, dimensions = first_network(recipe), recipe.network.dimensions
        else:
            torch.manual_seed(step_seed(recipe.seed, 0, 0))  # for the class vectors of a loss
            network, dimensions = start.network, start.dimensions
        super().__init__(recipe, preprocessing, total_steps, network, recipe.augment)
        self.watched = watched
        self.mirror = recipe.network.mirror or (start is not None and start.mirror is not None)
        self.cut = start.mirror if start is not None and start.mirror else 0
        self.cohort = None if start is None or start.cohort is None else CohortLayer(start.cohort)
        self.criterion = Criterion(recipe.loss, people, dimensions)
        self._embedded: dict[int, list[Tensor]] = {}
        # In a list, so that it is not part of the state: a resumed run builds it from the start again.
        self._anchor = [copy.deepcopy(network).eval().requires_grad_(False)] if recipe.loss.anchor else []

        # Each process has class vectors of its own, whose gradient it knows alone; DDP asks for this name.
        self._ddp_params_and_buffers_to_ignore = list(sampled_classes(self))

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        super().on_train_batch_start(batch, batch_idx)
        for loss in sampled_classes(self).values():
            loss.at_step(step_seed(self.recipe.seed, 3, self.global_step))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        join_parts(self, checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        take_part(self, checkpoint)

    def on_fit_start(self) -> None:
        for network in self._anchor:
            network.to(self.device)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        total = len(batch["labels"])
        images, generator = self.augmented(batch["images"], total)
        partner, share, alpha = None, 1.0, self.recipe.augment.mixup
        if alpha:  # partners may be images of other processes
            mixed, partner, share = mix(gather(images, total), alpha, generator)
            images = mixed[portion(total)]
        own = self(images)
        embeddings = gather(own, total)
        # Distances and angles between near neighbors need more digits than bfloat16 has.
        with torch.autocast(self.device.type, enabled=False):
            loss: Tensor = self.criterion(
                embeddings, batch["labels"], pair_tensors(batch["pairs"], self.device)
            )
            if partner is not None:
                loss = share * loss + (1 - share) * self.criterion(embeddings, batch["labels"][partner])
        for network in self._anchor:
            with torch.no_grad():
                held = to_unit(network(self.normalized(images)))
            apart = gather((to_unit(own) - held).square().sum(dim=1), total).mean()
            loss = loss + self.recipe.loss.anchor * apart
        return self.logged(loss, total)

    def validation_step(self, batch: Tensor, batch_idx: int, dataloader_idx: int = 0) -> None:
        self._embedded.setdefault(dataloader_idx, []).append(self.embed(batch))

    def embed(self, crops: Tensor) -> Tensor:
        """Return the embeddings (n, d) that the model will return for crops, uint8 (n, S, S, 3)."""
        images = crops.permute(0, 3, 1, 2).float()
        parts = self.recipe.loss.parts
        unit = to_unit(self(images), parts)
        if self.mirror:
            unit = to_unit(unit + to_unit(self(mirror_image(images, self.cut)), parts), parts)
        return unit if self.cohort is None else self.cohort(unit)

    def on_validation_epoch_end(self) -> None:
        for number, watched in enumerate(self.watched):
            embeddings = gather(torch.cat(self._embedded.pop(number)), len(watched.rows))
            a, b, same = watched.pairs
            scores = scores_of(embeddings, watched)
            if not np.isfinite(scores).all():
                raise TrainingError(
                    f"the embeddings of {watched.name} images are not finite; lower training.learning_rate"
                )
            if watched.name == "train":  # for the sanity checks; 1 if vectors point in all directions
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


def scores_of(embeddings: Tensor, watched: Watched) -> NDArray[np.float64]:
    """Return the score of each watched pair, float64 (m,)."""
    a, b, _ = watched.pairs
    scores: NDArray[np.float64] = (embeddings[a] * embeddings[b]).sum(dim=1).double().cpu().numpy()
    return scores


@torch.no_grad()
def measured(module: SiameseModule, watched: Watched, chunks: Iterable[Tensor]) -> dict[str, float]:
    """Return F1 and AUC of the module on watched pairs, under their names in the log."""
    training = module.training
    module.eval()
    try:
        with autocast(module.recipe.training.precision, module.device):
            embeddings = torch.cat([module.embed(chunk.to(module.device)) for chunk in chunks])
        embeddings = gather(embeddings, len(watched.rows))
    finally:
        module.train(training)
    scores, same = scores_of(embeddings, watched), watched.pairs.same
    return {
        f"{watched.name}_f1": best_f1_threshold(scores, same)[1],
        f"{watched.name}_auc": auc(scores, same),
    }
