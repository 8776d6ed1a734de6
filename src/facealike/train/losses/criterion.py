"""The losses that a recipe can name, built on pytorch-metric-learning.

A loss takes embeddings and labels, never a model.  Embeddings are normalized first, so distances lie in
[0, 2].
"""

from __future__ import annotations

import math
from typing import Any

import torch
from pytorch_metric_learning import distances, losses, miners, reducers
from pytorch_metric_learning.utils.common_functions import TorchInitWrapper
from torch import Tensor, nn

from ..recipe.schema import LossSpec
from .adaface import AdaFace
from .class_sampling import SampledClasses

Pairs = tuple[Tensor, Tensor, Tensor, Tensor]


class SquaredContrastive(losses.ContrastiveLoss):  # type: ignore[misc]
    """Contrastive loss as published: d^2 for genuine pairs, max(0, m - d)^2 for impostor pairs.

    The loss of pytorch-metric-learning leaves out the squares.

    Source:
        Hadsell, Chopra and LeCun, "Dimensionality reduction by learning an invariant mapping", CVPR
        2006, equation 4, without its factor 1/2.
    """

    def pos_calc(self, pos_pair_dist: Tensor, margin: float) -> Tensor:
        linear: Tensor = super().pos_calc(pos_pair_dist, margin)
        return linear.square()

    def neg_calc(self, neg_pair_dist: Tensor, margin: float) -> Tensor:
        linear: Tensor = super().neg_calc(neg_pair_dist, margin)
        return linear.square()


class Criterion(nn.Module):
    """The loss of a recipe; it holds the class vectors of classifying losses.

    Args:
        spec: The recipe's ``[loss]``.
        people: Number of classes.
        dimensions: Dimensions of the embedding.
    """

    def __init__(self, spec: LossSpec, people: int, dimensions: int) -> None:
        super().__init__()
        self.miner: Any = None
        self.loss: Any
        if spec.name == "contrastive":
            # "hard": pairs that satisfy the margin already do not lower the mean.
            reducer = reducers.AvgNonZeroReducer() if spec.miner == "hard" else reducers.MeanReducer()
            self.loss = SquaredContrastive(neg_margin=spec.margin, distance=euclidean(), reducer=reducer)
        elif spec.name == "triplet":
            self.loss = losses.TripletMarginLoss(margin=spec.margin, distance=euclidean())
            if spec.miner == "hard":
                self.miner = miners.BatchHardMiner(distance=euclidean())
            elif spec.miner == "semihard":
                self.miner = miners.TripletMarginMiner(spec.margin, "semihard", distance=euclidean())
        elif spec.name == "multi-similarity":
            self.loss = losses.MultiSimilarityLoss(alpha=2, beta=spec.scale, base=spec.margin)
            if spec.miner == "hard":
                self.miner = miners.MultiSimilarityMiner(epsilon=0.1)
        else:
            self.loss = classifier(spec, people, dimensions // 2 if spec.halves else dimensions)
        self.pair_weight, self.halves = spec.pair_weight, spec.halves
        if spec.pair_weight:
            self.pair_loss: Any = SquaredContrastive(
                neg_margin=spec.pair_margin, distance=euclidean(), reducer=reducers.AvgNonZeroReducer()
            )

    def forward(self, embeddings: Tensor, labels: Tensor, pairs: Pairs | None = None) -> Tensor:
        """Return the loss, a scalar.

        Args:
            embeddings: (n, d), of any norm.
            labels: Classes, (n,).
            pairs: For the contrastive loss: the pairs that the sampler chose, instead of all.
        """
        embeddings = embeddings.float()
        mined = self.miner(embeddings, labels) if self.miner is not None else pairs
        classified, compared = embeddings.chunk(2, dim=1) if self.halves else (embeddings, embeddings)
        value: Tensor = self.loss(classified, labels, mined)
        if self.pair_weight:
            value = value + self.pair_weight * self.pair_loss(compared, labels)
        return value


def classifier(spec: LossSpec, people: int, dimensions: int) -> Any:
    """Return a loss that classifies people, with one or several vectors for each."""
    if spec.class_share < 1:
        return SampledClasses(spec, people, dimensions)
    if spec.name == "adaface":
        return AdaFace(people, dimensions, spec.margin, spec.scale)
    # Only the direction of a class vector matters.  Adam's steps have one size whatever the gradient,
    # so short vectors turn quickly.  With the library's initialization, 100 times as long, they hardly
    # moved for several epochs while the embeddings collapsed towards their mean.
    common: dict[str, Any] = {
        "num_classes": people, "embedding_size": dimensions, "scale": spec.scale,
        "weight_init_func": TorchInitWrapper(nn.init.normal_, std=0.01),
    }  # fmt: skip
    if spec.name == "cosface":
        return losses.CosFaceLoss(margin=spec.margin, **common)
    degrees = math.degrees(spec.margin)
    if spec.name == "subcenter-arcface":
        return losses.SubCenterArcFaceLoss(margin=degrees, sub_centers=spec.centers, **common)
    return losses.ArcFaceLoss(margin=degrees, **common)


def euclidean() -> Any:
    """Return the Euclidean distance of normalized embeddings."""
    return distances.LpDistance(normalize_embeddings=True, p=2, power=1)


def pair_tensors(pairs: tuple[Any, ...] | None, device: torch.device) -> Pairs | None:
    """Return the positions of a sampler's pairs as tensors on ``device``."""
    if pairs is None:
        return None
    a, positive, b, negative = (torch.as_tensor(part, device=device) for part in pairs)
    return a, positive, b, negative
