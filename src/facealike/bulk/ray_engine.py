"""Embed the blocks of a run on a Ray cluster: Ray Data maps them over workers that hold the model.

Blocks travel to the workers and their rows come back; only this process writes.  Ray starts a worker that
died again and gives its blocks to it once more, and since a block is stored as a whole, none counts twice.
"""

from __future__ import annotations

import logging
import os
import pickle
import re
import socket
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from ..errors import DataError
from ..utils.escape import shown
from ..utils.extras import needs_extra
from .embed_blocks import BATCH, check_engine, embed_blocks
from .job import Block, Job, Part

CONNECT_TIMEOUT = 10.0
"""Seconds to wait for the address of a cluster."""

WINDOW = 2048
"""Blocks that are given to Ray at a time: the names of a million photos."""


@dataclass(frozen=True)
class RayEngine:
    """Workers of a Ray cluster, one process each.

    Attributes:
        address: Of a running cluster, as ``ray.init`` takes it; None for ``RAY_ADDRESS``, or else a cluster
            of this machine alone, which ends with the run.
        workers: How many processes; None for one a core of the cluster, or a GPU where the model runs on one.
        batch: Photos to embed at a time.

    Raises:
        UsageError: A number is not positive.

    Examples:
        >>> embed_all(["s3://bucket/photos"], "faces.parquet", engine=RayEngine("ray://head:10001"))
    """

    address: str | None = None
    workers: int | None = None
    batch: int = BATCH

    def __post_init__(self) -> None:
        check_engine(self.workers, self.batch)

    def __call__(self, job: Job, blocks: Iterable[Block]) -> Generator[Part, None, None]:
        """Yield the rows of each block as it is done.

        Raises:
            MissingExtra: Ray is not installed.
            DataError: The cluster cannot be reached, or a worker failed.
        """
        with needs_extra("ray", "the engine ray"):
            import ray
            import ray.data
        source = iter(blocks)
        with _cluster(ray, self.address, self.workers):
            gpus = 1 if job.model.device.startswith("cuda") else 0
            held = ray.cluster_resources()
            workers = self.workers or max(1, int(held.get("GPU" if gpus else "CPU", 1)))
            # Held here and not by a task, so that Ray can start a worker again; it travels once a machine.
            stored = ray.put(pickle.dumps(job))
            while window := list(islice(source, WINDOW)):
                rows = [{"number": one.number, "block": pickle.dumps(one)} for one in window]
                data = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
                    BlockWorker, fn_constructor_args=([stored], self.batch), batch_size=1, num_cpus=1,
                    num_gpus=gpus, compute=ray.data.ActorPoolStrategy(size=min(workers, len(rows))),
                )  # fmt: skip
                try:
                    for row in data.iter_rows():
                        yield Part(int(row["number"]), bytes(row["content"]))
                except ray.exceptions.RayError as error:
                    lines = [line for line in str(error).splitlines() if line.strip()]
                    raise DataError(
                        f"a worker of the Ray cluster failed ({lines[-1].strip() if lines else error}); the "
                        "same command goes on where it was"
                    ) from error


class BlockWorker:
    """What each worker runs: the model is loaded once, then blocks are embedded one at a time.

    Args:
        job: A pickled ``Job`` in Ray's object store, in a list, which keeps Ray from fetching it by itself.
        batch: Photos to embed at a time.
    """

    def __init__(self, job: list[Any], batch: int) -> None:
        import ray

        self.job: Job = pickle.loads(ray.get(job[0]))
        self.batch = batch

    def __call__(self, rows: dict[str, Any]) -> dict[str, Any]:
        """Return the parts of the blocks in a batch of rows."""
        blocks = [pickle.loads(one) for one in rows["block"]]
        parts = list(embed_blocks(self.job, blocks, threads=1, batch=self.batch))
        return {
            "number": np.array([part.number for part in parts]),
            "content": np.array([part.content for part in parts], dtype=object),
        }


def _check_reachable(address: str) -> None:
    """Raise DataError where nothing answers at an address, which Ray would wait for over two minutes."""
    match = re.fullmatch(r"(?:ray://)?(.+):(\d{1,5})", address)
    if match is None:  # "local", "auto" or another word of Ray
        return
    try:
        socket.create_connection((match[1].strip("[]"), int(match[2])), CONNECT_TIMEOUT).close()
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(
            f"{shown(address)}: no Ray cluster can be reached ({reason}); check --address"
        ) from None


@contextmanager
def _cluster(ray: Any, address: str | None, workers: int | None) -> Iterator[None]:
    """Join the cluster, or start one of this machine; one that was joined before stays joined."""
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # facealike reports nothing to anybody
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    _check_reachable(address)
    alone = {"num_cpus": workers, "include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **alone)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise DataError(
            f"{shown(address)}: no Ray cluster can be reached ({str(error).splitlines()[0]}); check --address"
        ) from None
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()
