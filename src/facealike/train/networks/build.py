"""Build the network of a recipe with its first weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ...model_zoo.dlib_weights import find_dlib_weights, read_dlib_resnet
from ..recipe.schema import Recipe
from ..seeds import step_seed
from .dlib_resnet import LiftedDlib
from .resnet import make_network

DLIB_LIFT = 1.0
"""Scale of dlib's descriptors on the sphere.

Distances of 0.6, dlib's tolerance, and 0.85, typical of impostor pairs, become cosines of 0.92 and 0.84."""


def side_at(sizes: Sequence[int], step: int, total_steps: int) -> int:
    """Return the side of the crops in a step: each of ``sizes`` in turn, for an equal share of the steps.

    Source:
        Progressive resizing: Tan and Le, "EfficientNetV2", ICML 2021, section 4.
    """
    return sizes[min(step * len(sizes) // total_steps, len(sizes) - 1)]


def build_network(recipe: Recipe) -> torch.nn.Module:
    """Return the network of ``recipe``, initialized from torch's random state or with dlib's weights."""
    net = recipe.network
    if net.kind == "dlib":
        weights = find_dlib_weights().read_bytes()
        network: torch.nn.Module = LiftedDlib(read_dlib_resnet(weights), DLIB_LIFT)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network
    network = make_network(net, recipe.crop.size)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def first_network(recipe: Recipe) -> torch.nn.Module:
    """Return the network with the first weights of the recipe's seed, which also seeds torch."""
    torch.manual_seed(step_seed(recipe.seed, 0, 0))
    return build_network(recipe)
