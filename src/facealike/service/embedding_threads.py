"""Embed in threads of the service: one thread a core crops photos, one more embeds the crops of all requests.

While it embeds a batch, the next one collects.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from ..embedding.cropper import PhotoLimits
from ..embedding.face_model import Model
from ..errors import FacealikeError
from ..types import Embeddings, Image
from ..utils.ordered_threads import default_threads
from .photo_work import NO_VECTORS, PhotoFaces, PhotoWork, QueuedPhoto


class EmbeddingThreads:
    """The engine of a queue on one core or a GPU; see ``face_queue.Engine``.

    Args:
        model: Crops and embeds.
        batch: Most faces that are embedded together.
        wait: Seconds that a face waits for others that are in work.
        limits: On each photo.
    """

    def __init__(self, model: Model, batch: int, wait: float, limits: PhotoLimits) -> None:
        self.model, self.work = model, PhotoWork(model, limits)
        self._batch, self._wait = batch, wait
        self._croppers = ThreadPoolExecutor(default_threads(), "crop")
        self._embedder = ThreadPoolExecutor(1, "embed")
        self._pending: list[tuple[Image, asyncio.Future[Embeddings]]] = []
        self._arrived = asyncio.Event()
        self._in_work = 0
        self.batches = [0, 0]
        self.restarts = 0
        self._runner: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin to embed."""
        self._runner = asyncio.get_running_loop().create_task(self._run())

    @property
    def running(self) -> int:
        """None: threads embed."""
        return 0

    def fault(self) -> str | None:
        """Return None: threads do not end."""
        return None

    async def close(self) -> None:
        """End the threads."""
        if self._runner is not None:
            self._runner.cancel()
        self._croppers.shutdown()
        self._embedder.shutdown()

    async def faces(self, photo: QueuedPhoto, done: Callable[[], None]) -> PhotoFaces | FacealikeError:
        """Return the faces of a photo, or its error."""
        self._in_work += 1
        work: Future[PhotoFaces | FacealikeError] = self._croppers.submit(self.work.crop, photo)
        try:
            found = await asyncio.wrap_future(work)
            if isinstance(found, FacealikeError):
                return found
            vectors = await self.embedded(found.stacked()) if photo.embed else NO_VECTORS
            return found.answered(photo, vectors)
        finally:
            # A thread cannot be stopped: after a timeout its place is free when it is really done.
            loop = asyncio.get_running_loop()
            if work.done():
                self._end(done)
            else:
                work.add_done_callback(lambda _: loop.call_soon_threadsafe(self._end, done))

    def _end(self, done: Callable[[], None]) -> None:
        self._in_work -= 1
        done()

    async def embedded(self, crops: Image) -> Embeddings:
        """Return the unit vectors (n, d) of crops, embedded in turn with the faces of photos."""
        future: asyncio.Future[Embeddings] = asyncio.get_running_loop().create_future()
        self._pending.append((crops, future))
        self._arrived.set()
        return await future

    async def _run(self) -> None:
        """Embed what has collected, batch by batch."""
        loop = asyncio.get_running_loop()
        while True:
            await self._arrived.wait()
            if len(self._pending) < self._in_work:  # others are in work, and may join
                await asyncio.sleep(self._wait)
            taken = self._take()
            try:
                stacked = np.concatenate([crops for crops, _ in taken])
                vectors = await loop.run_in_executor(self._embedder, self.model.embed_many, stacked)
            except Exception as error:  # of the network: every request of the batch has it
                for _, future in taken:
                    if not future.done():
                        future.set_exception(error)
                continue
            self.batches[0] += 1
            self.batches[1] += len(vectors)
            start = 0
            for crops, future in taken:
                if not future.done():  # its request may have timed out
                    future.set_result(vectors[start : start + len(crops)])
                start += len(crops)

    def _take(self) -> list[tuple[Image, asyncio.Future[Embeddings]]]:
        """Return the crops of the next batch: one request at least, however many faces it has."""
        taken: list[tuple[Image, asyncio.Future[Embeddings]]] = []
        count = 0
        while self._pending and (not taken or count + len(self._pending[0][0]) <= self._batch):
            taken.append(self._pending.pop(0))
            count += len(taken[-1][0])
        if not self._pending:
            self._arrived.clear()
        return taken
