"""In how many bits a network is trained: as the processor likes it, and as a recipe insists."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from facealike.train.lightning import trainer as loop
from facealike.train.optim import mixed_precision as precision
from facealike.train.optim.mixed_precision import autocast, computes_bfloat16, digits, in_bfloat16
from facealike.train.recipe.load import load_recipe, recipe_names
from facealike.train.recipe.schema import TrainingSpec


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What the processor says that it can do; empty at first."""
    capabilities: dict[str, Any] = {}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    computes_bfloat16.cache_clear()
    yield capabilities
    computes_bfloat16.cache_clear()


@pytest.mark.parametrize(
    ("able", "wanted"),
    [
        ({"avx512_bf16": True}, True),
        ({"amx_bf16": True, "avx512_bf16": False}, True),
        ({"bf16": True, "architecture": "aarch64"}, True),
        ({"avx512_f": True, "avx512_bf16": False, "avx2": True}, False),
        ({"avx2": True}, False),
        ({}, False),
    ],
)
def test_a_processor_is_taken_at_its_word(told: dict[str, Any], able: dict[str, Any], wanted: bool) -> None:
    told.update(able)
    assert in_bfloat16("auto", "cpu") is wanted
    assert in_bfloat16("bf16", "cpu") and not in_bfloat16("32", "cpu")
    assert digits("auto", "cpu (2 threads)") == ("bfloat16" if wanted else "float32")


def test_a_torch_that_does_not_tell_gets_all_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    computes_bfloat16.cache_clear()
    assert not computes_bfloat16("cpu")
    computes_bfloat16.cache_clear()


@pytest.mark.parametrize("able", [True, False])
def test_products_are_computed_in_what_was_chosen(told: dict[str, Any], able: bool) -> None:
    told["avx512_bf16"] = able
    layer, x = torch.nn.Linear(4, 4), torch.ones(2, 4)
    with autocast("auto", torch.device("cpu")):
        assert layer(x).dtype == (torch.bfloat16 if able else torch.float32)
    with autocast("bf16", "cpu"):
        assert layer(x).dtype == torch.bfloat16
    with autocast("32", "cpu"):
        assert layer(x).dtype == torch.float32


@pytest.mark.parametrize("able", [True, False])
def test_the_trainer_follows(told: dict[str, Any], able: bool, tmp_path: Any) -> None:
    told["avx512_bf16"] = able
    trainer = loop.make_trainer(tmp_path, TrainingSpec(), 5, "cpu", 1, [])
    assert trainer.precision == ("bf16-mixed" if able else "32-true")


def test_no_recipe_that_ships_insists() -> None:
    assert {load_recipe(name).training.precision for name in recipe_names()} == {"auto"}


def test_what_makes_a_processor_able_is_what_torch_calls_it() -> None:
    """A name that torch does not know would leave every processor at 32 bits, unseen."""
    if not hasattr(torch.cpu, "get_capabilities"):
        pytest.skip("this torch does not tell what a processor can do")
    capabilities = torch.cpu.get_capabilities()
    if capabilities["architecture"] != "x86_64":
        pytest.skip("the names of x86 are tested on x86")
    assert {"avx512_bf16", "amx_bf16"} <= capabilities.keys()
    assert {"avx512_bf16", "amx_bf16"} <= set(precision.BFLOAT16)
