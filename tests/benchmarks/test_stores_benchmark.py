"""The benchmark of the stores, on a few templates."""

from __future__ import annotations

from typing import Any

import pytest

from support.load_benchmark import load, needs_benchmarks
from support.postgres_server import postgres_folder

pytestmark = needs_benchmarks


def test_all_stores_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = load("speed.stores")
    url = f"postgresql://postgres@/postgres?host={postgres_folder()}"
    monkeypatch.setattr(module, "postgres_url", lambda folder: url)
    rows = module.measured(module.STORES, count=90, width=16, searches=4, seed=0)
    assert [row["store"] for row in rows] == [
        "SQLite", "PostgreSQL, exact", "PostgreSQL, HNSW", "Milvus Lite, exact",
    ]  # fmt: skip
    assert {row["same_first"] for row in rows} == {"1.000"}
    assert module.table(rows).count("\n") == 7
    assert [row["store"] for row in module.latest()] == list(module.STORES)
