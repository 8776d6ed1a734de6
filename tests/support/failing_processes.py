"""Processes that fail in several ways; nothing here imports torch, so that they start at once."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from facealike.errors import TrainingError
from facealike.train.distributed.world import OtherProcessFailed, World


def one_fails(how: str, world: World, progress: Any) -> None:
    """Fail in the second process while the first waits for it."""
    if world.rank == 0:
        if how == "noticed":  # by the first, before the second can state why
            raise OtherProcessFailed("process 0 stopped, because another process had ended")
        time.sleep(600)
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.5 if how == "noticed" else 0)
    raise TrainingError("the disk of the second process is full; free space there")


def report(world: World, progress: Any) -> tuple[int, int]:
    """Report progress from the first process and return its rank and number of processes."""
    assert (progress is None) == (world.rank > 0)
    if progress is not None:
        progress(3, 4)
    return world.rank, world.count
