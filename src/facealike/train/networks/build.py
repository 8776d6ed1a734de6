"""The network that a recipe names, with its first weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ...model_zoo.dlib_weights import find_dlib_weights, read_dlib_resnet
from ..recipe.schema import Recipe
from ..seeds import step_seed
from .dlib_resnet import LiftedDlib
from .resnet import make_network

# Of the unit vectors that training from dlib's network begins with: distances of 0.6, dlib's
# tolerance, and of 0.85, those of strangers, are cosines of about 0.92 and 0.84.
DLIB_LIFT = 1.0


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
    network = make_network(net, recipe.crop.size)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def first_network(recipe: Recipe) -> torch.nn.Module:
    """The network that the recipe's seed begins with; the global random state goes on from there."""
    torch.manual_seed(step_seed(recipe.seed, 0, 0))
    return build_network(recipe)
