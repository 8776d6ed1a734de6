"""Work spread over threads: results in the order of the items, few in flight, no thread left behind."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from typing import Generic, TypeVar, cast

T = TypeVar("T")
R = TypeVar("R")

MOST = 8
"""Threads are taken up to this number only: each may hold a decoded photo."""

PATIENCE = 10.0
"""Seconds that stopping waits for what the threads have in hand; then it leaves them behind."""

GLANCE = 0.5
"""Seconds between two looks at whether Ctrl-C was pressed, where a waiting thread is not woken by it."""


def default_threads() -> int:
    """One thread for each core that this process may use, up to ``MOST``."""
    if hasattr(os, "sched_getaffinity"):
        return min(MOST, len(os.sched_getaffinity(0)))
    return min(MOST, os.cpu_count() or 1)


def in_order(
    work: Callable[[T], R], items: Iterable[T], threads: int, ahead: int | None = None
) -> Generator[R, None, None]:
    """``work`` of each item, in order, by ``threads`` threads beside the caller's; 0 for none.

    At most ``ahead`` items (4 a thread unless told) are in work or done and not yet taken.  ``items``
    are drawn by the caller's thread, as their results are taken.  An error of ``work`` or of ``items``
    is raised in its place, after the results before it.  Once the iterator ends, fails, is closed or
    interrupted, ``items`` is closed too and the threads end as soon as the work in hand is done.
    """
    source = iter(items)
    crew = _Crew(work, threads)
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
                    waiting.append(crew.give(item))
            if not waiting:
                break
            yield crew.result(waiting.popleft())
        if late is not None:
            raise late
    finally:
        try:
            crew.stop()
        finally:
            close = getattr(source, "close", None)  # a generator, with threads of its own perhaps
            if close is not None:
                close()


class _Task(Generic[T, R]):
    """One item, and in time its result or its error.

    ``running`` is held until then.  It is a plain lock: Ctrl-C during the wait for a condition may find
    the condition's lock released, and would be hidden by the error of releasing it again.
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


class _Crew(Generic[T, R]):
    """Threads that start as work comes in, up to a number, and end with ``stop``.

    They are daemons, so that one that hangs, in a file of a dead network drive for instance, cannot
    keep the program from ending.
    """

    def __init__(self, work: Callable[[T], R], limit: int) -> None:
        self._work, self._limit = work, limit
        self._todo: deque[_Task[T, R]] = deque()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._stopped = False
        # Re-entrant: the collector may close an abandoned iterator inside any of these blocks.
        self._given = threading.Condition(threading.RLock())

    def give(self, item: T) -> _Task[T, R]:
        task: _Task[T, R] = _Task(item)
        if self._limit == 0:
            return task  # done when its result is asked for
        with self._given:
            self._todo.append(task)
            self._given.notify()
            wanted = self._idle < len(self._todo) and len(self._threads) < self._limit
        if wanted:
            thread = threading.Thread(target=self._serve, name="facealike", daemon=True)
            self._threads.append(thread)
            thread.start()
        return task

    def result(self, task: _Task[T, R]) -> R:
        if self._limit == 0:
            task.carry_out(self._work)
        else:
            while not task.running.acquire(timeout=GLANCE):
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
        until = time.monotonic() + PATIENCE
        for thread in self._threads:
            # The collector may have called this from one of the threads, or before one was started.
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
            del task  # its result may be large, and the next item may be long in coming
