"""The benchmark of an encrypted gallery, on a few templates."""

from __future__ import annotations

from typing import Any

from support.load_benchmark import load, needs_benchmarks

pytestmark = needs_benchmarks


def test_both_galleries_find_the_same() -> None:
    module: Any = load("speed.encrypted_gallery")
    rows = module.both(count=90, width=16, searches=4, seed=0)
    assert [row["gallery"] for row in rows] == ["plain", "encrypted"]
    assert float(rows[0]["rekey_s"]) >= 0 and "to decrypt it" in module.table(rows)
