"""Map a function over items in threads; results come in the order of the items, few at a time."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from typing import Generic, TypeVar, cast

T = TypeVar("T")
R = TypeVar("R")

MAX_THREADS = 8
"""Upper limit of the default: each thread may hold a decoded photo."""

JOIN_TIMEOUT = 10.0
"""Seconds that stopping waits for threads that are still working; after that they are abandoned."""

POLL_INTERVAL = 0.5
"""Seconds between checks for Ctrl-C, on systems where it does not wake a waiting thread."""


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_threads() -> int:
    """Return the number of cores that this process may use, at most ``MAX_THREADS``."""
    return min(MAX_THREADS, available_cores())


def map_ordered(
    work: Callable[[T], R], items: Iterable[T], threads: int, ahead: int | None = None
) -> Generator[R, None, None]:
    """Yield ``work(item)`` for each item, in order.

    The caller's thread draws the items as their results are taken.  An error of ``work`` or ``items`` is
    raised in its place, after the results before it.  When the iterator ends, fails, is closed or is
    interrupted, ``items`` is closed too, and each thread ends after its current item.

    Args:
        work: The function to call.
        items: What to call it on.
        threads: Threads to use; with 0 the caller's thread works.
        ahead: Items that may be in work, or done and not yet taken; by default 4 a thread.
    """
    source = iter(items)
    pool = _WorkerPool(work, threads)
    waiting: deque[_Task[T, R]] = deque()
    ahead = max(1, threads, 4 * threads if ahead is None else ahead)
    late: Exception | None = None
    more = True
    try:
        while True:
            while more and len(waiting) < ahead:
                try:
                    item = next(source)
                except StopIteration:
                    more = False
                except Exception as error:
                    late, more = error, False
                else:
                    waiting.append(pool.give(item))
            if not waiting:
                break
            yield pool.result(waiting.popleft())
        if late is not None:
            raise late
    finally:
        try:
            pool.stop()
        finally:
            close = getattr(source, "close", None)  # a generator, with threads of its own perhaps
            if close is not None:
                close()


class _Task(Generic[T, R]):
    """One item and, when it is done, its result or its error.

    ``running`` is held until then.  It is a plain lock and not a condition: Ctrl-C during the wait for a
    condition may find its lock released, and the error of releasing it again would hide the Ctrl-C.
    """

    __slots__ = ("error", "item", "running", "value")

    def __init__(self, item: T) -> None:
        self.item: T | None = item
        self.value: R | None = None
        self.error: BaseException | None = None
        self.running = threading.Lock()
        self.running.acquire()

    def carry_out(self, work: Callable[[T], R]) -> None:
        try:
            self.value = work(cast(T, self.item))
        except BaseException as error:
            self.error = error
        self.item = None  # it may be large


class _WorkerPool(Generic[T, R]):
    """A pool of threads, started on demand up to a limit, that ``stop`` ends.

    The threads are daemons: one that hangs, for example on a dead network drive, cannot keep the program
    from ending.
    """

    def __init__(self, work: Callable[[T], R], limit: int) -> None:
        self._work, self._limit = work, limit
        self._todo: deque[_Task[T, R]] = deque()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._stopped = False
        # Re-entrant: garbage collection may close an abandoned iterator inside any of these blocks.
        self._given = threading.Condition(threading.RLock())

    def give(self, item: T) -> _Task[T, R]:
        task: _Task[T, R] = _Task(item)
        if self._limit == 0:
            return task  # result() does the work
        with self._given:
            self._todo.append(task)
            self._given.notify()
            wanted = self._idle < len(self._todo) and len(self._threads) < self._limit
        if wanted:
            thread = threading.Thread(target=self._serve, name="facealike", daemon=True)
            self._threads.append(thread)
            _start(thread)
        return task

    def result(self, task: _Task[T, R]) -> R:
        if self._limit == 0:
            task.carry_out(self._work)
        else:
            while not task.running.acquire(timeout=POLL_INTERVAL):
                pass
        if task.error is not None:
            try:
                raise task.error
            finally:
                del task  # else error and frame hold each other
        return cast(R, task.value)

    def stop(self) -> None:
        with self._given:
            self._stopped = True
            self._todo.clear()
            self._given.notify_all()
        until = time.monotonic() + JOIN_TIMEOUT
        for thread in self._threads:
            # Garbage collection may call this in one of the threads, or before one has started.
            if thread is not threading.current_thread() and thread.ident is not None:
                thread.join(max(0.0, until - time.monotonic()))

    def _serve(self) -> None:
        while True:
            with self._given:
                self._idle += 1
                while not self._todo and not self._stopped:
                    self._given.wait()
                self._idle -= 1
                if self._stopped:
                    return
                task = self._todo.popleft()
            task.carry_out(self._work)
            task.running.release()
            del task  # its result may be large, and the next item may come late


def _start(thread: threading.Thread) -> None:
    """Start ``thread``; Ctrl-C meanwhile stays a KeyboardInterrupt.

    ``Thread.start`` waits on a condition.  Ctrl-C may find its lock released, and the error of releasing it
    again would hide the Ctrl-C.
    """
    try:
        thread.start()
    except RuntimeError as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise error.__context__ from None
        raise
