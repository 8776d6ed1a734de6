"""Embed the blocks of a run on this machine, on all cores."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass

from ..utils.ordered_threads import available_cores
from .embed_blocks import BATCH, check_engine, embed_blocks
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
        check_engine(self.workers, self.batch)

    def __call__(self, job: Job, blocks: Iterable[Block]) -> Generator[Part, None, None]:
        """Yield the rows of each block, in order."""
        return embed_blocks(job, blocks, self.workers or available_cores(), self.batch)
