"""Issue 22, "Done when" 3: SIGKILL at random moments of enrollment and of forget.

One interpreter without threads forks a writer a round, so that many rounds take seconds.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks a writer a round")

ROUNDS = 40

DRIVER = """
import hashlib, os, pathlib, random, signal, sys, time
import numpy as np
from facealike.gallery.integrity import check_store
from facealike.gallery.sqlite_store import SQLiteStore
from facealike.gallery.template import Template

folder, rounds = pathlib.Path(sys.argv[1]), int(sys.argv[2])
path, SIZE = folder / "g.db", 64

def template(name, n):
    seed = int(hashlib.sha256(f"{name} {n}".encode()).hexdigest()[:8], 16)
    vector = np.random.default_rng(seed).normal(size=SIZE).astype(np.float32)
    digest = hashlib.sha256(f"digest {name} {n}".encode()).hexdigest()
    return Template(vector / np.linalg.norm(vector), digest, 0.5, f"source-{name}-{n}.jpg")

def faces(name):
    return [template(name, n) for n in range(1 + int(name.split("-")[1]) % 5)]

def write(turn, pipe):
    store, n, held = SQLiteStore(path, "m"), 0, []
    held = list(store.people())
    random.seed(turn)
    def say(*words):
        os.write(pipe, (" ".join(words) + "\\n").encode())
    while True:
        name, n = f"P{turn}-{n}-", n + 1
        store.add(name, faces(name))
        say("enrolled", name)
        held.append(name)
        if len(held) > 30 or random.random() < 0.5:
            name = held.pop(random.randrange(len(held)))
            say("forgetting", name)
            store.forget(name)
            say("forgotten", name)

enrolled, begun, gone = set(), set(), set()
for turn in range(rounds):
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        try:
            write(turn, writes)
        finally:
            os._exit(9)
    os.close(writes)
    time.sleep(random.Random(turn).uniform(0.005, 0.08))
    os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    assert os.WTERMSIG(status) == signal.SIGKILL, status  # it did not fail before
    with os.fdopen(reads) as stream:
        words = [line.split() for line in stream if line.endswith("\\n")]
    for what, name in words:
        {"enrolled": enrolled, "forgetting": begun, "forgotten": gone}[what].add(name)
    raw = b"".join(file.read_bytes() for file in folder.iterdir())
    latest = [name for what, name in words if what == "forgotten"]
    for name in {*latest, *random.sample(sorted(gone), min(len(gone), 20))}:  # before opening
        assert name.encode() not in raw, (turn, name)
        for one in faces(name):
            assert one.digest.encode() not in raw and one.vector.tobytes()[:16] not in raw, (turn, name)
            assert one.vector.tobytes()[-16:] not in raw, (turn, name)
    store = SQLiteStore(path, "m")
    people = store.people()
    assert enrolled - begun <= set(people), enrolled - begun - set(people)
    assert not gone & set(people)
    assert all(count == len(faces(name)) for name, count in people.items()), "no half of an enrollment"
    check = check_store(store)
    assert check.whole, check.problems
    store.close()
print(len(enrolled), len(gone))
"""


def test_nothing_acknowledged_is_lost_and_nothing_forgotten_is_left(tmp_path: Path) -> None:
    memory = "/dev/shm"  # a kill loses no written page, so a file system in memory does, and is quick
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else tmp_path) as folder:
        command = [sys.executable, "-c", DRIVER, folder, str(ROUNDS)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr[-2000:]
    enrolled, gone = map(int, done.stdout.split())
    assert enrolled > ROUNDS and gone > ROUNDS / 4, done.stdout
