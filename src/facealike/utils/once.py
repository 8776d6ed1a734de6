"""Make something once, however many threads ask for it at the same time.

``functools.cached_property`` has no lock since Python 3.12: threads that come together each make one.
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
    """A property that is computed on first use and then kept, by one thread while the others wait.

    As with ``functools.cached_property``, what is kept lies in the instance's ``__dict__`` under the name
    of the property, and may be put there beforehand.
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
    """A thread that held a lock is not there in the child, and would hold it for ever."""
    for each in _made:
        each.lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
