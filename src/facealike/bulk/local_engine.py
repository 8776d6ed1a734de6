"""Embed the blocks of a run on this machine, on all cores."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable
from dataclasses import dataclass

from ..errors import UsageError
from .embed_blocks import BATCH, embed_blocks
from .job import Block, Job, Part


@dataclass(frozen=True)
class LocalEngine:
    """Threads of this process.

    Attributes:
        workers: How many threads; None for one a core.
        batch: Photos to embed at a time.

    Raises:
        UsageError: A number is not positive.

    Examples:
        >>> embed_all(["photos"], "faces.parquet", engine=LocalEngine(workers=4))
    """

    workers: int | None = None
    batch: int = BATCH

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise UsageError(f"at least one worker is needed, not {self.workers}")
        if self.batch < 1:
            raise UsageError(f"a batch holds at least one crop, not {self.batch}")

    def __call__(self, job: Job, blocks: Iterable[Block]) -> Generator[Part, None, None]:
        """Yield the rows of each block, in order."""
        return embed_blocks(job, blocks, self.workers or _cores(), self.batch)


def _cores() -> int:
    """Return the number of cores this process may use; here all of them work."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
