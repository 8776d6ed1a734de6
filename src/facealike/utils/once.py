"""Compute a property once, even if several threads ask for it at the same time.

``functools.cached_property`` has no lock since Python 3.12: concurrent threads each compute the value.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast, overload

T = TypeVar("T")
Self = TypeVar("Self")

_made: list[made_once[Any]] = []


class made_once(Generic[T]):
    """A cached property with a lock: one thread computes the value while others wait.

    As with ``functools.cached_property``, the value lies in the instance's ``__dict__`` under the property's
    name, and may be put there beforehand.
    """

    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make = make
        self._name = make.__name__
        self.lock = threading.RLock()
        self.__doc__ = make.__doc__
        _made.append(self)

    @overload
    def __get__(self, instance: None, owner: type) -> made_once[T]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> made_once[T] | T:
        if instance is None:
            return self
        kept = vars(instance)
        if self._name not in kept:
            with self.lock:
                if self._name not in kept:
                    kept[self._name] = self._make(instance)
        return cast(T, kept[self._name])


def _after_fork() -> None:
    """Replace the locks in a forked child, where a thread that held one does not exist."""
    for each in _made:
        each.lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
