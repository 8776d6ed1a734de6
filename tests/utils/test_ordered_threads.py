"""Threads that keep the order, hold few results, and are gone whatever happens."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import closing
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facealike.utils import ordered_threads as workers
from facealike.utils.ordered_threads import default_threads, map_ordered
from support.thread_checks import interrupted, left, needs_signals, none_left_behind  # noqa: F401 (a fixture)


class Source:
    """Numbers from 0 on, as a generator that tells how many were drawn and whether it was closed."""

    def __init__(self, count: int = 10**9, fails_at: int | None = None) -> None:
        self.drawn, self.closed, self.count, self.fails_at = 0, False, count, fails_at

    def __iter__(self) -> Iterator[int]:
        try:
            for i in range(self.count):
                if i == self.fails_at:
                    raise KeyError(i)
                self.drawn += 1
                yield i
        finally:
            self.closed = True


@settings(max_examples=30, deadline=None)
@given(
    pauses=st.lists(st.sampled_from([0, 0, 0.001, 0.004]), max_size=25),
    threads=st.integers(0, 5),
    ahead=st.none() | st.integers(1, 9),
)
def test_results_come_in_the_order_of_the_items(pauses: list[float], threads: int, ahead: int | None) -> None:
    def work(item: tuple[int, float]) -> int:
        time.sleep(item[1])
        return item[0]

    assert list(map_ordered(work, enumerate(pauses), threads, ahead)) == list(range(len(pauses)))


def test_threads_work_at_the_same_time_and_none_is_started_for_nothing() -> None:
    meeting = threading.Barrier(3)
    assert list(map_ordered(lambda item: meeting.wait(10) >= 0, range(6), 3)) == [True] * 6
    seen: set[int] = set()
    stream = map_ordered(lambda item: item, range(2), 50)
    with closing(stream):
        for _ in stream:
            seen.add(len(left()))
    assert max(seen) <= 2


def test_no_threads_means_the_callers_own() -> None:
    with closing(map_ordered(lambda item: threading.current_thread(), range(3), 0)) as stream:
        assert set(stream) == {threading.current_thread()}
    source = Source()
    with closing(map_ordered(lambda item: item, source, 0)) as stream:
        assert (next(stream), next(stream), source.drawn) == (0, 1, 2)


@pytest.mark.parametrize(("threads", "ahead"), [(1, 1), (1, 3), (2, 8), (3, None), (4, 2)])
def test_no_more_is_drawn_than_allowed(threads: int, ahead: int | None) -> None:
    source, limit = Source(200), max(threads, 4 * threads if ahead is None else ahead)
    with closing(map_ordered(lambda item: item, source, threads, ahead)) as stream:
        most = 0
        for taken, item in enumerate(stream):
            most = max(most, source.drawn - taken)
            assert item == taken
    assert most == limit and source.closed


def test_a_result_that_was_taken_is_let_go() -> None:
    class Large:
        pass

    with closing(map_ordered(lambda item: Large(), range(8), 2)) as stream:
        for made in stream:
            alive = weakref.ref(made)
            del made
            assert alive() is None


def test_an_error_comes_in_its_place_and_stops_everything() -> None:
    def work(item: int) -> int:
        if item == 7:
            raise ValueError("seven")
        return item

    source = Source()
    taken: list[int] = []
    with pytest.raises(ValueError, match="seven") as caught:
        taken.extend(map_ordered(work, source, 3))
    # ``caught`` keeps every frame of the error alive, and yet nothing runs on.
    assert taken == list(range(7)) and source.closed and left() == []
    assert source.drawn <= 7 + 12 and caught.value is not None


def test_an_error_of_the_items_comes_after_the_results_before_it() -> None:
    source = Source(fails_at=5)
    taken: list[int] = []
    with pytest.raises(KeyError, match="5"):
        taken.extend(map_ordered(lambda item: item, source, 2))
    assert taken == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("how", ["close", "break", "delete", "cycle", "throw"])
def test_a_consumer_that_stops_early_leaves_nothing(how: str) -> None:
    source = Source()
    stream: Any = map_ordered(lambda item: item, source, 3)
    for item in stream:
        if item == 4:
            break
    if how == "close":
        stream.close()
    elif how == "throw":
        with pytest.raises(RuntimeError, match="enough"):
            stream.throw(RuntimeError("enough"))
    elif how == "cycle":
        cycle: list[Any] = [stream]
        cycle.append(cycle)
        del cycle
    del stream
    gc.collect()
    assert left() == [] and source.closed


def test_never_started_never_threaded() -> None:
    source = Source()
    map_ordered(lambda item: item, source, 3)
    assert source.drawn == 0 and left() == []


@pytest.mark.parametrize("end", ["close", "error", "all"])
def test_stages_end_together(end: str) -> None:
    """Closing the last stage closes those before it, threads included."""

    def last(item: int) -> int:
        if end == "error" and item == 20:
            raise ValueError("twenty")
        return item + 1

    source = Source(40)
    stream = map_ordered(last, map_ordered(lambda item: item, source, 2), 1, 2)
    if end == "error":
        with pytest.raises(ValueError, match="twenty"):
            list(stream)
    elif end == "all":
        assert list(stream) == list(range(1, 41))
    else:
        assert next(stream) == 1
        stream.close()
    assert left() == [] and source.closed


def test_work_that_hangs_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "JOIN_TIMEOUT", 0.2)
    release = threading.Event()
    stream = map_ordered(lambda item: item or release.wait(30), range(9, -1, -1), 2)
    assert next(stream) == 9
    assert [next(stream) for _ in range(8)] == list(range(8, 0, -1))  # up to the item that hangs
    started = time.monotonic()
    stream.close()
    assert time.monotonic() - started < 10
    assert all(thread.daemon for thread in left())
    release.set()
    for thread in left():
        thread.join(10)


@needs_signals
def test_ctrl_c_ends_all_threads_at_once() -> None:
    script = (
        "import threading, time\n"
        "from facealike.utils.ordered_threads import map_ordered\n"
        "def work(item): time.sleep(0.05); return item\n"
        "try:\n"
        "    for item in map_ordered(work, range(10**9), 3):\n"
        "        print(item, flush=True)\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted with', threading.active_count(), 'thread')\n"
    )
    done = interrupted(script, after="0")
    assert done.stdout.splitlines()[-1] == "interrupted with 1 thread"
    assert done.stderr == "" and done.returncode == 0


@needs_signals
def test_ctrl_c_is_heeded_while_nothing_comes_out() -> None:
    """The caller's thread waits for a result that takes long; the work that hangs does not hold it."""
    script = (
        "import sys, threading, time\n"
        "from facealike.utils import ordered_threads as workers\n"
        "workers.JOIN_TIMEOUT = 0.2\n"
        "def work(item): print('asleep', flush=True); time.sleep(600)\n"
        "list(workers.map_ordered(work, range(1), 1))\n"
    )
    assert interrupted(script, after="asleep").stderr.splitlines()[-1] == "KeyboardInterrupt"


