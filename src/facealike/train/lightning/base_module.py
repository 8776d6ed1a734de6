"""What every network that learns from crops shares: seeds, averaged weights, augmentation, a finite loss."""

from __future__ import annotations

from typing import Any

import lightning
import torch
from torch import Generator, Tensor

from ...errors import TrainingError
from ...model_file.preprocessing import Preprocessing
from ..data.augment import Augmentation, shrink
from ..networks.build import side_at
from ..networks.ema import Average
from ..optim.optimizer import make_optimiser
from ..recipe.schema import AugmentSpec, Recipe
from ..seeds import step_seed


class Learner(lightning.LightningModule):
    """A network under training, and its running average where the recipe asks for one.

    ``augment`` says how the crops of a training step are changed.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, recipe: Recipe, preprocessing: Preprocessing, total_steps: int, network: torch.nn.Module,
        augment: AugmentSpec,
    ) -> None:  # fmt: skip
        super().__init__()
        self.recipe, self.total_steps, self.network = recipe, total_steps, network
        self.augmentation = Augmentation(augment)
        self.average = Average(network, recipe.training.ema) if recipe.training.ema else None
        self.register_buffer("mean", torch.tensor(preprocessing.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(preprocessing.std).view(1, 3, 1, 1), persistent=False)

    @property
    def judged(self) -> torch.nn.Module:
        """The network that is validated and exported: the averaged one where there is one."""
        return self.network if self.average is None else self.average.network

    def forward(self, images: Tensor) -> Tensor:
        """Float images (n, 3, S, S) in 0..255 -> what the network says of them (n, d), not normalised.

        Out of training it is ``judged`` that says it.
        """
        said: Tensor = (self.network if self.training else self.judged)(self.normal(images))
        return said

    def normal(self, images: Tensor) -> Tensor:
        """Images as the network takes them."""
        return ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        torch.manual_seed(step_seed(self.recipe.seed, 1, self.global_step))  # for dropout

    def changed(self, crops: Tensor) -> tuple[Tensor, Generator]:
        """Crops, uint8 (n, S, S, 3), as this step sees them, float (n, 3, s, s), and what it draws from."""
        generator = torch.Generator().manual_seed(step_seed(self.recipe.seed, 2, self.global_step))
        images = crops.permute(0, 3, 1, 2).float()
        if self.recipe.training.sizes:
            images = shrink(images, side_at(self.recipe.training.sizes, self.global_step, self.total_steps))
        return self.augmentation(images, generator), generator

    def checked(self, loss: Tensor, count: int) -> Tensor:
        """``loss`` of ``count`` images, logged; TrainingError where it is no number any more."""
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the loss became {float(loss.detach())} at step {self.global_step}; "
                'lower training.learning_rate or set training.precision = "32"'
            )
        self.log("train_loss", loss, prog_bar=True, on_step=True, on_epoch=True, batch_size=count)
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.average is not None:
            self.average.update(self.network, self.global_step)

    def configure_optimizers(self) -> Any:
        return make_optimiser(self, self.recipe.training, self.total_steps)
