"""The processes of a run meet, wait for process 0, and learn that one of them has failed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment

from . import collectives
from .collectives import count, is_main, rank
from .world import OtherProcessFailed, World

STEP = timedelta(minutes=30)  # longest wait for another process within a step
LONG = timedelta(days=7)  # longest wait for process 0, which may crop a million photos

T = TypeVar("T")


@contextmanager
def joined(world: World | None, cuda: bool) -> Iterator[None]:
    """Meet the other processes of the run, until the block ends; with None there are none.

    Raises:
        OtherProcessFailed: Another process ended before the block.
    """
    if world is None:
        yield
        return
    try:
        if cuda:
            torch.cuda.set_device(world.local_rank)
        dist.init_process_group(
            "nccl" if cuda else "gloo", init_method=world.meeting, rank=world.rank, world_size=world.count,
            timeout=STEP,
        )  # fmt: skip
        collectives._slow = dist.new_group(backend="gloo", timeout=LONG)
        dist.barrier(group=collectives._slow)  # a failure while they still connect prints lines of its own
        yield
    except RuntimeError as error:
        if not _lost(error):
            raise
        raise OtherProcessFailed(
            f"process {world.rank} of {world.count} stopped, because another process of this run had ended; "
            "the message of that one states why"
        ) from None
    finally:
        collectives._slow = None
        if dist.is_initialized():
            dist.destroy_process_group()


def _lost(error: RuntimeError) -> bool:
    """Return whether the error is that of a broken connection; gloo has no class of its own for it."""
    return isinstance(error, dist.DistError) or any(
        word in str(error) for word in ("gloo", "Connection closed", "Connection reset", "Broken pipe")
    )


@contextmanager
def main_first() -> Iterator[None]:
    """Let process 0 finish the block before the others begin it: it fills what they read."""
    if count() > 1 and not is_main():
        dist.barrier(group=collectives._slow)
    yield
    if count() > 1 and is_main():
        dist.barrier(group=collectives._slow)


def from_main(value: T) -> T:
    """Return the value of process 0 in all processes."""
    if count() == 1:
        return value
    box: list[Any] = [value]
    dist.broadcast_object_list(box, 0, group=collectives._slow)
    shared: T = box[0]
    return shared


class Joined(ClusterEnvironment):
    """What Lightning asks about processes that have met already."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    @property
    def creates_processes_externally(self) -> bool:
        return True

    @property
    def main_address(self) -> str:
        return ""  # asked for only to meet

    @property
    def main_port(self) -> int:
        return 0

    @staticmethod
    def detect() -> bool:
        return False

    def world_size(self) -> int:
        return count()

    def set_world_size(self, size: int) -> None:
        pass

    def global_rank(self) -> int:
        return rank()

    def set_global_rank(self, rank: int) -> None:
        pass

    def local_rank(self) -> int:
        return self._world.local_rank

    def node_rank(self) -> int:
        return self._world.rank // self._world.local_count
