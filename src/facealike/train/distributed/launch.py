"""Start the processes of a run on this machine, and end all of them when one fails.

The process that the user started trains nothing itself.  So it can end the others whatever they wait for, and
raise the error of the one that failed first.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import socket
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

from ...errors import FacealikeError, TrainingError, UsageError
from ...types import Progress
from .world import OtherProcessFailed, World

GRACE = 5.0  # seconds that the others have to state their own errors, and to clean up

T = TypeVar("T")
Work = Callable[[World, Progress | None], T]


def free_port() -> int:
    """Return a port of this machine that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def launch(first: World, work: Work[T], progress: Progress | None = None) -> T:
    """Run ``work`` in one process for each place of this machine and return the result of the first.

    Args:
        first: The first place of this machine.
        work: Called with its place and a progress function; it must be picklable, and so must its result.
        progress: Called with what the first process reports.

    Raises:
        FacealikeError: The error of the process that failed first; the others are ended.
        UsageError: ``work`` cannot be pickled.
    """
    try:
        pickle.dumps(work)
    except Exception as error:  # pickle raises several classes
        raise UsageError(
            "--devices above 1 sends all arguments to other processes, and one of them cannot be sent "
            f"({error})"
        ) from None
    crew = [_Process(place, work) for place in first.on_this_machine()]
    try:
        result = _supervised(crew, progress)
        for process in crew:  # they are about to end
            process.process.join(GRACE)
        return result
    finally:
        _end(crew)


class _Process(Generic[T]):
    """One process, and the connection that its messages come from."""

    def __init__(self, world: World, work: Work[T]) -> None:
        context = multiprocessing.get_context("spawn")
        self.world, self.begun = world, False
        self.messages, theirs = context.Pipe(duplex=False)
        self.process = context.Process(target=_work, args=(world, work, theirs))
        self.process.start()
        theirs.close()

    def ended(self) -> TrainingError:
        """Return the error of a process that ended without a message."""
        self.process.join()
        code: int = self.process.exitcode or 0
        name = f"process {self.world.rank} of {self.world.count}"
        if code < 0:
            return TrainingError(
                f"{name} was killed (signal {-code}), as the system does when memory runs out; lower "
                "training.batch_size or --devices, and go on with --resume"
            )
        hint = "" if self.begun else (
            '; a Python script that trains on several devices needs the line if __name__ == "__main__": '
            "before its first step"
        )  # fmt: skip
        return TrainingError(f"{name} ended with exit code {code} and no result{hint}")


def _supervised(crew: list[_Process[T]], progress: Progress | None) -> T:
    """Pass messages on until all processes have ended; return the result of the first."""
    open_ends: dict[Any, _Process[T]] = {process.messages: process for process in crew}
    results: dict[int, Any] = {}
    failures: list[BaseException] = []
    until: float | None = None
    while open_ends and (until is None or time.monotonic() < until):
        left = None if until is None else max(0.0, until - time.monotonic())
        for end in wait(list(open_ends), left):
            process = open_ends[end]
            rank = process.world.rank
            try:
                kind, content = pickle.loads(process.messages.recv_bytes())
            except (EOFError, OSError):
                del open_ends[end]
                if rank not in results and not failures:
                    failures.append(process.ended())
            else:
                process.begun = True
                if kind == "result":
                    results[rank] = content
                elif kind == "failure":
                    failures.append(content)
                elif kind == "progress" and progress is not None:
                    progress(*content)
                elif kind == "warning":
                    warnings.warn(content, stacklevel=2)
        causes = [error for error in failures if not isinstance(error, OtherProcessFailed)]
        if causes:
            raise causes[0]
        if failures and until is None:
            until = time.monotonic() + GRACE
    if failures:
        raise failures[0]
    result: T = results[crew[0].world.rank]
    return result


def _end(crew: list[_Process[T]]) -> None:
    """End the processes that still run."""
    for process in crew:
        process.process.terminate()
    until = time.monotonic() + GRACE
    for process in crew:
        process.process.join(max(0.0, until - time.monotonic()))
        process.process.kill()
        process.process.join()
        process.messages.close()


def _work(world: World, work: Work[Any], messages: Connection) -> None:
    """Do the work of one process and send what comes of it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this process
    signal.signal(signal.SIGTERM, _interrupt)
    send = _Sender(messages)
    send("begun", None)
    main = world.local_rank == 0
    try:
        # Several processes share the cores; OMP_NUM_THREADS, if set, was obeyed when torch was imported.
        if "OMP_NUM_THREADS" not in os.environ:
            import torch

            torch.set_num_threads(max(1, torch.get_num_threads() // world.local_count))
        with warnings.catch_warnings(), redirect_stdout(sys.stderr):
            show: Any = send.warning if main else _dropped
            warnings.showwarning = show
            result = work(world, send.progress if main else None)
            send("result", result if main else None)
    except KeyboardInterrupt:
        pass
    except BaseException as error:
        if not isinstance(error, FacealikeError):
            traceback.print_exc()
        send("failure", _sendable(error))
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # from here on there is nothing to clean up
    messages.close()


def _end_with(parent: Any) -> None:
    """End this process when its parent ends, however it does."""
    parent.join()
    os._exit(1)


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


class _Sender:
    """Sends messages to the parent, from any thread."""

    def __init__(self, messages: Connection) -> None:
        self._messages, self._lock = messages, threading.Lock()

    def __call__(self, kind: str, content: Any) -> None:
        # Not ``send``, which leaves tensors in memory that ends with this process.
        message = pickle.dumps((kind, content))
        with self._lock, contextlib.suppress(OSError):  # without a parent nobody listens
            self._messages.send_bytes(message)

    def progress(self, done: int, total: int) -> None:
        """Send the progress of long work."""
        self("progress", (done, total))

    def warning(self, message: Any, *_: Any, **__: Any) -> None:
        """Send a warning, in place of ``warnings.showwarning``."""
        self("warning", message)


def _dropped(*_: Any) -> None:
    """Show no warning: the first process has the same."""


def _sendable(error: BaseException) -> BaseException:
    """Return the error, or one with the same message that can be sent."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # an error class may take other arguments than its message
        return TrainingError(f"{type(error).__name__}: {error}")
    return error
