"""Small crops first: which side each step has, and recipes that cannot have any."""

from __future__ import annotations

import pytest
import torch

from facealike.errors import RecipeError
from facealike.train.data.augment import shrink
from facealike.train.networks.build import side_at
from facealike.train.recipe.load import load_recipe


@pytest.mark.parametrize("total", [3, 7, 100, 4801])
def test_each_side_has_an_equal_part_of_the_steps_in_turn(total: int) -> None:
    sizes = (48, 64, 96)
    seen = [side_at(sizes, step, total) for step in range(total)]
    assert seen == sorted(seen) and seen[0] == 48 and seen[-1] == 96
    counts = [seen.count(size) for size in sizes]
    assert max(counts) - min(counts) <= 1
    assert side_at(sizes, total, total) == 96  # asked for after the last step


def test_shrinking_averages_pixels_and_leaves_the_right_size_alone() -> None:
    images = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0)) * 255
    assert shrink(images, 96) is images
    small = shrink(images, 48)
    assert small.shape == (2, 3, 48, 48)
    assert torch.allclose(small.mean(dim=(2, 3)), images.mean(dim=(2, 3)), atol=1.0)
    assert float(small.std()) < 0.7 * float(images.std())  # noise is averaged, not sampled


@pytest.mark.parametrize(
    "setting",
    [
        "training.sizes=[48, 64]",
        "training.sizes=[16, 96]",
        "training.sizes=[64, 48, 96]",
        "network.pool=flatten",
    ],
)
def test_sizes_that_cannot_be_are_refused(setting: str) -> None:
    with pytest.raises(RecipeError, match=r"training\.sizes"):
        load_recipe("lfw", [setting])
