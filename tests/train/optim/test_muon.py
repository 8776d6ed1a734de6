"""Muon: what is orthogonal, steps beside a slow twin's, and that a resumed run takes the same ones."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from facealike.errors import RecipeError
from facealike.train.networks.resnet import make_network
from facealike.train.optim.muon import COEFFICIENTS, MOMENTUM, STEPS, Muon, orthogonal
from facealike.train.optim.optimizer import make_optimizer, parameter_groups, with_matrices
from facealike.train.recipe.load import load_recipe
from facealike.train.recipe.schema import NetworkSpec


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(16, 16), (8, 40), (40, 8), (64, 576)])
def test_orthogonal_keeps_directions_and_evens_out_their_sizes(shape: tuple[int, int]) -> None:
    # Sizes of directions that differ by a factor of twenty, as those of gradients do.
    rank = min(shape)
    left, _, right = torch.linalg.svd(random(*shape), full_matrices=False)
    matrix = left @ torch.diag(torch.logspace(0, -1.3, rank)) @ right
    turned = left.T @ orthogonal(matrix) @ right.T
    sizes = turned.diagonal()
    assert float(sizes.min()) > 0.6
    assert float(sizes.max()) < 1.3
    assert float((turned - torch.diag(sizes)).abs().max()) < 1e-4
    # What it says of a matrix is what it says of its transpose, and not of the matrix's size.
    assert torch.allclose(orthogonal(matrix.T), orthogonal(matrix).T, atol=1e-4)
    assert torch.allclose(orthogonal(1e-2 * matrix), orthogonal(matrix), atol=1e-4)
    assert torch.allclose(orthogonal(1e-4 * matrix), orthogonal(matrix), atol=1e-3)


def step_by_step(matrix: Tensor) -> Tensor:
    """The iteration as Jordan et al. write it, every step on the whole matrix."""
    a, b, c = COEFFICIENTS
    x = matrix.double() / matrix.double().norm()
    for _ in range(STEPS):
        x = a * x + b * x @ x.T @ x + c * x @ x.T @ x @ x.T @ x
    return x


@pytest.mark.parametrize("shape", [(16, 16), (8, 40), (40, 8), (64, 576)])
@pytest.mark.parametrize("smallest", [-1.0, -4.0, -12.0])
def test_orthogonal_is_the_iteration_on_the_whole_matrix(shape: tuple[int, int], smallest: float) -> None:
    # Down to directions that float32 cannot tell from none beside the largest.
    left, _, right = torch.linalg.svd(random(*shape), full_matrices=False)
    matrix = left @ torch.diag(torch.logspace(0, smallest, min(shape))) @ right
    assert float((orthogonal(matrix) - step_by_step(matrix)).abs().max()) < 1e-3


def test_orthogonal_of_nothing_is_nothing() -> None:
    assert torch.equal(orthogonal(torch.zeros(4, 8)), torch.zeros(4, 8))


def small_network() -> nn.Module:
    torch.manual_seed(0)
    spec = NetworkSpec(widths=(8, 16), blocks=(1,), dimensions=8, dropout=0.0)
    return make_network(spec, 32).to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def take_steps(network: nn.Module, optimizer: Any, first: int, last: int) -> None:
    for step in range(first, last):
        optimizer.zero_grad()
        images = random(6, 3, 32, 32, seed=step).contiguous(memory_format=torch.channels_last)
        network(images).square().mean().backward()
        optimizer.step()


def muon_of(network: nn.Module) -> Muon:
    return Muon(with_matrices(parameter_groups(network, 0.1), 0.02), lr=1e-3)


def test_every_parameter_is_trained_once_and_convolutions_but_the_first_by_muon() -> None:
    network = small_network()
    matrices, *rest = with_matrices(parameter_groups(network, 0.1), 0.02)
    every = [p for group in (matrices, *rest) for p in group["params"]]
    assert len(every) == len({id(p) for p in every}) == len(list(network.parameters()))
    names = {id(p): name for name, p in network.named_parameters()}
    convolutions = {name for name, p in network.named_parameters() if p.ndim == 4}
    assert {names[id(p)] for p in matrices["params"]} == convolutions - {"features.0.0.weight"}


def test_steps_are_those_of_a_slow_twin_and_of_adamw() -> None:
    network = small_network()
    twin, plain = copy.deepcopy(network), copy.deepcopy(network)
    optimizer = muon_of(network)
    adamw = torch.optim.AdamW(with_matrices(parameter_groups(plain, 0.1), 0.02)[1:], lr=1e-3)
    means: dict[str, Tensor] = {}
    for step in range(3):
        take_steps(network, optimizer, step, step + 1)
        gradients = {name: p.grad for name, p in network.named_parameters()}
        for name, weight in twin.named_parameters():
            gradient = gradients[name]
            assert gradient is not None
            if weight.ndim != 4 or weight.shape[1] == 3:
                continue
            mean = MOMENTUM * means.get(name, torch.zeros_like(weight)) + (1 - MOMENTUM) * gradient
            means[name] = mean
            ahead = (1 - MOMENTUM) * gradient + MOMENTUM * mean
            outputs, inputs, rows, columns = weight.shape
            matrix = torch.zeros(outputs, inputs * rows * columns)
            for o in range(outputs):
                matrix[o] = torch.cat([ahead[o, i, r] for i in range(inputs) for r in range(rows)])
            turned = orthogonal(matrix)
            scale = max(1.0, outputs / (inputs * rows * columns)) ** 0.5
            with torch.no_grad():
                for o in range(outputs):
                    weight[o] -= 0.02 * scale * turned[o].reshape(inputs, rows, columns)
        for name, parameter in plain.named_parameters():
            parameter.grad = gradients[name]
        adamw.step()
    by_twin, by_adamw = dict(twin.named_parameters()), dict(plain.named_parameters())
    for name, weight in network.named_parameters():
        if weight.ndim == 4 and weight.shape[1] != 3:
            # A last digit may fall differently, a direction may not.
            assert float((weight - by_twin[name]).detach().abs().max()) < 1e-5, name
        else:
            assert torch.equal(weight, by_adamw[name]), name


def test_a_restored_state_takes_the_same_steps() -> None:
    network = small_network()
    optimizer = muon_of(network)
    take_steps(network, optimizer, 0, 2)
    resumed = copy.deepcopy(network)
    again = muon_of(resumed)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    take_steps(network, optimizer, 2, 4)
    take_steps(resumed, again, 2, 4)
    for (name, one), other in zip(network.named_parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other), name


def test_a_closure_may_clear_all_gradients_as_lightning_s_does() -> None:
    one, other = small_network(), small_network()
    by_steps, by_closure = muon_of(one), muon_of(other)
    for step in range(3):
        take_steps(one, by_steps, step, step + 1)

        def closure(step: int = step) -> Tensor:
            by_closure.zero_grad()
            images = random(6, 3, 32, 32, seed=step).contiguous(memory_format=torch.channels_last)
            loss: Tensor = other(images).square().mean()
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        assert by_closure.step(closure) > 0
    for (name, weight), same in zip(one.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(weight, same), name


def test_each_group_follows_the_schedule_at_its_own_rate() -> None:
    run = load_recipe("distilled", ["training.muon=0.02", "training.learning_rate=0.004"]).training
    made = make_optimizer(small_network(), run, total_steps=100)
    rates = []
    for _ in range(99):
        rates.append([group["lr"] for group in made["optimizer"].param_groups])
        made["optimizer"].step()
        made["lr_scheduler"]["scheduler"].step()
    peak = max(rates)
    assert peak == pytest.approx([0.02, 0.004, 0.004])
    for of_step in rates:
        assert of_step[0] == pytest.approx(5 * of_step[1]) and of_step[1] == of_step[2]


def test_a_rate_that_cannot_be_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"training\.muon"):
        load_recipe("distilled", ["training.muon=-0.1"])


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon")
@pytest.mark.parametrize("shape", [(16, 16), (8, 40), (40, 8)])
def test_steps_are_those_of_torch_on_matrices(shape: tuple[int, int]) -> None:
    """Issue 19 F: the same step and scale as torch's, which iterates in bfloat16 and takes no convolution."""
    ours, theirs = (nn.Parameter(random(*shape)) for _ in range(2))
    mine = Muon([{"params": [ours], "lr": 0.1, "weight_decay": 0.0, "matrices": True}], lr=0.1)
    other = torch.optim.Muon([theirs], lr=0.1, weight_decay=0.0)
    for step in range(3):
        before = ours.detach().clone()
        ours.grad, theirs.grad = random(*shape, seed=step + 1), random(*shape, seed=step + 1)
        mine.step()
        other.step()
        assert (
            float((ours - theirs).abs().max()) < 0.02 * float((ours - before).abs().max()) * (step + 1) + 2e-3
        )
    with pytest.raises(ValueError, match="2D"):
        torch.optim.Muon([nn.Parameter(random(4, 3, 3, 3))])
