"""The scripts of ``benchmarks/`` as modules, for the tests that look into them."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import pytest

from support.paths import ROOT

BENCHMARKS = ROOT / "benchmarks"

needs_benchmarks = pytest.mark.skipif(not BENCHMARKS.exists(), reason="the benchmarks are not installed")


def load(name: str) -> ModuleType:
    """``benchmarks/NAME.py``, which finds its neighbours as it does where it is run."""
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", BENCHMARKS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[f"benchmark_{name}"] = module  # dataclasses look their module up
    sys.path.append(str(BENCHMARKS))  # last: coverage.py there must not hide the package of that name
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(BENCHMARKS))
    return module
