"""The queue in front of the model: bounded, batched, in time, and finished when the service stops."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from facealike import FacealikeError, ServiceError
from facealike.embedding.cropper import PhotoLimits
from facealike.service.embedding_threads import EmbeddingThreads
from facealike.service.face_queue import FaceQueue
from facealike.service.photo_work import PhotoFaces, QueuedPhoto
from support.service_app import photo, service_model

MODEL = service_model()


def run(
    use: Callable[[FaceQueue], Awaitable[Any]], capacity: int = 64, batch: int = 32, wait: float = 0.02,
    timeout: float = 30,
) -> Any:  # fmt: skip
    async def whole() -> Any:
        engine = EmbeddingThreads(MODEL, batch, wait, PhotoLimits())
        await engine.open()
        queue = FaceQueue(engine, capacity, timeout)
        try:
            return await use(queue)
        finally:
            await queue.close()

    return asyncio.run(whole())


def queued(person: int, **changes: Any) -> QueuedPhoto:
    return QueuedPhoto(**{"name": f"photo {person}", "data": photo(person), "face": "largest", **changes})


def test_requests_get_their_own_faces_whatever_batch_they_were_in() -> None:
    async def use(queue: FaceQueue) -> Any:
        many = [queue.faces([queued(person), queued(person + 100)]) for person in range(20)]
        return await asyncio.gather(*many), list(queue.engine.batches), queue.accepted

    found, (batches, faces), accepted = run(use, batch=8)
    assert faces == 40 and 5 <= batches < 40 and accepted == 0
    for person, answer in enumerate(found):
        expected = MODEL.embed([photo(person), photo(person + 100)])
        assert np.allclose(np.stack([one.vectors[0] for one in answer]), expected, atol=1e-6)


def test_an_error_is_that_of_its_photo_alone() -> None:
    async def use(queue: FaceQueue) -> Any:
        return await queue.faces([queued(1), queued(2, data=b"no photo"), queued(3, embed=False)])

    first, second, third = run(use)
    assert isinstance(first, PhotoFaces) and len(first.vectors) == 1
    assert isinstance(second, FacealikeError) and str(second).startswith("photo 2: not an image")
    assert isinstance(third, PhotoFaces) and len(third.vectors) == 0 and len(third.faces) == 1


def test_what_does_not_fit_is_refused_at_once_and_room_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()

    async def use(queue: FaceQueue) -> None:
        work = queue.engine.work
        real = work.crop
        monkeypatch.setattr(work, "crop", lambda one: gate.wait(30) and real(one))
        held = [asyncio.create_task(queue.faces([queued(person)])) for person in range(4)]
        await asyncio.sleep(0)
        start = time.perf_counter()
        for _ in range(3):
            with pytest.raises(ServiceError, match="busy") as refused:
                await queue.faces([queued(9)])
            assert refused.value.status == 503 and refused.value.retry_after
        assert time.perf_counter() - start < 1
        gate.set()
        assert all(isinstance(one[0], PhotoFaces) for one in await asyncio.gather(*held))
        assert queue.accepted == 0
        await queue.faces([queued(9)])

    run(use, capacity=4)


def test_a_timeout_answers_and_the_place_is_free_when_the_thread_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate = threading.Event()

    async def use(queue: FaceQueue) -> None:
        work = queue.engine.work
        real = work.crop
        monkeypatch.setattr(work, "crop", lambda one: gate.wait(30) and real(one))
        with pytest.raises(ServiceError, match=r"not done within 0\.1 seconds") as late:
            await queue.faces([queued(person) for person in range(8)])
        assert late.value.status == 503
        assert 1 <= queue.accepted <= 4, "what a thread works on still counts, what waits does not"
        gate.set()
        while queue.accepted:
            await asyncio.sleep(0.01)

    run(use, timeout=0.1)


def test_closing_finishes_what_was_accepted_and_accepts_no_more() -> None:
    async def use(queue: FaceQueue) -> None:
        accepted = [asyncio.create_task(queue.faces([queued(person)])) for person in range(12)]
        await asyncio.sleep(0)
        closing = asyncio.create_task(queue.close())
        await asyncio.sleep(0)
        with pytest.raises(ServiceError, match="stopping"):
            await queue.faces([queued(1)])
        await closing
        assert all(isinstance(one[0], PhotoFaces) for one in await asyncio.gather(*accepted))

    run(use)


def test_the_event_loop_never_waits_for_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(queue: FaceQueue) -> float:
        def slow(crops: np.ndarray) -> np.ndarray:
            time.sleep(0.2)
            return np.zeros((len(crops), 16), np.float32)

        monkeypatch.setattr(queue.engine.model, "embed_many", slow, raising=False)
        work = queue.engine.work
        real = work.crop
        monkeypatch.setattr(work, "crop", lambda one: (time.sleep(0.2), real(one))[1])
        asked, longest, last = asyncio.create_task(queue.faces([queued(1)])), 0.0, time.perf_counter()
        while not asked.done():
            await asyncio.sleep(0.001)
            longest, last = max(longest, time.perf_counter() - last), time.perf_counter()
        return longest

    assert run(use) < 0.15


def test_a_failure_of_the_network_reaches_every_request_of_the_batch_and_not_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def use(queue: FaceQueue) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(queue.engine.model, "embed_many", lambda crops: 1 / 0, raising=False)
            with pytest.raises(ZeroDivisionError):
                await queue.faces([queued(1)])
        assert queue.accepted == 0
        assert isinstance((await queue.faces([queued(1)]))[0], PhotoFaces)

    run(use)
