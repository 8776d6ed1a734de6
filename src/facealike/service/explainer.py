"""Explain comparisons, a few at a time, through the queue of all requests.

An explanation embeds some 160 covered copies of the two faces.  Its thread hands them to the queue a few at a
time and waits for them, so that faces of other requests wait for one such part of each explanation at most.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ..errors import ServiceError
from ..types import Embeddings, Image
from ..verification.occlusion import Embed
from .face_queue import RETRY_AFTER, FaceQueue

R = TypeVar("R")


class Explainer:
    """The threads that explain.

    Args:
        queue: Embeds.
        most: Explanations at a time; more are refused.
        timeout: Seconds that one may take.
    """

    def __init__(self, queue: FaceQueue, most: int, timeout: float) -> None:
        self._queue, self._most, self._timeout = queue, most, timeout
        self._threads = ThreadPoolExecutor(most, "explain")
        self._idle = asyncio.Event()
        self._idle.set()
        self.running = 0

    def check_room(self) -> None:
        """Raise ServiceError where another explanation would not be accepted now."""
        if self.running >= self._most:
            raise ServiceError(
                "the service explains as many comparisons as it may at a time; try again in a moment", 503,
                RETRY_AFTER,
            )  # fmt: skip

    async def run(self, explain: Callable[[Embed], R]) -> R:
        """Return what ``explain`` returns, which is called in a thread with what embeds crops.

        Raises:
            ServiceError: Others are explained, or it takes too long.
            FacealikeError: What ``explain`` raises.
        """
        self.check_room()
        loop, stopped = asyncio.get_running_loop(), threading.Event()

        def embed(crops: Image) -> Embeddings:
            if stopped.is_set():
                raise ServiceError("the caller no longer waits for this explanation")
            return asyncio.run_coroutine_threadsafe(self._queue.embedded(crops), loop).result()

        self.running += 1
        self._idle.clear()
        work = self._threads.submit(explain, embed)
        # A thread cannot be stopped at once: its place is free when it is really done.
        work.add_done_callback(lambda _: loop.call_soon_threadsafe(self._release))
        try:
            return await asyncio.wait_for(asyncio.wrap_future(work), self._timeout)
        except asyncio.TimeoutError:
            raise ServiceError(
                f"not explained within {self._timeout:g} seconds; try again later", 503, RETRY_AFTER
            ) from None
        finally:
            stopped.set()

    def _release(self) -> None:
        self.running -= 1
        if not self.running:
            self._idle.set()

    async def close(self) -> None:
        """Finish what was accepted, and end the threads; the queue is closed after it."""
        await self._idle.wait()
        self._threads.shutdown()
