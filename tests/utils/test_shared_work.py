"""Items shared among the caller's thread and helpers: each is done once, and an error ends all."""

from __future__ import annotations

import _thread
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from facealike.utils.shared_work import share_work


def doubled(items: Iterator[int]) -> list[int]:
    return [2 * item for item in items]


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 3, 1000])
def test_each_item_is_done_once(threads: int, count: int) -> None:
    found = share_work(doubled, range(count), threads)
    assert len(found) == threads
    assert sorted(item for part in found for item in part) == [2 * item for item in range(count)]


def test_the_threads_work_at_the_same_time() -> None:
    met = threading.Barrier(3, timeout=10)

    def work(items: Iterator[int]) -> int:
        for _ in items:
            met.wait()  # breaks unless all three have drawn an item
        return threading.get_ident()

    found = share_work(work, range(3), 3)
    assert len(set(found)) == 3 and found[0] == threading.get_ident()


@pytest.mark.parametrize("of_caller", [True, False])
def test_an_error_ends_the_others(of_caller: bool) -> None:
    done: list[int] = []
    failed = threading.Event()

    def work(items: Iterator[int]) -> None:
        for item in items:
            if (threading.get_ident() == caller) is of_caller:
                failed.set()
                raise ValueError("no")
            assert failed.wait(10)
            time.sleep(0.01)
            done.append(item)

    caller = threading.get_ident()
    with pytest.raises(ValueError, match="no"):
        share_work(work, range(1000), 2)
    assert len(done) <= 2
    seen = len(done)
    time.sleep(0.05)
    assert len(done) == seen  # no thread is left


def test_without_more_threads_the_caller_does_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(function: Callable[..., Any], arguments: tuple[Any, ...]) -> int:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_thread, "start_new_thread", full)
    assert share_work(doubled, range(4), 3) == [[0, 2, 4, 6]]


def test_ctrl_c_ends_the_helpers() -> None:
    done: list[int] = []

    def work(items: Iterator[int]) -> None:
        for item in items:
            if threading.get_ident() == caller:
                raise KeyboardInterrupt
            done.append(item)
            time.sleep(0.01)

    caller = threading.get_ident()
    with pytest.raises(KeyboardInterrupt):
        share_work(work, range(1000), 3)
    seen = len(done)
    time.sleep(0.05)
    assert len(done) == seen < 10
