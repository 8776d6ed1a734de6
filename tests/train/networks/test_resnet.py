"""Networks: shapes for any size, equal seeds give equal weights, and no image sees another."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from facealike.train.export_onnx import export_embedder
from facealike.train.networks.resnet import DropPath, LegacyCNN, ResNet, Standardize, make_network
from facealike.train.recipe.load import load_recipe, recipe_names
from facealike.train.recipe.schema import NetworkSpec


def parameter_count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def small(kind: str = "resnet", size: int = 32, pool: str = "average", **changes: Any) -> torch.nn.Module:
    widths, changes = changes.pop("widths", (4, 8, 16)), {"dropout": 0.0, **changes}
    return make_network(NetworkSpec(kind, widths, (1, 2), 10, pool=pool, **changes), size)  # type: ignore[arg-type]


def crops(count: int, size: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [32, 33, 40, 63, 96])
@pytest.mark.parametrize(
    ("kind", "pool"),
    [("resnet", "average"), ("resnet", "grid"), ("resnet", "flatten"), ("legacy", "average")],
)
def test_shapes(size: int, kind: str, pool: str) -> None:
    network = small(kind, size, pool)
    for count in (2, 5):
        embedded = network(crops(count, size))
        assert embedded.shape == (count, 10)
        assert torch.isfinite(embedded).all()
    assert network.eval()(crops(1, size)).shape == (1, 10)


# See test_init_from_dlib.py, and test_fine_tuning.py for the network of a start.
@pytest.mark.parametrize("name", [n for n in recipe_names() if n not in ("dlib", "fine-tuned")])
def test_the_network_of_each_shipped_recipe(name: str) -> None:
    recipe = load_recipe(name)
    net = recipe.network
    network = make_network(net, recipe.crop.size)
    assert isinstance(network, LegacyCNN if net.kind == "legacy" else ResNet)
    with torch.no_grad():
        embedded = network.eval()(crops(2, recipe.crop.size))
    assert embedded.shape == (2, net.dimensions)
    assert float(embedded.norm(dim=1).min()) > 1e-3, "an untrained network still tells directions"


@pytest.mark.parametrize(
    ("kind", "pool"),
    [("resnet", "average"), ("resnet", "grid"), ("resnet", "flatten"), ("legacy", "average")],
)
def test_the_seed_decides_the_weights(kind: str, pool: str) -> None:
    states = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        states.append(small(kind, pool=pool).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not all(torch.equal(states[0][key], states[2][key]) for key in states[0])


@pytest.mark.parametrize(
    ("kind", "pool"),
    [("resnet", "average"), ("resnet", "grid"), ("resnet", "flatten"), ("legacy", "average")],
)
def test_images_do_not_see_each_other_after_training(kind: str, pool: str) -> None:
    network = small(kind, pool=pool).eval()
    images = crops(5, 32)
    with torch.no_grad():
        alone = torch.cat([network(image[None]) for image in images])
        torch.testing.assert_close(network(images), alone, rtol=1e-4, atol=1e-5)


def test_average_pooling_makes_fewer_weights_than_flattening() -> None:
    average, flat = small(size=64), small(size=64, pool="flatten")
    # Each side is halved three times: 8 x 8 places of 16 channels feed 10 dimensions.
    assert parameter_count(flat) - parameter_count(average) == 16 * (64 - 1) * 10 + 2 * 16


def test_average_pooling_forgets_where_and_the_others_do_not() -> None:
    """A shift by whole cells, far from the border, changes only what keeps places."""
    image = torch.zeros(1, 3, 96, 96)
    image[:, :, 32:48, 32:48] = crops(1, 16)
    shifted = image.roll(16, dims=3)
    torch.manual_seed(0)
    average, grid, flat = (small(size=96, pool=pool).eval() for pool in ("average", "grid", "flatten"))
    with torch.no_grad():
        # The border is seen from everywhere a little, so the average is not quite the same.
        assert float((average(image) - average(shifted)).norm() / average(image).norm()) < 0.03
        for network in (grid, flat):
            assert float((network(image) - network(shifted)).norm() / network(image).norm()) > 0.3


@pytest.mark.parametrize("size", [48, 64, 80, 96])
def test_a_grid_averages_over_thirds_of_the_crop(size: int) -> None:
    """Its cells are those of ceil and floor: where they do not divide a side, neighbours share a place."""
    network = small(size=size, pool="grid").eval()
    images = crops(2, size)
    with torch.no_grad():
        places = network.features(images).numpy()  # type: ignore[union-attr, operator]
        n, channels, side, _ = places.shape
        cells = np.zeros((n, channels, 3, 3), np.float32)
        for row in range(3):
            for column in range(3):
                rows = range(row * side // 3, -(-(row + 1) * side // 3))
                columns = range(column * side // 3, -(-(column + 1) * side // 3))
                count = len(rows) * len(columns)
                for y in rows:
                    for x in columns:
                        cells[:, :, row, column] += places[:, :, y, x] / count
        pooled = network.pool(torch.from_numpy(places)).numpy()  # type: ignore[union-attr, operator]
    np.testing.assert_allclose(pooled, cells, rtol=1e-5, atol=1e-6)


def test_a_grid_takes_crops_of_any_size_and_has_weights_for_nine_cells() -> None:
    average, grid = small(size=96), small(size=96, pool="grid")
    assert parameter_count(grid) - parameter_count(average) == 16 * (9 - 1) * 10
    for size in (48, 64, 96):
        assert grid(crops(4, size)).shape == (4, 10)


def test_dropout_works_in_training_only() -> None:
    network = small(dropout=0.5)
    images = crops(4, 32)
    with torch.no_grad():
        assert not torch.equal(network(images), network(images))
        network.eval()
        assert torch.equal(network(images), network(images))


def test_gradients_reach_every_weight() -> None:
    for network in (small(), small(pool="grid"), small(pool="flatten"), small("legacy")):
        network(crops(6, 32)).square().mul(torch.arange(10)).sum().backward()
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name


# ---- stochastic depth and standardized crops --------------------------------------------------


def test_skipped_blocks_rise_linearly_and_work_in_training_only() -> None:
    torch.manual_seed(0)
    network = small(widths=(4, 8, 16), drop_path=0.6)  # one block, then two
    rates = [module.rate for module in network.modules() if isinstance(module, DropPath)]
    assert rates == pytest.approx([0.2, 0.4, 0.6])
    images = crops(4, 32)
    with torch.no_grad():
        assert not torch.equal(network(images), network(images))
        network.eval()
        assert torch.equal(network(images), network(images))
    assert not [module for module in small().modules() if isinstance(module, DropPath)]


def test_a_skipped_image_is_zero_and_the_mean_stays() -> None:
    torch.manual_seed(0)
    path, images = DropPath(0.3), torch.ones(20_000, 2, 3, 3)
    found = path(images)
    values = found.flatten(1)
    assert torch.equal(values.amin(dim=1), values.amax(dim=1)), "the whole image or nothing of it"
    assert sorted(set(values[:, 0].tolist())) == pytest.approx([0, 1 / 0.7])
    assert float(found.mean()) == pytest.approx(1, abs=0.02)
    assert torch.equal(path.eval()(images), images)
    assert path.train()(images.bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize("kind", ["resnet", "legacy"])
def test_neither_changes_the_first_weights_nor_their_names(kind: str) -> None:
    states = []
    for changes in ({}, {"standardize": True}, {"drop_path": 0.4} if kind == "resnet" else {}):
        torch.manual_seed(3)
        states.append(small(kind, **changes).state_dict())
    for state in states[1:]:
        assert state.keys() == states[0].keys()
        assert all(torch.equal(state[key], states[0][key]) for key in state)


def test_standardized_crops_have_mean_zero_and_variance_one() -> None:
    images = crops(5, 32) * 3 + 2
    found = Standardize()(images)
    torch.testing.assert_close(found.mean(dim=(1, 2, 3)), torch.zeros(5), rtol=0, atol=1e-5)
    torch.testing.assert_close(found.flatten(1).var(dim=1, correction=0), torch.ones(5), rtol=1e-3, atol=0)
    plain = torch.full((2, 3, 32, 32), 0.7)
    torch.testing.assert_close(Standardize()(plain), torch.zeros_like(plain), rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", ["resnet", "legacy"])
def test_brightness_and_contrast_do_not_matter_after_standardising(kind: str) -> None:
    torch.manual_seed(0)
    images, network = crops(4, 32), small(kind, standardize=True).eval()
    with torch.no_grad():
        torch.testing.assert_close(network(images * 2.5 - 1), network(images), rtol=1e-2, atol=1e-3)
        plain = small(kind).eval()
        assert not torch.allclose(plain(images * 2.5 - 1), plain(images), rtol=1e-2, atol=1e-3)


def test_the_exported_network_standardizes_and_skips_nothing() -> None:
    torch.manual_seed(0)
    network = small(standardize=True, drop_path=0.5)
    content = export_embedder(network, 32, mirror=True)  # compares onnxruntime with torch
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    images = crops(3, 32).numpy()
    one, other = (session.run(None, {"crops": batch})[0] for batch in (images, images * 3 + 1))
    np.testing.assert_allclose(one, other, atol=5e-3)


def test_branches_are_networks_of_their_own_side_by_side() -> None:
    torch.manual_seed(5)
    both = make_network(NetworkSpec("resnet", (4, 8), (1,), 6, 0.0, branches=2), 32).eval()
    images = torch.randn(3, 3, 32, 32)
    alone = [branch(images) for branch in both.branches]  # type: ignore[union-attr]
    assert [part.shape for part in alone] == [(3, 3), (3, 3)]
    assert torch.equal(both(images), torch.cat(alone, dim=1))
    assert not torch.allclose(alone[0], alone[1]), "each starts from weights of its own"
