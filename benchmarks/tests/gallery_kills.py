"""Whether a gallery survives SIGKILL at random moments of enrollment and of forget.

    python -m benchmarks.tests.gallery_kills --write

A writer enrolls people, forgets people, or does both, and says over a pipe what was acknowledged; it is
killed after a random time.  Then, before the gallery is opened again, its files are searched for the names,
digests, vectors, 8-bit codes and hashes of people whose forgetting was acknowledged.  Opened, it must hold
all whose enrollment was acknowledged and none who was forgotten, each with all templates or none, and its
check must find no problem, in the tables nor in the index files.  The index files are made from 20 templates
on and extended by 5, so that kills fall in their writes, too.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from benchmarks.common.record import RESULTS, append_rows, circumstances
from facealike.gallery import indexed_table
from facealike.gallery.integrity import check_store
from facealike.gallery.row_file import mark_of
from facealike.gallery.scan import encode
from facealike.gallery.sqlite_store import SQLiteStore
from facealike.gallery.template import Template

CSV = RESULTS / "gallery_kills.csv"
WIDTH = 64
KEPT = 40  # people at a time, so that a round takes no longer than the one before
MODES = ("enroll", "forget", "mixed")
Mode = Literal["enroll", "forget", "mixed"]


@dataclass
class Known:
    """What the writers have said."""

    enrolled: set[str] = field(default_factory=set)
    forgetting: set[str] = field(default_factory=set)
    forgotten: set[str] = field(default_factory=set)


def faces(name: str) -> list[Template]:
    """The templates of a person: one to five, by the name."""
    found = []
    for n in range(1 + int(name.split("-")[1]) % 5):
        digest = hashlib.sha256(f"{name} {n}".encode()).hexdigest()
        vector = np.random.default_rng(int(digest[:8], 16)).normal(size=WIDTH).astype(np.float32)
        found.append(Template(vector / np.linalg.norm(vector), digest, 0.5, f"source-{name}-{n}.jpg"))
    return found


def write(path: Path, turn: int, mode: Mode, pipe: int) -> None:
    """Enroll and forget until killed."""
    store, n = SQLiteStore(path, "m"), 0
    held, rng = list(store.people()), random.Random(turn)

    def say(*words: str) -> None:
        os.write(pipe, (" ".join(words) + "\n").encode())

    while True:
        if mode != "forget" or not held:
            name, n = f"P{turn}-{n}-", n + 1
            store.add(name, faces(name), {"note": f"note-{name}"})
            say("enrolled", name)
            held.append(name)
        if mode == "forget" or (mode == "mixed" and (len(held) > KEPT or rng.random() < 0.5)):
            name = held.pop(rng.randrange(len(held)))
            say("forgetting", name)
            store.forget(name)
            say("forgotten", name)


def remnants(folder: Path, names: set[str]) -> list[str]:
    """What the files still hold of forgotten people."""
    raw = b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())
    left = []
    for name in sorted(names):
        traces = {"name": name.encode(), "hash": mark_of(name.encode()).to_bytes(8, "little")}
        for i, one in enumerate(faces(name)):
            vector, codes = one.vector.tobytes(), encode(one.vector[None], "int8")[0]["code"].tobytes()
            traces |= {f"digest {i}": one.digest.encode(), f"vector {i}": vector[:16]}
            traces |= {f"end {i}": vector[-16:], f"codes {i}": codes[:12], f"mark {i}": _mark(vector)}
        left += [f"{what} of {name}" for what, trace in traces.items() if trace in raw]
    return left


def _mark(vector: bytes) -> bytes:
    return mark_of(vector).to_bytes(8, "little")


def killed_round(folder: Path, turn: int, mode: Mode, known: Known) -> None:
    """Start a writer, kill it, and check what is left."""
    path = folder / "g.db"
    if mode == "forget":
        with_people(path, turn, known)
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        try:
            write(path, turn, mode, writes)
        finally:
            os._exit(9)
    os.close(writes)
    time.sleep(random.Random(turn).uniform(0.005, 0.08))
    os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    assert os.WTERMSIG(status) == signal.SIGKILL, f"round {turn}: the writer failed by itself"
    with os.fdopen(reads) as stream:
        words = [line.split() for line in stream if line.endswith("\n")]
    for what, name in words:
        getattr(known, what).add(name)
    latest = {name for what, name in words if what == "forgotten"}
    some = random.Random(turn).sample(sorted(known.forgotten), min(len(known.forgotten), 20))
    left = remnants(folder, latest | set(some))
    assert not left, f"round {turn}: {left}"
    store = SQLiteStore(path, "m")
    people = store.people()
    lost = known.enrolled - known.forgetting - set(people)
    assert not lost, f"round {turn}: {lost} were acknowledged"
    assert not known.forgotten & set(people), f"round {turn}: {known.forgotten & set(people)} are back"
    parts = [name for name, count in people.items() if count != len(faces(name))]
    assert not parts, f"round {turn}: {parts} are there in part"
    probe = faces(next(iter(people)))[0] if people else None
    if probe is not None:
        assert store.search(probe.vector, 1)[0].score > 0.9999
    check = check_store(store)
    assert check.whole, f"round {turn}: {check.problems}"
    while mode == "enroll" and len(people) > KEPT:
        name, _ = people.popitem()
        known.forgetting.add(name)
        store.forget(name)
        known.forgotten.add(name)
    store.close()


def with_people(path: Path, turn: int, known: Known) -> None:
    """Enroll people who can be forgotten."""
    store = SQLiteStore(path, "m")
    for n in range(max(0, KEPT - len(store.people()))):
        name = f"P{turn}-{n}-before-"
        store.add(name, faces(name))
        known.enrolled.add(name)
    store.close()


def run(mode: Mode, rounds: int, seed: int = 0) -> Known:
    """Kill so many writers; return what they have said."""
    indexed_table.FILE_FROM, indexed_table.NEWER = 20, 5
    memory = "/dev/shm"  # a kill loses no written page, so a file system in memory does, and is quick
    known = Known()
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        for turn in range(rounds):
            killed_round(Path(folder), 1000 * seed + turn, mode, known)
    return known


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mode", choices=MODES, help="only this one")
    parser.add_argument("--write", action="store_true", help="append to the CSV")
    args = parser.parse_args()
    rows = []
    for mode in (args.mode,) if args.mode else MODES:
        known = run(mode, args.rounds, args.seed)
        counts = {"enrolled": len(known.enrolled), "forgotten": len(known.forgotten)}
        print(
            f"{mode}: {args.rounds} kills, {counts['enrolled']} enrolled, {counts['forgotten']} forgotten: ok"
        )
        rows.append(
            {**circumstances("numpy"), "seed": args.seed, "mode": mode, "kills": args.rounds, **counts}
        )
    if args.write:
        append_rows(CSV, rows)


if __name__ == "__main__":
    main()
