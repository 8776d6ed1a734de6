"""Data sets and loaders of cached crops; one item is the batch of one training step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from torch.utils.data import Sampler as TorchSampler

from ...embedding.crop_cache import Crops
from ..distributed.collectives import portion
from ..recipe.schema import Recipe
from .samplers import IdentitySampler, ImageSampler, Indices, MixedSampler, PairSampler, Sampler


def make_sampler(recipe: Recipe, labels: Indices) -> Sampler:
    """Return the sampler of ``recipe`` over ``labels``, with the recipe's seed."""
    spec, size = recipe.sampler, recipe.training.batch_size
    if spec.name == "pairs":
        return PairSampler(labels, size, recipe.seed)
    share = None if spec.single_share < 0 else spec.single_share
    if spec.name == "mixed":
        return MixedSampler(
            labels, size, spec.images_per_identity, recipe.seed, share, spec.identity_share,
            recipe.data.weighting,
        )  # fmt: skip
    if spec.name == "identities":
        return IdentitySampler(labels, size, spec.images_per_identity, recipe.seed, share)
    return ImageSampler(labels, size, recipe.seed, recipe.data.weighting)


class StepDataset(Dataset[dict[str, Any]]):
    """Item i is the batch of step i, counted from the start of training.

    A batch has ``images``, uint8 (n, S, S, 3); ``labels``, int64 (n,); and ``pairs``, four index arrays or
    None.  With several processes ``images`` are the portion of this one; ``labels`` and ``pairs`` are of the
    whole batch.

    Args:
        crops: The cached crops.
        rows: Rows of ``crops`` to train on, (count,).
        labels: Their classes, (count,).
        sampler: Chooses the images of each step.
    """

    def __init__(self, crops: Crops, rows: Indices, labels: Indices, sampler: Sampler) -> None:
        self._crops, self._rows, self._labels, self._sampler = crops, rows, labels, sampler

    def __getitem__(self, step: int) -> dict[str, Any]:
        chosen, pairs = self._sampler.batch(step)
        mine = chosen[portion(len(chosen))]
        return {
            "images": torch.from_numpy(self._crops.take(self._rows[mine])),
            "labels": torch.from_numpy(self._labels[chosen]),
            "pairs": pairs,
        }


class EpochSteps(TorchSampler[int]):
    """The steps of one epoch.

    Lightning sets the epoch, but too late for the first epoch of a resumed run, whose iterator exists by
    then; that one starts at ``epoch``.
    """

    def __init__(self, steps: int, epoch: int) -> None:
        self.steps, self._epoch = steps, epoch

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; Lightning calls it."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        return iter(range(self._epoch * self.steps, (self._epoch + 1) * self.steps))

    def __len__(self) -> int:
        return self.steps


class ChunkDataset(Dataset[torch.Tensor]):
    """The crops of this process in order, ``size`` at a time, uint8 (n, S, S, 3)."""

    def __init__(self, crops: Crops, rows: Indices, size: int = 256) -> None:
        self._crops = crops
        rows = rows[portion(len(rows))]
        self._chunks = np.array_split(rows, max(1, -(-len(rows) // size)))

    def __len__(self) -> int:
        return len(self._chunks)

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.from_numpy(self._crops.take(self._chunks[index]))


def step_loader(dataset: Dataset[Any], steps: int, epoch: int) -> DataLoader[Any]:
    """Return a loader of epochs of ``steps`` batches; the first one is ``epoch``, counted from 0."""
    return DataLoader(dataset, batch_size=None, sampler=EpochSteps(steps, epoch), collate_fn=as_it_is)


def chunk_loader(dataset: Any) -> DataLoader[Any]:
    """Return a loader whose batches are the items of ``dataset``."""
    return DataLoader(dataset, batch_size=None, collate_fn=as_it_is)


def as_it_is(item: Any) -> Any:
    """Return the item: it is a whole batch already."""
    return item
