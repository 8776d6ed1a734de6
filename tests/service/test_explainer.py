"""Explanations share the queue: few at a time and in parts; a stop leaves none in a thread."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from facealike import ServiceError
from facealike.embedding.cropper import PhotoLimits
from facealike.service.embedding_threads import EmbeddingThreads
from facealike.service.explainer import Explainer
from facealike.service.face_queue import FaceQueue
from facealike.service.photo_work import PhotoFaces, QueuedPhoto
from facealike.verification.occlusion import Embed
from support.service_app import photo, running, service_model

MODEL = service_model()
CROPS = np.zeros((16, 32, 32, 3), np.uint8)


def run(
    use: Callable[[FaceQueue, Explainer], Awaitable[Any]], most: int = 2, timeout: float = 30, batch: int = 32
) -> Any:
    async def whole() -> Any:
        engine = EmbeddingThreads(MODEL, batch, 0.0, PhotoLimits())
        await engine.open()
        queue = FaceQueue(engine, 64, 30)
        explainer = Explainer(queue, most, timeout)
        try:
            return await use(queue, explainer)
        finally:
            await explainer.close()
            await queue.close()

    return asyncio.run(whole())


def test_no_more_than_so_many_at_a_time_and_room_comes_back() -> None:
    gate = threading.Event()

    async def use(_: FaceQueue, explainer: Explainer) -> None:
        held = [asyncio.create_task(explainer.run(lambda embed: gate.wait(30))) for _ in range(2)]
        await asyncio.sleep(0)
        for _ in range(3):
            with pytest.raises(ServiceError, match="explains as many comparisons as it may") as refused:
                await explainer.run(lambda embed: True)
            assert refused.value.status == 503 and refused.value.retry_after
        gate.set()
        assert await asyncio.gather(*held) == [True, True]
        while explainer.running:
            await asyncio.sleep(0.001)
        assert await explainer.run(lambda embed: 5) == 5

    run(use)


def test_a_face_waits_for_one_part_of_an_explanation_and_not_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    done = threading.Event()

    def slow(crops: np.ndarray) -> np.ndarray:
        time.sleep(0.005)
        return np.zeros((len(crops), 16), np.float32)

    def explain(embed: Embed) -> int:
        parts = 0
        while not done.is_set():
            parts += len(embed(CROPS)) // 16
        return parts

    async def use(queue: FaceQueue, explainer: Explainer) -> None:
        monkeypatch.setattr(queue.engine.model, "embed_many", slow, raising=False)
        work = [asyncio.create_task(explainer.run(explain)) for _ in range(2)]
        found = await queue.faces([QueuedPhoto("a photo", photo(), "largest")])
        assert isinstance(found[0], PhotoFaces)
        for _ in range(20):
            await asyncio.sleep(0.003)
            before = queue.engine.batches[0]
            await queue.embedded(CROPS[:1])
            assert queue.engine.batches[0] - before <= 3, "the batch in work, a pending one, and its own"
        done.set()
        assert min(await asyncio.gather(*work)) > 5, "the explanations went on meanwhile"

    run(use)


def test_a_timeout_answers_and_ends_the_thread_at_its_next_part() -> None:
    parts: list[int] = []

    def endless(embed: Embed) -> None:
        while True:
            embed(CROPS)
            parts.append(1)

    async def use(_: FaceQueue, explainer: Explainer) -> None:
        with pytest.raises(ServiceError, match=r"not explained within 0\.1 seconds") as late:
            await explainer.run(endless)
        assert late.value.status == 503 and late.value.retry_after
        while explainer.running:
            await asyncio.sleep(0.01)
        count = len(parts)
        await asyncio.sleep(0.05)
        assert len(parts) == count

    run(use, most=1, timeout=0.1)


def test_an_error_reaches_its_request_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(queue: FaceQueue, explainer: Explainer) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(queue.engine.model, "embed_many", lambda crops: 1 / 0, raising=False)
            with pytest.raises(ZeroDivisionError):
                await explainer.run(lambda embed: embed(CROPS))
        assert (await explainer.run(lambda embed: embed(CROPS))).shape == (16, 16)

    run(use)


def test_closing_finishes_what_was_accepted() -> None:
    async def use(_: FaceQueue, explainer: Explainer) -> None:
        parts = explainer.run(lambda embed: [embed(CROPS) for _ in range(20)])
        work = asyncio.create_task(parts)
        await asyncio.sleep(0)
        await explainer.close()
        assert len(await work) == 20

    run(use)


def test_the_service_refuses_what_is_too_much_before_it_reads_the_photos(tmp_path: Any) -> None:
    with running(tmp_path, MODEL, explanations=1) as client:
        files = {"first": photo(0), "second": photo(1)}
        assert client.post("/v1/explain", files=files).status_code == 200
        resources(client).explainer.running = 1
        answer = client.post("/v1/explain", files=files)
        assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
        assert client.post("/v1/compare", files=files).status_code == 200
        assert "facealike_explanations 1.0" in client.get("/metrics").text
        resources(client).explainer.running = 0


def resources(client: TestClient) -> Any:
    return client.app.state.resources  # type: ignore[attr-defined]
