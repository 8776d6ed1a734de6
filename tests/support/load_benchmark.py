"""The modules of ``benchmarks/`` and ``scripts/``, for the tests that look into them."""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest

from support.paths import ROOT

BENCHMARKS = ROOT / "benchmarks"
RESULTS = BENCHMARKS / "results"

needs_benchmarks = pytest.mark.skipif(not BENCHMARKS.exists(), reason="the benchmarks are not installed")


def load(name: str) -> ModuleType:
    """The module of that name, loaded anew: ``accuracy.results``, or ``scripts.release_model``."""
    module = importlib.import_module(name if name.startswith("scripts.") else f"benchmarks.{name}")
    return importlib.reload(module)
