"""A process that enrolls and forgets until it is killed, and what must then be in the gallery."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterable

from facealike.gallery.location import open_store

WRITER = """
import sys
import numpy as np
from facealike.gallery.location import open_store
from facealike.gallery.template import Template
store = open_store(sys.argv[1], "m")
for n in range(100000):
    name = f"{sys.argv[2]}-{n}-"
    vectors = np.eye(8, dtype=np.float32)
    store.add(name, [Template(vectors[i], f"{name}{i}", None, name) for i in range(5)])
    print("enrolled", name, flush=True)
    if n % 3 == 2:
        print("forgetting", name, flush=True)
        store.forget(name)
        print("forgotten", name, flush=True)
"""


def check_killed_writers(url: str, waits: Iterable[float]) -> None:
    """Kill one writer after the other, each so many seconds after it has first forgotten a person.

    Who was enrolled is there, who was forgotten is not, and no person is enrolled by half.
    """
    said: dict[str, set[str]] = {"enrolled": set(), "forgetting": set(), "forgotten": set()}
    for turn, wait in enumerate(waits):
        command = [sys.executable, "-c", WRITER, url, str(turn)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        lines = [child.stdout.readline()]
        while not lines[-1].startswith("forgotten"):
            lines.append(child.stdout.readline())
            assert lines[-1], "the writer has failed"
        time.sleep(wait)
        child.kill()
        for line in (*lines, *child.stdout):
            if line.endswith("\n"):
                what, name = line.split()
                said[what].add(name)
        assert child.wait() == -signal.SIGKILL
    store = open_store(url, "m")
    people = store.people()
    assert said["forgotten"] and said["enrolled"] - said["forgetting"] <= set(people)
    assert not said["forgotten"] & set(people)
    assert set(people.values()) == {5}, "no half of an enrollment"
    store.close()
