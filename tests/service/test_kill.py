"""Issue 23, "Done when" 4, with fewer rounds; benchmarks/tests/service_kills.py has all of them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

pytest.importorskip("benchmarks.common.http_load", reason="the benchmarks are not installed")

from support.enrollment_kills import rounds, stopped

MEMORY = "/dev/shm"  # a kill loses no written page, so a file system in memory does, and is quick


def test_what_is_acknowledged_is_there_after_a_kill_once(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else tmp_path) as folder:
        killed = rounds(Path(folder), 2, clients=100)
    assert killed.enrolled >= killed.acknowledged >= 2


def test_a_stop_finishes_every_enrollment_that_was_accepted(tmp_path: Path) -> None:
    code, acknowledged = stopped(tmp_path, clients=50)
    assert code == 0 and acknowledged >= 10, acknowledged
