"""One worker process as the event loop sees it: started, asked one batch at a time, and ended."""

from __future__ import annotations

import asyncio
import os
import pickle
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from ..gallery.gallery_key import KEY_VARIABLE
from .worker_messages import LENGTH, Failure, Result, Setup, Work, framed

PROGRAM = """
import sys
sys.path[:] = sys.argv[1:]
import signal
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
from facealike.service.worker_main import main
main()
"""
"""What the process runs; nothing is imported from the working directory.  ``worker_main`` says why no signal
ends it."""

START_TIMEOUT = 120.0
"""Seconds that a worker may take to load the model, on a machine with much else to do."""

END_TIMEOUT = 5.0
"""Seconds that a worker may take to end by itself, before it is killed."""

BUFFER = 2**20  # bytes of answers


class WorkerEnded(Exception):
    """The process ended, or was killed because it did not answer; the message says how."""


class WorkerProcess:
    """A process that holds a model of its own, and ends by itself when this process does, however it does."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None and process.stdout is not None
        self._process, self._requests, self._answers = process, process.stdin, process.stdout
        self.pid = process.pid
        self._watch = asyncio.get_running_loop().create_task(process.wait())

    @classmethod
    async def start(cls, setup: Setup) -> WorkerProcess:
        """Return a process that has loaded the model.

        Raises:
            FacealikeError: It cannot use the model.
            WorkerEnded: It ended before.
        """
        # A worker reads hostile files and needs no key of a gallery.
        environment = {name: value for name, value in os.environ.items() if name != KEY_VARIABLE}
        # It computes in one thread; the pools of BLAS would only take memory.
        alone = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", PROGRAM, *filter(None, sys.path), env={**environment, **alone},
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=BUFFER,
            )  # fmt: skip
        except OSError as error:
            raise WorkerEnded(f"cannot be started: {error.strerror}") from None
        worker = cls(process)
        try:
            answer = await worker._exchange(setup, START_TIMEOUT)
            if isinstance(answer, Failure):
                raise answer.raised()
        except BaseException:
            worker.kill()
            raise
        return worker

    @property
    def ended(self) -> bool:
        """Whether the process has ended."""
        return self._watch.done()

    def on_end(self, call: Callable[[], None]) -> None:
        """Call back when the process has ended."""
        self._watch.add_done_callback(lambda _: call())

    async def ask(self, batch: Sequence[Work], timeout: float) -> list[Result]:
        """Return the results of a batch.

        Raises:
            WorkerEnded: The process ended before it answered, or was killed after ``timeout`` seconds.
        """
        results: list[Result] = await self._exchange(batch, timeout)
        return results

    async def _exchange(self, message: Any, timeout: float) -> Any:
        answer = asyncio.get_running_loop().create_task(self._answer(message))
        try:
            # Not ``wait_for``: before Python 3.12 it swallows a cancellation that comes with the result.
            await asyncio.wait({answer}, timeout=timeout)
            if answer.done():
                return answer.result()
        except (OSError, EOFError):
            code = await self._end()
            raise WorkerEnded(f"ended by signal {-code}" if code < 0 else f"ended with code {code}") from None
        except Exception as error:  # such as no memory: what the process sends next would not be understood
            self.kill()
            raise WorkerEnded(f"was killed, since its answer cannot be read ({error!r})") from error
        finally:
            answer.cancel()
        self.kill()
        raise WorkerEnded(f"did not answer within {timeout:g} seconds, and was killed")

    async def _answer(self, message: Any) -> Any:
        self._requests.write(framed(message))
        await self._requests.drain()
        (length,) = LENGTH.unpack(await self._answers.readexactly(LENGTH.size))
        return pickle.loads(await self._answers.readexactly(length))

    def kill(self) -> None:
        """End the process at once."""
        with suppress(ProcessLookupError):
            self._process.kill()

    async def close(self) -> None:
        """Let the process end, and wait for it."""
        self._requests.close()
        await self._end()

    async def _end(self) -> int:
        """Return the exit code of a process that ends by itself, and kill it if it does not."""
        # Pipes close just before a process ends.  A kill meanwhile would take its exit code: Popen asks for
        # it first, and asyncio then reports 255.
        await asyncio.wait({self._watch}, timeout=END_TIMEOUT)
        if not self.ended:
            self.kill()
        return await self._watch