@pytest.mark.parametrize("line", range(1, 13))
def test_ctrl_c_at_any_line_of_the_wait_is_not_hidden(line: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait of a condition has a line at which Ctrl-C became "cannot release un-acquired lock"."""
    monkeypatch.setattr(workers, "POLL_INTERVAL", 0.001)
    monkeypatch.setattr(workers, "JOIN_TIMEOUT", 0.05)
    release, seen = threading.Event(), 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal seen
        caller = frame.f_back.f_code.co_name if frame.f_back else ""
        name = frame.f_code.co_name
        if event == "line" and (name == "result" or (name == "wait" and caller == "result")):
            seen += 1
            if seen == line:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with pytest.raises(KeyboardInterrupt):
            list(map_ordered(lambda item: release.wait(30), range(1), 1))
    finally:
        sys.settrace(before)
        release.set()
    for thread in left():
        thread.join(10)


def test_the_default_is_a_thread_a_core_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    assert default_threads() == workers.MAX_THREADS
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3}, raising=False)
    assert default_threads() == 1


def test_ctrl_c_while_a_thread_starts_is_no_other_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """``Thread.start`` waits on a condition, whose lock is released a second time if Ctrl-C comes then."""
    start = threading.Thread.start

    def interrupted_start(thread: threading.Thread) -> None:
        start(thread)
        try:
            raise KeyboardInterrupt
        finally:
            threading.Lock().release()

    monkeypatch.setattr(threading.Thread, "start", interrupted_start)
    source = Source()
    with pytest.raises(KeyboardInterrupt):
        list(map_ordered(lambda item: item, source, 2))
    assert source.closed and left() == []


def test_that_no_thread_can_start_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", full)
    with pytest.raises(RuntimeError, match="start new thread"):
        list(map_ordered(lambda item: item, range(3), 2))
