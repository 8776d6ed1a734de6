"""The base of both Lightning modules: seeds, averaged weights, augmentation, and a finite loss."""

from __future__ import annotations

from typing import Any

import lightning
import torch
from torch import Generator, Tensor

from ...errors import TrainingError
from ...model_file.preprocessing import Preprocessing
from ..data.augment import Augmentation, shrink
from ..distributed.batch_norm import synchronized
from ..distributed.collectives import rank
from ..networks.build import side_at
from ..networks.ema import Average
from ..optim.optimizer import make_optimizer
from ..recipe.schema import AugmentSpec, Recipe
from ..seeds import step_seed


class BaseModule(lightning.LightningModule):
    """A network in training, with a moving average of its weights if the recipe asks for one.

    Args:
        recipe: The recipe.
        preprocessing: The crops; its mean and standard deviation normalize them.
        total_steps: Steps of the whole run.
        network: The network with its first weights.
        augment: Augmentation of the training steps.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, recipe: Recipe, preprocessing: Preprocessing, total_steps: int, network: torch.nn.Module,
        augment: AugmentSpec,
    ) -> None:  # fmt: skip
        super().__init__()
        self.recipe, self.total_steps, self.network = recipe, total_steps, synchronized(network)
        self.augmentation = Augmentation(augment)
        self.average = Average(self.network, recipe.training.ema) if recipe.training.ema else None
        self.channels = preprocessing.channels
        self.register_buffer("mean", torch.tensor(preprocessing.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(preprocessing.std).view(1, 3, 1, 1), persistent=False)

    @property
    def evaluated(self) -> torch.nn.Module:
        """The network that is validated and exported: the averaged one, if there is an average."""
        return self.network if self.average is None else self.average.network

    def forward(self, images: Tensor) -> Tensor:
        """Return the raw embeddings (n, d) of images, float (n, 3, S, S) in 0..255.

        In evaluation mode the averaged weights are used.
        """
        raw: Tensor = (self.network if self.training else self.evaluated)(self.normalized(images))
        return raw

    def normalized(self, images: Tensor) -> Tensor:
        """Return images, (n, 3, S, S) in 0..255, normalized for the network."""
        normalized = (images - self.mean) / self.std
        ordered = normalized if self.channels == "rgb" else normalized.flip(1)
        return ordered.contiguous(memory_format=torch.channels_last)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        torch.manual_seed(step_seed(self.recipe.seed, 1, self.global_step, rank()))  # for dropout

    def augmented(self, crops: Tensor, total: int | None = None) -> tuple[Tensor, Generator]:
        """Return crops, uint8 (n, S, S, 3), augmented to float (n, 3, s, s), and the step's generator.

        ``total`` counts the images of the whole batch, of which ``crops`` are the portion of this process.
        """
        generator = torch.Generator().manual_seed(step_seed(self.recipe.seed, 2, self.global_step))
        images = crops.permute(0, 3, 1, 2).float()
        if self.recipe.training.sizes:
            images = shrink(images, side_at(self.recipe.training.sizes, self.global_step, self.total_steps))
        return self.augmentation(images, generator, total), generator

    def logged(self, loss: Tensor, count: int) -> Tensor:
        """Log the loss of ``count`` images and return it.

        Raises:
            TrainingError: It is NaN or infinite.
        """
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
        return make_optimizer(self, self.recipe.training, self.total_steps)
