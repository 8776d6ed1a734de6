"""What tests of threads share: none may be left behind, and Ctrl-C in a program of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from support.ctrl_c import HEARS_CTRL_C

needs_signals = pytest.mark.skipif(os.name != "posix", reason="there are no such signals elsewhere")


def left() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "facealike"]


@pytest.fixture(autouse=True)
def none_left_behind() -> Iterator[None]:
    """Before and after each test of a module that imports this."""
    assert left() == []
    yield
    assert left() == []


def interrupted(script: str, *arguments: str, after: str) -> subprocess.CompletedProcess[str]:
    """How a Python script ended that got Ctrl-C once it had written ``after``, its first line."""
    command = [sys.executable, "-c", HEARS_CTRL_C + script, *arguments]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert program.stdout is not None
    assert program.stdout.readline() == f"{after}\n"
    program.send_signal(signal.SIGINT)
    rest, errors = program.communicate(timeout=120)
    return subprocess.CompletedProcess(command, program.returncode, rest, errors)
