"""Serialize calls of a detector that is not thread-safe, with one lock for each detector."""

from __future__ import annotations

import os
import threading
import weakref
from contextlib import AbstractContextManager, nullcontext
from typing import Any

_locks: dict[int, threading.Lock] = {}
_guard = threading.Lock()
_shared = threading.Lock()  # for detectors without weak references, whose locks could not be removed


def turn(detector: Any) -> AbstractContextManager[Any]:
    """Return the lock to hold while ``detector`` detects; no lock where it has ``thread_safe = True``."""
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
    """Replace the locks in a forked child, where a thread that held one does not exist."""
    global _guard, _shared
    _guard, _shared = threading.Lock(), threading.Lock()
    for key in _locks:
        _locks[key] = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
