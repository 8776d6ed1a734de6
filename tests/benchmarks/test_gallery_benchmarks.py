"""Issue 22: the benchmarks of galleries notice wrong answers, and measure on a small scale."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.speed import gallery_search
from benchmarks.speed.gallery_soak import Replay
from benchmarks.tests.gallery_kills import faces, remnants


def test_the_replay_knows_the_answer_of_each_state() -> None:
    first = [f"first {n}" for n in range(8)]
    whole = Replay(first, []).answer(3, 0)
    best, second = whole[0][0], whole[1][0]
    writes = [(1, "enroll", "new"), (2, "forget", best), (3, "enroll", best), (4, "correct", second)]
    replay = Replay(first, writes)
    assert replay.answer(3, 0) == whole
    without = replay.answer(3, 2)
    assert best not in [name for name, _ in without] and best in [name for name, _ in replay.answer(3, 3)]
    assert replay.right(0, 2, 3, whole) and replay.right(1, 2, 3, without)
    assert not replay.right(2, 2, 3, whole) and not replay.right(0, 0, 3, without)
    assert not replay.right(0, 4, 3, [[name, score + 1e-3] for name, score in whole])


def test_remnants_are_found(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(b"..P1-2-.." + faces("P1-3-")[0].vector.tobytes())
    assert remnants(tmp_path, {"P1-2-"}) == ["name of P1-2-"]
    assert remnants(tmp_path, {"P1-3-", "P1-4-"})[0] == "vector 0 of P1-3-"


def test_engines_find_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery_search, "SINGLES", 8)
    gallery_search.prepare(tmp_path, 2000)
    for engine in ("int8, simsimd", "float32"):
        row = gallery_search.measured(tmp_path, 2000, engine)
        assert row["first_right"] == "1.0000" and row["p50_ms"] > 0
    told = np.load(tmp_path / "2000" / "queries.npz")
    alone = gallery_search.eight_bits_alone(tmp_path / "2000", told["queries"])
    assert np.mean(alone == told["first"]) > 0.9
