"""One bounded queue in front of the model: photos come in, embedded faces come out, in batches.

A pool of threads crops photos, one a core; one more thread embeds the crops of all requests together.  While
it embeds a batch, the next one collects.  What is accepted is finished; what would not be is refused at once.
The event loop itself only passes on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from ..detection.face_policy import FacePolicy
from ..embedding.cropper import FaceCrop, PhotoLimits, without_pixels
from ..embedding.face_model import Model
from ..errors import FacealikeError, NoFaceFound, ServiceError, SeveralFaces
from ..imaging.photo_digest import pixels_digest
from ..types import Embeddings, Image
from ..utils.ordered_threads import default_threads

RETRY_AFTER = 1.0
"""Seconds after which a refused request may come again."""


@dataclass(frozen=True)
class QueuedPhoto:
    """A photo to crop and embed.

    Attributes:
        name: What messages call it.
        data: The content of its file.
        face: Which face of it is meant.
        embed: Its faces are embedded, not only found.
        digest: The digest of its pixels is wanted, which takes decoding it whole.
    """

    name: str
    data: bytes = field(repr=False)
    face: FacePolicy
    embed: bool = True
    digest: bool = False


@dataclass(frozen=True)
class PhotoFaces:
    """The faces of a photo.

    Attributes:
        name: What messages call the photo.
        shape: (H, W) of the upright photo.
        faces: The faces that the policy selects, with quality.
        vectors: Their unit vectors (n, d); (0, 0) where none were wanted.
        digest: The digest of the pixels; empty where it was not wanted.
        start: When the work began, as ``time.perf_counter`` has it.
        note: What is wrong with a damaged file that could be read.
    """

    name: str
    shape: tuple[int, int]
    faces: list[FaceCrop]
    vectors: Embeddings
    digest: str
    start: float
    note: str | None


class FaceQueue:
    """The only way of a request to the model.

    Args:
        model: Crops and embeds.
        capacity: Most photos that are accepted and not answered.
        batch: Most faces that are embedded together.
        wait: Seconds that a face waits for others that are in work.
        timeout: Seconds that accepted photos may take.
        limits: On each photo.
    """

    def __init__(
        self, model: Model, capacity: int, batch: int, wait: float, timeout: float, limits: PhotoLimits
    ) -> None:
        self.model, self.capacity = model, capacity
        self._batch, self._wait, self._timeout = batch, wait, timeout
        self._cropper = model.cropper(many=True, limits=limits)
        self._croppers = ThreadPoolExecutor(default_threads(), "crop")
        self._embedder = ThreadPoolExecutor(1, "embed")
        self._pending: list[tuple[Image, asyncio.Future[Embeddings]]] = []
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._closing = False
        self.accepted = 0
        self.batches: list[int] = [0, 0]
        """How many batches were embedded, and how many faces."""
        self._runner = asyncio.get_running_loop().create_task(self._run())

    def check_room(self, photos: int = 1) -> None:
        """Raise ServiceError where so many photos would not be accepted now."""
        if self._closing:
            raise ServiceError("the service is stopping; try again later", 503, RETRY_AFTER)
        if self.accepted + photos > self.capacity:
            raise ServiceError("the service is busy; try again in a moment", 503, RETRY_AFTER)

    async def faces(self, photos: Sequence[QueuedPhoto]) -> list[PhotoFaces | FacealikeError]:
        """Return the faces of each photo, or its error, in order.

        Raises:
            ServiceError: The queue is full, the service is stopping, or the work takes too long.
        """
        self.check_room(len(photos))
        self.accepted += len(photos)
        self._idle.clear()
        work = asyncio.gather(*(self._one(photo) for photo in photos))
        try:
            return await asyncio.wait_for(work, self._timeout)
        except asyncio.TimeoutError:
            raise ServiceError(
                f"not done within {self._timeout:g} seconds; send smaller photos, or try again later",
                503,
                RETRY_AFTER,
            ) from None

    async def close(self) -> None:
        """Accept nothing more, finish what was accepted, and end the threads."""
        self._closing = True
        await self._idle.wait()
        self._runner.cancel()
        self._croppers.shutdown()
        self._embedder.shutdown()

    async def _one(self, photo: QueuedPhoto) -> PhotoFaces | FacealikeError:
        work: Future[PhotoFaces | FacealikeError] = self._croppers.submit(self._crop, photo)
        try:
            found = await asyncio.wrap_future(work)
            if isinstance(found, FacealikeError) or not photo.embed:
                return found
            vectors = await self.embedded(np.stack([face.crop for face in found.faces]))
            return PhotoFaces(
                found.name, found.shape, found.faces, vectors, found.digest, found.start, found.note
            )
        finally:
            # A thread cannot be stopped: after a timeout its place is free when it is really done.
            loop = asyncio.get_running_loop()
            if work.done():
                self._release()
            else:
                work.add_done_callback(lambda _: loop.call_soon_threadsafe(self._release))

    def _release(self) -> None:
        self.accepted -= 1
        if not self.accepted:
            self._idle.set()

    def _crop(self, photo: QueuedPhoto) -> PhotoFaces | FacealikeError:
        start = time.perf_counter()
        try:
            read = self._cropper.photo(photo.data, photo.name)
            faces = self._cropper.faces(read, photo.face, quality=True)
            digest = pixels_digest(read.whole) if photo.digest else ""
        except FacealikeError as error:
            return without_pixels(_for_callers(error, photo))
        shape = (read.shape[0], read.shape[1])
        return PhotoFaces(photo.name, shape, faces, np.zeros((0, 0), np.float32), digest, start, read.note)

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
            if len(self._pending) < self.accepted:  # others are in work, and may join
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


def _for_callers(error: FacealikeError, photo: QueuedPhoto) -> FacealikeError:
    """Return the error with a hint for a caller over HTTP in place of the command line's options."""
    if isinstance(error, NoFaceFound):
        return NoFaceFound(f"{photo.name}: no face found; use a photo that shows the face larger and frontal")
    if isinstance(error, SeveralFaces) and photo.face == "only":
        return SeveralFaces(
            f"{photo.name}: several faces found where face 'only' allows one; crop the photo, or choose "
            "largest or central"
        )
    return error
