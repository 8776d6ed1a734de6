"""One bounded queue in front of the model: photos come in, embedded faces come out.

What is accepted is finished; what would not be is refused at once.  The event loop itself only passes on: an
engine works, in threads of this process or in worker processes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from ..errors import FacealikeError, ServiceError
from ..types import Embeddings, Image
from .photo_work import PhotoFaces, QueuedPhoto

RETRY_AFTER = 1.0
"""Seconds after which a refused request may come again."""


class Engine(Protocol):
    """What finds and embeds faces.

    Attributes:
        batches: How many batches were embedded, and how many faces.
        restarts: How many worker processes were replaced.
    """

    batches: list[int]
    restarts: int

    @property
    def running(self) -> int:
        """How many worker processes run."""

    async def open(self) -> None:
        """Begin to work.

        Raises:
            FacealikeError: It cannot.
        """

    async def faces(self, photo: QueuedPhoto, done: Callable[[], None]) -> PhotoFaces | FacealikeError:
        """Return the faces of a photo, or its error.

        ``done`` is called once, when nothing works on the photo any more: later than the answer where the
        caller stopped to wait for it.
        """

    async def embedded(self, crops: Image) -> Embeddings:
        """Return the unit vectors (n, d) of crops, embedded in turn with the faces of photos."""

    def fault(self) -> str | None:
        """Return why it cannot work now, in words for a caller; None where it can."""

    async def close(self) -> None:
        """End; what is in work is not finished.  May be called twice."""


class FaceQueue:
    """The only way of a request to the model.

    Args:
        engine: An open one, which the queue closes.
        capacity: Most photos that are accepted and not answered.
        timeout: Seconds that accepted photos may take.
    """

    def __init__(self, engine: Engine, capacity: int, timeout: float) -> None:
        self.engine, self.capacity = engine, capacity
        self._timeout = timeout
        self._idle = asyncio.Event()
        self._idle.set()
        self._closing = False
        self.accepted = 0

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
        work = asyncio.gather(*(self.engine.faces(photo, self._release) for photo in photos))
        work.add_done_callback(lambda done: done.cancelled() or done.exception())  # a forced stop cancels it
        try:
            return await asyncio.wait_for(work, self._timeout)
        except asyncio.TimeoutError:
            raise ServiceError(
                f"not done within {self._timeout:g} seconds; send smaller photos, or try again later",
                503,
                RETRY_AFTER,
            ) from None

    async def embedded(self, crops: Image) -> Embeddings:
        """Return the unit vectors (n, d) of crops, embedded in turn with the faces of photos."""
        return await self.engine.embedded(crops)

    async def close(self) -> None:
        """Accept nothing more, finish what was accepted, and end the engine."""
        self._closing = True
        await self._idle.wait()
        await self.engine.close()

    def _release(self) -> None:
        self.accepted -= 1
        if not self.accepted:
            self._idle.set()
