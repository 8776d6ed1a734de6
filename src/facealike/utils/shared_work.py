"""Divide items among the caller's thread and helpers, each of which draws the next item when it is free.

The caller begins at once and waits for no helper to start; one that starts late leaves it more to do.  This
is for work of milliseconds, of which starting two threads for two halves would be a third.
"""

from __future__ import annotations

import _thread
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


def share_work(work: Callable[[Iterator[T]], R], items: Iterable[T], threads: int) -> list[R]:
    """Call ``work`` in several threads with an iterator each; every item comes to one of them.

    Args:
        work: The function to call, in the caller's thread and in ``threads - 1`` others.
        items: What is divided.
        threads: How many threads work, the caller's included; fewer where no more can be started.

    Returns:
        What ``work`` returned in each thread, the caller's first.

    Raises:
        Exception: What ``work`` raised; the other threads end after their current item.
    """
    left = deque(items)
    helpers = [_Helper(work, left) for _ in range(threads - 1)]
    try:
        found = [work(_drawn(left))]
    finally:
        left.clear()  # after an error or Ctrl-C; else it is empty
        for one in helpers:
            one.running.acquire()
    for one in helpers:
        if one.error is not None:
            raise one.error
        found += one.found
    return found


def _drawn(left: deque[T]) -> Iterator[T]:
    while True:
        try:
            item = left.popleft()
        except IndexError:
            return
        yield item


class _Helper(Generic[T, R]):
    """One more thread; ``running`` is held until it has ended."""

    def __init__(self, work: Callable[[Iterator[T]], R], left: deque[T]) -> None:
        self._work, self._left = work, left
        self.found: list[R] = []
        self.error: BaseException | None = None
        self.running = _thread.allocate_lock()
        self.running.acquire()
        try:
            _thread.start_new_thread(self._run, ())
        except RuntimeError:  # no more threads: the others do its part
            self.running.release()

    def _run(self) -> None:
        try:
            self.found.append(self._work(_drawn(self._left)))
        except BaseException as error:
            self._left.clear()
            self.error = error
        finally:
            self.running.release()
