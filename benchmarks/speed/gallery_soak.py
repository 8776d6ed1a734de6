"""Whether eight readers of a gallery get right answers while one process writes in it.

    python -m benchmarks.speed.gallery_soak --write

The writer enrolls, forgets and corrects people and compacts the gallery now and then; it numbers its writes.
Eight processes search with fixed queries, alone and in batches, and open the gallery again from time to time.
Each answer is noted with the last write that was acknowledged when the search began and the last one that had
begun when it ended.  Afterwards the writes are replayed: every answer must be that of an exact search, in
float64, of the state after one of the writes from the first to the last of these.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.record import RESULTS, append_rows, circumstances
from facealike.gallery.integrity import check_store
from facealike.gallery.sqlite_store import SQLiteStore
from facealike.gallery.template import Template

CSV = RESULTS / "gallery_soak.csv"
WIDTH, QUERIES, TOP = 219, 64, 5
REOPENED = 500  # searches after which a reader opens the gallery again
COMPACTED = 2_000  # writes after which the writer compacts it


def vectors(name: str) -> np.ndarray:
    """The vectors of a person, one to three, by the name."""
    seed = int(hashlib.sha256(name.encode()).hexdigest()[:12], 16)
    rng = np.random.default_rng(seed)
    found = rng.normal(size=(1 + seed % 3, WIDTH)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def templates(name: str) -> list[Template]:
    return [
        Template(one, hashlib.sha256(f"{name} {n}".encode()).hexdigest(), None, f"{name}-{n}.jpg")
        for n, one in enumerate(vectors(name))
    ]


def queries() -> np.ndarray:
    found = np.random.default_rng(1).normal(size=(QUERIES, WIDTH)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def write(path: Path, log: Path, begun: Any, done: Any, stop: Any) -> None:
    """Enroll, forget and correct until told to stop, and note each write."""
    store, rng, number = SQLiteStore(path, "m"), random.Random(0), 0
    held, times = sorted(store.people()), []
    with log.open("w") as notes:
        while not stop.is_set():
            kind = rng.choices(["enroll", "forget", "correct"], [5, 4, 1])[0]
            name = f"new {number}" if kind == "enroll" else held[rng.randrange(len(held))]
            begun.value = number = number + 1
            start = time.perf_counter()
            if kind == "enroll":
                store.add(name, templates(name))
                held.append(name)
            elif kind == "forget":
                store.forget(name)
                held.remove(name)
            else:
                store.correct(name, templates(name)[0].digest)
            times.append((kind, time.perf_counter() - start))
            done.value = number
            notes.write(json.dumps([number, kind, name]) + "\n")
            if number % COMPACTED == 0:
                store.compact()
    check = check_store(store)
    forgets = [1000 * spent for kind, spent in times if kind == "forget"]
    told = {
        "writes": number, "forget_p50_ms": round(float(np.median(forgets)), 1),
        "forget_p99_ms": round(float(np.quantile(forgets, 0.99)), 1), "problems": list(check.problems),
    }  # fmt: skip
    log.with_suffix(".json").write_text(json.dumps(told))


def read(path: Path, log: Path, begun: Any, done: Any, stop: Any) -> None:
    """Search until told to stop, and note each answer."""
    asked, rng, store, count = queries(), random.Random(log.name), SQLiteStore(path, "m"), 0
    with log.open("w") as notes:
        while not stop.is_set():
            count += 1
            if count % REOPENED == 0:
                store.close()
                store = SQLiteStore(path, "m")
            which = [rng.randrange(QUERIES)] if rng.random() < 0.9 else rng.sample(range(QUERIES), 8)
            first = done.value
            found = store.search_many(asked[which], TOP)
            last = begun.value
            for query, hits in zip(which, found, strict=True):
                notes.write(json.dumps([first, last, query, [hit[:2] for hit in hits]]) + "\n")


class Replay:
    """What an exact search answers in each state."""

    def __init__(self, first: list[str], writes: list[tuple[int, str, str]]) -> None:
        rows: list[tuple[str, int, int, np.ndarray]] = []  # name, first state, first state without it, vector
        at: dict[str, list[int]] = {}
        for number, kind, name in [*((0, "enroll", name) for name in first), *writes]:
            if kind == "enroll":
                at[name] = list(range(len(rows), len(rows) + len(vectors(name))))
                rows += [(name, number, 1 << 60, one) for one in vectors(name)]
            elif kind == "forget":
                for row in at.pop(name):
                    rows[row] = (*rows[row][:2], min(rows[row][2], number), rows[row][3])
            else:
                row = at[name][0]
                rows[row] = (*rows[row][:2], min(rows[row][2], number), rows[row][3])
        self.names = [name for name, _, _, _ in rows]
        self.born = np.array([one for _, one, _, _ in rows])
        self.gone = np.array([one for _, _, one, _ in rows])
        stacked = np.stack([one for _, _, _, one in rows]).astype(np.float64)
        self.scores = (queries().astype(np.float64) @ stacked.T).astype(np.float32)
        self.order = np.argsort(-self.scores, axis=1, kind="stable")

    def answer(self, query: int, state: int) -> list[list[Any]]:
        order = self.order[query]
        alive = order[(self.born[order] <= state) & (state < self.gone[order])]
        found: dict[str, float] = {}
        for row in alive:
            found.setdefault(self.names[row], float(self.scores[query, row]))
            if len(found) == TOP:
                break
        return [[name, score] for name, score in found.items()]

    def right(self, first: int, last: int, query: int, answer: list[list[Any]]) -> bool:
        """Return whether the answer is that of a state from ``first`` to ``last``."""
        return any(self.answer(query, state) == answer for state in range(first, last + 1))


def run(seconds: float, readers: int, people: int) -> dict[str, Any]:
    """Read and write for so long, and check every answer."""
    context = multiprocessing.get_context("spawn")
    begun, done, stop = context.Value("q", 0), context.Value("q", 0), context.Event()
    with tempfile.TemporaryDirectory() as folder:
        path, logs = Path(folder) / "gallery" / "g.db", Path(folder)
        path.parent.mkdir()
        first = [f"first {n}" for n in range(people)]
        store = SQLiteStore(path, "m")
        store.add_many((name, one) for name in first for one in templates(name))
        count = store.count()
        store.close()
        parties = [(write, logs / "writer.log"), *((read, logs / f"reader{n}.log") for n in range(readers))]
        started = [
            context.Process(target=party, args=(path, log, begun, done, stop)) for party, log in parties
        ]
        for one in started:
            one.start()
        time.sleep(seconds)
        stop.set()
        for one in started:
            one.join()
        failed = sum(one.exitcode != 0 for one in started)
        if started[0].exitcode != 0:
            raise SystemExit(f"the writer ended with {started[0].exitcode}, {failed} processes failed")
        writes = [json.loads(line) for line in (logs / "writer.log").read_text().splitlines()]
        told = json.loads((logs / "writer.json").read_text())
        replay = Replay(first, writes)
        answers = wrong = 0
        for _, log in parties[1:]:
            for line in log.read_text().splitlines():
                answers += 1
                wrong += not replay.right(*json.loads(line))
    return {
        "seconds": seconds, "readers": readers, "templates": count, "answers": answers, "wrong": wrong,
        "failed_processes": failed, **told,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--readers", type=int, default=8)
    parser.add_argument("--people", type=int, default=10_000, help="enrolled at the beginning")
    parser.add_argument("--write", action="store_true", help="append to the CSV")
    args = parser.parse_args()
    found = run(args.seconds, args.readers, args.people)
    found["problems"] = len(found["problems"])
    print(", ".join(f"{name} {value}" for name, value in found.items()))
    if args.write:
        append_rows(CSV, [{**circumstances("numpy"), **found}])
    if found["wrong"] or found["failed_processes"] or found["problems"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
