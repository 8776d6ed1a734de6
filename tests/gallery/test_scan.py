"""A pass that several threads share collects what one thread collects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facealike.gallery import scan
from facealike.gallery.row_file import BLOCK, RowFile

WIDTH, ROWS, BEST = 24, 5 * BLOCK + 77, 20


def unit(rng: np.random.Generator, count: int) -> np.ndarray:
    vectors = rng.normal(size=(count, WIDTH)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_share_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    pytest.importorskip("simsimd")
    rng = np.random.default_rng(0)
    vectors, queries = unit(rng, ROWS), unit(rng, 3)
    marks = (rng.random(ROWS) > 0.3).astype(np.uint64)
    encoded, error = scan.encode(vectors, "int8")
    for column in encoded.values():
        column[marks == 0] = 0  # as ``RowFile.blank`` leaves them
    file = RowFile.create(tmp_path / "rows", scan.columns("int8", WIDTH), {})
    file.append({"id": np.arange(1, ROWS + 1), "mark": marks, **encoded}, error)
    file.finish()
    used: list[int] = []
    shared = scan.share_work

    def recorded(work: Any, items: Any, threads: int) -> Any:
        used.append(threads)
        return shared(work, items, threads)

    monkeypatch.setattr(scan, "share_work", recorded)
    monkeypatch.setattr(scan, "default_threads", lambda: threads)
    monkeypatch.setattr(scan, "LEAST_BLOCKS", 1)
    found = scan.collect(file, "int8", queries, BEST)
    assert used == [threads]
    exact = vectors.astype(np.float64) @ queries.T.astype(np.float64)
    exact[marks == 0] = -np.inf
    for query, one in enumerate(found):
        held = set(one.rows.tolist())
        assert set(np.argsort(-exact[:, query])[:BEST]) <= held
        assert len(held) == len(one.rows) < ROWS / 10
        assert (np.abs(one.scores - exact[one.rows, query]) <= one.error).all()
        assert set(np.flatnonzero(exact[:, query] > one.floor + one.error)) <= held
