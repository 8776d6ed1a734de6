"""Issue 22, "Done when" 3: SIGKILL at random moments of enrollment and of forget.

``benchmarks/tests/gallery_kills.py`` does it, in an interpreter without threads that forks a writer a round.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks a writer a round")


@pytest.mark.parametrize(("mode", "rounds"), [("mixed", 14), ("forget", 5)])
def test_nothing_acknowledged_is_lost_and_nothing_forgotten_is_left(mode: str, rounds: int) -> None:
    command = [
        sys.executable,
        "-m",
        "benchmarks.tests.gallery_kills",
        "--mode",
        mode,
        "--rounds",
        str(rounds),
    ]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250, cwd=root)
    assert done.returncode == 0, done.stderr[-2000:]
    _, enrolled, forgotten = (int(word) for word in done.stdout.split() if word.isdigit())
    assert enrolled > rounds and forgotten > rounds / 4, done.stdout
