"""Embed in worker processes, each with a model of its own: cores do not wait for Python's lock.

Photos travel to them as the bytes of their files, and only what was found comes back.  A free worker takes
its share of what waits, so that batches grow with the load.  A worker that ends is replaced, and its photos
are done again.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..embedding.cropper import PhotoLimits
from ..embedding.face_model import Model
from ..errors import DataError, FacealikeError, ServiceError
from ..types import Embeddings, Image
from ..utils.ordered_threads import default_threads
from .face_queue import RETRY_AFTER
from .photo_work import PhotoFaces, QueuedPhoto
from .worker_messages import Failure, Result, Setup, Work
from .worker_process import WorkerEnded, WorkerProcess

LOG = logging.getLogger("facealike.service")

MOST_PHOTOS = 16
"""Of one batch: more are hardly faster, and answers would wait for each other."""

MOST_BYTES = 2**20
"""Of the files of one batch: large photos go one by one."""

TRIES = 3
"""Workers that end over one photo before it is refused."""

PAUSES = (0.0, 1.0, 2.0, 5.0, 10.0)
"""Seconds before a worker is started again, after so many attempts that failed."""

NO_WORKER = "no worker process runs; try again later"


def worker_count(stated: int, device: str) -> int:
    """Return how many worker processes a service has; 0 for threads of its own process.

    Args:
        stated: The setting ``processes``.
        device: The device of the model.
    """
    if stated == 0:
        # Processes would share a GPU and hold the model once each; Windows was not tried.
        stated = default_threads() if device == "cpu" and os.name == "posix" else 1
    return stated if stated > 1 else 0


@dataclass(eq=False)
class _Task:
    """What a caller waits for; ``ended`` counts the workers that ended over it."""

    work: Work
    future: asyncio.Future[Any]
    done: Callable[[], None]
    taken: bool = False
    ended: int = 0

    @property
    def size(self) -> int:
        return len(self.work.data) if isinstance(self.work, QueuedPhoto) else self.work.nbytes


class EmbeddingProcesses:
    """The engine of a queue on several cores; see ``face_queue.Engine``.

    Args:
        model: What the workers load.
        count: How many workers.
        batch: Most faces that are embedded together.
        timeout: Seconds after which a worker that does not answer is killed.
        limits: On each photo.
    """

    def __init__(self, model: Model, count: int, batch: int, timeout: float, limits: PhotoLimits) -> None:
        self._setup = Setup(model, batch, limits)
        self._count, self._timeout = count, timeout
        self._waiting: deque[_Task] = deque()
        self._arrived = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.workers: set[WorkerProcess] = set()
        """Those that run."""
        self._free = 0
        self.restarts = 0
        self.batches = [0, 0]

    async def open(self) -> None:
        """Start all workers, and wait until each has loaded the model.

        Raises:
            FacealikeError: A worker cannot use the model, or does not start.
        """
        started = await asyncio.gather(
            *(WorkerProcess.start(self._setup) for _ in range(self._count)), return_exceptions=True
        )
        workers = [one for one in started if isinstance(one, WorkerProcess)]
        failed = next((one for one in started if isinstance(one, BaseException)), None)
        if failed is not None:
            for worker in workers:
                worker.kill()
            if isinstance(failed, WorkerEnded):
                raise DataError(
                    f"a worker process {failed}; give the service more memory, or fewer processes with "
                    "--processes"
                )
            raise failed
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._serve(worker)) for worker in workers]

    @property
    def running(self) -> int:
        """How many worker processes run."""
        return len(self.workers)

    def fault(self) -> str | None:
        """Return a sentence where no worker runs."""
        return None if self.workers else NO_WORKER

    async def faces(self, photo: QueuedPhoto, done: Callable[[], None]) -> PhotoFaces | FacealikeError:
        """Return the faces of a photo, or its error."""
        found: PhotoFaces | FacealikeError = await self._done(photo, done)
        return found

    async def embedded(self, crops: Image) -> Embeddings:
        """Return the unit vectors (n, d) of crops, embedded in turn with the faces of photos."""
        vectors: Embeddings = await self._done(crops, lambda: None)
        return vectors

    async def close(self) -> None:
        """Let the workers end, and wait for them."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _done(self, work: Work, done: Callable[[], None]) -> Any:
        task = _Task(work, asyncio.get_running_loop().create_future(), done)
        self._waiting.append(task)
        self._arrived.set()
        try:
            return await task.future
        finally:
            if not task.taken:  # its caller no longer waits, and no worker will take it
                done()

    async def _serve(self, worker: WorkerProcess) -> None:
        """Keep one worker at work, and replace it when it ends."""
        while True:
            self.workers.add(worker)
            worker.on_end(self._arrived.set)
            try:
                reason = await self._feed(worker)
            finally:
                self.workers.discard(worker)
                await worker.close()
            LOG.error("a worker process %s; another one is started", reason)
            worker = await self._another()
            self.restarts += 1

    async def _feed(self, worker: WorkerProcess) -> str:
        """Give a worker what waits until it ends; return how it did."""
        while True:
            tasks = await self._take(worker)
            try:
                results = await worker.ask([task.work for task in tasks], self._timeout)
            except WorkerEnded as ended:
                self._again(tasks)
                return str(ended)
            except asyncio.CancelledError:
                self._again(tasks)
                raise
            for task, result in zip(tasks, results, strict=True):
                self._finish(task, result)
            vectors = sum(_vectors(result) for result in results)
            self.batches[0] += vectors > 0
            self.batches[1] += vectors

    async def _take(self, worker: WorkerProcess) -> list[_Task]:
        """Return a share of what waits; nothing once the worker has ended."""
        while True:
            self._free += 1
            while not self._waiting and not worker.ended:
                self._arrived.clear()
                await self._arrived.wait()
            free = self._free
            self._free -= 1
            if worker.ended:  # it says how when it is asked next
                self._arrived.set()  # for the others, which may have waited for the same event
                return []
            most = min(MOST_PHOTOS, math.ceil(len(self._waiting) / free))
            taken: list[_Task] = []
            size = 0
            while self._waiting and len(taken) < most:
                task = self._waiting[0]
                if task.future.done():  # its caller has gone
                    self._waiting.popleft()
                    continue
                # A task over which a worker ended is tried alone, so that no other suffers with it.
                if taken and (size + task.size > MOST_BYTES or task.ended or taken[-1].ended):
                    break
                taken.append(self._waiting.popleft())
                taken[-1].taken = True
                size += task.size
            if taken:
                return taken

    def _finish(self, task: _Task, result: Result) -> None:
        if not task.future.done():
            if isinstance(result, Failure):
                task.future.set_exception(result.raised())
            else:
                task.future.set_result(result)
        task.done()

    def _again(self, tasks: list[_Task]) -> None:
        """Put tasks back to the front; refuse one over which too many workers have ended."""
        for task in reversed(tasks):
            task.ended += 1
            if task.ended >= TRIES:
                LOG.error("%d worker processes ended over one photo, which is refused", task.ended)
                name = f"{task.work.name}: " if isinstance(task.work, QueuedPhoto) else ""
                message = f"{name}the processes that worked on it ended; the log of the service says how"
                self._finish(task, Failure(ServiceError(message, 500), ""))
            elif task.future.done():
                task.done()
            else:
                task.taken = False
                self._waiting.appendleft(task)
        self._arrived.set()

    async def _another(self) -> WorkerProcess:
        """Return a new worker; without any other, what waits meanwhile is refused."""
        failed = 0
        while True:
            await asyncio.sleep(PAUSES[min(failed, len(PAUSES) - 1)])
            try:
                return await WorkerProcess.start(self._setup)
            except (WorkerEnded, FacealikeError) as error:
                failed += 1
                LOG.error("a worker process cannot be started (%s)", error)
            if not self.workers:
                while self._waiting:
                    task = self._waiting.popleft()
                    task.taken = True
                    self._finish(task, Failure(ServiceError(NO_WORKER, 503, RETRY_AFTER), ""))


def _vectors(result: Result) -> int:
    if isinstance(result, PhotoFaces):
        return len(result.vectors)
    return 0 if isinstance(result, (Failure, FacealikeError)) else len(result)
