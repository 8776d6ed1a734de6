"""Send the same requests to a service again and again, with next to no work of our own for each.

An ordinary HTTP client costs a core what the service itself needs.  Here a request is bytes that were made
before, and of an answer only the status and the length are read.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

LIMIT = 2**20


@dataclass
class Answers:
    """What came back: the milliseconds of each answer by status, and when each began."""

    milliseconds: dict[int, list[float]] = field(default_factory=dict)
    begun: list[tuple[float, int]] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    def note(self, start: float, status: int) -> None:
        self.milliseconds.setdefault(status, []).append((time.perf_counter() - start) * 1000)
        self.begun.append((start, status))

    def count(self, status: int) -> int:
        return len(self.milliseconds.get(status, ()))


def upload(path: str, fields: dict[str, bytes], values: dict[str, str] | None = None) -> bytes:
    """The bytes of a POST request with a multipart form of photos and texts."""
    edge = secrets.token_hex(12)
    parts = [
        f'--{edge}\r\nContent-Disposition: form-data; name="{name}"; filename="x"\r\n\r\n'.encode() + data
        for name, data in fields.items()
    ]
    parts += [
        f'--{edge}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode()
        for name, value in (values or {}).items()
    ]
    body = b"\r\n".join([*parts, f"--{edge}--\r\n".encode()])
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary={edge}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Connection:
    """One connection, opened again where the service has closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, request: bytes) -> int:
        """Return the status of the answer."""
        if self._reader is not None and self._reader.at_eof():  # closed while it was idle
            self.close()
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=LIMIT)
        assert self._reader is not None
        try:
            self._writer.write(request)
            head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
            await self._reader.readexactly(length)
        except BaseException:
            self.close()
            raise
        if b"connection: close" in head:
            self.close()
        return int(head[9:12])

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


async def closed_loop(port: int, requests: Sequence[bytes], connections: int, seconds: float) -> Answers:
    """Each connection sends its next request when its last is answered."""
    answers, following = Answers(), itertools.cycle(requests)
    end = time.perf_counter() + seconds

    async def run() -> None:
        connection = Connection(port)
        while time.perf_counter() < end:
            await _timed(connection, next(following), answers)
        connection.close()

    await asyncio.gather(*(run() for _ in range(connections)))
    return answers


async def open_loop(port: int, requests: Sequence[bytes], rate: float, seconds: float) -> Answers:
    """Send ``rate`` requests a second, evenly, whether or not the earlier ones are answered."""
    answers, following, free = Answers(), itertools.cycle(requests), []
    start, tasks = time.perf_counter(), set()

    async def one(request: bytes) -> None:
        connection = free.pop() if free else Connection(port)
        await _timed(connection, request, answers)
        free.append(connection)

    for number in range(int(rate * seconds)):
        wait = start + number / rate - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        task = asyncio.create_task(one(next(following)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    for connection in free:
        connection.close()
    return answers


async def _timed(connection: Connection, request: bytes, answers: Answers) -> None:
    start = time.perf_counter()
    try:
        answers.note(start, await connection.ask(request))
    except (OSError, asyncio.IncompleteReadError, ValueError) as error:
        answers.errors[type(error).__name__] += 1
