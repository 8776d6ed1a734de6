"""Worker processes: the answers of threads, and no request lost, whatever ends.

That no process is left after a stop and after a kill is in ``test_kill``.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from facealike import Model, ServiceError
from facealike.embedding.cropper import NO_LIMITS
from facealike.errors import DataError, ModelError
from facealike.service import worker_process
from facealike.service.embedding_processes import NO_WORKER, EmbeddingProcesses, worker_count
from facealike.service.face_queue import FaceQueue
from facealike.service.photo_work import PhotoFaces, QueuedPhoto
from facealike.service.worker_main import BatchWork
from facealike.service.worker_messages import Failure, Setup
from support.fragile_detector import DEADLY, ENDLESS, Fragile
from support.service_app import photo, png, running, service_model

pytestmark = pytest.mark.skipif(os.name != "posix", reason="threads are the default elsewhere")

MODEL = service_model()
CROPS = np.zeros((3, 32, 32, 3), np.uint8)


def queued(person: int, **changes: Any) -> QueuedPhoto:
    return QueuedPhoto(**{"name": f"photo {person}", "data": photo(person), "face": "largest", **changes})


def plain(color: tuple[int, int, int]) -> QueuedPhoto:
    return QueuedPhoto("a plain photo", png(np.full((64, 64, 3), color, np.uint8)), "largest")


def run(
    use: Callable[[FaceQueue, EmbeddingProcesses], Awaitable[Any]], model: Model = MODEL, timeout: float = 60
) -> Any:
    async def whole() -> Any:
        engine = EmbeddingProcesses(model, 2, 32, timeout, NO_LIMITS)
        await engine.open()
        queue = FaceQueue(engine, 256, timeout)
        try:
            return await use(queue, engine)
        finally:
            await queue.close()

    return asyncio.run(whole())


async def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it does not come"
        await asyncio.sleep(0.01)


def without_times(answer: Any) -> Any:
    if isinstance(answer, dict):
        return {key: without_times(value) for key, value in answer.items() if key != "milliseconds"}
    return [without_times(each) for each in answer] if isinstance(answer, list) else answer


def answers(client: TestClient) -> list[tuple[int, Any]]:
    """The answer of each route that a photo passes, good and bad."""
    one, other = photo(0, 0), photo(0, 1)
    pair = {"first": one, "second": other}
    crowd = [("photos", photo(person, number)) for person in range(6) for number in range(3)]
    large = png(np.zeros((60, 200, 3), np.uint8))
    asked = [
        client.post("/v1/detect", files={"photo": one}),
        client.post("/v1/embed", files={"photo": one}, data={"face": "all"}),
        client.post("/v1/embed", files={"photo": b"no photo"}),
        client.post("/v1/embed", files={"photo": large}),
        client.post("/v1/compare", files=pair),
        client.post("/v1/compare", files={"first": one, "second": b"damaged"}),
        client.post("/v1/explain", files=pair, data={"overlays": "true"}),
        client.post("/v1/cluster", files=[*crowd, ("photos", b"no photo")], data={"min_quality": 0}),
        client.post("/v1/galleries/x/people", files=crowd[:3], data={"person": "Ann"}),
        client.post("/v1/galleries/x/people", files=crowd[:3], data={"person": "Ann"}),
        client.post("/v1/galleries/x/identify", files={"photo": other}),
        client.post("/v1/galleries/x/verify", files={"photo": other}, data={"person": "Ann"}),
    ]
    return [(answer.status_code, without_times(answer.json())) for answer in asked]


def test_answers_are_those_of_threads_byte_for_byte(tmp_path: Path) -> None:
    limits = {"max_pixels": 64 * 64, "batch": 1}  # a face in a batch of others may differ in its last bit
    with running(tmp_path / "threads", MODEL, processes=1, **limits) as client:
        expected = answers(client)
    with running(tmp_path / "processes", MODEL, processes=2, **limits) as client:
        found = answers(client)
        assert "facealike_worker_processes 2.0" in client.get("/metrics").text
    assert {status for status, _ in expected} == {200, 413, 422}
    assert json.dumps(found) == json.dumps(expected)


def test_each_request_gets_its_own_faces_and_errors() -> None:
    async def use(queue: FaceQueue, engine: EmbeddingProcesses) -> None:
        many = [queue.faces([queued(person), queued(person + 100)]) for person in range(20)]
        found = await asyncio.gather(*many)
        for person, pair in enumerate(found):
            expected = MODEL.embed([photo(person), photo(person + 100)])
            assert np.allclose(np.stack([one.vectors[0] for one in pair]), expected, atol=1e-6)
            assert all(one.faces[0].crop.size == 0 for one in pair), "crops stay where they are not wanted"
        assert engine.batches[1] == 40 and 3 <= engine.batches[0] < 40 and queue.accepted == 0
        bad, found_only, cut = await queue.faces(
            [queued(2, data=b"no photo"), queued(3, embed=False), queued(4, crops=True)]
        )
        assert str(bad).startswith("photo 2: not an image")
        assert isinstance(found_only, PhotoFaces) and len(found_only.vectors) == 0
        assert isinstance(cut, PhotoFaces) and cut.stacked().shape == (1, 32, 32, 3)
        assert np.array_equal(await queue.embedded(CROPS), MODEL.embed_crops(CROPS))

    run(use)


def test_killed_workers_are_replaced_and_no_request_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEALIKE_GALLERY_KEY", "secret")

    async def use(queue: FaceQueue, engine: EmbeddingProcesses) -> None:
        many = [asyncio.create_task(queue.faces([queued(person)])) for person in range(120)]
        await until(lambda: engine.batches[0] > 0)
        before = {worker.pid for worker in engine.workers}
        for pid in before if Path("/proc/self/environ").exists() else ():
            assert b"GALLERY_KEY" not in Path(f"/proc/{pid}/environ").read_bytes()
        os.kill(min(before), signal.SIGKILL)
        found = await asyncio.gather(*many)
        assert all(isinstance(one, PhotoFaces) for (one,) in found)
        await until(lambda: len(engine.workers) == 2)
        os.kill(max(before), signal.SIGKILL)  # one that has nothing to do
        await until(lambda: engine.restarts == 2 and len(engine.workers) == 2)
        assert not before & {worker.pid for worker in engine.workers}
        assert isinstance((await queue.faces([queued(1)]))[0], PhotoFaces) and queue.accepted == 0

    run(use)


def test_a_photo_that_ends_its_process_is_refused_and_the_others_are_answered() -> None:
    async def use(queue: FaceQueue, engine: EmbeddingProcesses) -> None:
        others = [asyncio.create_task(queue.faces([queued(person)])) for person in range(40)]
        with pytest.raises(
            ServiceError, match="a plain photo: the processes that worked on it ended"
        ) as refused:
            await queue.faces([plain(DEADLY)])
        assert refused.value.status == 500
        assert all(isinstance(one, PhotoFaces) for (one,) in await asyncio.gather(*others))
        await until(lambda: len(engine.workers) == 2)
        assert engine.restarts == 3 and queue.accepted == 0

    run(use, MODEL.behind(Fragile()))


def test_a_photo_that_takes_too_long_is_answered_and_its_process_replaced() -> None:
    async def use(queue: FaceQueue, engine: EmbeddingProcesses) -> None:
        with pytest.raises(ServiceError, match="not done within 1 seconds") as late:
            await queue.faces([plain(ENDLESS)])
        assert late.value.status == 503 and late.value.retry_after
        await until(lambda: engine.restarts == 1 and len(engine.workers) == 2)
        assert queue.accepted == 0 and isinstance((await queue.faces([queued(1)]))[0], PhotoFaces)

    run(use, MODEL.behind(Fragile()), timeout=1)


def test_without_any_process_requests_are_refused_until_one_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(tmp_path, MODEL, processes=2) as client:
        engine = client.app.state.resources.queue.engine  # type: ignore[attr-defined]
        with monkeypatch.context() as patch:
            patch.setattr(worker_process, "PROGRAM", "raise SystemExit(3)")
            for worker in list(engine.workers):
                os.kill(worker.pid, signal.SIGKILL)
            answer = client.post("/v1/embed", files={"photo": photo()})
            assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
            assert answer.json()["detail"] == NO_WORKER
            ready = client.get("/readyz")
            assert (ready.status_code, ready.json()["reason"]) == (503, NO_WORKER)
        end = time.monotonic() + 60
        while client.get("/readyz").status_code != 200:
            assert time.monotonic() < end
            time.sleep(0.05)
        assert client.post("/v1/embed", files={"photo": photo()}).status_code == 200


def test_closing_in_the_middle_of_work_ends_the_processes() -> None:
    """As a second Ctrl-C does: requests in work are given up."""

    async def use(queue: FaceQueue, engine: EmbeddingProcesses) -> None:
        many = [asyncio.create_task(queue.faces([queued(person)])) for person in range(60)]
        await until(lambda: engine.batches[0] > 0)
        await engine.close()
        assert not engine.workers
        for task in many:
            task.cancel()
        await asyncio.wait(many)

    run(use)


def test_the_start_ends_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(*_: Any) -> None:
        raise AssertionError("it must not start")

    monkeypatch.setattr(worker_process, "PROGRAM", "raise SystemExit(3)")
    with pytest.raises(DataError, match="a worker process ended with code 3; give the service more memory"):
        run(use)


def test_a_failure_of_the_network_is_that_of_every_face_of_its_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    work = BatchWork(Setup(MODEL, 32, NO_LIMITS))

    def fail(*_: Any) -> None:
        raise ModelError("the embedder failed")

    monkeypatch.setattr(work._embedder, "embed", fail)
    one, found_only, crops, bad = work([queued(1), queued(2, embed=False), CROPS, queued(3, data=b"")])
    assert isinstance(one, Failure) and isinstance(one.raised(), ModelError)
    assert isinstance(crops, Failure) and "test_worker_processes" in crops.trace
    assert isinstance(found_only, PhotoFaces) and str(bad).startswith("photo 3: ")
    monkeypatch.setattr(work._work, "crop", fail)
    (again,) = work([queued(1)])
    assert isinstance(again, Failure)
    assert "worker process failed:\nTraceback" in str(Failure(None, again.trace).raised())


@pytest.mark.parametrize(
    ("stated", "device", "count"), [(0, "cpu", 5), (0, "cuda:0", 0), (1, "cpu", 0), (3, "cpu", 3)]
)
def test_the_number_of_processes(
    stated: int, device: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facealike.service.embedding_processes.default_threads", lambda: 5)
    assert worker_count(stated, device) == count
    monkeypatch.setattr("facealike.service.embedding_processes.default_threads", lambda: 1)
    assert worker_count(0, "cpu") == 0
