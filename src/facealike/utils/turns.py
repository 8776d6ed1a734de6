"""Let threads take turns at a detector that is not thread-safe: one lock for each, whoever calls it."""

from __future__ import annotations

import os
import threading
import weakref
from contextlib import AbstractContextManager, nullcontext
from typing import Any

_locks: dict[int, threading.Lock] = {}
_guard = threading.Lock()
_shared = threading.Lock()  # for detectors whose end cannot be noticed, so that none could have its own


def turn(detector: Any) -> AbstractContextManager[Any]:
    """The turn at ``detector``, to be held while it detects; free where it has ``thread_safe = True``."""
    if getattr(detector, "thread_safe", False):
        return nullcontext()
    with _guard:
        lock = _locks.get(id(detector))
        if lock is None:
            try:
                weakref.finalize(detector, _locks.pop, id(detector), None)
            except TypeError:
                return _shared
            lock = _locks[id(detector)] = threading.Lock()
        return lock


def _after_fork() -> None:
    """Threads that held a lock are not there in the child."""
    global _guard, _shared
    _guard, _shared = threading.Lock(), threading.Lock()
    for key in _locks:
        _locks[key] = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
