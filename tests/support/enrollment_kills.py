"""SIGKILL of a service under concurrent enrollments: what it acknowledged is there afterwards, once.

The service has a tiny model, so that a round takes a second.  ``rounds`` is used by a test, and by
``benchmarks/tests/service_kills.py`` for many more.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.common.http_load import Connection, upload
from facealike.gallery.gallery import Gallery
from support.service_app import photo, service_model

SERVICE = """
import sys
from pathlib import Path
import facealike.service.server as server
from support.service_app import service_model, settings

server.Model.load = lambda *_, **__: service_model()
stated = settings(Path(sys.argv[1]), port=0, queue=512, processes=2)
server.serve(stated, lambda address, model: print(address, flush=True))
"""


class Killed(NamedTuple):
    """What a number of rounds came to."""

    acknowledged: int
    enrolled: int


def rounds(folder: Path, count: int, clients: int = 200, seed: int = 0) -> Killed:
    """Kill a service ``count`` times under ``clients`` concurrent enrollments, each of a person of its own.

    Raises:
        AssertionError: An acknowledged person is missing or there twice, or the gallery is damaged.
    """
    acknowledged: set[str] = set()
    photos = [photo(person) for person in range(20)]
    drawn = random.Random(seed)
    for turn in range(count):
        process, port, workers = _service(folder)
        before = len(acknowledged)
        wait = drawn.uniform(0.02, 0.6)
        asyncio.run(_enroll(port, turn, clients, photos, wait, process, acknowledged))
        process.wait()
        assert process.returncode == -signal.SIGKILL, "it did not end before"
        _check_gone(workers)
        _check(folder, acknowledged, before)
    return Killed(len(acknowledged), _count(folder))


def _service(folder: Path) -> tuple[subprocess.Popen[str], int, list[int]]:
    """A service that answers, in a process group of its own: its process, its port, and its workers."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVICE, str(folder)], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    address = process.stdout.readline()
    process.stdout.close()
    assert address, "the service does not start"
    workers = [pid for pid, parent in _processes().items() if parent == process.pid]
    assert len(workers) == 2
    return process, int(address.rpartition(":")[2]), workers


def _check_gone(workers: list[int]) -> None:
    """No worker is left soon after its service has ended."""
    end = time.monotonic() + 20
    while set(workers) & set(_processes()):
        assert time.monotonic() < end, "a worker process is left"


def _processes() -> dict[int, int]:
    """The parent of each process that has not ended; one that has may wait to be collected."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True
    )
    lines = [line.split() for line in listed.stdout.splitlines()]
    return {int(pid): int(parent) for pid, parent, state in lines if not state.startswith("Z")}


async def _enroll(
    port: int, turn: int, clients: int, photos: list[bytes], wait: float, process: subprocess.Popen[str],
    acknowledged: set[str],
) -> None:  # fmt: skip
    numbers = itertools.count()
    first = asyncio.Event()

    async def client() -> None:
        connection = Connection(port)
        while True:
            number = next(numbers)
            person = f"P{turn}-{number}"
            request = upload(
                "/v1/galleries/kills/people", {"photos": photos[number % len(photos)]}, {"person": person}
            )
            try:
                status = await connection.ask(request)
            except (OSError, asyncio.IncompleteReadError, ValueError):
                return
            if status == 200:
                acknowledged.add(person)
                first.set()

    tasks = [asyncio.create_task(client()) for _ in range(clients)]
    await asyncio.wait_for(first.wait(), 60)
    await asyncio.sleep(wait)
    process.send_signal(signal.SIGKILL)
    await asyncio.gather(*tasks)


def _check(folder: Path, acknowledged: set[str], before: int) -> None:
    gallery = Gallery.open(folder / "galleries" / "kills.db", service_model())
    try:
        people = gallery.people()
        missing = acknowledged - set(people)
        assert not missing, f"{len(missing)} acknowledged people are missing, such as {min(missing)}"
        assert set(people.values()) == {1}, "each person has one template, none twice"
        assert gallery.check().whole
    finally:
        gallery.close()
    assert len(acknowledged) > before, "each round acknowledges somebody"
    lines = (folder / "audit.jsonl").read_text("utf-8").splitlines()
    assert sum(json.loads(line)["outcome"] == "enrolled" for line in lines) >= len(acknowledged)


def _count(folder: Path) -> int:
    gallery = Gallery.open(folder / "galleries" / "kills.db", service_model())
    try:
        return len(gallery.people())
    finally:
        gallery.close()


def stopped(folder: Path, clients: int = 50) -> tuple[int, int]:
    """Stop a service under enrollments, as Ctrl-C does: its workers get the signal, too.

    Return its exit code and how many enrollments it acknowledged.
    """
    process, port, workers = _service(folder)
    acknowledged: set[str] = set()
    photos = [photo(person) for person in range(5)]

    async def once(number: int) -> None:
        person, path = f"S{number}", "/v1/galleries/kills/people"
        request = upload(path, {"photos": photos[number % 5]}, {"person": person})
        with contextlib.suppress(ConnectionError):  # it came after the stop, and was never accepted
            assert await Connection(port).ask(request) == 200, "what is accepted is finished"
            acknowledged.add(person)

    async def whole() -> None:
        tasks = [asyncio.create_task(once(number)) for number in range(clients)]
        while not acknowledged:
            await asyncio.sleep(0.005)
        os.killpg(process.pid, signal.SIGINT)
        await asyncio.gather(*tasks)

    start = time.perf_counter()
    asyncio.run(whole())
    code = process.wait(30)
    _check_gone(workers)
    assert time.perf_counter() - start < 30
    _check(folder, acknowledged, 0)
    return code, len(acknowledged)
